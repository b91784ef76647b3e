//! A plugin that acts at a step, with all that is remembered of it: the one in force, or its candidate.

use std::{borrow::Cow, sync::Arc, time::Duration};

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::{
    quarantine::{Change, Held, Leave, Quarantine, Showing},
    reach::{Reach, Room},
};
use crate::{
    clock::{Clock, Timestamp},
    config::{self, WhileQuarantined},
    plugin::{Answer, Call, CallError, Plugin, View},
    telemetry::{CanaryLabels, Metrics, PluginLabels, PluginOutcomeLabels, seconds},
};

/// What history and metrics call an answer.
const ANSWERS: [&str; 3] = ["keep", "drop", "messages"];
/// What they call it when a plugin was not called because it is in quarantine.
pub(super) const QUARANTINED: &str = "quarantined";
/// What metrics call it when a shadow did not see an event because it was too slow for that.
pub(super) const SKIPPED: &str = "skipped";

/// One plugin of a step, with everything a call needs looked up.
pub(super) struct Actor {
    plugin: Arc<Plugin>,
    route: Arc<str>,
    part: Part,
    /// `None`: it is called however often it fails.
    guard: Option<Guard>,
    meters: Meters,
}

/// Which of a step's two plugins it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    InForce,
    Candidate,
}

/// Stands before a plugin that may be quarantined.
struct Guard {
    settings: config::Quarantine,
    quarantine: Arc<Quarantine>,
}

/// Where its calls are counted.
struct Meters {
    seconds: Histogram,
    outcomes: Vec<(&'static str, Counter)>,
    quarantines: Counter,
}

impl Actor {
    /// The plugin in force at a step. It shares the quarantine of the first of the `known` that does the same.
    pub(super) fn in_force<'a>(
        route: &Arc<str>,
        plugin: Arc<Plugin>,
        settings: Option<config::Quarantine>,
        metrics: &Metrics,
        known: impl Iterator<Item = &'a Self>,
    ) -> Self {
        let meters = Meters::in_force(metrics, route, plugin.name());
        let guard = settings.map(|settings| Guard::new(settings, &plugin, known));
        Self { plugin, route: route.clone(), part: Part::InForce, guard, meters }
    }

    /// A candidate, which always has a quarantine: while it is in there, the plugin in force does its work.
    pub(super) fn candidate<'a>(
        route: &Arc<str>,
        plugin: Arc<Plugin>,
        settings: Option<config::Quarantine>,
        mode: &'static str,
        metrics: &Metrics,
        known: impl Iterator<Item = &'a Self>,
    ) -> Self {
        let meters = Meters::candidate(metrics, route, plugin.name(), mode);
        let guard = Some(Guard::new(settings.unwrap_or_default(), &plugin, known));
        Self { plugin, route: route.clone(), part: Part::Candidate, guard, meters }
    }

    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// How errors call it.
    pub(super) fn title(&self) -> String {
        match self.part {
            Part::InForce => format!("plugin `{}`", self.plugin.name()),
            Part::Candidate => format!("canary of plugin `{}`", self.plugin.name()),
        }
    }

    /// The quarantine that it is in.
    pub(super) fn held(&self) -> Option<Held> {
        self.guard.as_ref()?.quarantine.held()
    }

    /// The quarantine that it is in, if its events wait for the end of it.
    pub(super) fn waiting(&self) -> Option<Held> {
        if self.waits() { self.held() } else { None }
    }

    /// Whether events wait while it is in quarantine.
    pub(super) fn waits(&self) -> bool {
        let waits = self.guard.as_ref().is_some_and(|guard| guard.settings.then == WhileQuarantined::Wait);
        self.part == Part::InForce && waits
    }

    /// Whether an event whose call says that the config is wrong is run again, rather than given up: this one is in
    /// quarantine by then, and the event waits for it, or goes to the plugin in force.
    pub(super) fn gives_back_when_misconfigured(&self) -> bool {
        self.part == Part::Candidate || self.waits()
    }

    /// Asks for leave to call it.
    ///
    /// # Errors
    /// The quarantine that it is in.
    pub(super) fn admit(&self, now: Timestamp) -> Result<Leave, Held> {
        self.guard.as_ref().map_or(Ok(Leave::Free), |guard| guard.quarantine.admit(now))
    }

    /// Calls the plugin with one message, checks its answer, and takes note of how it did.
    pub(super) async fn call(
        &self,
        leave: Leave,
        view: &View,
        reach: &Reach,
        room: Room,
        clock: &dyn Clock,
    ) -> Call {
        let Call { answer, elapsed, log, counts } = self.plugin.call(view).await;
        let answer = answer.and_then(|answer| reach.accept(answer, view, room));
        self.note(leave, &answer, &log, clock.now());
        self.meters.record(outcome(&answer), elapsed);
        Call { answer, elapsed, log, counts }
    }

    /// Counts an event that it was not called with.
    pub(super) fn count(&self, outcome: &str) {
        self.meters.count(outcome);
    }

    /// Ends its quarantine and says how; whether it was in one.
    pub(super) fn lift(&self, how: &str) -> bool {
        let held = self.guard.as_ref().and_then(|guard| guard.quarantine.lift());
        if let Some(held) = &held {
            self.say_ended(held, how);
        }
        held.is_some()
    }

    pub(super) fn shares_quarantine_with(&self, other: &Self) -> bool {
        let both = self.guard.as_ref().zip(other.guard.as_ref());
        both.is_some_and(|(mine, other)| Arc::ptr_eq(&mine.quarantine, &other.quarantine))
    }

    /// Says why a plugin failed, and begins or ends its quarantine. In a span that knows the event.
    fn note(&self, leave: Leave, answer: &Result<Answer, CallError>, log: &[String], now: Timestamp) {
        let showing = Showing::of(answer);
        if let Showing::Failed(reason) | Showing::Misconfigured(reason) = &showing {
            let said = if log.is_empty() { Cow::Borrowed("nothing") } else { log.join(" | ").into() };
            let failed = match self.part {
                Part::InForce => "plugin failed",
                Part::Candidate => "canary failed",
            };
            tracing::warn!(plugin = %self.plugin.name(), reason, said = &*said, "{failed}");
        }
        let Some(guard) = &self.guard else { return };
        match guard.quarantine.note(leave, showing, &guard.settings, now) {
            Some(Change::Begun(held)) => {
                self.meters.quarantines.inc();
                self.say_begun(&held);
            }
            Some(Change::Ended(held)) => self.say_ended(&held, "by an event that went well"),
            None => {}
        }
    }

    fn say_begun(&self, held: &Held) {
        let (who, events) = match self.part {
            Part::InForce if self.waits() => ("plugin", "its events wait"),
            Part::InForce => ("plugin", "`on_error` decides about its events"),
            Part::Candidate => ("canary", "the plugin in force handles all events"),
        };
        tracing::warn!(
            route = %self.route,
            plugin = %self.plugin.name(),
            reason = held.reason,
            "{who} is in quarantine and not called any more, {events}; put its file or config right, or run \
             `sluice plugin resume {}`",
            self.plugin.name()
        );
    }

    fn say_ended(&self, held: &Held, how: &str) {
        let (route, plugin) = (&self.route, self.plugin.name());
        let who = match self.part {
            Part::InForce => "plugin",
            Part::Candidate => "canary",
        };
        tracing::info!(%route, %plugin, since = %held.since, "quarantine of the {who} was ended {how}");
    }
}

impl Guard {
    fn new<'a>(
        settings: config::Quarantine,
        plugin: &Plugin,
        mut known: impl Iterator<Item = &'a Actor>,
    ) -> Self {
        let same = known.find_map(|actor| actor.guard.as_ref().filter(|_| actor.plugin.is_same(plugin)));
        Self { settings, quarantine: same.map_or_else(Arc::default, |same| same.quarantine.clone()) }
    }
}

impl Meters {
    fn in_force(metrics: &Metrics, route: &Arc<str>, plugin: &Arc<str>) -> Self {
        let counter = |outcome| {
            let (route, plugin) = (route.clone(), plugin.clone());
            metrics.plugin_outcomes.get_or_create_owned(&PluginOutcomeLabels { route, plugin, outcome })
        };
        let labels = PluginLabels { route: route.clone(), plugin: plugin.clone() };
        Self {
            seconds: metrics.plugin_seconds.get_or_create_owned(&labels),
            outcomes: outcomes().map(|name| (name, counter(name))).collect(),
            quarantines: metrics.plugin_quarantines.get_or_create_owned(&labels),
        }
    }

    fn candidate(metrics: &Metrics, route: &Arc<str>, plugin: &Arc<str>, mode: &'static str) -> Self {
        let counter = |outcome| {
            let (route, plugin) = (route.clone(), plugin.clone());
            metrics.canary_outcomes.get_or_create_owned(&CanaryLabels { route, plugin, mode, outcome })
        };
        let labels = PluginLabels { route: route.clone(), plugin: plugin.clone() };
        Self {
            seconds: metrics.canary_seconds.get_or_create_owned(&labels),
            outcomes: outcomes().chain([SKIPPED]).map(|name| (name, counter(name))).collect(),
            quarantines: metrics.canary_quarantines.get_or_create_owned(&labels),
        }
    }

    fn record(&self, outcome: &str, elapsed: Duration) {
        self.seconds.observe(seconds(elapsed));
        self.count(outcome);
    }

    fn count(&self, outcome: &str) {
        if let Some((_, counter)) = self.outcomes.iter().find(|(name, _)| *name == outcome) {
            counter.inc();
        }
    }
}

fn outcomes() -> impl Iterator<Item = &'static str> {
    ANSWERS.into_iter().chain(CallError::OUTCOMES).chain([QUARANTINED])
}

/// What history and metrics call it.
pub(super) fn outcome(answer: &Result<Answer, CallError>) -> &'static str {
    match answer {
        Ok(Answer::Keep) => "keep",
        Ok(Answer::Drop(_)) => "drop",
        Ok(Answer::Messages(_)) => "messages",
        Err(error) => error.outcome(),
    }
}
