//! When a lane looks into the journal next.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

use crate::clock::{Clock, Timestamp};

/// A lane looks at least this often: the wall clock may have been set, and a promise may have been missed.
const LONGEST: Duration = Duration::from_secs(30);

/// The earliest moment at which something is known to be due.
pub(super) struct Alarm {
    /// In milliseconds of the wall clock; `u64::MAX`: nothing is known.
    at: AtomicU64,
    moved: Notify,
}

impl Alarm {
    /// An alarm that rings at once.
    pub(super) fn ringing() -> Self {
        Self { at: AtomicU64::new(0), moved: Notify::new() }
    }

    /// Something is due at `due`.
    pub(super) fn set(&self, due: Timestamp) {
        if self.at.fetch_min(due.as_millis(), Ordering::AcqRel) > due.as_millis() {
            self.moved.notify_one();
        }
    }

    /// Forgets what is known, before a look that will learn it anew. `true`: something was due by `now`.
    pub(super) fn take(&self, now: Timestamp) -> bool {
        self.at.swap(u64::MAX, Ordering::AcqRel) <= now.as_millis()
    }

    /// Waits until something is due, or for as long as a lane may go without a look.
    pub(super) async fn rings(&self, clock: &dyn Clock) {
        let deadline = tokio::time::Instant::now() + LONGEST;
        loop {
            let due = Timestamp::from_millis(self.at.load(Ordering::Acquire));
            let left = due.since(clock.now());
            if left.is_zero() {
                return;
            }
            let rings = deadline.min(tokio::time::Instant::now() + left.min(LONGEST));
            tokio::select! {
                () = self.moved.notified() => {}
                () = tokio::time::sleep_until(rings) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    async fn time_to_ring(alarm: &Alarm) -> Duration {
        let began = tokio::time::Instant::now();
        alarm.rings(&ManualClock::at(NOW)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn alarm_rings_when_the_earliest_is_due() {
        let alarm = Alarm::ringing();
        assert_eq!(time_to_ring(&alarm).await, Duration::ZERO);
        assert!(alarm.take(NOW));
        alarm.set(NOW + Duration::from_secs(9));
        alarm.set(NOW + Duration::from_secs(5));
        alarm.set(NOW + Duration::from_secs(7));
        assert_eq!(time_to_ring(&alarm).await, Duration::from_secs(5));
        assert!(!alarm.take(NOW));
    }

    #[tokio::test(start_paused = true)]
    async fn alarm_without_promise_rings_before_long() {
        let alarm = Alarm::ringing();
        alarm.take(NOW);
        assert_eq!(time_to_ring(&alarm).await, LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn earlier_promise_wakes_who_waits() {
        let alarm = Alarm::ringing();
        alarm.take(NOW);
        let (waited, ()) = tokio::join!(time_to_ring(&alarm), async { alarm.set(NOW) });
        assert_eq!(waited, Duration::ZERO);
    }
}
