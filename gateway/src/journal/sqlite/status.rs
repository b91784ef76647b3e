//! How the journal is doing: what `health` shows, and whether anything may still be written.

use std::sync::{
    Arc, Mutex, PoisonError,
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
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why nothing will ever be written again by this process, if so.
    pub(super) fn stopped(&self) -> Option<Refusal> {
        self.refusal().filter(|refusal| !matches!(refusal, Refusal::Full(_)))
    }

    /// Whether what is on disk is known to be what was written.
    pub(super) fn is_sound(&self) -> bool {
        !matches!(self.refusal(), Some(Refusal::Poisoned(_)))
    }

    /// Stops the journal for good. The first reason stays.
    pub(super) fn poison(&self, why: &str) -> Refusal {
        let refusal = self.stopped().unwrap_or_else(|| {
            tracing::error!(why, "journal stopped; nothing is accepted until a restart");
            Refusal::Poisoned(why.into())
        });
        self.set(Some(refusal.clone()));
        refusal
    }

    /// Notes that there is no room, until [`has_room`](Self::has_room).
    pub(super) fn full(&self, why: &str) -> Refusal {
        match self.refusal() {
            None => tracing::warn!(why, "journal is full; events are refused until there is room"),
            Some(Refusal::Full(_)) => {}
            Some(stopped) => return stopped,
        }
        let refusal = Refusal::Full(why.into());
        self.set(Some(refusal.clone()));
        refusal
    }

    pub(super) fn has_room(&self) {
        if let Some(Refusal::Full(_)) = self.refusal() {
            tracing::info!("journal has room again");
            self.set(None);
        }
    }

    pub(super) fn close(&self) {
        if self.stopped().is_none() {
            self.set(Some(Refusal::Closed));
        }
    }

    fn set(&self, refusal: Option<Refusal>) {
        let mut current = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        self.impaired.store(refusal.is_some(), Relaxed);
        *current = refusal;
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
    fn figures_never_wrap() {
        let status = Status::default();
        status.add_depth(-1);
        assert_eq!(status.health().depth, 0);
    }
}
