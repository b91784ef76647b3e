//! What one run of a guest may use, and the errors that stop it.

use std::{
    future::poll_fn,
    sync::{Arc, OnceLock},
    task::Poll,
    time::{Duration, Instant},
};

use bytesize::ByteSize;
use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::{thread_time::ThreadTime, ticker::TICK};

/// A guest shares its thread with others, so its wall-clock time may be this many times its CPU time...
const WALL_FACTOR: u32 = 20;
/// ...and never less than this.
const WALL_FLOOR: Duration = Duration::from_secs(1);

/// Why a guest was stopped by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum LimitHit {
    #[error("ran for longer than {}, its limit", humantime::format_duration(*limit))]
    Time { limit: Duration },
    #[error("wanted {} of memory, its limit is {}", iec(*wanted), iec(*limit))]
    Memory { wanted: usize, limit: usize },
    #[error("waited for longer than {}, its limit", humantime::format_duration(*limit))]
    Wait { limit: Duration },
}

/// Counts the time that a guest runs for.
#[derive(Debug)]
pub(super) struct Stopwatch {
    limit: Duration,
    left: Duration,
    /// When the guest went on after it last gave way.
    resumed: Arc<OnceLock<ThreadTime>>,
    /// A guest that is hardly ever given the CPU is stopped all the same.
    give_up: Option<Instant>,
    /// Whether the guest has waited for the host since the last tick, which may be due to that alone.
    waited: bool,
}

impl Stopwatch {
    pub(super) fn new(limit: Duration) -> Self {
        let wall = limit.saturating_mul(WALL_FACTOR).max(WALL_FLOOR);
        Self {
            limit,
            left: limit,
            resumed: Arc::default(),
            give_up: Instant::now().checked_add(wall),
            waited: false,
        }
    }

    /// The guest has run for another tick: it gives way to other tasks, or is stopped.
    pub(super) fn tick(&mut self) -> Result<UpdateDeadline, LimitHit> {
        let late = self.give_up.is_some_and(|at| Instant::now() > at);
        if self.left.is_zero() || late {
            return Err(LimitHit::Time { limit: self.limit });
        }
        // One instruction can take many ticks: `memory.fill` is not interrupted.
        let least = if std::mem::take(&mut self.waited) { Duration::ZERO } else { TICK };
        self.charge(least);
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(give_way(Arc::clone(&self.resumed)))))
    }

    /// The guest begins to wait for the host: it pays for what it has run until now.
    fn pause(&mut self) {
        self.charge(Duration::ZERO);
    }

    /// The guest goes on, perhaps on another thread, after it has waited for so long.
    fn resume(&mut self, waited: Duration) {
        self.give_up = self.give_up.and_then(|at| at.checked_add(waited));
        self.waited = true;
        self.resumed.get_or_init(ThreadTime::now);
    }

    fn charge(&mut self, least: Duration) {
        let ran = self.resumed.get().map_or(Duration::ZERO, ThreadTime::elapsed);
        self.left = self.left.saturating_sub(ran.max(least));
        self.resumed = Arc::default();
    }
}

/// How long a guest may still wait for the host, in all of its waits together. What it waits costs it no time.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    left: Duration,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, left: limit }
    }

    /// Waits for the host to do something, with the guest's `stopwatch` stopped.
    ///
    /// # Errors
    /// [`LimitHit::Wait`] where that takes longer than what is left; the work is given up then.
    pub(super) async fn wait_for<T>(
        &mut self,
        stopwatch: &mut Stopwatch,
        work: impl Future<Output = T>,
    ) -> Result<T, LimitHit> {
        stopwatch.pause();
        let began = Instant::now();
        let done = tokio::time::timeout(self.left, work).await;
        let waited = began.elapsed();
        stopwatch.resume(waited);
        self.left = self.left.saturating_sub(waited);
        done.map_err(|_| LimitHit::Wait { limit: self.limit })
    }
}

/// Lets the thread's other tasks run, then notes when the guest goes on.
fn give_way(resumed: Arc<OnceLock<ThreadTime>>) -> impl Future<Output = ()> + Send {
    let mut gave_way = false;
    poll_fn(move |cx| {
        if gave_way {
            resumed.get_or_init(ThreadTime::now);
            return Poll::Ready(());
        }
        gave_way = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Bounds the linear memory of a guest and the number of things it is made of.
#[derive(Debug)]
pub(super) struct Room {
    memory: usize,
    /// Of all its memories together: a component may have several.
    taken: usize,
    /// How often the guest asked for more than it began with.
    grown: u32,
}

impl Room {
    pub(super) fn new(memory: usize) -> Self {
        Self { memory, taken: 0, grown: 0 }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn grown(&self) -> u32 {
        self.grown
    }
}

/// More than any toolchain makes of one plugin: a Python program is two dozen modules.
const PARTS: usize = 64;
/// Of one table. Interpreters have some ten thousand functions that are called through one.
const TABLE_ELEMENTS: usize = 100_000;

impl ResourceLimiter for Room {
    fn memory_growing(&mut self, now: usize, wanted: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.taken.saturating_add(wanted.saturating_sub(now));
        if wanted > self.memory {
            // An error rather than a refusal: guests answer a refusal with a bare trap that explains nothing.
            return Err(LimitHit::Memory { wanted, limit: self.memory }.into());
        }
        self.taken = wanted;
        self.grown += u32::from(now > 0);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(&mut self, _: usize, wanted: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(wanted <= TABLE_ELEMENTS && maximum.is_none_or(|maximum| wanted <= maximum))
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

pub(super) fn iec(bytes: usize) -> impl std::fmt::Display {
    ByteSize::b(bytes as u64).display().iec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_is_stopped_after_as_many_ticks_as_its_limit_has() {
        let mut stopwatch = Stopwatch::new(Duration::from_millis(3));
        for _ in 0..3 {
            assert!(matches!(stopwatch.tick(), Ok(UpdateDeadline::YieldCustom(1, _))));
        }
        assert_eq!(stopwatch.tick().err().unwrap(), LimitHit::Time { limit: Duration::from_millis(3) });
    }

    #[test]
    fn endless_time_does_not_overflow() {
        assert!(Stopwatch::new(Duration::MAX).tick().is_ok());
    }

    #[tokio::test]
    async fn waiting_for_the_host_costs_no_time() {
        let mut stopwatch = Stopwatch::new(Duration::from_millis(1));
        let mut patience = Patience::new(Duration::from_secs(60));
        for _ in 0..20 {
            patience.wait_for(&mut stopwatch, tokio::task::yield_now()).await.unwrap();
            assert!(stopwatch.tick().is_ok(), "the tick is due to the wait alone");
        }
        assert!(stopwatch.left > Duration::ZERO && patience.left < Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn all_waits_of_a_guest_together_have_a_limit() {
        let limit = Duration::from_millis(5);
        let mut patience = Patience::new(limit);
        let mut stopwatch = Stopwatch::new(Duration::from_secs(1));
        let endless = patience.wait_for(&mut stopwatch, std::future::pending::<()>()).await;
        assert_eq!(endless, Err(LimitHit::Wait { limit }));
    }

    #[test]
    fn memory_up_to_the_limit_is_given() {
        let mut room = Room::new(1 << 20);
        assert!(room.memory_growing(0, 1 << 19, None).unwrap());
        assert!(room.memory_growing(1 << 19, 1 << 20, None).unwrap());
        let error = room.memory_growing(1 << 20, (1 << 20) + 1, None).unwrap_err();
        assert!(error.is::<LimitHit>());
    }

    #[test]
    fn memories_of_one_guest_share_its_limit() {
        let mut room = Room::new(1 << 20);
        assert!(room.memory_growing(0, 1 << 19, None).unwrap());
        assert!(room.memory_growing(0, 1 << 19, None).unwrap());
        assert!(room.memory_growing(0, 1, None).unwrap_err().is::<LimitHit>());
    }
}
