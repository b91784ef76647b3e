//! `docs/plugins/contract.md`, written from the contract's own text.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use wit_parser::Resolve;

use self::page::Page;
use crate::command::root;

mod page;
mod signature;

/// The newest version of the contract.
const WIT: &str = "plugin-sdk/wit/v1/sluice.wit";
const PAGE: &str = "docs/plugins/contract.md";

/// Writes the page.
///
/// # Errors
/// If the contract does not parse, or the disk says no.
pub(crate) fn write() -> Result<()> {
    fs::write(file(), page()?).with_context(|| format!("failed to write {PAGE}"))
}

/// Fails if the page is not as it would be written.
///
/// # Errors
/// If it is not, or the contract does not parse.
pub(crate) fn check() -> Result<()> {
    let kept = fs::read_to_string(file()).with_context(|| format!("failed to read {PAGE}"))?;
    ensure!(kept == page()?, "{PAGE} is stale: run `cargo xtask contract`");
    Ok(())
}

fn page() -> Result<String> {
    let wit = fs::read_to_string(root().join(WIT)).with_context(|| format!("failed to read {WIT}"))?;
    page_of(&wit)
}

fn page_of(wit: &str) -> Result<String> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source(WIT, wit)?;
    Ok(Page::new(&resolve, package).write())
}

fn file() -> PathBuf {
    root().join(PAGE)
}

#[cfg(test)]
mod tests;
