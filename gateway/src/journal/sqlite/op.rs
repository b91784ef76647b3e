//! What is asked of the writer.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{dedupe, feed::Lease, kv::KvOp, status::Refusal};
use crate::{
    clock::Timestamp,
    event::{Event, EventId},
    journal::{Appended, DeadFilter, DeliveryAttempt, Ending, KvError, TrailEntry},
};

pub(super) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

pub(super) enum Op {
    Append(Append),
    Settle(Settle),
    Attempt(Attempt),
    Replay {
        id: EventId,
        now: Timestamp,
        reply: Reply<bool>,
    },
    ReplayDead {
        page: DeadPage,
        reply: Reply<DeadPage>,
    },
    /// Changes a plugin's value.
    Value(KvOp),
    /// Answered once everything before it has been written.
    Flush(Reply<()>),
}

pub(super) struct Append {
    pub(super) event: Arc<Event>,
    /// Encoded by the caller's thread: the writer is the one thread that all of them wait for.
    pub(super) head: Vec<u8>,
    pub(super) crc: i64,
    pub(super) dedupe: Option<Dedupe>,
    pub(super) reply: Reply<Appended>,
    /// The event's share of what may be queued, given back when the operation is done.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

pub(super) struct Dedupe {
    pub(super) key: dedupe::Key,
    pub(super) window: Duration,
}

pub(super) struct Settle {
    pub(super) id: EventId,
    pub(super) lease: Lease,
    /// JSON lines.
    pub(super) trail: String,
    pub(super) ending: Ending,
}

pub(super) struct Attempt {
    pub(super) made: DeliveryAttempt,
    /// JSON lines.
    pub(super) trail: String,
}

/// One chunk of a replay of dead letters, the newest first, so that a million of them do not stall the writer.
#[derive(Clone, Debug)]
pub(super) struct DeadPage {
    pub(super) filter: DeadFilter,
    pub(super) now: Timestamp,
    /// Where the previous chunk ended: when the last one died, and its row.
    pub(super) before: Option<(i64, i64)>,
    /// How many this chunk may replay; afterwards, how many it did.
    pub(super) count: u64,
}

/// What an operation came to, given to whoever waits for it once it is durable.
pub(super) enum Answer {
    Nothing,
    Appended(Appended),
    Replayed(bool),
    ReplayedDead(DeadPage),
    Changed(Result<i64, KvError>),
}

impl Op {
    /// Whether somebody waits for it. The others may ride in a later group.
    pub(super) fn is_urgent(&self) -> bool {
        match self {
            Self::Append(_)
            | Self::Replay { .. }
            | Self::ReplayDead { .. }
            | Self::Value(_)
            | Self::Flush(_) => true,
            Self::Settle(_) | Self::Attempt(_) => false,
        }
    }

    /// Whether it brings in something new, and so is refused while there is no room.
    pub(super) fn needs_room(&self) -> bool {
        match self {
            Self::Append(_) => true,
            Self::Value(op) => op.grows(),
            Self::Settle(_)
            | Self::Attempt(_)
            | Self::Replay { .. }
            | Self::ReplayDead { .. }
            | Self::Flush(_) => false,
        }
    }

    /// Whether it may change which deliveries wait.
    pub(super) fn touches_deliveries(&self) -> bool {
        match self {
            Self::Append(_) | Self::Value(_) | Self::Flush(_) => false,
            Self::Settle(settle) => {
                settle.lease.again
                    || matches!(&settle.ending, Ending::Delivered { unfinished } if !unfinished.is_empty())
            }
            Self::Attempt(_) | Self::Replay { .. } | Self::ReplayDead { .. } => true,
        }
    }

    /// Roughly the bytes it writes.
    pub(super) fn size(&self) -> usize {
        const ROW: usize = 128;
        match self {
            Self::Append(append) => ROW + append.head.len() + append.event.body.len(),
            Self::Settle(settle) => ROW + settle.trail.len() + unfinished_size(&settle.ending),
            Self::Attempt(attempt) => ROW + attempt.trail.len(),
            Self::Replay { .. } | Self::ReplayDead { .. } => ROW,
            Self::Value(op) => ROW + op.size(),
            Self::Flush(_) => 0,
        }
    }

    /// Gives the answer. Whoever has stopped waiting does not need it.
    pub(super) fn answer(self, answer: Answer) {
        match (self, answer) {
            (Self::Append(append), Answer::Appended(appended)) => drop(append.reply.send(Ok(appended))),
            (Self::Replay { reply, .. }, Answer::Replayed(found)) => drop(reply.send(Ok(found))),
            (Self::ReplayDead { reply, .. }, Answer::ReplayedDead(page)) => drop(reply.send(Ok(page))),
            (Self::Value(op), Answer::Changed(made)) => drop(op.reply.send(Ok(made))),
            (Self::Flush(reply), _) => drop(reply.send(Ok(()))),
            _ => {}
        }
    }

    pub(super) fn refuse(self, refusal: Refusal) {
        match self {
            Self::Append(append) => drop(append.reply.send(Err(refusal))),
            Self::Replay { reply, .. } => drop(reply.send(Err(refusal))),
            Self::ReplayDead { reply, .. } => drop(reply.send(Err(refusal))),
            Self::Value(op) => drop(op.reply.send(Err(refusal))),
            Self::Flush(reply) => drop(reply.send(Err(refusal))),
            Self::Settle(_) | Self::Attempt(_) => {}
        }
    }
}

fn unfinished_size(ending: &Ending) -> usize {
    match ending {
        Ending::Delivered { unfinished } => unfinished.iter().map(|d| 256 + d.message.body.len()).sum(),
        Ending::Dropped { .. } | Ending::Dead { .. } | Ending::RetryAt { .. } | Ending::Later { .. } => 0,
    }
}

/// A history as JSON lines, each ended, so that more can be appended as bytes.
pub(super) fn encode_trail(trail: &[TrailEntry]) -> String {
    let mut lines = Vec::with_capacity(trail.len() * 160);
    for entry in trail {
        // Writing to memory cannot fail, and every entry is a map with string keys.
        if serde_json::to_writer(&mut lines, entry).is_ok() {
            lines.push(b'\n');
        }
    }
    String::from_utf8(lines).unwrap_or_default()
}

/// Reads what [`encode_trail`] wrote. A line that is not an entry (of a newer version, say) is left out.
pub(super) fn decode_trail(lines: &str) -> Vec<TrailEntry> {
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
