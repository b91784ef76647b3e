//! How a route's deliveries are put together: when a window closes, and what folds it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    clock::Clock,
    config,
    pipeline::{Held, Leave, Place, StepStatus, Watched},
    plugin::{Call, CallError, Folded, Plugin, PluginError, PluginHost, Role, Window},
    telemetry::Metrics,
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
    /// The plugin behind `fold`; `None` where it is none.
    watched: Option<Watched>,
}

/// What of a window is folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// A part of one that failed: it looks for the item that is at fault, and says nothing of the plugin.
    Half,
}

impl Batcher {
    /// Loads the plugin of a route's `batch`. As slow as [`PluginHost::load`]. If it was there `before`, and is still
    /// the same, it stays in its quarantine.
    ///
    /// # Errors
    /// Fails if the plugin cannot be loaded, or makes no batches.
    pub fn load(
        route: &Arc<str>,
        batch: &config::Batch,
        host: &PluginHost,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> Result<Arc<Self>, PluginError> {
        let config::Batch { plugin, config, events, bytes, wait, by_key } = batch;
        let settings = Settings { events: *events, bytes: *bytes, wait: *wait, by_key: *by_key };
        let quarantine = plugin.quarantine.map(|quarantine| (quarantine, "its batches wait"));
        let plugin = host.load(plugin, config, Role::Batch)?;
        let known = before.and_then(|before| before.watched.as_ref()).into_iter();
        let watched = Watched::new(route, plugin.clone(), quarantine, &[FOLDED], metrics, known);
        Ok(Arc::new(Self { settings, fold: plugin, watched: Some(watched) }))
    }

    /// One without a plugin to watch.
    pub fn new(settings: Settings, fold: Arc<dyn Fold>) -> Arc<Self> {
        Arc::new(Self { settings, fold, watched: None })
    }

    /// The plugin, with the quarantine that it is in.
    pub fn status(&self) -> Option<StepStatus<'_>> {
        let watched = self.watched.as_ref()?;
        let quarantined = watched.quarantined();
        Some(StepStatus { place: Place::Batch, plugin: watched.plugin(), quarantined, canary: None })
    }

    /// Ends the quarantine of the plugin of this name by hand; whether there was one.
    pub fn resume(&self, plugin: &str) -> bool {
        let watched = self.watched.as_ref().filter(|watched| **watched.plugin().name() == *plugin);
        watched.is_some_and(|watched| watched.resume("by hand"))
    }

    /// Says whether the quarantine is over now that `new` is in its place.
    pub fn say_replaced_by(&self, new: Option<&Self>) {
        if let Some(watched) = &self.watched {
            watched.replaced_by(new.and_then(|new| new.watched.as_ref()).into_iter());
        }
    }

    /// The plugin's name.
    pub(super) fn plugin(&self) -> &Arc<str> {
        self.fold.name()
    }

    /// Folds a window, and takes note of how that went.
    ///
    /// # Errors
    /// The quarantine that the plugin is in.
    pub(super) async fn fold(
        &self,
        window: &Window,
        part: Part,
        clock: &dyn Clock,
    ) -> Result<Call<Vec<Folded>>, Held> {
        let Some(watched) = &self.watched else { return Ok(self.fold.fold(window).await) };
        let leave = match part {
            Part::Whole => watched.admit(clock.now())?,
            Part::Half => Leave::Free,
        };
        let call = self.fold.fold(window).await;
        if part == Part::Whole {
            watched.note(leave, &call.answer, &call.log, clock.now());
        }
        watched.record(call.answer.as_ref().map_or_else(CallError::outcome, |_| FOLDED), call.elapsed);
        Ok(call)
    }
}
