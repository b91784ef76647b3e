//! A route's plugins, in order: an event goes in, a verdict comes out.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::header::CONTENT_TYPE;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use crate::{
    clock::{Clock, SystemClock, Timestamp},
    config::{self, OnError, WhileQuarantined},
    event::{Event, Headers, Message},
    journal::TrailEntry,
    plugin::{Answer, Call, CallError, Draft, Plugin, PluginError, PluginHost, Role, View},
    telemetry::{Metrics, PluginLabels, PluginOutcomeLabels, seconds},
};

use self::quarantine::{Change, Leave, Showing};
pub use self::quarantine::{Held, Quarantine};

mod quarantine;

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

/// A step of a pipeline, for those who look at it from outside.
pub struct StepStatus<'a> {
    /// Its place in the pipeline, from 1.
    pub number: usize,
    pub plugin: &'a Plugin,
    pub quarantined: Option<Held>,
}

/// An ordered list of configured plugins. Cheap to clone; immutable.
#[derive(Clone)]
pub struct Pipeline {
    steps: Arc<[Step]>,
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
        if broken.is_empty() { Ok(Self { steps: steps.into(), ..Self::default() }) } else { Err(broken) }
    }

    /// Takes the times in the trail from another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Whether there is no plugin in it.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How long an event has to wait before any of the pipeline is worth running, because a plugin is in
    /// quarantine.
    pub fn held(&self, now: Timestamp) -> Option<Duration> {
        let waits = self.steps.iter().filter_map(|step| {
            let held = step.guard.as_ref().filter(|guard| guard.waits())?.quarantine.held()?;
            // An event may be let through; the step says which.
            (held.probe > now).then(|| held.wait(now))
        });
        waits.max()
    }

    /// Every step, with the quarantine that it is in.
    pub fn steps(&self) -> impl Iterator<Item = StepStatus<'_>> {
        self.steps.iter().zip(1..).map(|(step, number)| StepStatus {
            number,
            plugin: &step.plugin,
            quarantined: step.guard.as_ref().and_then(|guard| guard.quarantine.held()),
        })
    }

    /// Ends the quarantines of a plugin by hand; whether there was one.
    pub fn resume(&self, plugin: &str) -> bool {
        let mut is_resumed = false;
        for step in self.steps.iter().filter(|step| **step.plugin.name() == *plugin) {
            if let Some(held) = step.guard.as_ref().and_then(|guard| guard.quarantine.lift()) {
                step.say_ended(&held, "by hand");
                is_resumed = true;
            }
        }
        is_resumed
    }

    /// Says which quarantines of this pipeline are over now that `new` is in its place.
    pub fn say_replaced_by(&self, new: Option<&Self>) {
        let still = |quarantine: &Arc<Quarantine>| {
            let guards = new.into_iter().flat_map(|new| &*new.steps).filter_map(|step| step.guard.as_ref());
            guards.into_iter().any(|guard| Arc::ptr_eq(&guard.quarantine, quarantine))
        };
        for step in &*self.steps {
            let Some(guard) = step.guard.as_ref().filter(|guard| !still(&guard.quarantine)) else { continue };
            if let Some(held) = guard.quarantine.lift() {
                step.say_ended(&held, "by a reload");
            }
        }
    }

    /// Runs every step. `attempt` counts from 1.
    pub async fn run(&self, event: &Arc<Event>, attempt: u32) -> Outcome {
        let mut trail = Vec::new();
        let verdict = self.verdict(View::of(Arc::clone(event), attempt), &mut trail).await;
        Outcome { trail, verdict }
    }

    async fn verdict(&self, event: View, trail: &mut Vec<TrailEntry>) -> Result<Verdict, Failure> {
        let mut views = vec![event];
        for step in &*self.steps {
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
        Self { steps: Arc::default(), clock: Arc::new(SystemClock) }
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
    route: Arc<str>,
    plugin: Arc<Plugin>,
    /// `None`: it is called however often it fails.
    guard: Option<Guard>,
    on_error: OnError,
    /// The route's destinations.
    destinations: Vec<Arc<str>>,
    seconds: Histogram,
    outcomes: Vec<(&'static str, Counter)>,
    quarantines: Counter,
}

/// Stands before a plugin that may be quarantined.
struct Guard {
    settings: config::Quarantine,
    quarantine: Arc<Quarantine>,
}

impl Guard {
    /// Whether events wait while the plugin is in quarantine.
    fn waits(&self) -> bool {
        self.settings.then == WhileQuarantined::Wait
    }
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
        mut known: impl Iterator<Item = &'a Self>,
    ) -> Result<Self, PluginError> {
        let plugin = host.load(&step.plugin, &step.config, Role::Step)?;
        let counter = |outcome| {
            let (route, plugin) = (Arc::clone(&route.name), Arc::clone(plugin.name()));
            metrics.plugin_outcomes.get_or_create_owned(&PluginOutcomeLabels { route, plugin, outcome })
        };
        let names = ANSWERS.into_iter().chain(CallError::OUTCOMES).chain([QUARANTINED]);
        let outcomes = names.map(|name| (name, counter(name))).collect();
        let labels = PluginLabels { route: Arc::clone(&route.name), plugin: Arc::clone(plugin.name()) };
        let seconds = metrics.plugin_seconds.get_or_create_owned(&labels);
        let quarantines = metrics.plugin_quarantines.get_or_create_owned(&labels);
        let guard = step.plugin.quarantine.map(|settings| {
            let same = known.find_map(|step| step.guard.as_ref().filter(|_| step.plugin.is_same(&plugin)));
            Guard { settings, quarantine: same.map_or_else(Arc::default, |same| same.quarantine.clone()) }
        });
        Ok(Self {
            route: route.name.clone(),
            plugin,
            guard,
            on_error: step.on_error,
            destinations: route.deliver.clone(),
            seconds,
            outcomes,
            quarantines,
        })
    }

    fn max_bytes(&self) -> usize {
        self.plugin.max_output().max(MAX_BYTES)
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
        let leave = match self.guard.as_ref().map_or(Ok(Leave::Free), |guard| guard.quarantine.admit(at)) {
            Ok(leave) => leave,
            Err(held) => return self.held(view, &held, at, trail),
        };
        let Call { answer, elapsed, log, counts: _ } = self.plugin.call(&view).await;
        let answer = answer.and_then(|answer| self.accept(answer, &view, room));
        self.note(leave, &answer, &log, clock.now());
        let outcome = answer.as_ref().map_or_else(CallError::outcome, name);
        self.record(outcome, elapsed);
        let entry = |detail, log| TrailEntry::Step {
            at,
            plugin: self.plugin.name().to_string(),
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
        if self.guard.as_ref().is_some_and(Guard::waits) {
            return Err(Failure::Quarantined { wait: held.wait(at) });
        }
        self.count(QUARANTINED);
        let why = format!("is in quarantine since {}: it {}", held.since, held.reason);
        let applied = self.by_policy(view, format!("plugin `{}` {why}", self.plugin.name()));
        if trail.len() < MAX_TRAIL || applied.is_err() {
            trail.push(TrailEntry::Step {
                at,
                plugin: self.plugin.name().to_string(),
                micros: 0,
                outcome: QUARANTINED.to_owned(),
                detail: Some(why),
                log: Vec::new(),
            });
        }
        applied
    }

    /// Says why a plugin failed, and begins or ends its quarantine. In a span that knows the event.
    fn note(&self, leave: Leave, answer: &Result<Answer, CallError>, log: &[String], now: Timestamp) {
        let showing = Showing::of(answer);
        if let Showing::Failed(reason) | Showing::Misconfigured(reason) = &showing {
            let said = if log.is_empty() { Cow::Borrowed("nothing") } else { log.join(" | ").into() };
            tracing::warn!(plugin = %self.plugin.name(), reason, said = &*said, "plugin failed");
        }
        let Some(guard) = &self.guard else { return };
        match guard.quarantine.note(leave, showing, &guard.settings, now) {
            Some(Change::Begun(held)) => {
                self.quarantines.inc();
                self.say_begun(guard, &held);
            }
            Some(Change::Ended(held)) => self.say_ended(&held, "by an event that went well"),
            None => {}
        }
    }

    fn say_begun(&self, guard: &Guard, held: &Held) {
        let events = if guard.waits() { "its events wait" } else { "`on_error` decides about its events" };
        tracing::warn!(
            route = %self.route,
            plugin = %self.plugin.name(),
            reason = held.reason,
            "plugin is in quarantine and not called any more, {events}; put its file or config right, or run \
             `sluice plugin resume {}`",
            self.plugin.name()
        );
    }

    fn say_ended(&self, held: &Held, how: &str) {
        let (route, plugin) = (&self.route, self.plugin.name());
        tracing::info!(%route, %plugin, since = %held.since, "quarantine of the plugin was ended {how}");
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
            Answer::Drop(reason) => Applied::Dropped(format!("{}: {reason}", self.plugin.name())),
            Answer::Messages(drafts) if drafts.is_empty() => {
                Applied::Dropped(format!("{}: made no message of it", self.plugin.name()))
            }
            Answer::Messages(drafts) => {
                Applied::Made(drafts.into_iter().map(|draft| inherit(draft, &view)).collect())
            }
        }
    }

    fn failed(&self, view: View, error: &CallError) -> Result<Applied, Failure> {
        let reason = format!("plugin `{}` {error}", self.plugin.name());
        match error {
            CallError::Config(_) if self.guard.as_ref().is_some_and(Guard::waits) => {
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

/// How much of what plugins said is in a history already.
fn said(trail: &[TrailEntry]) -> usize {
    let lines = trail.iter().filter_map(|entry| match entry {
        TrailEntry::Step { log, .. } => Some(log),
        TrailEntry::Attempt { .. } | TrailEntry::Failed { .. } | TrailEntry::Replayed { .. } => None,
    });
    lines.flatten().map(String::len).sum()
}

/// What history and metrics call it when a plugin was not called.
const QUARANTINED: &str = "quarantined";

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
mod quarantine_tests;

#[cfg(test)]
mod tests;
