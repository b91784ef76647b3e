//! How a route's deliveries are put together: when a window closes, and what folds it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use crate::{
    config,
    plugin::{Call, CallError, Folded, Plugin, PluginError, PluginHost, Role, Window},
    telemetry::{Metrics, PluginLabels, PluginOutcomeLabels, seconds},
};

/// What history and metrics call a fold that went well.
pub(super) const FOLDED: &str = "messages";

/// When a window closes: at the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many deliveries are in it.
    pub events: usize,
    /// Their bodies have so many bytes together. One that is larger goes alone.
    pub bytes: usize,
    /// So long after the first delivery joined it.
    pub wait: Duration,
    /// Whether deliveries of different order keys go into windows of their own.
    pub by_key: bool,
}

/// Makes messages of what a window holds.
#[async_trait]
pub trait Fold: Send + Sync + 'static {
    /// The plugin's name.
    fn name(&self) -> &Arc<str>;

    /// Folds at least one item.
    async fn fold(&self, window: &Window) -> Call<Vec<Folded>>;
}

#[async_trait]
impl Fold for Plugin {
    fn name(&self) -> &Arc<str> {
        self.name()
    }

    async fn fold(&self, window: &Window) -> Call<Vec<Folded>> {
        self.fold(window).await
    }
}

/// A route's way to put deliveries together. Immutable; a window keeps the one that it was opened with.
pub struct Batcher {
    pub(super) settings: Settings,
    fold: Arc<dyn Fold>,
    seconds: Histogram,
    outcomes: Vec<(&'static str, Counter)>,
}

impl Batcher {
    /// Loads the plugin of a route's `batch`. As slow as [`PluginHost::load`].
    ///
    /// # Errors
    /// Fails if the plugin cannot be loaded, or makes no batches.
    pub fn load(
        route: &Arc<str>,
        batch: &config::Batch,
        host: &PluginHost,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, PluginError> {
        let config::Batch { plugin, config, events, bytes, wait, by_key } = batch;
        let settings = Settings { events: *events, bytes: *bytes, wait: *wait, by_key: *by_key };
        Ok(Self::new(route, settings, host.load(plugin, config, Role::Batch)?, metrics))
    }

    pub fn new(route: &Arc<str>, settings: Settings, fold: Arc<dyn Fold>, metrics: &Metrics) -> Arc<Self> {
        let plugin = fold.name().clone();
        let labels = PluginLabels { route: route.clone(), plugin: plugin.clone() };
        let counter = |outcome| {
            let (route, plugin) = (route.clone(), plugin.clone());
            metrics.plugin_outcomes.get_or_create_owned(&PluginOutcomeLabels { route, plugin, outcome })
        };
        let names = [FOLDED].into_iter().chain(CallError::OUTCOMES);
        Arc::new(Self {
            settings,
            seconds: metrics.plugin_seconds.get_or_create_owned(&labels),
            outcomes: names.map(|name| (name, counter(name))).collect(),
            fold,
        })
    }

    /// The plugin's name.
    pub(super) fn plugin(&self) -> &Arc<str> {
        self.fold.name()
    }

    /// Folds a window, and takes note of how that went.
    pub(super) async fn fold(&self, window: &Window) -> Call<Vec<Folded>> {
        let call = self.fold.fold(window).await;
        let outcome = call.answer.as_ref().map_or_else(CallError::outcome, |_| FOLDED);
        self.seconds.observe(seconds(call.elapsed));
        if let Some((_, counter)) = self.outcomes.iter().find(|(name, _)| *name == outcome) {
            counter.inc();
        }
        call
    }
}
