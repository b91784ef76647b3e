//! The places of a lane, and the line of deliveries before them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

/// The longest that a fresh delivery waits in memory for a place.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The most fresh deliveries in line before one lane: as many as the dispatcher has in hand at all, so that a lane
/// that is merely busy slows the dispatcher down instead of having its deliveries parked.
pub(super) const LINE: usize = 2048;

/// Lets no more than `concurrency` attempts through at once.
///
/// Fresh deliveries wait in a line that is bounded in number and time; due ones wait in the journal and come to the
/// gate one by one. Where both want in, every other place is a due one's.
///
/// The line's bound finds itself. Whoever runs out of patience knows how many got in meanwhile, and half of that is
/// the bound from then on; whoever gets in quickly raises it by one. Before a destination that hangs it is zero
/// after the first wait, so that nobody waits there in vain and takes up room in the dispatcher; before one that
/// keeps up it is all of [`LINE`].
pub(super) struct Gate {
    state: Mutex<State>,
    patience: Duration,
}

struct State {
    concurrency: usize,
    /// Nobody waits while there is one.
    free: usize,
    /// Places to be taken away as they are given up, after the concurrency was lowered.
    surplus: usize,
    /// Those who ran out of patience are at the front, because all have the same.
    fresh: VecDeque<Waiter>,
    due: VecDeque<Waiter>,
    due_is_next: bool,
    /// How long `fresh` may get.
    line: usize,
    /// Fresh deliveries that ever got in.
    entered: u64,
    closed: bool,
}

struct Waiter {
    since: Instant,
    place: oneshot::Sender<Place>,
}

/// A place inside; passed on to whoever is next when dropped.
pub(super) struct Place(Option<Arc<Gate>>);

impl Gate {
    pub(super) fn new(concurrency: usize, patience: Duration) -> Arc<Self> {
        let state = State {
            concurrency,
            free: concurrency,
            surplus: 0,
            fresh: VecDeque::new(),
            due: VecDeque::new(),
            due_is_next: false,
            line: LINE,
            entered: 0,
            closed: false,
        };
        Arc::new(Self { state: Mutex::new(state), patience })
    }

    /// A place for a fresh delivery. `None`: the line is full, patience ran out, or the gate is closed.
    pub(super) async fn enter(self: &Arc<Self>) -> Option<Place> {
        let (mut place, entered) = {
            let mut state = self.state();
            if state.take_free()? {
                state.count_entry(Duration::ZERO, self.patience);
                return Some(Place(Some(self.clone())));
            }
            (state.stand_in_line()?, state.entered)
        };
        match timeout(self.patience, &mut place).await {
            Ok(place) => place.ok(),
            Err(_) => {
                place.close();
                self.state().cut_line(entered);
                // It may have come in the last moment.
                place.try_recv().ok()
            }
        }
    }

    /// A place for a due delivery. `None`: the gate is closed.
    pub(super) async fn enter_due(self: &Arc<Self>) -> Option<Place> {
        let place = {
            let mut state = self.state();
            if state.take_free()? {
                return Some(Place(Some(self.clone())));
            }
            stand(&mut state.due)
        };
        place.await.ok()
    }

    /// Changes how many may be in at once. Nobody who is in is sent away: fewer are let in until it is right.
    pub(super) fn resize(self: &Arc<Self>, concurrency: usize) {
        let added = {
            let mut state = self.state();
            let before = std::mem::replace(&mut state.concurrency, concurrency);
            let fewer = before.saturating_sub(concurrency);
            let at_once = fewer.min(state.free);
            state.free -= at_once;
            state.surplus += fewer - at_once;
            let more = concurrency.saturating_sub(before);
            let kept = more.min(state.surplus);
            state.surplus -= kept;
            more - kept
        };
        for _ in 0..added {
            drop(Place(Some(self.clone())));
        }
    }

    /// Lets nobody in any more and sends away who waits.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.fresh.clear();
        state.due.clear();
    }

    /// Gives a place to whoever is next.
    fn pass_on(self: Arc<Self>) {
        let mut state = self.state();
        if state.surplus > 0 {
            state.surplus -= 1;
            return;
        }
        let mut place = Place(Some(self.clone()));
        while let Some((waiter, is_fresh)) = state.next() {
            match waiter.place.send(place) {
                Ok(()) if is_fresh => return state.count_entry(waiter.since.elapsed(), self.patience),
                Ok(()) => return,
                Err(back) => place = back,
            }
        }
        // Nobody waits: the place is free, and dropping it must not pass it on once more.
        place.0 = None;
        state.free += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether there was a free place; `None` once closed.
    fn take_free(&mut self) -> Option<bool> {
        if self.closed {
            return None;
        }
        let is_free = self.free > 0;
        self.free -= usize::from(is_free);
        Some(is_free)
    }

    fn stand_in_line(&mut self) -> Option<oneshot::Receiver<Place>> {
        (self.fresh.len() < self.line).then(|| stand(&mut self.fresh))
    }

    fn next(&mut self) -> Option<(Waiter, bool)> {
        let due_first = std::mem::replace(&mut self.due_is_next, false);
        if due_first && let Some(waiter) = self.due.pop_front() {
            return Some((waiter, false));
        }
        if let Some(waiter) = self.fresh.pop_front() {
            self.due_is_next = true;
            return Some((waiter, true));
        }
        self.due.pop_front().map(|waiter| (waiter, false))
    }

    fn count_entry(&mut self, waited: Duration, patience: Duration) {
        self.entered += 1;
        if waited <= patience / 2 {
            self.line = LINE.min(self.line + 1);
        }
    }

    /// Somebody ran out of patience who had come when that many had entered.
    fn cut_line(&mut self, entered: u64) {
        let meanwhile = usize::try_from(self.entered - entered).unwrap_or(LINE);
        self.line = LINE.min(meanwhile / 2);
        while self.fresh.front().is_some_and(|waiter| waiter.place.is_closed()) {
            self.fresh.pop_front();
        }
    }
}

fn stand(line: &mut VecDeque<Waiter>) -> oneshot::Receiver<Place> {
    let (place, granted) = oneshot::channel();
    line.push_back(Waiter { since: Instant::now(), place });
    granted
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::Pin, task::Poll};

    use super::*;

    /// Whether a future is not ready yet, having been asked once.
    async fn pending<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> bool {
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

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
        assert!(gate.enter().await.is_none());
        let began = tokio::time::Instant::now();
        assert!(gate.enter().await.is_none());
        assert_eq!(began.elapsed(), Duration::ZERO, "waited before a gate known to be stuck");
        drop(place);
        assert!(gate.enter().await.is_some());
        assert_eq!(gate.state().line, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn line_before_a_slow_gate_is_half_of_what_gets_in_within_the_patience() {
        let gate = Gate::new(1, Duration::from_secs(1));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let gate = gate.clone();
            tasks.spawn(async move {
                let place = gate.enter().await;
                if place.is_some() {
                    tokio::time::sleep(Duration::from_millis(101)).await;
                }
                place.is_some()
            });
        }
        let let_in = tasks.join_all().await.into_iter().filter(|entered| *entered).count();
        // The first had no wait; nine got in while the others ran out of patience.
        assert_eq!((let_in, gate.state().line), (10, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn due_delivery_gets_every_other_place() {
        let gate = Gate::new(1, PATIENCE);
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
        while gate.state().fresh.len() < 4 || gate.state().due.is_empty() {
            tokio::task::yield_now().await;
        }
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
    async fn place_granted_to_somebody_who_has_left_goes_to_the_next() {
        let gate = Gate::new(1, PATIENCE);
        let place = gate.enter().await.unwrap();
        let mut left = Box::pin(gate.enter());
        assert!(pending(&mut left).await);
        let mut next = Box::pin(gate.enter());
        assert!(pending(&mut next).await);
        drop(place);
        drop(left);
        assert!(next.await.is_some());
        assert_eq!(gate.state().free, 1);
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
