//! How the journal is doing: what `health` shows, and whether anything may still be written.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use crate::{
    clock::Timestamp,
    journal::{Health, JournalError},
};

/// Why a write was not done. Cheap to clone: a whole group is refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full(Arc<str>),
    Poisoned(Arc<str>),
    Closed,
}

impl Refusal {
    /// Whether it holds until a restart.
    fn is_final(&self) -> bool {
        !matches!(self, Self::Full(_))
    }
}

impl From<Refusal> for JournalError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full(why) => Self::Full(why.to_string()),
            Refusal::Poisoned(why) => Self::Poisoned(why.to_string()),
            Refusal::Closed => Self::Closed,
        }
    }
}

#[derive(Default)]
pub(super) struct Status {
    depth: AtomicU64,
    dead_letters: AtomicU64,
    disk_bytes: AtomicU64,
    /// In milliseconds; 0 where nothing is unfinished.
    oldest: AtomicU64,
    /// Spares the lock below as long as all is well.
    impaired: AtomicBool,
    refusal: Mutex<Option<Refusal>>,
}

impl Status {
    /// Why nothing is written, if so.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if !self.impaired.load(Relaxed) {
            return None;
        }
        self.lock().clone()
    }

    /// Why nothing will ever be written again by this process, if so.
    pub(super) fn stopped(&self) -> Option<Refusal> {
        self.refusal().filter(Refusal::is_final)
    }

    /// Whether what is on disk is known to be what was written.
    pub(super) fn is_sound(&self) -> bool {
        !matches!(self.refusal(), Some(Refusal::Poisoned(_)))
    }

    /// Stops the journal for good. The first reason stays.
    pub(super) fn poison(&self, why: &str) -> Refusal {
        let mut current = self.lock();
        if let Some(stopped) = current.clone().filter(Refusal::is_final) {
            return stopped;
        }
        tracing::error!(why, "journal stopped; nothing is accepted until a restart");
        self.refuse(&mut current, Refusal::Poisoned(why.into()))
    }

    /// Notes that there is no room, until [`has_room`](Self::has_room).
    pub(super) fn full(&self, why: &str) -> Refusal {
        let mut current = self.lock();
        match &*current {
            None => tracing::warn!(why, "journal is full; events are refused until there is room"),
            Some(Refusal::Full(_)) => {}
            Some(stopped) => return stopped.clone(),
        }
        self.refuse(&mut current, Refusal::Full(why.into()))
    }

    pub(super) fn has_room(&self) {
        let mut current = self.lock();
        if let Some(Refusal::Full(_)) = *current {
            tracing::info!("journal has room again");
            *current = None;
            self.impaired.store(false, Relaxed);
        }
    }

    pub(super) fn close(&self) {
        let mut current = self.lock();
        if !current.as_ref().is_some_and(Refusal::is_final) {
            self.refuse(&mut current, Refusal::Closed);
        }
    }

    fn refuse(&self, current: &mut Option<Refusal>, refusal: Refusal) -> Refusal {
        *current = Some(refusal.clone());
        self.impaired.store(true, Relaxed);
        refusal
    }

    /// Held from the look at the refusal to its change: several threads find out how the disk is doing, and what
    /// one knows to be poisoned must not be healed by another.
    fn lock(&self) -> MutexGuard<'_, Option<Refusal>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_counts(&self, depth: u64, dead_letters: u64) {
        self.depth.store(depth, Relaxed);
        self.dead_letters.store(dead_letters, Relaxed);
    }

    pub(super) fn add_depth(&self, change: i64) {
        add(&self.depth, change);
    }

    pub(super) fn add_dead_letters(&self, change: i64) {
        add(&self.dead_letters, change);
    }

    pub(super) fn depth(&self) -> u64 {
        self.depth.load(Relaxed)
    }

    pub(super) fn has_oldest(&self) -> bool {
        self.oldest.load(Relaxed) != 0
    }

    pub(super) fn set_oldest(&self, received: Option<Timestamp>) {
        self.oldest.store(received.map_or(0, Timestamp::as_millis), Relaxed);
    }

    pub(super) fn set_disk_bytes(&self, bytes: u64) {
        self.disk_bytes.store(bytes, Relaxed);
    }

    pub(super) fn health(&self) -> Health {
        let depth = self.depth();
        let oldest = self.oldest.load(Relaxed);
        Health {
            failure: self.refusal().map(|refusal| JournalError::from(refusal).to_string()),
            depth,
            oldest: (depth > 0 && oldest > 0).then(|| Timestamp::from_millis(oldest)),
            dead_letters: self.dead_letters.load(Relaxed),
            disk_bytes: self.disk_bytes.load(Relaxed),
        }
    }
}

/// Adds without wrapping: a figure for people must not turn into 2^64 by one miscount.
fn add(figure: &AtomicU64, change: i64) {
    let _ = figure.fetch_update(Relaxed, Relaxed, |now| Some(now.saturating_add_signed(change)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_heals_a_full_journal_but_not_a_poisoned_one() {
        let status = Status::default();
        status.full("no space");
        assert!(status.refusal().is_some() && status.stopped().is_none());
        status.has_room();
        assert_eq!(status.refusal(), None);
        let first = status.poison("fsync failed");
        assert_eq!(status.full("no space"), first);
        status.has_room();
        assert_eq!(status.poison("again"), first);
        status.close();
        assert_eq!(status.stopped(), Some(first));
    }

    #[test]
    fn poison_is_not_lost_to_a_thread_that_finds_room() {
        for _ in 0..300 {
            let status = Status::default();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..100 {
                        status.full("no space");
                        status.has_room();
                    }
                });
                scope.spawn(|| status.poison("fsync failed"));
            });
            assert!(status.stopped().is_some());
        }
    }

    #[test]
    fn figures_never_wrap() {
        let status = Status::default();
        status.add_depth(-1);
        assert_eq!(status.health().depth, 0);
    }
}
