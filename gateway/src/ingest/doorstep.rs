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

/// Of this many cores, calls for one route may keep one busy. The others are for what the gateway does besides: who rages
/// in every thread holds up every request that comes in.
const CORES_PER_TURN: usize = 2;

/// Turns where the plugin may wait for what it is granted, whatever the cores: while it waits, it needs none.
const WAITING: usize = 32;

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
    /// How many there are, free or not.
    count: usize,
    waiting: AtomicUsize,
}

/// A turn at the route's plugins. Over when dropped.
pub(crate) type Turn<'d> = SemaphorePermit<'d>;

impl Doorstep {
    /// For plugins that only run.
    pub fn new() -> Arc<Self> {
        Self::with(count(false))
    }

    fn with(count: usize) -> Arc<Self> {
        Arc::new(Self { turns: Semaphore::new(count), count, waiting: AtomicUsize::new(0) })
    }

    /// The one for a new generation, whose plugins only run or `may_wait` for what they are granted: the `previous` one,
    /// with all who wait on it, unless there are to be more turns or fewer.
    pub fn carry_over(previous: Option<&Arc<Self>>, may_wait: bool) -> Arc<Self> {
        let count = count(may_wait);
        let same = previous.filter(|previous| previous.count == count);
        same.cloned().unwrap_or_else(|| Self::with(count))
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

/// The turns of plugins that only run, or `may_wait`.
fn count(may_wait: bool) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let running = (cores / CORES_PER_TURN).max(1);
    if may_wait { running.max(WAITING) } else { running }
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

    #[test]
    fn plugins_that_wait_have_more_turns_and_a_reload_keeps_those_that_are_enough() {
        let running = Doorstep::new();
        assert!(Arc::ptr_eq(&running, &Doorstep::carry_over(Some(&running), false)));
        let waiting = Doorstep::carry_over(Some(&running), true);
        assert!(waiting.turns.available_permits() >= WAITING);
        assert!(Arc::ptr_eq(&waiting, &Doorstep::carry_over(Some(&waiting), true)));
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
