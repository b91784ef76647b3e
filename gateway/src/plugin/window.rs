//! What a `batch` plugin sees: messages that wait to be delivered together.

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    event::{EventId, Message},
};

/// Messages of one route on their way to one destination, in the order in which they came. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Window {
    pub route: Arc<str>,
    pub destination: Arc<str>,
    pub items: Arc<[Item]>,
}

/// A message of a window.
#[derive(Clone, Debug)]
pub struct Item {
    pub event: EventId,
    /// The `webhook-id` that it would have alone.
    pub webhook_id: String,
    pub received_at: Timestamp,
    pub message: Message,
}

/// What a batch plugin makes of some items of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    pub message: Message,
    /// The places of the items that are in it, in order and each once.
    pub items: Vec<usize>,
}
