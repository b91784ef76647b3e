//! Instances that are kept between calls, for plugins that bring an interpreter along: what one call leaves behind
//! in memory, the next one finds.
//!
//! A pool belongs to one step of one route, so events of different routes never meet in an instance.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{Store, component::Instance};

use super::guest::Guest;
use crate::config;

/// The instances of one step that wait for a call, and the rules by which they come and go.
pub(super) struct Pool {
    rules: config::Pool,
    /// The one that waits for the shortest time comes last, and is taken first: the others can age.
    idle: Mutex<Vec<Idle>>,
    /// As many as may run at once; there are never more instances than that.
    calls: Semaphore,
}

struct Idle {
    resident: Resident,
    since: Instant,
}

/// An instance that is called again and again.
pub(super) struct Resident {
    pub(super) store: Store<Guest>,
    pub(super) instance: Instance,
    calls: u32,
}

impl Resident {
    pub(super) fn new(store: Store<Guest>, instance: Instance) -> Self {
        Self { store, instance, calls: 0 }
    }
}

impl Pool {
    /// `calls` is how many may run at once.
    pub(super) fn new(rules: config::Pool, calls: usize) -> Arc<Self> {
        Arc::new(Self { rules, idle: Mutex::default(), calls: Semaphore::new(calls) })
    }

    /// Waits until one more call may run.
    pub(super) async fn admit(&self) -> Option<SemaphorePermit<'_>> {
        self.calls.acquire().await.ok()
    }

    /// The instance that was called last, unless it has waited for too long since.
    pub(super) fn take(&self, now: Instant) -> Option<Resident> {
        let idle = self.idle().pop()?;
        (!self.is_stale(&idle, now)).then_some(idle.resident)
    }

    /// Takes back an instance that has answered a call, unless it has done its share. Never one that was stopped:
    /// it cannot be entered again. Gives when it will have waited for too long.
    pub(super) fn keep(&self, mut resident: Resident, now: Instant) -> Option<Instant> {
        resident.calls += 1;
        if self.is_worn(&resident) { None } else { self.stock(resident, now) }
    }

    /// Takes an instance that has not been called yet; as [`keep`](Self::keep).
    pub(super) fn stock(&self, resident: Resident, now: Instant) -> Option<Instant> {
        self.idle().push(Idle { resident, since: now });
        now.checked_add(self.rules.idle)
    }

    /// Drops what has waited for too long, and says when to come again.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut idle = self.idle();
        let stale = idle.iter().take_while(|idle| self.is_stale(idle, now)).count();
        let dropped: Vec<_> = idle.drain(..stale).collect();
        let next = idle.first().and_then(|idle| idle.since.checked_add(self.rules.idle));
        drop(idle);
        // Unmapping takes a while; nobody has to wait for it.
        drop(dropped);
        next
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.idle().len()
    }

    fn is_stale(&self, idle: &Idle, now: Instant) -> bool {
        now.saturating_duration_since(idle.since) >= self.rules.idle
    }

    fn is_worn(&self, resident: &Resident) -> bool {
        resident.calls >= self.rules.calls || resident.store.data().room.taken() > self.rules.memory
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
