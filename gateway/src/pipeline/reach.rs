//! What only the route can say of a plugin's answer: where it delivers to, and how much of it there may be.

use std::sync::Arc;

use super::{MAX_BYTES, MAX_MESSAGES};
use crate::plugin::{Answer, CallError, Draft, View};

/// How far the answers of a step may go.
pub(super) struct Reach {
    /// The route's destinations.
    destinations: Vec<Arc<str>>,
    /// The most bytes that the messages of one event may have together.
    pub(super) max_bytes: usize,
}

/// What is left for a step's messages of what all of an event may be.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Reach {
    /// `max_output` is the most that one call may hand over.
    pub(super) fn new(destinations: &[Arc<str>], max_output: usize) -> Self {
        Self { destinations: destinations.to_vec(), max_bytes: max_output.max(MAX_BYTES) }
    }

    /// Checks what only the route can know of an answer.
    pub(super) fn accept(&self, answer: Answer, view: &View, room: Room) -> Result<Answer, CallError> {
        let Answer::Messages(drafts) = &answer else { return Ok(answer) };
        if drafts.len() > room.messages {
            let made = MAX_MESSAGES - room.messages + drafts.len();
            return Err(CallError::MessageLimit { made, limit: MAX_MESSAGES });
        }
        // Each message inherits what the step before attached.
        let inherited = view.draft().map_or(0, Draft::attributes_size);
        let made: usize = drafts.iter().map(|draft| draft.size() + inherited).sum();
        if made > room.bytes {
            return Err(CallError::BytesLimit { limit: self.max_bytes });
        }
        self.check_destinations(drafts)?;
        Ok(answer)
    }

    fn check_destinations(&self, drafts: &[Draft]) -> Result<(), CallError> {
        let mut named = drafts.iter().filter_map(|draft| draft.message.destinations.as_ref()).flatten();
        let Some(unknown) = named.find(|name| !self.destinations.iter().any(|known| **known == ***name))
        else {
            return Ok(());
        };
        let known = self.destinations.join("`, `");
        Err(CallError::Other(format!(
            "made a message for `{unknown}`, to which this route does not deliver; it delivers to `{known}`"
        )))
    }
}
