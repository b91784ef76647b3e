//! `cargo xtask bench`: the real release binary beside the floor program, in one table; then what a proof costs.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use crate::{
    command::{cargo, root, run as call},
    plugins,
    test::{build, target},
};

/// Builds everything with optimisations and runs the benchmark; `args` are its own, see `bench --help`.
///
/// # Errors
/// If something does not build, or the benchmark fails.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    plugins::build()?;
    build(&["--release"])?;
    let programs = target().join("release");
    // Journals go where the build is, not to a /tmp that may be memory: fsync must mean the disk.
    let scratch = target().join("bench");
    fs::create_dir_all(&scratch).with_context(|| format!("failed to create `{}`", scratch.display()))?;
    let mut bench = Command::new(programs.join("bench"));
    bench.env("SLUICE_BIN", programs.join("sluice")).env("SLUICE_PLUGINS", root().join("target/plugins"));
    call(bench.args(args).env("TMPDIR", scratch).current_dir(root()))?;
    call(cargo().args(["bench", "--workspace", "--bench", "verify"]).current_dir(root()))
}
