//! `cargo xtask plugins`: builds every crate in `plugins/` to WebAssembly.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, root, run},
    setup::{self, TARGET},
};

/// Guests for the gateway's tests: examples of the plugins' workspace.
const TEST_GUESTS: [&str; 2] = ["errands", "panics"];

/// A standard plugin is small; one that outgrows this has pulled in something it should not have.
const MAX_SIZE: u64 = 200 * 1024;

/// Builds the plugins and puts each where the examples look for it: `target/plugins/NAME.wasm`, where the
/// name is that of its folder.
///
/// # Errors
/// If one does not compile, or is over 200 KiB.
pub(crate) fn build() -> Result<()> {
    setup::run()?;
    cargo_in_plugins(&["build", "--release", "--target", TARGET, "--lib", "--examples"])?;
    let to = root().join("target/plugins");
    fs::create_dir_all(&to).with_context(|| format!("failed to create `{}`", to.display()))?;
    TEST_GUESTS.iter().try_for_each(|name| install(&format!("examples/{name}"), name, &to))?;
    names()?.iter().try_for_each(|name| install(name, name, &to))
}

/// Checks the plugins' sources: format, lints for both targets, native tests.
///
/// # Errors
/// If one of these fails.
pub(crate) fn check() -> Result<()> {
    setup::run()?;
    cargo_in_plugins(&["fmt", "--all", "--check"])?;
    cargo_in_plugins(&["clippy", "--all-targets", "--", "-D", "warnings"])?;
    cargo_in_plugins(&["clippy", "--release", "--target", TARGET, "--", "-D", "warnings"])?;
    cargo_in_plugins(&["test"])
}

/// Runs cargo from the plugins' folder: they are a workspace of their own, and cargo looks up their link
/// flags in `.cargo/config.toml` from where it runs.
fn cargo_in_plugins(args: &[&str]) -> Result<()> {
    let target = root().join("plugins/target");
    run(cargo().args(args).current_dir(root().join("plugins")).env("CARGO_TARGET_DIR", target))
}

/// The plugins' folders, sorted: those whose crate is made into a module. The others are what plugins are made of.
fn names() -> Result<Vec<String>> {
    let dir = root().join("plugins");
    let entries = fs::read_dir(&dir).with_context(|| format!("failed to read `{}`", dir.display()))?;
    let is_plugin = |manifest: &Path| {
        fs::read_to_string(manifest).is_ok_and(|text| text.contains("\"cdylib\", \"rlib\""))
    };
    let plugins = entries.flatten().filter(|entry| is_plugin(&entry.path().join("Cargo.toml")));
    let mut names: Vec<_> = plugins.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn install(from: &str, name: &str, to: &Path) -> Result<()> {
    let module = built(from);
    let size = fs::metadata(&module).with_context(|| format!("failed to read `{}`", module.display()))?.len();
    if size > MAX_SIZE {
        bail!("plugin `{name}` is {size} bytes, limit is {MAX_SIZE}; see what it pulls in");
    }
    // Renamed into place: a gateway that watches the file must not load half of it.
    let (staged, place) = (to.join(format!(".{name}.wasm")), to.join(format!("{name}.wasm")));
    fs::copy(&module, &staged).with_context(|| format!("failed to write `{}`", staged.display()))?;
    fs::rename(&staged, &place).with_context(|| format!("failed to write `{}`", place.display()))?;
    eprintln!("plugins: target/plugins/{name}.wasm, {} KiB", size.div_ceil(1024));
    Ok(())
}

fn built(name: &str) -> PathBuf {
    let file = format!("{}.wasm", name.replace('-', "_"));
    root().join("plugins/target").join(TARGET).join("release").join(file)
}
