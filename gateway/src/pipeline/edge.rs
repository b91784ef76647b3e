//! A pipeline's filters at the edge: they see an event before it is written down, while its sender waits.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Pipeline, actor::outcome, step::Step};
use crate::{
    config::{self, At},
    event::{Event, Passed},
    plugin::{Answer, Call, Plugin, View},
};

/// What is known of the steps at the edge once they are loaded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edge {
    /// How many of the pipeline's steps they are: the first ones.
    pub(super) steps: usize,
    /// What an event is marked with that they keep; `None` where there is none of them.
    pub(super) passed: Option<Passed>,
}

/// What the filters at the edge say of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtEdge {
    /// All of them keep it.
    Kept(Passed),
    /// One drops it, for this reason.
    Dropped { reason: String },
    /// There are none, or one could not say: the steps behind the journal are to see the event.
    Undecided,
}

impl Edge {
    /// `plugins` are those of the steps.
    pub(super) fn of<'a>(steps: &[config::Step], plugins: impl Iterator<Item = &'a Plugin>) -> Self {
        let at_edge: Vec<_> = steps.iter().zip(plugins).filter(|(step, _)| step.at == At::Edge).collect();
        if at_edge.is_empty() {
            return Self::default();
        }
        let mut digest = Sha256::new();
        for (step, plugin) in &at_edge {
            let config = step.config.to_string();
            digest.update(plugin.sha256());
            digest.update((config.len() as u64).to_le_bytes());
            digest.update(config);
        }
        Self { steps: at_edge.len(), passed: Some(Passed::by(&digest.finalize().into())) }
    }
}

impl Pipeline {
    /// Whether there are filters at the edge.
    pub fn has_edge(&self) -> bool {
        self.edge.passed.is_some()
    }

    /// Asks the filters at the edge about an event. What fails there decides nothing: the step is run again behind the
    /// journal, where its `on_error` does.
    pub async fn at_edge(&self, event: &Arc<Event>) -> AtEdge {
        let Some(passed) = self.edge.passed else { return AtEdge::Undecided };
        let view = View::of(event.clone(), 1);
        for step in &self.steps[..self.edge.steps] {
            match step.at_edge(&view, self).await {
                Some(Answer::Keep) => {}
                Some(Answer::Drop(reason)) => {
                    let reason = format!("{}: {reason}", step.current().plugin().name());
                    return AtEdge::Dropped { reason };
                }
                // Only filters are loaded for the edge, and those make no messages.
                Some(Answer::Messages(_)) | None => return AtEdge::Undecided,
            }
        }
        AtEdge::Kept(passed)
    }
}

impl Step {
    /// What its filter says; `None` where it is in quarantine, or fails.
    async fn at_edge(&self, view: &View, Pipeline { clock, .. }: &Pipeline) -> Option<Answer> {
        let watched = self.current().watched();
        let leave = watched.admit(clock.now()).ok()?;
        let Call { answer, elapsed, log, counts: _ } = watched.plugin().call(view).await;
        watched.note(leave, &answer, &log, clock.now());
        watched.record(outcome(&answer), elapsed);
        let plugin = watched.plugin().name();
        answer
            .inspect_err(|error| {
                tracing::debug!(%plugin, %error, "filter at the edge cannot say, it runs behind the journal");
            })
            .ok()
    }
}
