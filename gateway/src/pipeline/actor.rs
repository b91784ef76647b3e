//! A plugin at a step: the one in force, or a candidate beside it.

use std::sync::Arc;

use super::{
    quarantine::{Held, Leave},
    reach::{Reach, Room},
    watched::Watched,
};
use crate::{
    clock::{Clock, Timestamp},
    config::{self, WhileQuarantined},
    plugin::{Answer, Call, CallError, Plugin, View},
    telemetry::Metrics,
};

/// What history and metrics call an answer.
const ANSWERS: [&str; 3] = ["keep", "drop", "messages"];
/// The same, and what was too much for a shadow.
const ANSWERS_OF_CANARIES: [&str; 4] = ["keep", "drop", "messages", SKIPPED];
/// What metrics call a message that a shadow was too slow to see.
pub(super) const SKIPPED: &str = "skipped";

/// A plugin at a step, with its quarantine and its meters.
pub(super) struct Actor {
    watched: Watched,
    part: Part,
}

/// Which of a step's plugins it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    InForce,
    Candidate,
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
        let settings = settings.map(|settings| (settings, meanwhile(settings.then)));
        let known = known.map(|actor| &actor.watched);
        Self { watched: Watched::new(route, plugin, settings, &ANSWERS, metrics, known), part: Part::InForce }
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
        let (settings, known) = (settings.unwrap_or_default(), known.map(|actor| &actor.watched));
        let answers = &ANSWERS_OF_CANARIES;
        Self {
            watched: Watched::candidate(route, plugin, settings, answers, mode, metrics, known),
            part: Part::Candidate,
        }
    }

    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }

    pub(super) fn plugin(&self) -> &Arc<Plugin> {
        self.watched.plugin()
    }

    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// How errors call it.
    pub(super) fn title(&self) -> String {
        match self.part {
            Part::InForce => format!("plugin `{}`", self.plugin().name()),
            Part::Candidate => format!("canary of plugin `{}`", self.plugin().name()),
        }
    }

    /// The quarantine that it is in.
    pub(super) fn held(&self) -> Option<Held> {
        self.watched.quarantined()
    }

    /// The quarantine that it is in, if its events wait for the end of it.
    pub(super) fn waiting(&self) -> Option<Held> {
        if self.waits() { self.held() } else { None }
    }

    /// Whether events wait while it is in quarantine.
    pub(super) fn waits(&self) -> bool {
        let waits = self.watched.settings().is_some_and(|settings| settings.then == WhileQuarantined::Wait);
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
        self.watched.admit(now)
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
        let Call { answer, elapsed, log, counts } = self.plugin().call(view).await;
        let answer = answer.and_then(|answer| reach.accept(answer, view, room));
        self.watched.note(leave, &answer, &log, clock.now());
        self.watched.record(outcome(&answer), elapsed);
        Call { answer, elapsed, log, counts }
    }

    /// Counts an event that it was not called with.
    pub(super) fn count(&self, outcome: &str) {
        self.watched.count(outcome);
    }

    /// Ends its quarantine by hand; whether it was in one.
    pub(super) fn resume(&self) -> bool {
        self.watched.resume("by hand")
    }
}

/// What becomes of a step's events while its plugin is in quarantine.
fn meanwhile(then: WhileQuarantined) -> &'static str {
    match then {
        WhileQuarantined::Wait => "its events wait",
        WhileQuarantined::OnError => "`on_error` decides about its events",
    }
}

/// What history and metrics call the outcome of a call.
pub(super) fn outcome(answer: &Result<Answer, CallError>) -> &'static str {
    match answer {
        Ok(Answer::Keep) => "keep",
        Ok(Answer::Drop(_)) => "drop",
        Ok(Answer::Messages(_)) => "messages",
        Err(error) => error.outcome(),
    }
}
