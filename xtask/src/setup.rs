//! `cargo xtask setup`: makes a machine ready to build plugins, which takes Rust's standard library for
//! `wasm32-unknown-unknown`. Where rustup can't fetch it, it is built from its sources.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, output, root, run as call};

mod apt;
mod sources;

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Makes the wasm target available to plain `cargo build --target`. Does nothing where it already is.
///
/// # Errors
/// If neither rustup nor the sources can provide it; the message says what to do by hand.
pub(crate) fn run() -> Result<()> {
    let rust = Rust::installed()?;
    if rust.has_target() {
        eprintln!("setup: {TARGET} is there, for Rust {}", rust.version);
        return Ok(());
    }
    // Another checkout may be setting up the same Rust; whoever comes second finds the work done.
    let _lock = rust.lock()?;
    if !rust.has_target() {
        add_with_rustup().or_else(|reason| {
            eprintln!("setup: {reason:#}");
            build_from_sources(&rust).with_context(|| no_target(&rust))
        })?;
        probe()?;
    }
    eprintln!("setup: {TARGET} is ready, for Rust {}", rust.version);
    Ok(())
}

/// The Rust that cargo uses here.
struct Rust {
    /// As in `1.95.0`.
    version: String,
    sysroot: PathBuf,
}

impl Rust {
    fn installed() -> Result<Self> {
        let version = output(Command::new("rustc").arg("--version"))?;
        let Some(version) = version.split_whitespace().nth(1).map(str::to_owned) else {
            bail!("`rustc --version` printed `{version}`, which names no version");
        };
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?.into();
        Ok(Self { version, sysroot })
    }

    fn rustlib(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib")
    }

    fn target_lib(&self) -> PathBuf {
        self.rustlib().join(TARGET).join("lib")
    }

    fn has_target(&self) -> bool {
        let Ok(files) = fs::read_dir(self.target_lib()) else { return false };
        files.flatten().any(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    }

    fn lock(&self) -> Result<File> {
        let path = self.rustlib().join(".sluice-setup.lock");
        let file = File::create(&path).with_context(|| {
            format!("failed to write to `{}`; run this as a user who may change that Rust", path.display())
        })?;
        file.lock().with_context(|| format!("failed to lock `{}`", path.display()))?;
        Ok(file)
    }
}

fn add_with_rustup() -> Result<()> {
    eprintln!("setup: asking rustup for {TARGET}");
    output(Command::new("rustup").args(["target", "add", TARGET]))
        .map(drop)
        .context("rustup can't provide it")
}

fn no_target(rust: &Rust) -> String {
    format!(
        "failed to provide Rust's standard library for {TARGET}; install it by hand for Rust {} (with rustup: \
         `rustup target add {TARGET}`) and run `cargo xtask setup` again",
        rust.version
    )
}

fn build_from_sources(rust: &Rust) -> Result<()> {
    let work = root().join("target/setup").join(std::process::id().to_string());
    fs::create_dir_all(&work).with_context(|| format!("failed to create `{}`", work.display()))?;
    let result = sources::provide(rust, &work)
        .and_then(|()| build_std(rust, &work))
        .and_then(|rlibs| install(rust, &rlibs));
    // What is left would only be in the way; not being able to remove it harms nobody.
    let _ = fs::remove_dir_all(&work);
    result
}

/// Builds an empty crate together with the standard library; returns the library's files.
fn build_std(rust: &Rust, work: &Path) -> Result<Vec<PathBuf>> {
    eprintln!("setup: building the standard library of Rust {} for {TARGET} (about a minute)", rust.version);
    let dir = work.join("empty");
    fs::create_dir_all(dir.join("src"))?;
    // A workspace of its own: it lies inside ours.
    fs::write(dir.join("Cargo.toml"), "[workspace]\n[package]\nname = \"empty\"\nedition = \"2024\"\n")?;
    fs::write(dir.join("src/lib.rs"), "#![no_std]\n")?;
    call(
        cargo()
            .args(["build", "--quiet", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort"])
            .current_dir(&dir)
            // `-Z` on a stable Rust, for this one build; the result is the one that rustup would have fetched.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", work.join("built"))
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )?;
    let deps = work.join("built").join(TARGET).join("release/deps");
    let files = fs::read_dir(&deps).with_context(|| format!("failed to read `{}`", deps.display()))?;
    let paths = files.map(|file| file.map(|file| file.path())).collect::<Result<Vec<_>, _>>()?;
    Ok(paths.into_iter().filter(|path| is_rlib_of_std(path)).collect())
}

fn is_rlib_of_std(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".rlib") && !name.starts_with("libempty-")
}

/// Puts the files where rustc looks, all at once: a half-filled folder would pass for a target that is there.
fn install(rust: &Rust, rlibs: &[PathBuf]) -> Result<()> {
    let target = rust.rustlib().join(TARGET);
    let staged = rust.rustlib().join(format!("{TARGET}.new"));
    eprintln!("setup: installing it in `{}`", target.display());
    if staged.exists() {
        fs::remove_dir_all(&staged)?;
    }
    fs::create_dir_all(staged.join("lib"))?;
    for rlib in rlibs {
        let to = staged.join("lib").join(rlib.file_name().unwrap_or_default());
        fs::copy(rlib, &to).with_context(|| format!("failed to write `{}`", to.display()))?;
    }
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::rename(&staged, &target).with_context(|| format!("failed to write `{}`", target.display()))
}

/// Compiles a few lines for the target: that the files are there does not say that rustc takes them.
fn probe() -> Result<()> {
    let work = root().join("target/setup");
    fs::create_dir_all(&work)?;
    let source = work.join("probe.rs");
    fs::write(
        &source,
        "#[unsafe(no_mangle)]\npub extern \"C\" fn probe() -> usize { vec![0u8; 9].len() }\n",
    )?;
    output(
        Command::new("rustc")
            .args(["--target", TARGET, "--crate-type", "cdylib", "--edition", "2024", "-o"])
            .arg(work.join("probe.wasm"))
            .arg(&source),
    )
    .map(drop)
    .with_context(|| {
        format!("{TARGET} was set up, but rustc can't compile for it; remove the target and try again")
    })
}
