//! A plugin at its place on a route: what its calls come to is counted, and one that mostly fails is kept in
//! quarantine.

use std::{borrow::Cow, sync::Arc, time::Duration};

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::quarantine::{Change, Held, Leave, Quarantine, Showing};
use crate::{
    clock::Timestamp,
    config,
    plugin::{CallError, Plugin},
    telemetry::{CanaryLabels, Metrics, PluginLabels, PluginOutcomeLabels, seconds},
};

/// What history and metrics call it when a plugin was not called.
pub(crate) const QUARANTINED: &str = "quarantined";

/// A loaded plugin with its figures and its quarantine, where it may have one.
pub(crate) struct Watched {
    route: Arc<str>,
    plugin: Arc<Plugin>,
    /// What the log calls it: `plugin` or `canary`.
    who: &'static str,
    /// `None`: it is called however often it fails.
    guard: Option<Guard>,
    meters: Meters,
}

struct Meters {
    seconds: Histogram,
    outcomes: Vec<(&'static str, Counter)>,
    quarantines: Counter,
}

/// Stands before a plugin that may be quarantined.
struct Guard {
    settings: config::Quarantine,
    quarantine: Arc<Quarantine>,
    /// What becomes of whatever comes while it is in quarantine.
    meanwhile: &'static str,
}

impl Watched {
    /// Shares the quarantine of the first of the `known` with the same plugin. `answers` are the outcomes that a call
    /// has beside errors; `meanwhile` says what becomes of whatever comes while the plugin is in quarantine.
    pub(crate) fn new<'a>(
        route: &Arc<str>,
        plugin: Arc<Plugin>,
        settings: Option<(config::Quarantine, &'static str)>,
        answers: &[&'static str],
        metrics: &Metrics,
        known: impl Iterator<Item = &'a Self>,
    ) -> Self {
        let meters = Meters::in_force(metrics, route, plugin.name(), answers);
        let guard = settings.map(|(settings, meanwhile)| Guard::new(settings, meanwhile, &plugin, known));
        Self { route: route.clone(), plugin, who: "plugin", guard, meters }
    }

    /// The same for a candidate, tried out in this `mode`. It always has a quarantine: while it is in there, the plugin
    /// in force does its work.
    pub(super) fn candidate<'a>(
        route: &Arc<str>,
        plugin: Arc<Plugin>,
        settings: config::Quarantine,
        answers: &[&'static str],
        mode: &'static str,
        metrics: &Metrics,
        known: impl Iterator<Item = &'a Self>,
    ) -> Self {
        let meters = Meters::candidate(metrics, route, plugin.name(), answers, mode);
        let guard = Guard::new(settings, "the plugin in force handles all events", &plugin, known);
        Self { route: route.clone(), plugin, who: "canary", guard: Some(guard), meters }
    }

    pub(crate) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// The settings of its quarantine, where it may have one.
    pub(super) fn settings(&self) -> Option<&config::Quarantine> {
        self.guard.as_ref().map(|guard| &guard.settings)
    }

    /// The quarantine that it is in.
    pub(crate) fn quarantined(&self) -> Option<Held> {
        self.guard.as_ref()?.quarantine.held()
    }

    /// Asks for leave to call the plugin.
    ///
    /// # Errors
    /// The quarantine that it is in, which is counted as an outcome only by [`count`](Self::count).
    pub(crate) fn admit(&self, now: Timestamp) -> Result<Leave, Held> {
        self.guard.as_ref().map_or(Ok(Leave::Free), |guard| guard.quarantine.admit(now))
    }

    /// Says why a plugin failed, and begins or ends its quarantine. In a span that knows what it was called with.
    pub(crate) fn note<T>(
        &self,
        leave: Leave,
        answer: &Result<T, CallError>,
        log: &[String],
        now: Timestamp,
    ) {
        let showing = Showing::of(answer);
        if let Showing::Failed(reason) | Showing::Misconfigured(reason) = &showing {
            let said = if log.is_empty() { Cow::Borrowed("nothing") } else { log.join(" | ").into() };
            tracing::warn!(plugin = %self.plugin.name(), reason, said = &*said, "{} failed", self.who);
        }
        let Some(guard) = &self.guard else { return };
        match guard.quarantine.note(leave, showing, &guard.settings, now) {
            Some(Change::Begun(held)) => {
                self.meters.quarantines.inc();
                self.say_begun(guard.meanwhile, &held);
            }
            Some(Change::Ended(held)) => self.say_ended(&held, "by a call that went well"),
            None => {}
        }
    }

    /// Counts a call by its outcome.
    pub(crate) fn record(&self, outcome: &str, elapsed: Duration) {
        self.meters.seconds.observe(seconds(elapsed));
        self.count(outcome);
    }

    /// Counts an outcome without a call.
    pub(crate) fn count(&self, outcome: &str) {
        if let Some((_, counter)) = self.meters.outcomes.iter().find(|(name, _)| *name == outcome) {
            counter.inc();
        }
    }

    /// Ends the quarantine; whether there was one. `how` is for the log: `by hand`.
    pub(crate) fn resume(&self, how: &str) -> bool {
        let held = self.guard.as_ref().and_then(|guard| guard.quarantine.lift());
        if let Some(held) = &held {
            self.say_ended(held, how);
        }
        held.is_some()
    }

    /// Ends the quarantine unless one of those that are in force `now` shares it.
    pub(crate) fn replaced_by<'a>(&self, mut now: impl Iterator<Item = &'a Self>) {
        let Some(guard) = &self.guard else { return };
        let shares = |other: &Guard| Arc::ptr_eq(&other.quarantine, &guard.quarantine);
        if !now.any(|other| other.guard.as_ref().is_some_and(shares)) {
            self.resume("by a reload");
        }
    }

    fn say_begun(&self, meanwhile: &str, held: &Held) {
        tracing::warn!(
            route = %self.route,
            plugin = %self.plugin.name(),
            reason = held.reason,
            "{} is in quarantine and not called any more, {meanwhile}; put its file or config right, or run \
             `sluice plugin resume {}`",
            self.who,
            self.plugin.name()
        );
    }

    fn say_ended(&self, held: &Held, how: &str) {
        let (route, plugin) = (&self.route, self.plugin.name());
        tracing::info!(%route, %plugin, since = %held.since, "quarantine of the {} was ended {how}", self.who);
    }
}

impl Guard {
    fn new<'a>(
        settings: config::Quarantine,
        meanwhile: &'static str,
        plugin: &Plugin,
        mut known: impl Iterator<Item = &'a Watched>,
    ) -> Self {
        let same = known.find_map(|known| known.guard.as_ref().filter(|_| known.plugin.is_same(plugin)));
        let quarantine = same.map_or_else(Arc::default, |same| same.quarantine.clone());
        Self { settings, quarantine, meanwhile }
    }
}

impl Meters {
    fn in_force(metrics: &Metrics, route: &Arc<str>, plugin: &Arc<str>, answers: &[&'static str]) -> Self {
        let counter = |outcome| {
            let (route, plugin) = (route.clone(), plugin.clone());
            metrics.plugin_outcomes.get_or_create_owned(&PluginOutcomeLabels { route, plugin, outcome })
        };
        let labels = PluginLabels { route: route.clone(), plugin: plugin.clone() };
        Self {
            seconds: metrics.plugin_seconds.get_or_create_owned(&labels),
            outcomes: outcomes(answers).map(|name| (name, counter(name))).collect(),
            quarantines: metrics.plugin_quarantines.get_or_create_owned(&labels),
        }
    }

    fn candidate(
        metrics: &Metrics,
        route: &Arc<str>,
        plugin: &Arc<str>,
        answers: &[&'static str],
        mode: &'static str,
    ) -> Self {
        let counter = |outcome| {
            let (route, plugin) = (route.clone(), plugin.clone());
            metrics.canary_outcomes.get_or_create_owned(&CanaryLabels { route, plugin, mode, outcome })
        };
        let labels = PluginLabels { route: route.clone(), plugin: plugin.clone() };
        Self {
            seconds: metrics.canary_seconds.get_or_create_owned(&labels),
            outcomes: outcomes(answers).map(|name| (name, counter(name))).collect(),
            quarantines: metrics.canary_quarantines.get_or_create_owned(&labels),
        }
    }
}

/// All that is counted of a plugin with these answers.
fn outcomes(answers: &[&'static str]) -> impl Iterator<Item = &'static str> {
    answers.iter().copied().chain(CallError::OUTCOMES).chain([QUARANTINED])
}
