//! What a plugin that does harm costs the routes beside it: from a request to its delivery, with and without it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sluice_tests::{
    drain::Drain,
    gateway::{Gateway, Setup},
    guest,
    load::{Load, Requests},
    payload,
    wait::PATIENCE,
    webhook::Webhook,
};
use tokio::time::timeout;

use crate::{Args, median, millis, target::Target};

/// The most that a quiet route's p99 may grow by.
const MOST: f64 = 2.0;
/// Events for the plugin, per second: far more than one that runs into its time limit can be called with.
const HOSTILE_RATE: f64 = 100.0;
const HOSTILE_CONNECTIONS: usize = 8;

/// `quarantine = false`, so that the plugin goes on doing harm.
const CONFIG: &str = r#"
[plugins.map]
file = "$PLUGINS/map.wasm"

[plugins.hostile]
file = "$DIR/hostile.wasm"
quarantine = false

[destinations.sink]
url = "$DRAIN"

[destinations.other]
url = "$OTHER"

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "map", config = { body = { title = "{{/issue/title}}" } } }]
deliver = ["sink"]

[[routes]]
name = "hostile"
path = "/hostile"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "hostile", on_error = "drop" }]
deliver = ["other"]
"#;

/// Prints what is wanted, with the target.
pub(crate) async fn measure(args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    for (name, wasm) in guest::hostile() {
        let name = format!("plugin: hostile {name}");
        if args.names(&name) {
            eprintln!("{name}");
            rows.push(row(&name, &wasm, args).await?);
        }
    }
    if !rows.is_empty() {
        println!("{}\n{}", Target::head(), rows.join("\n"));
    }
    Ok(())
}

async fn row(name: &str, wasm: &[u8], args: &Args) -> Result<String> {
    let (mut quiet, mut loud) = (Vec::new(), Vec::new());
    for _ in 0..args.passes {
        let (before, beside) = pass(wasm, args.duration()).await?;
        quiet.push(before);
        loud.push(beside);
    }
    let ratios: Vec<_> = quiet.iter().zip(&loud).map(|(quiet, loud)| loud / quiet).collect();
    let (quiet, loud) = (median(&quiet), median(&loud));
    let what = format!("p99 of another route, by its p99 when all is quiet ({loud:.1} ms, {quiet:.1} ms)");
    Ok(Target { name, what: &what, figure: median(&ratios), most: MOST, unit: "×" }.row())
}

/// The p99 of a route, in milliseconds: first alone, then with a hostile plugin at work.
async fn pass(wasm: &[u8], duration: Duration) -> Result<(f64, f64)> {
    let (drain, other) = (Drain::start().await?, Drain::start().await?);
    let setup = Setup::new().plugins().guest("hostile", wasm);
    let setup = setup.value("$DRAIN", drain.url()).value("$OTHER", other.url());
    let gateway = setup.config(CONFIG).start().await;
    // Once for connections and whatever else is made with the first event.
    p99(&gateway, &drain, duration / 4).await?;
    let quiet = p99(&gateway, &drain, duration).await?;
    let hostile = Load {
        target: gateway.addr(),
        requests: Arc::new(Requests::github("/hostile", 1024)),
        connections: HOSTILE_CONNECTIONS,
        duration: duration * 5 / 4,
        rate: Some(HOSTILE_RATE),
    };
    let hostile = tokio::spawn(async move { hostile.run().await });
    p99(&gateway, &drain, duration / 4).await?;
    let loud = p99(&gateway, &drain, duration).await?;
    ensure!(hostile.await?.accepted > 0, "the hostile plugin's route has accepted nothing");
    ensure!(gateway.admin().metric("sluice_plugin_seconds_count", "hostile").await > 0.0, NOT_CALLED);
    Ok((millis(quiet), millis(loud)))
}

const NOT_CALLED: &str = "the hostile plugin was never called, so the figure would say nothing";

/// What 99 in 100 events take from the first byte of their request to their delivery, one after the other.
async fn p99(gateway: &Gateway, drain: &Drain, duration: Duration) -> Result<Duration> {
    let (began, mut took) = (Instant::now(), Vec::new());
    while began.elapsed() < duration || took.len() < LEAST {
        let (expected, sent) = (drain.received() + 1, Instant::now());
        let webhook = Webhook::github("issues", payload::issue(took.len(), 1024)).to("/github");
        let answer = gateway.send(webhook).await;
        ensure!(answer.status == 202, "a request was answered {}", answer.status);
        timeout(PATIENCE, drain.reached(expected)).await.context("an event was not delivered")?;
        took.push(sent.elapsed());
    }
    took.sort_unstable();
    Ok(took[(took.len() * 99).div_ceil(100) - 1])
}

/// Fewer say nothing of one in a hundred.
const LEAST: usize = 200;
