//! `cargo xtask fuzz [--seconds N]`: looks for requests that make a panic of a proof, for a while.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, output, root, run as call};

/// For how long each target runs.
const SECONDS: u32 = 20;

/// What `cargo fuzz build --sanitizer none` passes too: edges and comparisons are counted, so that libFuzzer sees
/// which inputs get further. None of it needs a nightly Rust.
const INSTRUMENTED: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// Builds every target of `fuzz/` and runs one after the other on what was found before and on the seeds.
///
/// # Errors
/// If something does not build, or an input makes a target panic, hang or eat memory; libFuzzer has printed it then.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let seconds = match args {
        [] => SECONDS,
        ["--seconds", seconds] => seconds.parse().context("`--seconds` takes a whole number")?,
        _ => bail!("usage: cargo xtask fuzz [--seconds N]"),
    };
    let host = host()?;
    build(&host)?;
    targets()?.iter().try_for_each(|target| fuzz(&host, target, seconds))
}

/// With a target named, the flags are for what is fuzzed only and not for build scripts.
fn build(host: &str) -> Result<()> {
    call(
        cargo()
            .args(["build", "--bins", "--target", host])
            .current_dir(dir())
            .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTED.join("\x1f"))
            .env("CARGO_TARGET_DIR", dir().join("target")),
    )
}

fn fuzz(host: &str, target: &str, seconds: u32) -> Result<()> {
    let (corpus, artifacts) = (dir().join("corpus").join(target), dir().join("artifacts").join(target));
    for dir in [&corpus, &artifacts] {
        fs::create_dir_all(dir).with_context(|| format!("failed to create `{}`", dir.display()))?;
    }
    let program = dir().join("target").join(host).join("debug").join(target);
    eprintln!("fuzz: {target}, {seconds} s");
    call(
        Command::new(program)
            .arg(&corpus)
            .args([
                format!("-max_total_time={seconds}"),
                format!("-artifact_prefix={}/", artifacts.display()),
            ])
            .args([
                "-max_len=8192",
                "-timeout=10",
                "-rss_limit_mb=2048",
                "-verbosity=0",
                "-print_final_stats=1",
            ])
            .env("SLUICE_FUZZ_CORPUS", &corpus),
    )
    .with_context(|| format!("`{target}` was made to fail; the input is in `{}`", artifacts.display()))
}

/// The targets that the manifest names.
fn targets() -> Result<Vec<String>> {
    let manifest =
        fs::read_to_string(dir().join("Cargo.toml")).context("failed to read `fuzz/Cargo.toml`")?;
    let bins = manifest.split("[[bin]]").skip(1);
    let names: Vec<_> = bins.filter_map(|bin| Some(bin.split('"').nth(1)?.to_owned())).collect();
    if names.is_empty() {
        bail!("`fuzz/Cargo.toml` has no `[[bin]]`");
    }
    Ok(names)
}

fn host() -> Result<String> {
    let about = output(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

fn dir() -> PathBuf {
    root().join("fuzz")
}
