//! What wants a dispatch, in hand or waiting for one.
//!
//! Events just appended are handed on from memory. Where the dispatcher falls behind, the memory is bounded: from
//! then on events are read back from the database by their sequence number, until it has caught up.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{
    clock::Timestamp,
    event::{Event, EventId},
    journal::Claim,
};

/// What waits in memory: half a second of work at full speed, and a bounded part of the process's size.
const MAX_READY: usize = 4096;
const MAX_READY_BYTES: usize = 16 << 20;
/// The events read back at a time.
pub(super) const LOAD_EVENTS: usize = 512;
pub(super) const LOAD_BYTES: usize = 8 << 20;

pub(super) struct Feed {
    desk: Mutex<Desk>,
    bell: Notify,
}

/// An event ready to be claimed.
pub(super) struct Ready {
    pub(super) seq: i64,
    pub(super) event: Arc<Event>,
    pub(super) attempt: u32,
}

/// What the journal keeps of an event while it is in hand.
#[derive(Clone)]
pub(super) struct Lease {
    pub(super) seq: i64,
    pub(super) route: Arc<str>,
    pub(super) received: Timestamp,
    /// To tell, without reading it back, whether a message is the event's own body.
    pub(super) body: Bytes,
    pub(super) attempt: u32,
    /// Whether it was dispatched before, and so has an outcome.
    pub(super) again: bool,
    settling: bool,
}

/// What a claim got.
pub(super) enum Taken {
    Claims(Vec<Claim>),
    /// There is more in the database: [`Feed::plan`] says what.
    Load,
    /// Nothing, until then or until the bell rings.
    Nothing {
        until: Option<Timestamp>,
    },
}

/// What to read from the database.
pub(super) struct Plan {
    /// Fresh events from this sequence number to that one.
    pub(super) fresh: Option<(i64, i64)>,
    /// Events to be seen again, but not these: they were in hand before the read began. Those dispatched for the
    /// first time count as well, for their settlements may be in the database before their leases end.
    pub(super) again: Option<HashSet<i64>>,
}

struct Desk {
    /// In the order of acceptance.
    fresh: VecDeque<Ready>,
    fresh_bytes: usize,
    again: VecDeque<Ready>,
    /// From here on fresh events are only in the database.
    spilled_from: Option<i64>,
    /// The last event committed.
    tail: i64,
    /// When the next of those that are only in `redo` is due; possibly too early, never too late.
    next_again: Option<Timestamp>,
    leases: HashMap<EventId, Lease>,
    open_seqs: BTreeSet<i64>,
    again_seqs: HashSet<i64>,
    /// No claims: settlements cannot be written and would pile up.
    paused: bool,
}

impl Feed {
    /// Starts with what is in the database: fresh events from `spilled_from`, others due from `next_again`.
    pub(super) fn new(tail: i64, spilled_from: Option<i64>, next_again: Option<Timestamp>) -> Self {
        let desk = Desk {
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            again: VecDeque::new(),
            spilled_from,
            tail,
            next_again,
            leases: HashMap::new(),
            open_seqs: BTreeSet::new(),
            again_seqs: HashSet::new(),
            paused: false,
        };
        Self { desk: Mutex::new(desk), bell: Notify::new() }
    }

    pub(super) fn bell(&self) -> &Notify {
        &self.bell
    }

    pub(super) fn wake_all(&self) {
        self.bell.notify_waiters();
    }

    /// Takes in events that have just been committed, in their order.
    pub(super) fn publish(&self, events: Vec<Ready>) {
        if events.is_empty() {
            return;
        }
        let mut desk = self.desk();
        events.into_iter().for_each(|ready| desk.publish(ready));
        drop(desk);
        self.bell.notify_one();
    }

    /// Notes that an event is to be seen again.
    pub(super) fn publish_again(&self, due: Timestamp) {
        self.desk().note_again(Some(due));
        self.bell.notify_one();
    }

    /// Leases up to `max` events.
    pub(super) fn take(&self, max: usize, now: Timestamp) -> Taken {
        let mut desk = self.desk();
        if desk.paused || max == 0 {
            return Taken::Nothing { until: None };
        }
        if desk.wants_load(now) {
            return Taken::Load;
        }
        let claims = desk.take(max);
        if claims.is_empty() {
            return Taken::Nothing { until: desk.next_again };
        }
        let more = !desk.fresh.is_empty() || !desk.again.is_empty();
        drop(desk);
        if more {
            self.bell.notify_one();
        }
        Taken::Claims(claims)
    }

    /// What is to be read now. Whoever asks must be the only one reading, and must answer with
    /// [`loaded`](Self::loaded).
    pub(super) fn plan(&self, now: Timestamp) -> Plan {
        let mut desk = self.desk();
        let fresh = desk.spilled_from.filter(|_| desk.fresh.is_empty()).map(|from| (from, desk.tail));
        let again = desk.is_again_due(now).then(|| {
            desk.next_again = None;
            desk.again_seqs.iter().chain(&desk.open_seqs).copied().collect()
        });
        Plan { fresh, again }
    }

    /// Takes in fresh events read from the database: all there were, in order, up to before `next`.
    pub(super) fn loaded_fresh(&self, events: Vec<Ready>, next: i64) {
        let mut desk = self.desk();
        events.into_iter().for_each(|ready| desk.push_fresh(ready));
        desk.spilled_from = (next <= desk.tail).then_some(next);
    }

    /// Takes in events read from `redo`, and when the next one there is due.
    pub(super) fn loaded_again(&self, events: Vec<Ready>, next: Option<Timestamp>) {
        let mut desk = self.desk();
        for ready in events {
            desk.lease(&ready, true);
            desk.again.push_back(ready);
        }
        desk.note_again(next);
    }

    /// Leases an event that cannot be read, so that it can be settled.
    pub(super) fn lease_unreadable(
        &self,
        id: EventId,
        seq: i64,
        route: Arc<str>,
        received: Timestamp,
        again: bool,
    ) {
        let lease = Lease { seq, route, received, body: Bytes::new(), attempt: 0, again, settling: false };
        self.desk().insert(id, lease);
    }

    /// The lease of an event whose dispatch has ended. It holds until [`release`](Self::release).
    pub(super) fn settle(&self, id: EventId) -> Option<Lease> {
        let mut desk = self.desk();
        let lease = desk.leases.get_mut(&id).filter(|lease| !lease.settling)?;
        lease.settling = true;
        Some(lease.clone())
    }

    /// Ends leases whose settlements have been written.
    pub(super) fn release(&self, ids: &[EventId]) {
        if ids.is_empty() {
            return;
        }
        let mut desk = self.desk();
        for id in ids {
            let Some(lease) = desk.leases.remove(id) else { continue };
            desk.open_seqs.remove(&lease.seq);
            desk.again_seqs.remove(&lease.seq);
        }
    }

    pub(super) fn is_leased(&self, id: EventId) -> bool {
        self.desk().leases.contains_key(&id)
    }

    /// No event before this one is open: where recovery begins.
    pub(super) fn open_from(&self) -> i64 {
        let desk = self.desk();
        let waiting = desk.fresh.front().map(|ready| ready.seq);
        let in_hand = desk.open_seqs.first().copied();
        [waiting, in_hand, desk.spilled_from].into_iter().flatten().min().unwrap_or(desk.tail + 1)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.desk().paused
    }

    pub(super) fn pause(&self, paused: bool) {
        let was = std::mem::replace(&mut self.desk().paused, paused);
        if was && !paused {
            self.bell.notify_one();
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn publish(&mut self, ready: Ready) {
        self.tail = ready.seq;
        if self.spilled_from.is_some() {
            return;
        }
        if self.fresh.len() >= MAX_READY || self.fresh_bytes >= MAX_READY_BYTES {
            self.spilled_from = Some(ready.seq);
            return;
        }
        self.push_fresh(ready);
    }

    fn push_fresh(&mut self, ready: Ready) {
        self.fresh_bytes += ready.event.body.len();
        self.fresh.push_back(ready);
    }

    fn note_again(&mut self, due: Option<Timestamp>) {
        self.next_again = [self.next_again, due].into_iter().flatten().min();
    }

    fn wants_load(&self, now: Timestamp) -> bool {
        self.is_again_due(now)
            || (self.fresh.is_empty() && self.spilled_from.is_some() && self.again.is_empty())
    }

    fn is_again_due(&self, now: Timestamp) -> bool {
        self.again.is_empty() && self.next_again.is_some_and(|due| due <= now)
    }

    /// Those to be seen again go first, but leave half of the places to fresh ones.
    fn take(&mut self, max: usize) -> Vec<Claim> {
        let again = self.again.len().min(max.saturating_sub(self.fresh.len().min(max / 2)));
        let mut claims: Vec<Claim> = self.again.drain(..again).map(Ready::into_claim).collect();
        let fresh = self.fresh.len().min(max - again);
        for ready in self.fresh.drain(..fresh).collect::<Vec<_>>() {
            self.fresh_bytes -= ready.event.body.len();
            self.lease(&ready, false);
            claims.push(ready.into_claim());
        }
        claims
    }

    fn lease(&mut self, ready: &Ready, again: bool) {
        let Event { id, route, received_at, body, .. } = &*ready.event;
        let (seq, attempt) = (ready.seq, ready.attempt);
        let (route, received, body) = (route.clone(), *received_at, body.clone());
        self.insert(*id, Lease { seq, route, received, body, attempt, again, settling: false });
    }

    fn insert(&mut self, id: EventId, lease: Lease) {
        match lease.again {
            true => self.again_seqs.insert(lease.seq),
            false => self.open_seqs.insert(lease.seq),
        };
        self.leases.insert(id, lease);
    }
}

impl Ready {
    fn into_claim(self) -> Claim {
        Claim { event: self.event, attempt: self.attempt }
    }
}
