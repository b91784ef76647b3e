//! What one run of a guest may use, and the errors that stop it.

use std::time::{Duration, Instant};

use bytesize::ByteSize;
use wasmtime::{ResourceLimiter, UpdateDeadline};

use super::ticker::TICK;

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
}

/// Counts the ticks that a guest runs for.
#[derive(Debug)]
pub(super) struct Stopwatch {
    limit: Duration,
    ticks_left: u128,
    /// A guest that is hardly ever given the CPU is stopped all the same.
    give_up: Option<Instant>,
}

impl Stopwatch {
    pub(super) fn new(limit: Duration) -> Self {
        let wall = limit.saturating_mul(WALL_FACTOR).max(WALL_FLOOR);
        Self {
            limit,
            ticks_left: limit.as_nanos().div_ceil(TICK.as_nanos()),
            give_up: Instant::now().checked_add(wall),
        }
    }

    /// The guest has run for another tick: it gives way to other tasks, or is stopped.
    pub(super) fn tick(&mut self) -> Result<UpdateDeadline, LimitHit> {
        let late = self.give_up.is_some_and(|at| Instant::now() > at);
        if self.ticks_left == 0 || late {
            return Err(LimitHit::Time { limit: self.limit });
        }
        self.ticks_left -= 1;
        Ok(UpdateDeadline::Yield(1))
    }
}

/// Bounds the linear memory of a guest and the number of things it is made of.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) memory: usize,
}

/// More than any toolchain makes of one plugin.
const PARTS: usize = 32;

impl ResourceLimiter for Room {
    fn memory_growing(&mut self, _: usize, wanted: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if wanted > self.memory {
            // An error rather than a refusal: guests answer a refusal with a bare trap that explains nothing.
            return Err(LimitHit::Memory { wanted, limit: self.memory }.into());
        }
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(&mut self, _: usize, wanted: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| wanted <= maximum))
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
            assert!(matches!(stopwatch.tick(), Ok(UpdateDeadline::Yield(1))));
        }
        assert_eq!(stopwatch.tick().err().unwrap(), LimitHit::Time { limit: Duration::from_millis(3) });
    }

    #[test]
    fn endless_time_does_not_overflow() {
        assert!(Stopwatch::new(Duration::MAX).tick().is_ok());
    }

    #[test]
    fn memory_up_to_the_limit_is_given() {
        let mut room = Room { memory: 1 << 20 };
        assert!(room.memory_growing(0, 1 << 20, None).unwrap());
        let error = room.memory_growing(0, (1 << 20) + 1, None).unwrap_err();
        assert!(error.is::<LimitHit>());
    }
}
