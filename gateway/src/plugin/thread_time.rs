//! How long the current thread has been given the CPU.
//!
//! Unlike the time on the wall it does not go on while other threads have the CPU, or while a container has used up
//! its share of it: a guest is not to pay for that.

use std::{mem::MaybeUninit, time::Duration};

/// A moment of one thread. Means nothing on any other.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadTime(Duration);

impl ThreadTime {
    pub(super) fn now() -> Self {
        let mut time = MaybeUninit::<libc::timespec>::zeroed();
        #[expect(unsafe_code, reason = "std has no clock for the CPU time of a thread")]
        // SAFETY: the call writes at most one `timespec` to the pointer, which is valid for that; all zeros, which
        // is what it leaves if it fails, is a `timespec` too.
        let time = unsafe {
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr());
            time.assume_init()
        };
        let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
        Self(Duration::from_secs(seconds) + Duration::from_nanos(nanos))
    }

    /// For how long the thread has run since.
    pub(super) fn elapsed(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn time_goes_on_while_the_thread_runs() {
        // In this order: what the thread does between the two must not count for the thread alone.
        let wall = Instant::now();
        let start = ThreadTime::now();
        while start.elapsed() < Duration::from_millis(2) {}
        assert!(wall.elapsed() >= Duration::from_millis(2), "no thread runs for longer than time passes");
    }
}
