//! A route's plugins, in order: an event goes in, a verdict comes out.

use std::{sync::Arc, time::Duration};

use http::header::CONTENT_TYPE;

use crate::{
    clock::{Clock, SystemClock, Timestamp},
    config,
    event::{Event, Headers, Message},
    journal::TrailEntry,
    plugin::{Draft, Plugin, PluginError, PluginHost, View},
    telemetry::Metrics,
};

use self::{
    actor::Actor,
    reach::Room,
    step::{Applied, Step},
};
pub use self::{
    canary::Canary,
    comparison::{Difference, What},
    edge::AtEdge,
    figures::{Differing, Figures, Tally},
    quarantine::{Held, Quarantine},
};
pub(crate) use self::{
    quarantine::Leave,
    watched::{QUARANTINED, Watched},
};

mod actor;
mod canary;
mod comparison;
mod edge;
mod figures;
mod quarantine;
mod reach;
mod step;
mod watched;

/// The most messages that can be made of one event.
pub const MAX_MESSAGES: usize = 1_000;
/// The most bytes that the messages of one event may have together, unless one call may hand over more.
const MAX_BYTES: usize = 16 << 20;

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
    /// What is tried out beside the plugin.
    pub canary: Option<&'a Canary>,
}

/// Where on a route a plugin is; steps are counted from 1, those at the edge with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Verify,
    Edge(usize),
    Pipeline(usize),
    Batch,
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
    /// Loads the plugins of a route, and their canaries. As slow as [`PluginHost::load`]. A plugin that was `before` on
    /// the route, and is still the same, stays in its quarantine, and a canary keeps its figures.
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
        let before = before.map_or(&[][..], |before| &*before.steps);
        for (index, step) in route.pipeline.iter().enumerate() {
            match Step::build(route, step, host, metrics, &Known { here: &steps, before }) {
                Ok(step) => steps.push(step),
                Err(error) => broken.push((index, error)),
            }
        }
        if !broken.is_empty() {
            return Err(broken);
        }
        let edge = edge::Edge::of(&route.pipeline, steps.iter().map(|step| &**step.current().plugin()));
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
            let held = step.current().waiting()?;
            // An event may be let through; the step says which.
            (held.probe > now).then(|| held.wait(now))
        });
        waits.max()
    }

    /// Every step, with the quarantine that it is in.
    pub fn steps(&self) -> impl Iterator<Item = StepStatus<'_>> {
        self.steps.iter().zip(1..).map(|(step, number)| StepStatus {
            place: if number <= self.edge.steps { Place::Edge(number) } else { Place::Pipeline(number) },
            plugin: step.current().plugin(),
            quarantined: step.current().held(),
            canary: step.canary(),
        })
    }

    /// Ends the quarantines of a plugin and its canary by hand; whether there was one.
    pub fn resume(&self, plugin: &str) -> bool {
        let named = self.actors().filter(|actor| **actor.plugin().name() == *plugin);
        // Every one of them, so not `any`.
        named.filter(|actor| actor.resume()).count() > 0
    }

    /// Says which quarantines of this pipeline are over now that `new` is in its place.
    pub fn say_replaced_by(&self, new: Option<&Self>) {
        for actor in self.actors() {
            actor.watched().replaced_by(new.into_iter().flat_map(Self::actors).map(Actor::watched));
        }
    }

    /// The plugins in force, and their candidates.
    fn actors(&self) -> impl Iterator<Item = &Actor> {
        self.steps.iter().flat_map(Step::actors)
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
                match step.apply(view, room, &self.clock, trail).await? {
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

/// Steps that were built before this one: their memory goes on where they do the same.
struct Known<'a> {
    /// Of the same pipeline.
    here: &'a [Step],
    /// Of the one that it replaces.
    before: &'a [Step],
}

impl<'a> Known<'a> {
    fn all(&self) -> impl Iterator<Item = &'a Step> + use<'a> {
        self.here.iter().chain(self.before)
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

#[cfg(test)]
mod canary_tests;

#[cfg(test)]
mod edge_tests;

#[cfg(test)]
mod quarantine_tests;

#[cfg(test)]
mod tests;
