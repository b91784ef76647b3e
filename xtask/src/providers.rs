//! `docs/providers.md`, written from the gateway's own data.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

use crate::command;

/// Writes the page.
pub(crate) fn write() -> Result<()> {
    fs::write(file(), page()?).context("failed to write docs/providers.md")
}

/// Fails if the page is not as it would be written.
pub(crate) fn check() -> Result<()> {
    let kept = fs::read_to_string(file()).context("failed to read docs/providers.md")?;
    ensure!(kept == page()?, "docs/providers.md is stale: run `cargo xtask providers`");
    Ok(())
}

fn page() -> Result<String> {
    let arguments = ["run", "--quiet", "--bin", "sluice", "--", "presets", "--markdown"];
    Ok(command::output(command::cargo().args(arguments))? + "\n")
}

fn file() -> PathBuf {
    command::root().join("docs/providers.md")
}
