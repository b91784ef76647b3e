//! `cargo xtask test`: the whole suite. Its last lines are the test runner's own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Result;

use crate::{
    command::{cargo, root, run as call},
    plugins,
};

/// Builds the plugins and the binaries, then runs the plugins' native tests and everything in the workspace:
/// unit tests, the black-box tests of the real binary, doctests.
///
/// # Errors
/// If something does not build, or a test fails.
pub(crate) fn run() -> Result<()> {
    plugins::build()?;
    plugins::check()?;
    build(&[])?;
    for (language, is_there) in [("python3 with `venv`", has_python()), ("node with `npm`", has_node())] {
        if !is_there {
            eprintln!(
                "test: left out: what is signed and checked by others' packages, as there is no {language}"
            );
            eprintln!("test: with CI=true that is a failure");
        }
    }
    call(
        cargo()
            .args(["test", "--workspace", "--no-fail-fast"])
            .current_dir(root())
            .env("SLUICE_BIN", target().join("debug/sluice"))
            .env("SLUICE_PLUGINS", root().join("target/plugins")),
    )
}

/// Builds every binary of the workspace: all at once, so that all share their dependencies' features.
pub(crate) fn build(args: &[&str]) -> Result<()> {
    call(cargo().args(["build", "--workspace", "--bins"]).args(args).current_dir(root()))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR");
    given.map_or_else(|| root().join("target"), |dir| root().join(Path::new(&dir)))
}

fn has_python() -> bool {
    is_there(Command::new("python3").args(["-c", "import venv, ensurepip"]))
}

fn has_node() -> bool {
    is_there(Command::new("node").arg("--version")) && is_there(Command::new("npm").arg("--version"))
}

fn is_there(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
