//! Finds the route of a request: method + host + path. Built once; no I/O and no lock while matching.

/// All routes of a generation.
#[derive(Default)]
pub struct Router {}
