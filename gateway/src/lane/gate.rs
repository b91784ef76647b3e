//! The places of a lane, and the line of deliveries before them.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::timeout,
};

/// The longest that a fresh delivery waits in memory for a place.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// The most fresh deliveries in line before one lane: as many as the dispatcher has in hand at all, so that a lane
/// that is merely busy slows the dispatcher down instead of having its deliveries parked.
pub(super) const LINE: usize = 2048;

/// Lets no more than `concurrency` attempts through at once.
///
/// Fresh deliveries wait in a line that is bounded in number and time; due ones wait in the journal and come to the
/// gate one by one. Where both want in, every other place is a due one's.
///
/// The line's bound finds itself: it halves whenever somebody ran out of patience and grows by one with each that
/// got in. Before a destination that hangs it is soon zero, so nobody waits there in vain and takes up room in the
/// dispatcher; one that keeps up has all of [`LINE`].
pub(super) struct Gate {
    places: Arc<Semaphore>,
    concurrency: std::sync::Mutex<usize>,
    /// Held by the one fresh delivery that is next. It alone stands at `places`, beside the one due delivery.
    turn: Mutex<()>,
    in_line: AtomicUsize,
    line: AtomicUsize,
    patience: Duration,
}

impl Gate {
    pub(super) fn new(concurrency: usize, patience: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(concurrency)),
            concurrency: std::sync::Mutex::new(concurrency),
            turn: Mutex::new(()),
            in_line: AtomicUsize::new(0),
            line: AtomicUsize::new(LINE),
            patience,
        }
    }

    /// A place for a fresh delivery. `None`: the line is full, patience ran out, or the gate is closed.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let place = match self.try_enter() {
            Some(place) => Some(place),
            None => self.wait().await,
        };
        if place.is_some() && self.line.load(Ordering::Relaxed) < LINE {
            self.line.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    /// A place for a due delivery. `None`: the gate is closed.
    pub(super) async fn enter_due(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// Changes how many may be in at once. Nobody who is in is sent away: fewer are let in until it is right.
    pub(super) fn resize(&self, concurrency: usize) {
        let mut current = self.concurrency.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, concurrency);
        if concurrency > before {
            self.places.add_permits(concurrency - before);
        } else if concurrency < before {
            let (places, surplus) = (self.places.clone(), (before - concurrency) as u32);
            tokio::spawn(async move {
                if let Ok(surplus) = places.acquire_many(surplus).await {
                    surplus.forget();
                }
            });
        }
    }

    /// Lets nobody in any more and sends away who waits.
    pub(super) fn close(&self) {
        self.places.close();
    }

    fn try_enter(&self) -> Option<SemaphorePermit<'_>> {
        let _turn = self.turn.try_lock().ok()?;
        self.places.try_acquire().ok()
    }

    async fn wait(&self) -> Option<SemaphorePermit<'_>> {
        let _spot = Spot::take(self)?;
        let turn = async {
            let _turn = self.turn.lock().await;
            self.places.acquire().await.ok()
        };
        match timeout(self.patience, turn).await {
            Ok(place) => place,
            Err(_) => {
                self.line.fetch_min(self.line.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
                None
            }
        }
    }
}

/// A spot in the line; given up when dropped.
struct Spot<'a>(&'a AtomicUsize);

impl<'a> Spot<'a> {
    fn take(gate: &'a Gate) -> Option<Self> {
        let before = gate.in_line.fetch_add(1, Ordering::Relaxed);
        let spot = Self(&gate.in_line);
        (before < gate.line.load(Ordering::Relaxed)).then_some(spot)
    }
}

impl Drop for Spot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_concurrency_are_in_at_once() {
        let gate = Gate::new(2, PATIENCE);
        let (first, _second) = (gate.enter().await.unwrap(), gate.enter_due().await.unwrap());
        assert!(gate.enter().await.is_none(), "third was let in");
        drop(first);
        assert!(gate.enter().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_patience_does() {
        let gate = Gate::new(1, PATIENCE);
        let _place = gate.enter().await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(gate.enter().await.is_none());
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn line_before_a_place_that_never_frees_shrinks_to_nothing_and_grows_again() {
        let gate = Gate::new(1, PATIENCE);
        let place = gate.enter().await.unwrap();
        while gate.line.load(Ordering::Relaxed) > 0 {
            assert!(gate.enter().await.is_none());
        }
        let began = tokio::time::Instant::now();
        assert!(gate.enter().await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO, "waited before a gate known to be stuck");
        drop(place);
        assert!(gate.enter().await.is_some());
        assert_eq!(gate.line.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn due_delivery_gets_every_other_place() {
        let gate = Arc::new(Gate::new(1, PATIENCE));
        let place = gate.enter().await.unwrap();
        let order = Arc::new(std::sync::Mutex::new(String::new()));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (gate, order) = (gate.clone(), order.clone());
            tasks.spawn(async move {
                let _place = gate.enter().await.unwrap();
                order.lock().unwrap().push('f');
            });
        }
        let (due_gate, due_order) = (gate.clone(), order.clone());
        tasks.spawn(async move {
            for _ in 0..3 {
                let _place = due_gate.enter_due().await.unwrap();
                due_order.lock().unwrap().push('d');
            }
        });
        while gate.in_line.load(Ordering::Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        drop(place);
        tasks.join_all().await;
        assert_eq!(*order.lock().unwrap(), "fdfdfdf");
    }

    #[tokio::test(start_paused = true)]
    async fn resize_takes_effect_without_sending_anybody_away() {
        let gate = Gate::new(3, PATIENCE);
        let mut inside =
            vec![gate.enter().await.unwrap(), gate.enter().await.unwrap(), gate.enter().await.unwrap()];
        gate.resize(1);
        tokio::task::yield_now().await;
        for _ in 0..2 {
            inside.pop();
            assert!(gate.enter().await.is_none(), "let in while {} are in", inside.len());
        }
        inside.pop();
        let _place = gate.enter().await.unwrap();
        gate.resize(2);
        assert!(gate.enter().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_sends_away_who_waits() {
        let gate = Gate::new(1, PATIENCE);
        let _place = gate.enter().await.unwrap();
        let began = tokio::time::Instant::now();
        let (fresh, due, ()) = tokio::join!(gate.enter(), gate.enter_due(), async { gate.close() });
        assert!(fresh.is_none() && due.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(gate.enter().await.is_none());
    }
}
