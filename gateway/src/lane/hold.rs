//! A due delivery in hand: settled once, whatever happens.

use std::{thread, time::Duration};

use super::{Lane, Outcome, due};
use crate::journal::{DeliveryAttempt, DeliveryKey, DeliveryState, TrailEntry};

/// How long a delivery is left alone whose attempt panicked.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// The duty to settle a delivery that the journal has leased. Dropped without, it leaves the delivery in the journal
/// for the next start; dropped in a panic, it has the delivery attempted again, because the lease would hold until
/// then, and there may be no next start for long.
pub(super) struct Hold<'a> {
    lane: &'a Lane,
    key: DeliveryKey,
    attempts: u32,
    settled: bool,
}

impl<'a> Hold<'a> {
    pub(super) fn new(lane: &'a Lane, key: DeliveryKey, attempts: u32) -> Self {
        Self { lane, key, attempts, settled: false }
    }

    /// Settles, then sets the alarm: in this order, so that the lane finds what it looks for.
    pub(super) fn settle(mut self, outcome: Outcome) {
        let due = outcome.state.as_ref().and_then(due);
        self.lane.shared.settle(outcome);
        self.settled = true;
        if let Some(due) = due {
            self.lane.alarm.set(due);
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.settled || !thread::panicking() {
            return;
        }
        let at = self.lane.shared.clock.now();
        let due = at + AFTER_PANIC;
        let reason = "attempt panicked: this is a bug in Sluice, please report it".to_owned();
        tracing::error!(event = %self.key.event, destination = %self.key.destination, "attempt panicked, will retry");
        self.lane.shared.journal.settle_delivery(DeliveryAttempt {
            key: self.key.clone(),
            trail: vec![TrailEntry::Failed { at, reason }],
            attempts: self.attempts,
            batch: None,
            state: Some(DeliveryState::Waiting { due }),
        });
        self.lane.alarm.set(due);
    }
}
