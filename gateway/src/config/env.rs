//! Where environment variables come from.

use std::{collections::HashMap, ffi::OsString};

/// Environment variables by name: the process's own, or a map in tests.
pub trait Env {
    fn var(&self, name: &str) -> Option<OsString>;
}

/// The environment that the process was started with.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn var(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl Env for HashMap<String, String> {
    fn var(&self, name: &str) -> Option<OsString> {
        self.get(name).map(OsString::from)
    }
}
