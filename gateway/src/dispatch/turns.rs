//! A route's turns at running its plugins, and the line of events before them.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::clock::Timestamp;

/// Pipelines of one route that run at once, for every core: some wait to be resumed while others run.
const PER_CORE: usize = 2;

/// The same where a plugin of the route may wait for what it is granted, whatever the cores: a pipeline that waits
/// takes up a place and some memory, and no processor. With fewer, a server that answers in a tenth of a second would
/// hold the route to a few dozen events a second.
const WAITING: usize = 32;

/// A line in which nobody waits longer than this is quick. One that fills half of the dispatcher's room then moves
/// every quarter of a millisecond, which is cheaper to wait for than to put an event back.
const QUICK: Duration = Duration::from_millis(250);

/// When an event that was put back is dispatched at the earliest, and at the latest.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);

/// Of one route, no more events than this come back: a backlog that its plugins cannot work off does not go round and
/// round between the journal and the dispatcher.
const PACE: Duration = Duration::from_millis(1);

/// Events come back in batches, so that the journal looks for them no oftener than this.
const BATCH_MILLIS: u64 = 64;

/// Lets the plugins of one route have no more than their share of what all routes share: of the processor by the
/// number of turns, and of the dispatcher's room by the length of the line.
///
/// The line's bound is dynamic (after Choudhury and Hahne): it may hold as much of the room as it leaves free. So one
/// route whose plugins hardly move gets half of the room at most, two get a third each, and there is always some
/// for the others. An event that finds the line too long waits for it as long as the line is quick, which is
/// plain backpressure; else it goes back into the journal.
pub struct Turns {
    free: Arc<Semaphore>,
    /// How many there are, free or not.
    count: usize,
    /// Units of room that the line has.
    line: AtomicUsize,
    /// Told whenever the line gets shorter.
    shorter: Notify,
    is_slow: AtomicBool,
    /// Of events that found the line too long.
    crowded_out: Comeback,
    /// Of events that wait for a plugin to be called again: they may wait longer than those.
    waiting: Comeback,
}

/// When the next event that is put back may come back.
#[derive(Default)]
struct Comeback(Mutex<Timestamp>);

/// A place in the line. Given up when dropped.
pub(super) struct Place {
    turns: Arc<Turns>,
    units: usize,
    since: Instant,
}

/// A turn at the route's plugins. Over when dropped.
pub(super) type Turn = OwnedSemaphorePermit;

impl Turns {
    /// The turns of a route whose plugins only run.
    pub fn new() -> Arc<Self> {
        Self::with(count(false))
    }

    fn with(count: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(count)),
            count,
            line: AtomicUsize::new(0),
            shorter: Notify::new(),
            is_slow: AtomicBool::new(false),
            crowded_out: Comeback::default(),
            waiting: Comeback::default(),
        })
    }

    /// The turns for a new generation, whose plugins only run or `may_wait`: the `previous` ones, with all who have or
    /// want one, unless there are to be more or fewer.
    pub fn carry_over(previous: Option<&Arc<Self>>, may_wait: bool) -> Arc<Self> {
        let count = count(may_wait);
        let same = previous.filter(|previous| previous.count == count);
        same.cloned().unwrap_or_else(|| Self::with(count))
    }

    /// A place in line for an event that takes that many units of `room`. `None`: the line is too long.
    pub(super) async fn line_up(self: &Arc<Self>, units: usize, room: &Semaphore) -> Option<Place> {
        let must_wait = !self.fits(units, room) && !self.is_slow.load(Ordering::Relaxed);
        if must_wait && timeout(QUICK, self.fit(units, room)).await.is_err() {
            self.is_slow.store(true, Ordering::Relaxed);
        }
        if !self.fits(units, room) {
            return None;
        }
        self.line.fetch_add(units, Ordering::SeqCst);
        Some(Place { turns: self.clone(), units, since: Instant::now() })
    }

    /// When an event that is put back now is to be dispatched.
    pub(super) fn later(&self, now: Timestamp) -> Timestamp {
        self.crowded_out.next(now + SOONEST, now + LATEST)
    }

    /// The same, where nothing can be done with it for so long.
    pub(super) fn after(&self, now: Timestamp, wait: Duration) -> Timestamp {
        let wait = wait.max(SOONEST);
        self.waiting.next(now + wait, now + wait.max(LATEST))
    }

    async fn fit(&self, units: usize, room: &Semaphore) {
        loop {
            let mut shorter = pin!(self.shorter.notified());
            shorter.as_mut().enable();
            if self.fits(units, room) {
                return;
            }
            shorter.await;
        }
    }

    /// The first in line always does: an event larger than half of the room is to have its turn, too.
    fn fits(&self, units: usize, room: &Semaphore) -> bool {
        let line = self.line.load(Ordering::SeqCst);
        line == 0 || line + units <= room.available_permits().saturating_sub(units)
    }
}

/// The turns of a route whose plugins only run, or `may_wait` for what they are granted.
fn count(may_wait: bool) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let running = cores * PER_CORE;
    if may_wait { running.max(WAITING) } else { running }
}

impl Comeback {
    fn next(&self, soonest: Timestamp, latest: Timestamp) -> Timestamp {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = (*next).clamp(soonest, latest);
        *next = due + PACE;
        Timestamp::from_millis(due.as_millis().next_multiple_of(BATCH_MILLIS))
    }
}

impl Place {
    /// Waits for the turn.
    pub(super) async fn turn(self) -> Option<Turn> {
        // Never closed, so there always is one.
        let turn = self.turns.free.clone().acquire_owned().await.ok();
        self.turns.is_slow.store(self.since.elapsed() > QUICK, Ordering::Relaxed);
        turn
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turns.line.fetch_sub(self.units, Ordering::SeqCst);
        self.turns.shorter.notify_waiters();
    }
}

#[cfg(test)]
impl Turns {
    /// Takes every turn, as guests do that run for long.
    pub(super) async fn take_all(&self) -> Turn {
        let all = self.free.available_permits().try_into().unwrap();
        self.free.clone().acquire_many_owned(all).await.unwrap()
    }

    /// Units that wait in line.
    pub(super) fn waiting(&self) -> usize {
        self.line.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::FutureExt;
    use tokio::sync::SemaphorePermit;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// A place in line with the room that belongs to it.
    type Waiter<'a> = (Place, SemaphorePermit<'a>);

    /// Lines up as many events of one unit as can without waiting.
    fn fill<'a>(turns: &Arc<Turns>, room: &'a Semaphore) -> Vec<Waiter<'a>> {
        let mut waiters = Vec::new();
        while let Some(Some(place)) = turns.line_up(1, room).now_or_never() {
            waiters.push((place, room.try_acquire().unwrap()));
        }
        waiters
    }

    #[tokio::test(start_paused = true)]
    async fn line_leaves_as_much_room_as_it_takes() {
        let room = Semaphore::new(60);
        let lines = [Turns::new(), Turns::new(), Turns::new()];
        let mut held = Vec::new();
        let mut lengths = Vec::new();
        for turns in &lines {
            let line = fill(turns, &room);
            lengths.push(line.len());
            held.extend(line);
        }
        assert_eq!(lengths, [30, 15, 7]);
    }

    #[tokio::test(start_paused = true)]
    async fn event_larger_than_half_of_the_room_is_not_sent_away_for_ever() {
        let room = Semaphore::new(8);
        assert!(Turns::new().line_up(8, &room).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn quick_line_is_waited_for() {
        let (turns, room) = (Turns::new(), Semaphore::new(8));
        let mut line = fill(&turns, &room);
        let mut next = pin!(turns.line_up(1, &room));
        assert!(timeout(QUICK / 2, &mut next).await.is_err(), "did not wait");
        line.pop();
        assert!(next.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn line_that_stands_still_is_waited_for_once() {
        let (turns, room) = (Turns::new(), Semaphore::new(8));
        let _line = fill(&turns, &room);
        let begun = Instant::now();
        for _ in 0..100 {
            assert!(turns.line_up(1, &room).await.is_none());
        }
        assert!(begun.elapsed() < QUICK * 2, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn line_whose_events_wait_long_is_not_waited_for_until_they_do_not() {
        let (turns, room) = (Turns::new(), Semaphore::new(8));
        let all = turns.take_all().await;
        let (first, permit) = fill(&turns, &room).swap_remove(0);
        tokio::time::advance(QUICK * 2).await;
        drop(all);
        drop((first.turn().await, permit));
        let line = fill(&turns, &room);
        let begun = Instant::now();
        assert!(turns.line_up(1, &room).await.is_none());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for (place, permit) in line {
            drop((place.turn().await, permit));
        }
        let _line = fill(&turns, &room);
        assert!(turns.line_up(1, &room).now_or_never().is_none(), "waits");
    }

    #[test]
    fn what_was_put_back_comes_back_little_by_little() {
        let turns = Turns::new();
        let mut batches = BTreeMap::new();
        for _ in 0..2_000 {
            *batches.entry(turns.later(NOW)).or_insert(0) += 1;
        }
        assert!(*batches.first_key_value().unwrap().0 >= NOW + SOONEST);
        assert!(*batches.last_key_value().unwrap().0 <= NOW + Duration::from_secs(4));
        assert!(batches.values().all(|batch| *batch <= BATCH_MILLIS), "{batches:?}");
    }

    #[test]
    fn nothing_is_put_back_for_long() {
        let turns = Turns::new();
        for _ in 0..200_000 {
            assert!(turns.later(NOW) <= NOW + LATEST + Duration::from_millis(BATCH_MILLIS));
        }
    }
}
