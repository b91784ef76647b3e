//! A route's plugins, in order: an event goes in, a verdict comes out.

use std::{sync::Arc, time::Duration};

use crate::{
    event::{Event, Headers, Message},
    journal::TrailEntry,
};

/// What a pipeline made of an event.
#[derive(Debug)]
pub struct Outcome {
    /// One entry for every call of a plugin.
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
#[derive(Clone, Default)]
pub struct Pipeline {
    steps: Arc<[()]>,
}

impl Pipeline {
    /// Runs every step. `attempt` counts from 1. Without steps the event's own body is the message.
    pub async fn run(&self, event: &Arc<Event>, _attempt: u32) -> Outcome {
        let _ = &self.steps;
        let mut headers = Headers::default();
        if let Some(kind) = event.headers.get("content-type") {
            headers.append(http::header::CONTENT_TYPE, kind.clone());
        }
        let message = Message { headers, body: event.body.clone(), destinations: None, key: None };
        Outcome { trail: Vec::new(), verdict: Ok(Verdict::Deliver(vec![message])) }
    }
}
