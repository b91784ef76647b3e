//! A route's plugins, in order: an event goes in, a verdict comes out.

use std::{sync::Arc, time::Duration};

use http::header::CONTENT_TYPE;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use crate::{
    clock::{Clock, SystemClock},
    config::{self, OnError},
    event::{Event, Headers, Message},
    journal::TrailEntry,
    plugin::{Answer, Call, CallError, Draft, Plugin, PluginError, PluginHost, View},
    telemetry::{Metrics, PluginLabels, PluginOutcomeLabels, seconds},
};

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
}

/// An ordered list of configured plugins. Cheap to clone; immutable.
#[derive(Clone)]
pub struct Pipeline {
    steps: Arc<[Step]>,
    clock: Arc<dyn Clock>,
}

impl Pipeline {
    /// Loads the plugins of a route. As slow as [`PluginHost::load`].
    ///
    /// # Errors
    /// Fails with the first plugin that cannot be loaded.
    pub fn build(route: &config::Route, host: &PluginHost, metrics: &Metrics) -> Result<Self, PluginError> {
        let steps: Result<_, _> =
            route.pipeline.iter().map(|step| Step::build(route, step, host, metrics)).collect();
        Ok(Self { steps: steps?, ..Self::default() })
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
    plugin: Arc<Plugin>,
    on_error: OnError,
    /// The route's destinations.
    destinations: Vec<Arc<str>>,
    seconds: Histogram,
    outcomes: Vec<(&'static str, Counter)>,
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
    fn build(
        route: &config::Route,
        step: &config::Step,
        host: &PluginHost,
        metrics: &Metrics,
    ) -> Result<Self, PluginError> {
        let plugin = host.load(&step.plugin, &step.config)?;
        let counter = |outcome| {
            let (route, plugin) = (Arc::clone(&route.name), Arc::clone(plugin.name()));
            metrics.plugin_outcomes.get_or_create_owned(&PluginOutcomeLabels { route, plugin, outcome })
        };
        let outcomes =
            ANSWERS.into_iter().chain(CallError::OUTCOMES).map(|name| (name, counter(name))).collect();
        let labels = PluginLabels { route: Arc::clone(&route.name), plugin: Arc::clone(plugin.name()) };
        let seconds = metrics.plugin_seconds.get_or_create_owned(&labels);
        Ok(Self { plugin, on_error: step.on_error, destinations: route.deliver.clone(), seconds, outcomes })
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
        let Call { answer, elapsed, log } = self.plugin.call(&view).await;
        let answer = answer.and_then(|answer| self.accept(answer, &view, room));
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
        match (error, self.on_error) {
            (CallError::Invalid(_) | CallError::Config(_), _) => Err(Failure::DeadLetter { reason }),
            (CallError::Retry { after, .. }, _) => Err(Failure::Retry { after: *after, reason }),
            (_, OnError::Retry) => Err(Failure::Retry { after: None, reason }),
            (_, OnError::DeadLetter) => Err(Failure::DeadLetter { reason }),
            (_, OnError::Pass) => Ok(Applied::Kept(view)),
            (_, OnError::Drop) => Ok(Applied::Dropped(reason)),
        }
    }

    fn record(&self, outcome: &str, elapsed: Duration) {
        self.seconds.observe(seconds(elapsed));
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
mod tests;
