//! `sluice run`: logs, config, gateway, addresses, wait, drain.

use std::{convert::Infallible, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clock::SystemClock,
    config::{About, Config, Mistake, ProcessEnv, Report},
    gateway::{Gateway, Listeners, StartError},
    generation::{BuildError, Generation, Supplies},
    listener::tls::Tls,
    plugin::{Inspection, PluginHost},
    telemetry::{Chain, LogArgs, Metrics},
    verify::PublicCaller,
};

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The config file.
    #[arg(short, long, value_name = "FILE", env = "SLUICE_CONFIG", default_value = "sluice.toml")]
    config: PathBuf,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs the gateway. Exits with 0 after a shutdown, 1 if it could not run, 2 if the config is wrong.
pub fn run(args: RunArgs) -> ExitCode {
    if let Err(error) = args.log.init() {
        eprintln!("error: {}", Chain(&error));
        return ExitCode::from(2);
    }
    let (config, warnings) = match Config::load(&args.config, &ProcessEnv) {
        Ok(loaded) => loaded,
        Err(report) => {
            eprintln!("{report}");
            return ExitCode::from(2);
        }
    };
    warnings.iter().for_each(|warning| warn!("{}", warning.line()));
    match serve_to_the_end(args.config, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let start = failure.downcast_ref::<StartError>();
            match start.and_then(StartError::report) {
                Some(report) => eprintln!("{report}"),
                None => eprintln!("error: {failure:#}"),
            }
            ExitCode::from(if start.is_some_and(StartError::is_config) { 2 } else { 1 })
        }
    }
}

/// Loads what a config names, as `run` would: its plugins above all. Says which of them import more than they are
/// granted: no mistake, since some languages import all there is.
///
/// # Errors
/// All that is wrong with it.
pub fn check_plugins(config: &Config) -> Result<Vec<String>, Vec<Report>> {
    let tls = config.server.tls.as_ref().map(Tls::load).transpose();
    let tls = tls.err().map(|error| whole(config, Chain(&error).to_string()));
    let wrong: Vec<_> = tls.into_iter().chain(build(config).err()).collect();
    if wrong.is_empty() { Ok(ungranted(config)) } else { Err(wrong) }
}

fn ungranted(config: &Config) -> Vec<String> {
    let beyond = config.plugins.values().filter_map(|plugin| {
        let inspection = Inspection::of(&std::fs::read(&plugin.file).ok()?);
        let is_missing = |name: &&str| match *name {
            "kv" => plugin.grants.kv.is_none(),
            _ => plugin.grants.http.is_empty(),
        };
        let missing: Vec<_> = inspection.grants().into_iter().filter(is_missing).collect();
        let text = || {
            format!(
                "plugin `{}` imports {}, which `grants` does not name",
                plugin.name,
                missing.join(" and ")
            )
        };
        (!missing.is_empty()).then(text)
    });
    beyond.collect()
}

fn build(config: &Config) -> Result<(), Report> {
    let metrics = Arc::new(Metrics::new());
    let plugins = PluginHost::new(config.journal.path.join("plugins"), metrics.clone())
        .map_err(|error| whole(config, Chain(&error).to_string()))?;
    let supplies = Supplies {
        plugins: Arc::new(plugins),
        metrics,
        keyring: Arc::default(),
        learned: Arc::default(),
        caller: Arc::new(PublicCaller),
    };
    match Generation::build(1, config.clone(), &supplies, None) {
        Ok(_) => Ok(()),
        Err(BuildError::Plugins(report)) => Err(report),
        Err(error @ BuildError::Routes(_)) => Err(whole(config, error.to_string())),
    }
}

/// An error with no place of its own.
fn whole(config: &Config, message: String) -> Report {
    config.report([Mistake { message, about: About::Whole }])
}

/// Nothing that blocks, a reload that reads from a network file system that hangs for one, holds up the end: all that
/// must be finished is when [`serve`] returns.
fn serve_to_the_end(config_file: PathBuf, config: Config) -> anyhow::Result<()> {
    let runtime = Runtime::new().context("failed to start the runtime")?;
    let served = runtime.block_on(serve(config_file, config));
    runtime.shutdown_background();
    served
}

async fn serve(config_file: PathBuf, config: Config) -> anyhow::Result<()> {
    let (listen, admin, grace) = (config.server.listen, config.admin.listen, config.server.grace);
    let clock = Arc::new(SystemClock);
    let gateway = tokio::task::spawn_blocking(move || Gateway::open(config_file, config, clock)).await??;
    let listeners =
        Listeners { ingest: bind(listen, "listening").await?, admin: bind(admin, "admin listening").await? };
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(obey_signals(gateway.clone(), shutdown.clone())?);
    info!(generation = gateway.generation(), "ready");
    let drained = gateway.run(listeners, shutdown).await;
    signals.abort();
    if drained {
        info!("stopped: everything in hand was finished");
    } else {
        warn!(
            ?grace,
            "stopped at the end of the grace time: what was in hand is delivered after the next start"
        );
    }
    Ok(())
}

async fn bind(address: SocketAddr, announcement: &'static str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on `{address}`; is another process using that port?"))?;
    info!(addr = %listener.local_addr()?, "{announcement}");
    Ok(listener)
}

/// SIGTERM and SIGINT shut down, and end the process at once when they come again. SIGHUP reloads.
fn obey_signals(
    gateway: Arc<Gateway>,
    shutdown: CancellationToken,
) -> anyhow::Result<impl Future<Output = ()>> {
    let listen = |kind| -> anyhow::Result<Signal> { signal(kind).context("failed to listen for signals") };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        // A reload may take its time, and what is dropped half-way has changed nothing.
        tokio::select! {
            never = reload_at(hangup, gateway) => match never {},
            () = either(&mut terminate, &mut interrupt) => {}
        }
        info!("shutting down");
        shutdown.cancel();
        either(&mut terminate, &mut interrupt).await;
        warn!("stopped at once by a second signal: what was in hand is delivered after the next start");
        std::process::exit(1);
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

async fn reload_at(mut hangup: Signal, gateway: Arc<Gateway>) -> Infallible {
    loop {
        hangup.recv().await;
        // Its outcome is logged where it happens.
        drop(gateway.reload().await);
    }
}
