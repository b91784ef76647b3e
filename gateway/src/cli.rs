//! The command line: `sluice run`, `check`, `send` and the rest. The only part that speaks on stdout.

use std::process::ExitCode;

pub mod check;

pub mod connection;

pub mod dead;

pub mod events;

mod output;

pub mod schema;

pub mod send;

/// Runs the command line. 0: done, 1: failed while running, 2: bad usage or config.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
