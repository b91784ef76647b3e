//! What plugins cost: those of an author who has just begun, and very many of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_tests::{
    drain::Drain,
    gateway::{Setup, plugins_dir, sluice_binary},
    payload, usage,
};
use tempfile::TempDir;

use crate::{Args, target::Target};

const COST: &str = "plugin: cost";
const LOAD: &str = "plugin: load";
const STEPS: &str = "plugin: steps";
/// Configured steps, each on a route of its own.
const ROUTES: usize = 1000;

/// Prints the figures that are wanted, each with its target.
pub(crate) async fn measure(args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    if args.names(COST) || args.names(LOAD) {
        eprintln!("{COST}, {LOAD}");
        rows.extend(new_transform(args)?);
    }
    if args.names(STEPS) {
        eprintln!("{STEPS}");
        rows.extend(many_steps().await?);
    }
    if !rows.is_empty() {
        println!("{}\n{}", Target::head(), rows.join("\n"));
    }
    Ok(())
}

/// What `sluice plugin bench` says of what `sluice plugin new` makes, on a GitHub payload of 1 KiB.
fn new_transform(args: &Args) -> Result<Vec<String>> {
    let desk = Desk::new()?;
    let plugin = desk.build_new()?;
    fs::write(desk.path("body.json"), payload::issue(0, 1024))?;
    fs::write(desk.path("event.json"), EVENT)?;
    let seconds = (args.seconds as u64).clamp(1, 60).to_string();
    let plugin = plugin.to_str().context("path is text")?;
    let config = r#"{ "channel": "dev" }"#;
    let given =
        ["bench", plugin, "--config", config, "--event", "event.json", "--seconds", &seconds, "--json"];
    let told = desk.sluice(&given)?;
    let told: Value = serde_json::from_slice(&told).context("`plugin bench` prints JSON")?;
    let figure = |pointer: &str| told.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let (fresh, reused) =
        (figure("/plugins/0/fresh_cpu_us/median"), figure("/plugins/0/reused_cpu_us/median"));
    let cached = figure("/plugins/0/load_ms/cached");
    let what = "a fresh instance of what `plugin new` makes, for 1 KiB";
    let against = format!("{what}, by a reused one");
    let rows = [
        Target { name: COST, what, figure: fresh, most: 10.0, unit: "µs CPU" },
        Target { name: COST, what: &against, figure: fresh / reused, most: 2.0, unit: "×" },
        Target { name: LOAD, what: "loading it from the cache", figure: cached, most: 5.0, unit: "ms" },
    ];
    Ok(rows.into_iter().filter(|row| args.names(row.name)).map(|row| row.row()).collect())
}

const EVENT: &str = r#"{ "headers": { "content-type": "application/json", "x-github-event": "issues" },
    "event_type": "issues", "body_file": "body.json" }"#;

/// A folder to work in, as an author has one.
struct Desk(TempDir);

impl Desk {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A transform as `plugin new` makes it, built beside the standard plugins and without a network.
    fn build_new(&self) -> Result<PathBuf> {
        let root = root()?;
        let sdk = root.join("plugin-sdk");
        self.sluice(&[
            "new",
            NEW,
            "--kind",
            "transform",
            "--sdk-path",
            sdk.to_str().context("path is text")?,
        ])?;
        fs::copy(root.join("plugins/Cargo.lock"), self.path(NEW).join("Cargo.lock"))?;
        self.sluice(&["build", NEW])?;
        let built = target_dir()?.join("wasm32-unknown-unknown/release").join("bench_new.wasm");
        fs::copy(&built, self.path("new.wasm")).with_context(|| built.display().to_string())?;
        Ok(self.path("new.wasm"))
    }

    /// Runs `sluice plugin` here and gives what it prints.
    fn sluice(&self, args: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(sluice_binary());
        command.arg("plugin").args(args).current_dir(self.0.path());
        command.env("CARGO_TARGET_DIR", target_dir()?).env("CARGO_NET_OFFLINE", "true");
        let output = command.env_remove("RUSTFLAGS").output()?;
        ensure!(output.status.success(), "`plugin {args:?}`: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }
}

const NEW: &str = "bench-new";

fn root() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?)
}

fn target_dir() -> Result<PathBuf> {
    Ok(root()?.join("plugins/target"))
}

/// What a gateway with very many steps of the same config takes, and how often it has compiled them.
async fn many_steps() -> Result<Vec<String>> {
    let (one, _) = memory_with(1).await?;
    let (many, compiled) = memory_with(ROUTES).await?;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let what = format!("memory with {ROUTES} routes that have one ({:.0} MiB with one)", mebibytes(one));
    let rows = [
        Target { name: STEPS, what: &what, figure: mebibytes(many), most: 300.0, unit: "MiB" },
        Target {
            name: STEPS,
            what: "times that it was compiled for all of them",
            figure: compiled as f64,
            most: 1.0,
            unit: "×",
        },
    ];
    Ok(rows.iter().map(Target::row).collect())
}

/// Resident memory of a gateway in bytes that has just started, and the entries in its cache of compiled plugins.
async fn memory_with(routes: usize) -> Result<(u64, usize)> {
    let drain = Drain::start().await?;
    let plugin = plugins_dir().join("map.wasm");
    let mut config = format!(
        "[plugins.map]\nfile = {}\n[destinations.sink]\nurl = {}\n",
        json!(plugin.to_str().context("path is text")?),
        json!(drain.url())
    );
    for number in 0..routes {
        config += &format!(
            "[[routes]]\nname = \"r{number}\"\npath = \"/r{number}\"\nverify = \"none\"\ndeliver = [\"sink\"]\n\
             pipeline = [{{ plugin = \"map\", config = {{ body = {{ title = \"{{{{/issue/title}}}}\" }} }} }}]\n"
        );
    }
    let gateway = Setup::new().config(&config).start().await;
    let cached = fs::read_dir(gateway.setup().path("journal/plugins"))?.flatten();
    let compiled = cached.filter(|entry| entry.path().extension().is_some_and(|ext| ext == "aot")).count();
    Ok((usage::memory(gateway.pid())?.0, compiled))
}
