//! An event in hand: settled once, whatever happens.

use std::{thread, time::Duration};

use crate::{
    clock::Clock,
    event::EventId,
    journal::{Ending, Journal, Settlement, TrailEntry},
};

/// How long an event is left alone whose dispatch panicked.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// The duty to settle an event. Dropped without, it leaves the event in the journal for the next start; dropped in a
/// panic, it has the event dispatched again, because there may be no next start for long.
pub(super) struct Lease<'a> {
    journal: &'a dyn Journal,
    clock: &'a dyn Clock,
    event: EventId,
    settled: bool,
}

impl<'a> Lease<'a> {
    pub(super) fn new(journal: &'a dyn Journal, clock: &'a dyn Clock, event: EventId) -> Self {
        Self { journal, clock, event, settled: false }
    }

    pub(super) fn settle(mut self, trail: Vec<TrailEntry>, ending: Ending) {
        self.settled = true;
        self.journal.settle(Settlement { event: self.event, trail, ending });
    }

    /// Settles as a dead letter that could not be dispatched at all.
    pub(super) fn dead(self, reason: String) {
        tracing::warn!(reason, "dispatch failed, dead letter");
        let trail = vec![TrailEntry::Failed { at: self.clock.now(), reason: reason.clone() }];
        self.settle(trail, Ending::Dead { reason });
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.settled || !thread::panicking() {
            return;
        }
        let at = self.clock.now();
        let reason = "dispatch panicked: this is a bug in Sluice, please report it".to_owned();
        tracing::error!(event = %self.event, "dispatch panicked, will retry");
        self.journal.settle(Settlement {
            event: self.event,
            trail: vec![TrailEntry::Failed { at, reason }],
            ending: Ending::RetryAt { due: at + AFTER_PANIC },
        });
    }
}
