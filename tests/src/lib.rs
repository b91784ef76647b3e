//! What the black-box tests, the benchmark and the demo share: the real binary as a child process, a downstream
//! that answers as told, senders that sign, and a load generator.
//!
//! Nothing here uses the gateway's own code: signatures, configs and answers are made and read independently.

pub mod process;

pub mod gateway;

pub mod admin;

pub mod client;

pub mod webhook;

pub mod raw;

pub mod sink;

pub mod disk;

pub mod guest;

pub mod payload;

pub mod foreign;

pub mod wait;

// For the benchmark.

pub mod load;

pub mod drain;

pub mod usage;
