//! How much waits in the windows of all lanes, and is attempted in batches, at most.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;

use crate::journal::Delivery;

/// Units of all lanes together. A delivery takes one, and one more for every [`UNIT`] bytes of its body: 4,096 small
/// ones, or 64 MiB.
const UNITS: isize = 4096;
const UNIT: usize = 16 << 10;

/// What is left, for all lanes. A lane may hold as much as it leaves free, so that one whose destination hangs leaves
/// the others enough; one that holds nothing may take a single delivery of any size.
pub(super) struct Capacity {
    free: Mutex<isize>,
    freed: Notify,
    /// Deliveries that hold room.
    waiting: Gauge,
}

/// The units that a lane holds.
#[derive(Default)]
pub(super) struct Share(AtomicUsize);

/// Room for one delivery; given back when dropped.
pub(super) struct Seat {
    capacity: Arc<Capacity>,
    share: Arc<Share>,
    units: usize,
}

impl Capacity {
    pub(super) fn new(waiting: Gauge) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(UNITS), freed: Notify::new(), waiting })
    }

    /// Room for a delivery, if there is any for this lane.
    pub(super) fn take(self: &Arc<Self>, share: &Arc<Share>, delivery: &Delivery) -> Option<Seat> {
        let units = 1 + delivery.message.body.len() / UNIT;
        let mut free = self.free();
        let held = share.0.load(Ordering::Relaxed);
        let left = *free - units.cast_signed();
        if held > 0 && (held + units).cast_signed() > left {
            return None;
        }
        *free = left;
        share.0.fetch_add(units, Ordering::Relaxed);
        self.waiting.inc();
        Some(Seat { capacity: self.clone(), share: share.clone(), units })
    }

    /// Waits for room. `make_room` is called each time that there is none.
    pub(super) async fn wait(
        self: &Arc<Self>,
        share: &Arc<Share>,
        delivery: &Delivery,
        make_room: impl Fn(),
    ) -> Seat {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(seat) = self.take(share, delivery) {
                return seat;
            }
            make_room();
            freed.await;
        }
    }

    fn free(&self) -> MutexGuard<'_, isize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut free = self.capacity.free();
        *free += self.units.cast_signed();
        self.share.0.fetch_sub(self.units, Ordering::Relaxed);
        drop(free);
        self.capacity.waiting.dec();
        self.capacity.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::testing::delivery;

    fn fill(capacity: &Arc<Capacity>, share: &Arc<Share>) -> Vec<Seat> {
        let one = delivery("{}");
        std::iter::from_fn(|| capacity.take(share, &one)).collect()
    }

    #[test]
    fn lane_may_hold_as_much_as_it_leaves_free() {
        let (capacity, shares) = (Capacity::new(Gauge::default()), [(); 3].map(|()| Arc::<Share>::default()));
        let held: Vec<_> = shares.iter().map(|share| fill(&capacity, share)).collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [2048, 1024, 512]);
        drop(held);
        assert_eq!(*capacity.free(), UNITS);
    }

    #[test]
    fn lane_that_holds_nothing_may_take_one_of_any_size() {
        let (capacity, share) = (Capacity::new(Gauge::default()), Arc::<Share>::default());
        let large = delivery(&"x".repeat(65 << 20));
        let seat = capacity.take(&share, &large);
        assert!(seat.is_some() && capacity.take(&share, &delivery("{}")).is_none());
        drop(seat);
        assert!(capacity.take(&share, &large).is_some());
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_room() {
        let (capacity, share) = (Capacity::new(Gauge::default()), Arc::<Share>::default());
        let held = Mutex::new(fill(&capacity, &share));
        let one = delivery("{}");
        let _seat = capacity.wait(&share, &one, || drop(held.lock().unwrap().pop())).await;
        assert_eq!(held.lock().unwrap().len(), 2047);
    }
}
