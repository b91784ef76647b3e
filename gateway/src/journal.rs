//! The journal: the durable store of events and of what became of them. The wall between `ingest` and `dispatch`.
//!
//! It speaks of events, deliveries, attempts and time. It knows nothing of HTTP servers, routes' rules or plugins.
//! What was appended is handed out by [`Journal::claim`] until it is settled; only what was never acknowledged
//! can be lost. Leases are memory: after a crash everything unsettled is handed out again, so a lost completion
//! is a duplicate with the same `webhook-id`, never a loss.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::kv::{KEY_MAX, KvError, KvKey, KvSpace, KvStore, KvValue, VALUE_MAX};
use crate::{
    clock::Timestamp,
    event::{Event, EventId, Message},
};

mod kv;

pub mod sqlite;

#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// What this engine can promise. A config that needs more is refused at start.
    fn caps(&self) -> Caps;

    /// Writes the event and returns once it is durable at [`Caps::ack`].
    ///
    /// With `dedupe`, an event whose route and delivery id were accepted within that window is not written
    /// again; the first one's id comes back once *that* one is durable. The delivery id is recorded together
    /// with the event: a refused or failed append burns nothing.
    ///
    /// # Errors
    /// [`JournalError::Full`] passes by itself; [`JournalError::Poisoned`] and [`JournalError::Closed`] do not.
    async fn append(&self, event: Arc<Event>, dedupe: Option<Duration>) -> Result<Appended, JournalError>;

    /// Leases up to `max` events that want a dispatch, in the order of acceptance; waits until there is one.
    /// Each stays leased until [`settle`](Self::settle), or until the process ends. Events to be dispatched again
    /// go first, but leave half of the places to fresh ones. May be dropped at any time without losing a lease,
    /// and called by several tasks.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`] and [`JournalError::Closed`]: nothing will be handed out any more.
    /// [`JournalError::Query`]: this read failed; the next may not.
    async fn claim(&self, max: usize) -> Result<Vec<Claim>, JournalError>;

    /// Records the end of a dispatch. Rides in a later group commit; nobody waits for it. It is kept while the disk
    /// is full; a crash before it is written has the event dispatched once more. Ignored, with a warning in the
    /// log, for an event that is not leased.
    fn settle(&self, settlement: Settlement);

    /// Leases up to `max` deliveries to `destination` that are due at `now`, the longest due first; sees what was
    /// settled before. Each stays leased until [`settle_delivery`](Self::settle_delivery), or until the process
    /// ends. Does not wait: [`Due::next`] says when to ask again, though a replay may make some due before.
    async fn claim_due(&self, destination: &str, now: Timestamp, max: usize) -> Result<Due, JournalError>;

    /// The destinations that deliveries are waiting for, due or not, each once. Asked at start, to find those that
    /// are no longer in the config.
    async fn waiting_destinations(&self) -> Result<Vec<Arc<str>>, JournalError>;

    /// Records one more attempt at a delivery that had been waiting. Nobody waits for it.
    fn settle_delivery(&self, attempt: DeliveryAttempt);

    /// Events by filter, the newest first. Like the other questions, sees what was settled before it.
    async fn events(&self, filter: EventFilter) -> Result<Vec<EventSummary>, JournalError>;

    /// Everything known of one event.
    async fn event(&self, id: EventId) -> Result<Option<EventRecord>, JournalError>;

    /// Dead letters by filter, the newest first.
    async fn dead_letters(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, JournalError>;

    /// Dispatches an event once more, through the pipeline as it is now: its attempts start from zero and its
    /// messages keep their `webhook-id`s. What was left undelivered by earlier dispatches is discarded. An event that
    /// is open or in hand is left as it is, since it is about to be, or being, dispatched anyway: it never runs
    /// twice at once. Durable when it returns. `false` if there is no such event.
    async fn replay_event(&self, id: EventId, now: Timestamp) -> Result<bool, JournalError>;

    /// Gives dead letters another full schedule and returns how many. Durable when it returns.
    /// A delivery that died is delivered again as it was; an event whose pipeline failed is dispatched again.
    async fn replay_dead(&self, filter: DeadFilter, now: Timestamp) -> Result<u64, JournalError>;

    /// A cheap look at how the journal is doing, for readiness and metrics.
    fn health(&self) -> Health;

    /// Writes what is still queued and closes. Appends after this fail with [`JournalError::Closed`].
    async fn close(&self);
}

/// What an engine promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub ack: AckLevel,
    /// Whether several gateways may share it.
    pub shared: bool,
}

/// What is true of an event once [`Journal::append`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AckLevel {
    /// It has been fsynced on this machine's disk: it survives a crash of the process and of the machine.
    LocalFsync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    New,
    /// The same delivery was accepted before, as this event.
    Duplicate(EventId),
}

/// An event leased for dispatch.
#[derive(Clone, Debug)]
pub struct Claim {
    pub event: Arc<Event>,
    /// 1 for the first dispatch, one more after every [`Ending::RetryAt`].
    pub attempt: u32,
}

/// The end of one dispatch of one event.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub event: EventId,
    /// What happened, in order; appended to the event's history.
    pub trail: Vec<TrailEntry>,
    pub ending: Ending,
}

#[derive(Clone, Debug)]
pub enum Ending {
    /// Every message has been delivered, is waiting for its next attempt, or is a dead letter.
    /// Only what is not yet delivered is listed; an empty list means that all of it has arrived.
    Delivered { unfinished: Vec<Delivery> },
    /// A plugin dropped it.
    Dropped { reason: String },
    /// The pipeline failed for good.
    Dead { reason: String },
    /// The pipeline failed; dispatch again then.
    RetryAt { due: Timestamp },
    /// Not now; dispatch then, as the same attempt.
    Later { due: Timestamp },
}

/// Names one delivery: the same on every retry and after every crash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryKey {
    pub event: EventId,
    /// The destination's name.
    pub destination: Arc<str>,
    /// Which of the messages that the pipeline made, from 0.
    pub index: u32,
}

impl DeliveryKey {
    /// The `webhook-id` a receiver can drop duplicates by.
    pub fn webhook_id(&self) -> String {
        format!("{}_{}_{}", self.event, self.destination, self.index)
    }
}

/// A message that has not arrived yet.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub key: DeliveryKey,
    /// The name of the route that the event came in by.
    pub route: Arc<str>,
    pub message: Message,
    /// How many attempts have been made since the last replay.
    pub attempts: u32,
    /// The batch that it is attempted in again, if it waits for that.
    pub batch: Option<BatchTag>,
    pub state: DeliveryState,
}

/// A delivery's place in a batch that is attempted again: those with the same id wait until the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchTag {
    pub id: [u8; 16],
    /// How many deliveries there are in the batch.
    pub members: u32,
    /// Which of them this is, from 0.
    pub place: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waiting for its next attempt. Due at once where a lane had no room for it.
    Waiting { due: Timestamp },
    /// Given up.
    Dead { at: Timestamp, reason: String },
}

/// The deliveries of one destination that are due.
#[derive(Clone, Debug, Default)]
pub struct Due {
    pub deliveries: Vec<Delivery>,
    /// When the next one of those that were not handed out is due.
    pub next: Option<Timestamp>,
}

/// What became of one more attempt at a waiting delivery.
#[derive(Clone, Debug)]
pub struct DeliveryAttempt {
    pub key: DeliveryKey,
    pub trail: Vec<TrailEntry>,
    pub attempts: u32,
    /// In place of the batch that it waited for.
    pub batch: Option<BatchTag>,
    /// `None`: it arrived.
    pub state: Option<DeliveryState>,
}

/// One line of an event's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum TrailEntry {
    /// A plugin ran.
    Step {
        at: Timestamp,
        plugin: String,
        micros: u64,
        /// `keep`, `drop`, `messages`, or the kind of failure: `invalid`, `retry`, `config`, `other`, `trap`,
        /// `time-limit`, `memory-limit`, `output-limit`, `wait-limit`.
        outcome: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log: Vec<String>,
    },
    /// A delivery was attempted.
    Attempt {
        at: Timestamp,
        destination: String,
        index: u32,
        number: u32,
        millis: u64,
        /// `delivered`, `retry`, `dead`, or `split`: attempted again at once, in smaller batches.
        outcome: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// The first bytes of the answer's body, as text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
        /// When it will be attempted next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<Timestamp>,
        /// How many deliveries were in the batch, where it was attempted in one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch: Option<u32>,
    },
    /// The event could not be dispatched at all.
    Failed { at: Timestamp, reason: String },
    /// Somebody asked for it again.
    Replayed { at: Timestamp },
}

/// Where an event is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EventState {
    /// Accepted: not dispatched yet, or in hand right now.
    Open,
    /// A delivery, or the pipeline, will be tried again; or the event was put back to be dispatched later.
    Waiting,
    Delivered,
    Dropped,
    /// At least one delivery was given up, or the pipeline failed for good.
    Dead,
}

#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub route: Option<String>,
    pub state: Option<EventState>,
    pub since: Option<Timestamp>,
    /// At most this many; the engine may cap it at 1,000. 0 means as many as that.
    pub limit: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct EventSummary {
    pub id: EventId,
    pub route: String,
    pub received_at: Timestamp,
    pub state: EventState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
}

/// An event, where it is on its way, and what has happened to it.
#[derive(Clone, Debug)]
pub struct EventRecord {
    pub event: Arc<Event>,
    pub state: EventState,
    /// Why it was dropped, or why its pipeline gave it up.
    pub reason: Option<String>,
    pub trail: Vec<TrailEntry>,
    /// The messages that have not arrived.
    pub unfinished: Vec<Delivery>,
}

#[derive(Clone, Debug, Default)]
pub struct DeadFilter {
    pub event: Option<EventId>,
    pub route: Option<String>,
    pub destination: Option<String>,
    /// Died at this moment or later.
    pub since: Option<Timestamp>,
    /// Died at this moment or earlier.
    pub until: Option<Timestamp>,
    /// At most this many; 0 means no limit where that makes sense (a replay).
    pub limit: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    pub event: EventId,
    pub route: String,
    /// `None`: the event never got past its pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    pub received_at: Timestamp,
    pub died_at: Timestamp,
    pub attempts: u32,
    pub reason: String,
}

#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Why nothing can be written, if so.
    pub failure: Option<String>,
    /// Events accepted and not yet delivered, dropped or dead.
    pub depth: u64,
    /// When the oldest of them was received.
    pub oldest: Option<Timestamp>,
    pub dead_letters: u64,
    pub disk_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// No room, on the disk or within `max_size`. Passes once there is room again.
    #[error("journal is full: {0}")]
    Full(String),
    /// A write or an fsync failed: nothing more is written until a restart.
    #[error("journal stopped after a failed write: {0}")]
    Poisoned(String),
    #[error("journal is closed")]
    Closed,
    #[error(
        "journal `{path}` is in use by another process\n\
         hint: stop that process, or give this one a `journal.path` of its own"
    )]
    Locked { path: PathBuf },
    #[error("journal `{path}` is damaged: {detail}")]
    Damaged { path: PathBuf, detail: String },
    #[error("journal `{path}` has format {found}; this version of Sluice reads {supported}")]
    Format { path: PathBuf, found: i64, supported: i64 },
    #[error("failed to open journal `{path}`")]
    Open { path: PathBuf, source: io::Error },
    #[error("journal query failed")]
    Query(#[source] Box<dyn std::error::Error + Send + Sync>),
}
