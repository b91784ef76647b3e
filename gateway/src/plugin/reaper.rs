//! Takes instances away that nobody has called for long.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use super::pool::Pool;

/// A thread that sleeps until an instance of one of its pools has waited for too long. Ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reaper(Arc<Rounds>);

#[derive(Debug, Default)]
struct Rounds {
    schedule: Mutex<Schedule>,
    changed: Condvar,
}

#[derive(Default)]
struct Schedule {
    pools: Vec<Weak<Pool>>,
    /// When to look again; `None`: nothing waits.
    next: Option<Instant>,
    stopped: bool,
}

impl Reaper {
    pub(super) fn start() -> io::Result<Self> {
        let rounds = Arc::new(Rounds::default());
        let seen = Arc::clone(&rounds);
        thread::Builder::new().name("sluice-pools".into()).spawn(move || seen.walk())?;
        Ok(Self(rounds))
    }

    /// Looks after a pool for as long as there is one.
    pub(super) fn watch(&self, pool: &Arc<Pool>) {
        self.0.schedule().pools.push(Arc::downgrade(pool));
    }

    /// An instance of a pool will have waited for too long at `due`.
    pub(super) fn expect(&self, due: Option<Instant>) {
        let mut schedule = self.0.schedule();
        if schedule.is_news(due) {
            schedule.next = due;
            self.0.changed.notify_one();
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.schedule().stopped = true;
        self.0.changed.notify_one();
    }
}

impl Rounds {
    fn walk(&self) {
        while let Some(pools) = self.wait() {
            let next = pools.iter().filter_map(|pool| pool.expire(Instant::now())).min();
            let mut schedule = self.schedule();
            if schedule.is_news(next) {
                schedule.next = next;
            }
        }
    }

    /// Waits until it is time; gives the pools to look at, or `None` when it is over.
    fn wait(&self) -> Option<Vec<Arc<Pool>>> {
        let mut schedule = self.schedule();
        loop {
            if schedule.stopped {
                return None;
            }
            schedule = match schedule.next.map(|next| next.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(schedule).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Some(schedule.begin()),
                Some(left) => {
                    self.changed.wait_timeout(schedule, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    fn is_news(&self, due: Option<Instant>) -> bool {
        due.is_some_and(|due| self.next.is_none_or(|next| due < next))
    }

    fn begin(&mut self) -> Vec<Arc<Pool>> {
        self.next = None;
        self.pools.retain(|pool| pool.strong_count() > 0);
        self.pools.iter().filter_map(Weak::upgrade).collect()
    }
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schedule").field("pools", &self.pools.len()).field("next", &self.next).finish()
    }
}
