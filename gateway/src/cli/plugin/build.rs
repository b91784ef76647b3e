//! `sluice plugin build`: from a crate to a `.wasm` file.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{inspect, unusable};

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds a plugin's crate to WebAssembly, and inspects what it made.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// The crate's folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// Builds, and says of each plugin what it is. 1 if this gateway would not run one.
///
/// # Errors
/// If there is no crate, no target to build for, or the build fails.
pub(super) fn run(args: &BuildArgs) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in build(&args.dir)? {
        if !inspect::show(&file)? {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Builds the crate in `dir` and gives the plugins that came of it, at least one. Cargo speaks on stderr.
///
/// # Errors
/// If there is no crate, no target to build for, or the build fails.
pub(super) fn build(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !dir.join("Cargo.toml").is_file() {
        return Err(unusable(format!(
            "there is no `Cargo.toml` in `{}`; name a plugin's folder, or make one with `sluice plugin new NAME`",
            dir.display()
        )));
    }
    require_target(dir)?;
    let output = Command::new(tool("CARGO", "cargo"))
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| no_rust("cargo", error))?;
    if !output.status.success() {
        bail!("cargo could not build the crate in `{}`; what it says is above", dir.display());
    }
    let made = made(&String::from_utf8_lossy(&output.stdout));
    if made.is_empty() {
        return Err(unusable(format!(
            "the crate in `{}` makes no plugin; its Cargo.toml needs `[lib] crate-type = [\"cdylib\", \"rlib\"]`",
            dir.display()
        )));
    }
    Ok(made)
}

/// Cargo's own words for a target that is missing are a page of errors about `core`.
fn require_target(dir: &Path) -> anyhow::Result<()> {
    let output = Command::new(tool("RUSTC", "rustc"))
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| no_rust("rustc", error))?;
    let libs = String::from_utf8(output.stdout).context("rustc printed a path that is no text")?;
    if !output.status.success() || !Path::new(libs.trim()).is_dir() {
        bail!("this Rust cannot build for {TARGET} yet; `rustup target add {TARGET}` adds what it needs");
    }
    Ok(())
}

/// The program that the environment names, as inside of cargo, or the usual one.
fn tool(variable: &str, usual: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| usual.into())
}

fn no_rust(tool: &str, error: io::Error) -> anyhow::Error {
    anyhow::Error::new(error)
        .context(format!("failed to start `{tool}`; plugins are built with Rust, from https://rustup.rs"))
}

/// A line of what cargo prints for programs.
#[derive(Deserialize)]
struct Line {
    reason: String,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
}

/// The `.wasm` files of what cargo printed.
fn made(printed: &str) -> Vec<PathBuf> {
    let lines = printed.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let is_plugin = |line: &Line| {
        let target = line.target.as_ref();
        line.reason == "compiler-artifact"
            && target.is_some_and(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
    };
    let files = lines.filter(is_plugin).flat_map(|line| line.filenames);
    files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_found_among_what_cargo_made() {
        let printed = r#"
{"reason":"compiler-artifact","target":{"crate_types":["lib"]},"filenames":["/t/libserde.rlib"]}
{"reason":"compiler-artifact","target":{"crate_types":["cdylib","rlib"]},"filenames":["/t/a.wasm","/t/liba.rlib"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(made(printed), [PathBuf::from("/t/a.wasm")]);
    }

    #[test]
    fn a_folder_without_a_crate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let refused = build(dir.path()).unwrap_err();
        assert!(refused.is::<super::super::Unusable>());
        assert!(refused.to_string().contains("there is no `Cargo.toml` in"), "{refused}");
    }
}
