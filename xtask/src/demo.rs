//! `cargo xtask demo`: Sluice at work on real payloads, with an account of what became of each.

use std::process::Command;

use anyhow::Result;

use crate::{
    command::{root, run as call},
    plugins,
    test::{build, target},
};

/// Builds everything, in the profile that the tests use, and runs the demo.
///
/// # Errors
/// If something does not build, or does not happen as it should.
pub(crate) fn run() -> Result<()> {
    plugins::build()?;
    build(&[])?;
    let programs = target().join("debug");
    let mut demo = Command::new(programs.join("demo"));
    demo.env("SLUICE_BIN", programs.join("sluice")).env("SLUICE_PLUGINS", root().join("target/plugins"));
    call(demo.current_dir(root()))
}
