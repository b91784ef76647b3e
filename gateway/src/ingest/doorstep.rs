//! Where senders wait while plugins look at what they send.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Calls for one route that run at once, for every core: as many as behind the journal.
const PER_CORE: usize = 2;

/// How long a sender waits for its turn. Most senders give up after 5 to 10 s, and ours to wait for is the call too.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many senders wait at once. Each holds a request in memory.
const LINE: usize = 256;

/// Bounds what plugins that run while senders wait take from other routes: so many calls of one route run at once, so
/// many senders wait for a turn, and none of them for long.
///
/// Unlike behind the journal, waiting does not help for long here: a sender that is told to come back later does, and one
/// that is kept waiting gives up and comes back as well.
#[derive(Debug)]
pub struct Doorstep {
    turns: Semaphore,
    waiting: AtomicUsize,
}

/// A turn at the route's plugins. Over when dropped.
pub(crate) type Turn<'d> = SemaphorePermit<'d>;

impl Doorstep {
    pub fn new() -> Arc<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self { turns: Semaphore::new(cores * PER_CORE), waiting: AtomicUsize::new(0) })
    }

    /// The one for a new generation: the `previous` one, with all who wait on it.
    pub fn carry_over(previous: Option<&Arc<Self>>) -> Arc<Self> {
        previous.cloned().unwrap_or_else(Self::new)
    }

    /// Waits for a turn. `None`: the line is too long, or it does not move.
    pub(crate) async fn turn(&self) -> Option<Turn<'_>> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Some(turn);
        }
        let _place = Place::take(&self.waiting)?;
        timeout(PATIENCE, self.turns.acquire()).await.ok()?.ok()
    }
}

/// A place in line; given up when dropped.
struct Place<'d>(&'d AtomicUsize);

impl<'d> Place<'d> {
    fn take(waiting: &'d AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < LINE).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};
    use tokio::time::Instant;

    use super::*;

    fn all_taken(doorstep: &Doorstep) -> Vec<Turn<'_>> {
        std::iter::from_fn(|| doorstep.turn().now_or_never().flatten()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn sender_waits_for_its_turn_but_not_for_long() {
        let doorstep = Doorstep::new();
        let mut taken = all_taken(&doorstep);
        let begun = Instant::now();
        assert!(doorstep.turn().await.is_none());
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
        let (turn, ()) = tokio::join!(doorstep.turn(), async { drop(taken.pop()) });
        assert!(turn.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn line_has_an_end_and_who_leaves_it_makes_room() {
        let doorstep = Doorstep::new();
        let taken = all_taken(&doorstep);
        let waiting = join_all((0..LINE).map(|_| doorstep.turn()));
        let mut waiting = Box::pin(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(doorstep.turn().now_or_never().is_some_and(|turn| turn.is_none()), "sent away at once");
        drop(waiting);
        assert!(doorstep.turn().now_or_never().is_none(), "waits");
        drop(taken);
        assert!(doorstep.turn().now_or_never().flatten().is_some());
    }
}
