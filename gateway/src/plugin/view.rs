//! What a plugin sees of an event.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::event::{Event, Headers, Message};

/// A message on its way through the pipeline: what one step made, and the next one sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub message: Message,
    /// Read by later steps; not delivered.
    pub attributes: Vec<(String, String)>,
}

impl Draft {
    /// What it takes of the host's memory, in bytes and about.
    pub(crate) fn size(&self) -> usize {
        let Message { headers, body, destinations, key } = &self.message;
        let headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let destinations: usize = destinations.iter().flatten().map(String::len).sum();
        let key = key.as_ref().map_or(0, String::len);
        body.len() + headers + destinations + key + self.attributes_size()
    }

    /// The part of it that later messages inherit.
    pub(crate) fn attributes_size(&self) -> usize {
        self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// An event as one step sees it: as received or, behind a transform, as that step made it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct View {
    event: Arc<Event>,
    attempt: u32,
    draft: Option<Arc<Draft>>,
}

impl View {
    /// The event as received. `attempt` counts from 1.
    pub fn of(event: Arc<Event>, attempt: u32) -> Self {
        Self { event, attempt, draft: None }
    }

    /// The same event with the message that a step made of it.
    pub fn with(&self, draft: Draft) -> Self {
        Self { event: Arc::clone(&self.event), attempt: self.attempt, draft: Some(Arc::new(draft)) }
    }

    /// What an earlier step made, if one made anything.
    pub fn draft(&self) -> Option<&Draft> {
        self.draft.as_deref()
    }

    /// What an earlier step made, else the event as received.
    pub fn into_draft(self) -> Result<Draft, Arc<Event>> {
        self.draft.map(Arc::unwrap_or_clone).ok_or(self.event)
    }

    pub fn event(&self) -> &Event {
        &self.event
    }

    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The values of a header: those that the step before gave it, else those received.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &HeaderValue> {
        let made = self.made().filter(|made| made.get(name).is_some());
        made.unwrap_or(&self.event.headers).get_all(name)
    }

    /// All headers: those that the step before gave, and those received that it did not replace.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let made = self.made();
        let received = self.event.headers.iter();
        let left =
            received.filter(move |(name, _)| made.is_none_or(|made| made.get(name.as_str()).is_none()));
        made.into_iter().flat_map(Headers::iter).chain(left)
    }

    fn made(&self) -> Option<&Headers> {
        self.draft.as_ref().map(|draft| &draft.message.headers)
    }

    pub fn body(&self) -> &Bytes {
        self.draft.as_ref().map_or(&self.event.body, |draft| &draft.message.body)
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        let attributes = &self.draft.as_ref()?.attributes;
        attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
