//! One step of a pipeline: calls its plugin, or the candidate in its place, and says what becomes of the message.

use std::{sync::Arc, time::Duration};

use super::{
    Failure, Held, Known,
    actor::{Actor, Part, outcome},
    canary::Canary,
    quarantine::Leave,
    reach::{Reach, Room},
    watched::QUARANTINED,
};
use crate::{
    clock::{Clock, Timestamp},
    config::{self, At, OnError},
    journal::TrailEntry,
    plugin::{Answer, Call, CallError, Draft, PluginError, PluginHost, Role, View},
    telemetry::Metrics,
};

/// Calls of one run that are written into its history; behind them, only the one that ended it.
pub(super) const MAX_TRAIL: usize = 100;
/// The most bytes of what plugins say in one run that are written into its history.
pub(super) const MAX_TRAIL_LOG: usize = 64 << 10;

/// One step, with everything a call needs looked up.
pub(super) struct Step {
    current: Actor,
    canary: Option<Arc<Canary>>,
    on_error: OnError,
    reach: Arc<Reach>,
}

/// What a step made of one message.
pub(super) enum Applied {
    Kept(View),
    Made(Vec<View>),
    Dropped(String),
}

impl Step {
    /// # Errors
    /// The plugin, or its canary, cannot be loaded.
    pub(super) fn build(
        route: &config::Route,
        step: &config::Step,
        host: &PluginHost,
        metrics: &Metrics,
        known: &Known<'_>,
    ) -> Result<Self, PluginError> {
        let role = match step.at {
            At::Edge => Role::EdgeStep,
            At::Pipeline => Role::Step,
        };
        let plugin = host.load(&step.plugin, &step.config, role)?;
        let reach = Arc::new(Reach::new(&route.deliver, plugin.max_output()));
        let actors = known.all().map(|step| &step.current);
        let current = Actor::in_force(&route.name, plugin, step.plugin.quarantine, metrics, actors);
        let canary = Canary::build(&route.name, step, current.plugin(), &reach, host, metrics, known)?;
        Ok(Self { current, canary, on_error: step.on_error, reach })
    }

    pub(super) fn current(&self) -> &Actor {
        &self.current
    }

    pub(super) fn canary(&self) -> Option<&Canary> {
        self.canary.as_deref()
    }

    /// The plugin in force, and its candidate.
    pub(super) fn actors(&self) -> impl Iterator<Item = &Actor> {
        [&self.current].into_iter().chain(self.canary.iter().map(|canary| canary.actor()))
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.reach.max_bytes
    }

    /// Calls the plugin with one message; what it makes of it must fit into `room`.
    pub(super) async fn apply(
        &self,
        view: View,
        room: Room,
        clock: &Arc<dyn Clock>,
        trail: &mut Vec<TrailEntry>,
    ) -> Result<Applied, Failure> {
        let at = clock.now();
        let (actor, leave) = match self.cast(&view, at) {
            Ok(cast) => cast,
            Err(held) => return self.held(view, &held, at, trail),
        };
        let call = actor.call(leave, &view, &self.reach, room, &**clock).await;
        if let Some(canary) = &self.canary {
            canary.saw(actor.part(), &call, &view, room, clock);
        }
        let Call { answer, elapsed, log, counts: _ } = call;
        let (outcome, detail) = (outcome(&answer).to_owned(), detail(&answer));
        let applied = match answer {
            Ok(answer) => Ok(self.applied(view, answer)),
            Err(error) => self.failed(actor, view, &error),
        };
        if trail.len() < MAX_TRAIL || applied.is_err() {
            let log = if said(trail) < MAX_TRAIL_LOG { log } else { Vec::new() };
            let (plugin, canary) = (actor.plugin().name().to_string(), actor.part() == Part::Candidate);
            let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
            trail.push(TrailEntry::Step { at, plugin, canary, micros, outcome, detail, log });
        }
        applied
    }

    /// Who is called with an event: the candidate with its share as long as it is sound, else the plugin in force.
    fn cast(&self, view: &View, now: Timestamp) -> Result<(&Actor, Leave), Held> {
        if let Some(actor) = self.canary.as_ref().and_then(|canary| canary.chosen(view.event().id)) {
            match actor.admit(now) {
                Ok(leave) => return Ok((actor, leave)),
                Err(_) => actor.count(QUARANTINED),
            }
        }
        Ok((&self.current, self.current.admit(now)?))
    }

    /// What becomes of a message that comes while the plugin is in quarantine.
    fn held(
        &self,
        view: View,
        held: &Held,
        at: Timestamp,
        trail: &mut Vec<TrailEntry>,
    ) -> Result<Applied, Failure> {
        if self.current.waits() {
            return Err(Failure::Quarantined { wait: held.wait(at) });
        }
        self.current.count(QUARANTINED);
        let why = format!("is in quarantine since {}: it {}", held.since, held.reason);
        let applied = self.by_policy(view, format!("{} {why}", self.current.title()));
        if trail.len() < MAX_TRAIL || applied.is_err() {
            trail.push(TrailEntry::Step {
                at,
                plugin: self.current.plugin().name().to_string(),
                canary: false,
                micros: 0,
                outcome: QUARANTINED.to_owned(),
                detail: Some(why),
                log: Vec::new(),
            });
        }
        applied
    }

    fn applied(&self, view: View, answer: Answer) -> Applied {
        let name = self.current.plugin().name();
        match answer {
            Answer::Keep => Applied::Kept(view),
            Answer::Drop(reason) => Applied::Dropped(format!("{name}: {reason}")),
            Answer::Messages(drafts) if drafts.is_empty() => {
                Applied::Dropped(format!("{name}: made no message of it"))
            }
            Answer::Messages(drafts) => {
                Applied::Made(drafts.into_iter().map(|draft| inherit(draft, &view)).collect())
            }
        }
    }

    fn failed(&self, actor: &Actor, view: View, error: &CallError) -> Result<Applied, Failure> {
        let reason = format!("{} {error}", actor.title());
        match error {
            CallError::Config(_) if actor.gives_back_when_misconfigured() => {
                Err(Failure::Quarantined { wait: Duration::ZERO })
            }
            CallError::Invalid(_) | CallError::Config(_) => Err(Failure::DeadLetter { reason }),
            CallError::Retry { after, .. } => Err(Failure::Retry { after: *after, reason }),
            _ => self.by_policy(view, reason),
        }
    }

    fn by_policy(&self, view: View, reason: String) -> Result<Applied, Failure> {
        match self.on_error {
            OnError::Retry => Err(Failure::Retry { after: None, reason }),
            OnError::DeadLetter => Err(Failure::DeadLetter { reason }),
            OnError::Pass => Ok(Applied::Kept(view)),
            OnError::Drop => Ok(Applied::Dropped(reason)),
        }
    }
}

/// How much of what plugins said is in a history already.
pub(super) fn said(trail: &[TrailEntry]) -> usize {
    let lines = trail.iter().filter_map(|entry| match entry {
        TrailEntry::Step { log, .. } => Some(log),
        TrailEntry::Attempt { .. } | TrailEntry::Failed { .. } | TrailEntry::Replayed { .. } => None,
    });
    lines.flatten().map(String::len).sum()
}

fn detail(answer: &Result<Answer, CallError>) -> Option<String> {
    match answer {
        Ok(Answer::Keep) => None,
        Ok(Answer::Drop(reason)) => Some(reason.clone()),
        Ok(Answer::Messages(drafts)) => (drafts.len() != 1).then(|| format!("{} messages", drafts.len())),
        Err(error) => Some(error.to_string()),
    }
}

/// What an earlier step decided stands until a later one says otherwise: where a message goes, its key, and its
/// attributes.
pub(super) fn inherit(mut draft: Draft, view: &View) -> View {
    if let Some(earlier) = view.draft() {
        let made = &mut draft.message;
        made.destinations = made.destinations.take().or_else(|| earlier.message.destinations.clone());
        made.key = made.key.take().or_else(|| earlier.message.key.clone());
        for (name, value) in &earlier.attributes {
            if !draft.attributes.iter().any(|(known, _)| known == name) {
                draft.attributes.push((name.clone(), value.clone()));
            }
        }
    }
    view.with(draft)
}
