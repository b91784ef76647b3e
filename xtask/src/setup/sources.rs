//! The standard library's sources, of exactly rustc's version: from Debian, or from an archive beside the
//! checkout.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail};

use super::{Rust, apt::Mirror};
use crate::command::{output, root};

/// Where a rustc of Debian, backported or not yet released, may be found; the first that has it is taken.
const SUITES: [&str; 3] = ["trixie-backports", "testing", "sid"];

/// Puts the sources where cargo's `build-std` looks for them, unless they are there.
pub(super) fn provide(rust: &Rust, work: &Path) -> Result<()> {
    let place = rust.rustlib().join("src/rust/library");
    if place.join("std/Cargo.toml").exists() {
        eprintln!("setup: the sources of Rust {} are there", rust.version);
        return Ok(());
    }
    let library = from_debian(rust, work).or_else(|debian| {
        eprintln!("setup: {debian:#}");
        from_archive(rust, work).with_context(|| format!("no sources of Rust {} were found", rust.version))
    })?;
    fs::create_dir_all(place.parent().unwrap_or(&place))?;
    // Copied beside and renamed: the work folder may be on another file system, and half a copy is no copy.
    let staged = place.with_file_name("library.new");
    output(Command::new("rm").arg("-rf").arg(&staged))?;
    output(Command::new("cp").arg("-r").arg(&library).arg(&staged))?;
    fs::rename(&staged, &place).with_context(|| format!("failed to write `{}`", place.display()))
}

/// Downloads Debian's `rust-src` without installing it: the machine's own Rust, apt lists and packages stay
/// as they are.
fn from_debian(rust: &Rust, work: &Path) -> Result<PathBuf> {
    let mirror = Mirror::configured().context("Debian's sources can't be had")?;
    let mut failures = Vec::new();
    for suite in SUITES {
        eprintln!("setup: looking for `rust-src` {} in Debian {suite}", rust.version);
        match from_suite(rust, &mirror, suite, &work.join(suite)) {
            Ok(library) => return Ok(library),
            Err(e) => failures.push(format!("{suite}: {e:#}")),
        }
    }
    Err(anyhow!("Debian's sources can't be had: {}", failures.join("; ")))
}

fn from_suite(rust: &Rust, mirror: &Mirror, suite: &str, work: &Path) -> Result<PathBuf> {
    for dir in ["lists/partial", "cache/archives/partial", "unpacked"] {
        fs::create_dir_all(work.join(dir))?;
    }
    fs::write(work.join("sources.list"), mirror.source_line(suite))?;
    output(apt("apt-get", work).arg("update"))?;
    let listed = output(apt("apt-cache", work).args(["madison", "rust-src"]))?;
    let Some(version) = package_version(&listed, &rust.version) else {
        bail!("it has no `rust-src` {}", rust.version);
    };
    output(apt("apt-get", work).arg("download").arg(format!("rust-src={version}")).current_dir(work))?;
    let package = only_file(work, ".deb")?;
    output(Command::new("dpkg").arg("-x").arg(&package).arg(work.join("unpacked")))?;
    library_in(&work.join("unpacked/usr/src").join(format!("rustc-{}", rust.version)))
}

/// An apt command with lists, cache and sources of its own.
fn apt(program: &str, work: &Path) -> Command {
    let mut command = Command::new(program);
    for (key, value) in [
        ("Dir::Etc::sourcelist", work.join("sources.list")),
        ("Dir::Etc::sourceparts", "/dev/null".into()),
        ("Dir::State::Lists", work.join("lists")),
        ("Dir::Cache", work.join("cache")),
    ] {
        command.arg("-o").arg(format!("{key}={}", value.display()));
    }
    // As root, apt would download as a user who may not read our folder.
    command.args(["-o", "APT::Sandbox::User=root", "-o", "APT::Get::List-Cleanup=0", "-qq"]);
    command.env("LC_ALL", "C");
    command
}

/// The newest package of a Rust version in the output of `apt-cache madison`, which lists the newest first:
/// ` rust-src | 1.95.0+dfsg1-2~bpo13+1 | …`.
fn package_version<'a>(madison: &'a str, rust: &str) -> Option<&'a str> {
    madison.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim).find(|version| {
        version
            .strip_prefix(rust)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
    })
}

fn from_archive(rust: &Rust, work: &Path) -> Result<PathBuf> {
    let dir = root().join("../shared/toolchain");
    let archive = only_file(&dir, &format!("{}-library.tar.xz", rust.version))?;
    eprintln!("setup: unpacking `{}`", archive.display());
    let unpacked = work.join("archive");
    fs::create_dir_all(&unpacked)?;
    output(Command::new("tar").arg("-xJf").arg(&archive).arg("-C").arg(&unpacked))?;
    library_in(&unpacked)
}

fn library_in(dir: &Path) -> Result<PathBuf> {
    let library = dir.join("library");
    if !library.join("std/Cargo.toml").exists() {
        bail!("`{}` does not hold the standard library", dir.display());
    }
    Ok(library)
}

fn only_file(dir: &Path, suffix: &str) -> Result<PathBuf> {
    let files = fs::read_dir(dir).with_context(|| format!("failed to read `{}`", dir.display()))?;
    let found = files.flatten().map(|file| file.path()).find(|path| path.to_string_lossy().ends_with(suffix));
    found.with_context(|| format!("`{}` holds no `*{suffix}`", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = " rust-src | 1.96.1+dfsg1-2~bpo13+1 | http://mirror.example/debian x/main\n \
                           rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://mirror.example/debian x/main";

    #[test]
    fn package_of_the_same_rust_is_chosen() {
        assert_eq!(package_version(LISTED, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
    }

    #[test]
    fn package_of_another_rust_is_not() {
        assert_eq!(package_version(LISTED, "1.9"), None);
        assert_eq!(package_version(LISTED, "1.94.0"), None);
    }
}
