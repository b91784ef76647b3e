//! The queue to the writer. What it takes at once becomes one transaction and one fsync.

use std::{
    collections::VecDeque,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use super::op::Op;

/// One group: enough to make the fsync cheap, little enough to keep the wait short.
const MAX_OPS: usize = 1024;
const MAX_BYTES: usize = 4 << 20;
/// How long settlements wait for an append to share a group with, while the writer is awake. One that sleeps is not
/// woken for them: they wait for the next append, or for its tick. Nobody waits for them, and a crash before they are
/// written costs a duplicate that carries the same `webhook-id`.
const LINGER: Duration = Duration::from_millis(5);
/// As many settlements make a group of their own.
const LAZY_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    bell: Condvar,
    /// Queued or being written.
    unwritten: AtomicUsize,
    /// Those of them that may change which deliveries wait.
    unwritten_deliveries: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    ops: VecDeque<Op>,
    urgent: usize,
    lazy_since: Option<Instant>,
    writer_sleeps: bool,
    end: Option<End>,
}

/// How the writer is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Write what is queued first.
    Drain,
    /// As a crash would: what is queued is not written.
    Abandon,
}

/// Nothing more is taken in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended;

/// What the writer is to do next.
pub(super) struct Batch {
    pub(super) ops: Vec<Op>,
    /// Set once nothing more will come.
    pub(super) end: Option<End>,
}

impl Inbox {
    /// Queues an operation. Once the journal is closed it is dropped instead, which tells whoever waits for it.
    pub(super) fn push(&self, op: Op) -> Result<(), Ended> {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return Err(Ended);
        }
        self.unwritten.fetch_add(1, SeqCst);
        self.unwritten_deliveries.fetch_add(op.touches_deliveries().into(), SeqCst);
        queue.push(op);
        if queue.writer_sleeps && queue.is_ready(Instant::now()) {
            queue.writer_sleeps = false;
            drop(queue);
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Takes the next group; waits up to `patience` for one.
    pub(super) fn take(&self, patience: Duration) -> Batch {
        let deadline = Instant::now() + patience;
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            if queue.is_ready(now) || now >= deadline {
                return queue.take();
            }
            let until = queue.lazy_since.map_or(deadline, |since| deadline.min(since + LINGER));
            queue.writer_sleeps = true;
            let woken = self.bell.wait_timeout(queue, until.saturating_duration_since(now));
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
            queue.writer_sleeps = false;
        }
    }

    /// Notes that these have been written, or will not be.
    pub(super) fn done<'a>(&self, ops: impl IntoIterator<Item = &'a Op>) {
        for op in ops {
            self.unwritten.fetch_sub(1, SeqCst);
            self.unwritten_deliveries.fetch_sub(op.touches_deliveries().into(), SeqCst);
        }
    }

    pub(super) fn has_unwritten(&self) -> bool {
        self.unwritten.load(SeqCst) > 0
    }

    pub(super) fn has_unwritten_deliveries(&self) -> bool {
        self.unwritten_deliveries.load(SeqCst) > 0
    }

    /// Lets nothing more in and tells the writer to end.
    pub(super) fn close(&self, end: End) {
        let mut queue = self.lock();
        queue.end.get_or_insert(end);
        queue.writer_sleeps = false;
        drop(queue);
        self.bell.notify_one();
    }

    /// Takes whatever is left, for a writer that will not write it.
    pub(super) fn take_rest(&self) -> Vec<Op> {
        self.lock().ops.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, op: Op) {
        if op.is_urgent() {
            self.urgent += 1;
        } else if self.lazy_since.is_none() {
            self.lazy_since = Some(Instant::now());
        }
        self.ops.push_back(op);
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.urgent > 0
            || self.end.is_some()
            || self.ops.len() >= LAZY_MAX
            || self.lazy_since.is_some_and(|since| now >= since + LINGER)
    }

    fn take(&mut self) -> Batch {
        let mut bytes = 0;
        let count = self.ops.iter().take(MAX_OPS).take_while(|op| {
            let fits = bytes < MAX_BYTES;
            bytes += op.size();
            fits
        });
        let count = count.count();
        let ops: Vec<Op> = self.ops.drain(..count).collect();
        self.urgent -= ops.iter().filter(|op| op.is_urgent()).count();
        // What is left over has waited long enough.
        self.lazy_since = self.lazy_since.filter(|_| !self.ops.is_empty());
        Batch { ops, end: self.end.filter(|end| *end == End::Abandon || self.ops.is_empty()) }
    }
}
