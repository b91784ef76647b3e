//! The gateway: builds every stage, owns them, starts and drains them.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{net::TcpListener, sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    admin::{self, Admin},
    clock::Clock,
    config::{Config, Report},
    dispatch::Dispatcher,
    generation::{BuildError, Current, Generation, Supplies},
    ingest::Ingest,
    journal::{Journal, JournalError, sqlite::SqliteJournal},
    lane::{LaneError, Lanes},
    listener::{
        Listener,
        tls::{Tls, TlsError},
    },
    plugin::{PluginError, PluginHost, Services},
    reload::{self, Fingerprint},
    telemetry::Metrics,
    verify::{Keyring, Learned, PublicCaller, ReadError},
};

pub struct Gateway {
    pub(crate) config_file: PathBuf,
    /// The files of the config that was read last, in force or refused.
    pub(crate) watched: Arc<ArcSwap<Vec<PathBuf>>>,
    /// What the files of the first config looked like at the start.
    pub(crate) first_seen: Fingerprint,
    pub(crate) current: Current,
    pub(crate) supplies: Supplies,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tls: Option<Tls>,
    /// Held while a reload is under way: one at a time.
    pub(crate) reloading: Mutex<()>,
    pub(crate) journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    dispatcher: Arc<Dispatcher>,
    draining: AtomicBool,
}

/// Bound sockets: the gateway never binds.
pub struct Listeners {
    pub ingest: TcpListener,
    pub admin: TcpListener,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    #[error("failed to open the journal")]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Learned(#[from] ReadError),
    #[error("failed to start the plugin engine")]
    Plugins(#[from] PluginError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("failed to load the certificate")]
    Tls(#[from] TlsError),
    #[error("failed to prepare the destinations")]
    Lanes(#[from] LaneError),
}

impl StartError {
    /// Whether the operator has to change the config, or a file it names, before a start can succeed.
    pub fn is_config(&self) -> bool {
        match self {
            Self::Build(_) | Self::Tls(_) | Self::Lanes(_) => true,
            Self::Journal(_) | Self::Learned(_) | Self::Plugins(_) => false,
        }
    }

    /// What is wrong in the config, place for place, where that is why.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Build(BuildError::Plugins(report)) => Some(report),
            _ => None,
        }
    }
}

impl Gateway {
    /// Opens the journal, loads every plugin and builds the first generation. Blocks: not for async tasks.
    pub fn open(
        config_file: PathBuf,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StartError> {
        // Before anything that takes time: whatever changes from here on is a reason to reload.
        let first_seen = Fingerprint::of(&config.files);
        let metrics = Arc::new(Metrics::new());
        let plugins = PluginHost::new(config.journal.path.join("plugins"), metrics.clone())?;
        let keyring = Arc::new(Keyring::new(clock.clone()));
        let tls = config.server.tls.as_ref().map(Tls::load).transpose()?;
        let journal = SqliteJournal::open(&config.journal, clock.clone())?;
        let services = Services::new(journal.clone(), clock.clone(), &metrics);
        let plugins = Arc::new(plugins.with_services(services));
        let journal: Arc<dyn Journal> = journal;
        // After the journal, which makes the directory and keeps other gateways out of it.
        let learned = Arc::new(Learned::open(&config.journal.path)?);
        let supplies =
            Supplies { plugins, metrics: metrics.clone(), keyring, learned, caller: Arc::new(PublicCaller) };
        let first = Generation::build(1, config, &supplies, None)?;
        let lanes = Lanes::new(journal.clone(), clock.clone(), metrics.clone())?;
        lanes.apply(&first.config)?;
        lanes.batch(first.batchers());
        metrics.generation.set(1);
        let watched = Arc::new(ArcSwap::from_pointee(first.config.files.clone()));
        let current: Current = Arc::new(ArcSwap::from_pointee(first));
        let dispatcher =
            Dispatcher::new(current.clone(), journal.clone(), lanes.clone(), clock.clone(), metrics.clone());
        Ok(Arc::new(Self {
            config_file,
            watched,
            first_seen,
            current,
            supplies,
            lanes,
            metrics,
            tls,
            reloading: Mutex::new(()),
            journal,
            clock,
            dispatcher,
            draining: AtomicBool::new(false),
        }))
    }

    /// The number of the generation in force.
    pub fn generation(&self) -> u64 {
        self.current.load().number
    }

    /// Serves until `shutdown`, then drains: stops accepting, finishes what is in hand within the grace time,
    /// and leaves the rest in the journal. `true` if everything in hand was finished.
    pub async fn run(self: &Arc<Self>, listeners: Listeners, shutdown: CancellationToken) -> bool {
        let (accepting, dispatching, administering) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let watching = tokio::spawn(reload::watch(self.clone(), accepting.clone()));
        let ingest = tokio::spawn(self.clone().accept(listeners.ingest, accepting.clone()));
        let dispatch = tokio::spawn(self.clone().dispatch(dispatching.clone()));
        let admin = tokio::spawn(self.clone().administer(listeners.admin, administering.clone()));

        shutdown.cancelled().await;
        self.draining.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + self.grace();
        accepting.cancel();
        let mut drained = finish("requests", ingest, deadline).await;
        dispatching.cancel();
        drained &= finish("deliveries", dispatch, deadline).await;
        watching.abort();
        administering.cancel();
        finish("admin requests", admin, deadline).await;
        self.journal.close().await;
        drained
    }

    async fn accept(self: Arc<Self>, socket: TcpListener, stop: CancellationToken) {
        let ingest =
            Ingest::new(self.current.clone(), self.journal.clone(), self.clock.clone(), self.metrics.clone());
        Listener::new(socket, self.tls.clone(), Arc::new(ingest)).serve(stop).await;
    }

    async fn dispatch(self: Arc<Self>, stop: CancellationToken) {
        self.dispatcher.clone().run(stop).await;
    }

    async fn administer(self: Arc<Self>, socket: TcpListener, stop: CancellationToken) {
        let router = admin::router(Admin {
            journal: self.journal.clone(),
            metrics: self.metrics.clone(),
            current: self.current.clone(),
            clock: self.clock.clone(),
            learned: self.supplies.learned.clone(),
            control: self.clone(),
        });
        if let Err(error) = admin::serve(socket, router, stop).await {
            warn!(%error, "admin listener stopped");
        }
    }

    fn grace(&self) -> Duration {
        self.current.load().config.server.grace
    }
}

#[async_trait::async_trait]
impl admin::Control for Gateway {
    async fn reload(&self) -> Result<u64, String> {
        Self::reload(self).await.map_err(|refused| refused.report())
    }

    fn wake(&self) {
        self.lanes.wake_all();
    }

    fn readiness(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("shutting down".into());
        }
        self.journal.health().failure.map_or(Ok(()), Err)
    }
}

/// Waits for a stage until the deadline; `false` if it did not finish.
async fn finish(what: &str, mut stage: tokio::task::JoinHandle<()>, deadline: Instant) -> bool {
    match tokio::time::timeout_at(deadline, &mut stage).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            warn!(%error, "{what}: the stage failed while draining");
            false
        }
        Err(_) => {
            stage.abort();
            warn!("{what}: not finished within the grace time");
            false
        }
    }
}
