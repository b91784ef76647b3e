//! A route's plugins, in order: an event goes in, a verdict comes out.

use std::{sync::Arc, time::Duration};

use http::header::CONTENT_TYPE;

use crate::{
    clock::{Clock, SystemClock, Timestamp},
    config::{self, At, OnError, WhileQuarantined},
    event::{Event, Headers, Message},
    journal::TrailEntry,
    plugin::{Answer, Call, CallError, Draft, Plugin, PluginError, PluginHost, Role, View},
    telemetry::Metrics,
};

pub(crate) use self::watched::{QUARANTINED, Watched};
pub use self::{
    edge::AtEdge,
    quarantine::{Held, Quarantine},
};

mod edge;

mod quarantine;

mod watched;

/// The most messages that can be made of one event.
pub const MAX_MESSAGES: usize = 1_000;
/// The most bytes that the messages of one event may have together, unless one call may hand over more.
const MAX_BYTES: usize = 16 << 20;
/// Calls of one run that are written into its history; behind them, only the one that ended it.
const MAX_TRAIL: usize = 100;
/// The most bytes of what plugins say in one run that are written into its history.
const MAX_TRAIL_LOG: usize = 64 << 10;

/// What a pipeline made of an event.
#[derive(Debug)]
pub struct Outcome {
    /// One entry for every call of a plugin; beyond the hundredth, for the one that ended the run.
    pub trail: Vec<TrailEntry>,
    pub verdict: Result<Verdict, Failure>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// At least one message.
    Deliver(Vec<Message>),
    Drop {
        reason: String,
    },
}

/// A step failed and its `on_error`, or the plugin itself, said what is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Run the pipeline again, after this long at least.
    Retry {
        after: Option<Duration>,
        reason: String,
    },
    DeadLetter {
        reason: String,
    },
    /// A plugin is in quarantine: run the pipeline after this long, as the same attempt.
    Quarantined {
        wait: Duration,
    },
}

/// A plugin on a route, for those who look at it from outside.
pub struct StepStatus<'a> {
    pub place: Place,
    pub plugin: &'a Plugin,
    pub quarantined: Option<Held>,
}

/// Where on a route a plugin is; steps are counted from 1, those at the edge with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Verify,
    Edge(usize),
    Pipeline(usize),
}

/// An ordered list of configured plugins. Cheap to clone; immutable.
#[derive(Clone)]
pub struct Pipeline {
    /// Those at the edge come first.
    steps: Arc<[Step]>,
    edge: edge::Edge,
    clock: Arc<dyn Clock>,
}

impl Pipeline {
    /// Loads the plugins of a route. As slow as [`PluginHost::load`]. A plugin that was `before` on the route, and
    /// is still the same, stays in its quarantine.
    ///
    /// # Errors
    /// Every step whose plugin cannot be loaded, counted from 0.
    pub fn build(
        route: &config::Route,
        host: &PluginHost,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> Result<Self, Vec<(usize, PluginError)>> {
        let mut steps: Vec<Step> = Vec::with_capacity(route.pipeline.len());
        let mut broken = Vec::new();
        for (index, step) in route.pipeline.iter().enumerate() {
            let known = steps.iter().chain(before.into_iter().flat_map(|before| &*before.steps));
            match Step::build(route, step, host, metrics, known) {
                Ok(step) => steps.push(step),
                Err(error) => broken.push((index, error)),
            }
        }
        if !broken.is_empty() {
            return Err(broken);
        }
        let edge = edge::Edge::of(&route.pipeline, steps.iter().map(|step| step.watched.plugin()));
        Ok(Self { steps: steps.into(), edge, ..Self::default() })
    }

    /// Takes the times in the trail from another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Whether there is no plugin in it that the event has yet to pass.
    pub fn is_empty_for(&self, event: &Event) -> bool {
        self.steps_for(event).is_empty()
    }

    /// How long an event has to wait before any of the pipeline is worth running, because a plugin is in
    /// quarantine.
    pub fn held(&self, event: &Event, now: Timestamp) -> Option<Duration> {
        let waits = self.steps_for(event).iter().filter_map(|step| {
            let held = step.watched.quarantined().filter(|_| step.waits())?;
            // An event may be let through; the step says which.
            (held.probe > now).then(|| held.wait(now))
        });
        waits.max()
    }

    /// Every step, with the quarantine that it is in.
    pub fn steps(&self) -> impl Iterator<Item = StepStatus<'_>> {
        self.steps.iter().zip(1..).map(|(step, number)| StepStatus {
            place: if number <= self.edge.steps { Place::Edge(number) } else { Place::Pipeline(number) },
            plugin: step.watched.plugin(),
            quarantined: step.watched.quarantined(),
        })
    }

    /// Ends the quarantines of a plugin by hand; whether there was one.
    pub fn resume(&self, plugin: &str) -> bool {
        let named = self.steps.iter().filter(|step| **step.watched.plugin().name() == *plugin);
        // Every one of them, so not `any`.
        named.filter(|step| step.watched.resume("by hand")).count() > 0
    }

    /// Says which quarantines of this pipeline are over now that `new` is in its place.
    pub fn say_replaced_by(&self, new: Option<&Self>) {
        for step in &*self.steps {
            step.watched.replaced_by(new.into_iter().flat_map(|new| &*new.steps).map(|step| &step.watched));
        }
    }

    /// The steps that an event goes through behind the journal: all but those that it passed at the edge.
    fn steps_for(&self, event: &Event) -> &[Step] {
        match event.passed.is_some() && event.passed == self.edge.passed {
            true => &self.steps[self.edge.steps..],
            false => &self.steps,
        }
    }

    /// Runs every step that the event has yet to pass. `attempt` counts from 1.
    pub async fn run(&self, event: &Arc<Event>, attempt: u32) -> Outcome {
        let mut trail = Vec::new();
        let verdict = self.verdict(View::of(Arc::clone(event), attempt), &mut trail).await;
        Outcome { trail, verdict }
    }

    async fn verdict(&self, event: View, trail: &mut Vec<TrailEntry>) -> Result<Verdict, Failure> {
        let steps = self.steps_for(event.event());
        let mut views = vec![event];
        for step in steps {
            let mut kept = Vec::with_capacity(views.len());
            let mut dropped = None;
            let mut bytes = step.max_bytes();
            for view in views {
                let room = Room { messages: MAX_MESSAGES - kept.len(), bytes };
                match step.apply(view, room, &*self.clock, trail).await? {
                    Applied::Kept(view) => kept.push(view),
                    Applied::Made(views) => {
                        bytes =
                            bytes.saturating_sub(views.iter().filter_map(View::draft).map(Draft::size).sum());
                        kept.extend(views);
                    }
                    Applied::Dropped(reason) => dropped = dropped.or(Some(reason)),
                }
            }
            if kept.is_empty() {
                return Ok(Verdict::Drop { reason: dropped.unwrap_or_default() });
            }
            views = kept;
        }
        Ok(Verdict::Deliver(views.into_iter().map(message).collect()))
    }
}

/// Without plugins: an event's own body is delivered.
impl Default for Pipeline {
    fn default() -> Self {
        Self { steps: Arc::default(), edge: edge::Edge::default(), clock: Arc::new(SystemClock) }
    }
}

/// What is delivered of a view: what the plugins made or, without any, the body as it came.
fn message(view: View) -> Message {
    view.into_draft().map_or_else(|event| original(&event), |draft| draft.message)
}

fn original(event: &Event) -> Message {
    let mut headers = Headers::default();
    if let Some(content_type) = event.headers.get(CONTENT_TYPE.as_str()) {
        headers.append(CONTENT_TYPE, content_type.clone());
    }
    Message { headers, body: event.body.clone(), destinations: None, key: None }
}

/// One plugin of the pipeline, with everything a call needs looked up.
struct Step {
    watched: Watched,
    on_error: OnError,
    /// The route's destinations.
    destinations: Vec<Arc<str>>,
}

/// What is left for a step's messages of what all of an event may be.
#[derive(Clone, Copy)]
struct Room {
    messages: usize,
    bytes: usize,
}

/// What a step made of one message.
enum Applied {
    Kept(View),
    Made(Vec<View>),
    Dropped(String),
}

impl Step {
    /// Shares the quarantine of the first of the `known` steps with the same plugin.
    fn build<'a>(
        route: &config::Route,
        step: &config::Step,
        host: &PluginHost,
        metrics: &Metrics,
        known: impl Iterator<Item = &'a Self>,
    ) -> Result<Self, PluginError> {
        let role = match step.at {
            At::Edge => Role::EdgeStep,
            At::Pipeline => Role::Step,
        };
        let plugin = host.load(&step.plugin, &step.config, role)?;
        let settings = step.plugin.quarantine.map(|settings| (settings, meanwhile(settings.then)));
        let known = known.map(|step| &step.watched);
        Ok(Self {
            watched: Watched::new(&route.name, plugin, settings, &ANSWERS, metrics, known),
            on_error: step.on_error,
            destinations: route.deliver.clone(),
        })
    }

    /// Whether events wait while the plugin is in quarantine.
    fn waits(&self) -> bool {
        self.watched.settings().is_some_and(|settings| settings.then == WhileQuarantined::Wait)
    }

    fn max_bytes(&self) -> usize {
        self.watched.plugin().max_output().max(MAX_BYTES)
    }

    /// Calls the plugin with one message; what it makes of it must fit into `room`.
    async fn apply(
        &self,
        view: View,
        room: Room,
        clock: &dyn Clock,
        trail: &mut Vec<TrailEntry>,
    ) -> Result<Applied, Failure> {
        let at = clock.now();
        let leave = match self.watched.admit(at) {
            Ok(leave) => leave,
            Err(held) => return self.held(view, &held, at, trail),
        };
        let Call { answer, elapsed, log } = self.watched.plugin().call(&view).await;
        let answer = answer.and_then(|answer| self.accept(answer, &view, room));
        self.watched.note(leave, &answer, &log, clock.now());
        let outcome = answer.as_ref().map_or_else(CallError::outcome, name);
        self.watched.record(outcome, elapsed);
        let entry = |detail, log| TrailEntry::Step {
            at,
            plugin: self.watched.plugin().name().to_string(),
            micros: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            outcome: outcome.to_owned(),
            detail,
            log,
        };
        let detail = detail(&answer);
        let applied = match answer {
            Ok(answer) => Ok(self.applied(view, answer)),
            Err(error) => self.failed(view, &error),
        };
        if trail.len() < MAX_TRAIL || applied.is_err() {
            let log = if said(trail) < MAX_TRAIL_LOG { log } else { Vec::new() };
            trail.push(entry(detail, log));
        }
        applied
    }

    /// What becomes of a message that comes while the plugin is in quarantine.
    fn held(
        &self,
        view: View,
        held: &Held,
        at: Timestamp,
        trail: &mut Vec<TrailEntry>,
    ) -> Result<Applied, Failure> {
        if self.waits() {
            return Err(Failure::Quarantined { wait: held.wait(at) });
        }
        self.watched.count(QUARANTINED);
        let why = format!("is in quarantine since {}: it {}", held.since, held.reason);
        let applied = self.by_policy(view, format!("plugin `{}` {why}", self.watched.plugin().name()));
        if trail.len() < MAX_TRAIL || applied.is_err() {
            trail.push(TrailEntry::Step {
                at,
                plugin: self.watched.plugin().name().to_string(),
                micros: 0,
                outcome: QUARANTINED.to_owned(),
                detail: Some(why),
                log: Vec::new(),
            });
        }
        applied
    }

    /// Checks what only the route can know of an answer.
    fn accept(&self, answer: Answer, view: &View, room: Room) -> Result<Answer, CallError> {
        let Answer::Messages(drafts) = &answer else { return Ok(answer) };
        if drafts.len() > room.messages {
            let made = MAX_MESSAGES - room.messages + drafts.len();
            return Err(CallError::MessageLimit { made, limit: MAX_MESSAGES });
        }
        // Each message inherits what the step before attached.
        let inherited = view.draft().map_or(0, Draft::attributes_size);
        let made: usize = drafts.iter().map(|draft| draft.size() + inherited).sum();
        if made > room.bytes {
            return Err(CallError::BytesLimit { limit: self.max_bytes() });
        }
        let named = drafts.iter().filter_map(|draft| draft.message.destinations.as_ref()).flatten();
        for name in named {
            if !self.destinations.iter().any(|known| **known == **name) {
                let known = self.destinations.join("`, `");
                return Err(CallError::Other(format!(
                    "made a message for `{name}`, to which this route does not deliver; it delivers to `{known}`"
                )));
            }
        }
        Ok(answer)
    }

    fn applied(&self, view: View, answer: Answer) -> Applied {
        match answer {
            Answer::Keep => Applied::Kept(view),
            Answer::Drop(reason) => Applied::Dropped(format!("{}: {reason}", self.watched.plugin().name())),
            Answer::Messages(drafts) if drafts.is_empty() => {
                Applied::Dropped(format!("{}: made no message of it", self.watched.plugin().name()))
            }
            Answer::Messages(drafts) => {
                Applied::Made(drafts.into_iter().map(|draft| inherit(draft, &view)).collect())
            }
        }
    }

    fn failed(&self, view: View, error: &CallError) -> Result<Applied, Failure> {
        let reason = format!("plugin `{}` {error}", self.watched.plugin().name());
        match error {
            CallError::Config(_) if self.waits() => Err(Failure::Quarantined { wait: Duration::ZERO }),
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
fn said(trail: &[TrailEntry]) -> usize {
    let lines = trail.iter().filter_map(|entry| match entry {
        TrailEntry::Step { log, .. } => Some(log),
        TrailEntry::Attempt { .. } | TrailEntry::Failed { .. } | TrailEntry::Replayed { .. } => None,
    });
    lines.flatten().map(String::len).sum()
}

/// What becomes of a step's events while its plugin is in quarantine.
fn meanwhile(then: WhileQuarantined) -> &'static str {
    match then {
        WhileQuarantined::Wait => "its events wait",
        WhileQuarantined::OnError => "`on_error` decides about its events",
    }
}

/// What history and metrics call an answer.
const ANSWERS: [&str; 3] = ["keep", "drop", "messages"];

fn name(answer: &Answer) -> &'static str {
    match answer {
        Answer::Keep => "keep",
        Answer::Drop(_) => "drop",
        Answer::Messages(_) => "messages",
    }
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
fn inherit(mut draft: Draft, view: &View) -> View {
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

#[cfg(test)]
mod edge_tests;

#[cfg(test)]
mod quarantine_tests;

#[cfg(test)]
mod tests;
