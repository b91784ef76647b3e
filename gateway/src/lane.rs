//! A lane: everything that goes to one destination, with its own places, line and schedule. A destination that is
//! slow or dead holds up its own lane and nothing else.
//!
//! A fresh delivery is attempted at once if there is a place, waits a moment if there is none, and is otherwise
//! *parked*: it goes into the journal as due now. What waits in the journal, parked or failed, the lane fetches
//! as it comes due. So memory holds no more than the attempts being made and a short line, however much waits.
//!
//! A delivery of a route that batches joins a window first (`lane/window.rs`), and takes its place together with all
//! that are in it (`lane/batch.rs`).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use batcher::{Batcher, Fold, Settings};
pub use lanes::{LaneError, Lanes};

use self::{
    alarm::Alarm,
    capacity::{Capacity, Seat, Share},
    gate::{Gate, Place},
    hold::Hold,
    record::{Made, Recorder},
    window::{Batch, Joined, Member, Opened, Windows},
};
use crate::{
    clock::{Clock, Timestamp},
    deliver::{Answer, Client, Target, Verdict, retry},
    journal::{Delivery, DeliveryAttempt, DeliveryState, Journal, JournalError, TrailEntry},
    telemetry::Metrics,
};

mod alarm;

mod batch;

mod batcher;

mod capacity;

mod gate;

mod hold;

mod lanes;

mod record;

mod window;

#[cfg(test)]
pub(crate) mod testing;

/// How many due deliveries a lane fetches at once, and so holds beyond those it is attempting.
const FETCH: usize = 32;

/// After a look that did not go well: the journal failed, or had nothing of what was promised.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One destination's lane. It outlives the generations; only its target changes.
pub(crate) struct Lane {
    name: Arc<str>,
    standing: ArcSwap<Standing>,
    gate: Arc<Gate>,
    alarm: Alarm,
    recorder: Recorder,
    windows: Windows,
    /// Of the capacity for windows.
    share: Arc<Share>,
    shared: Arc<Shared>,
}

/// What a lane knows of its destination.
struct Standing {
    target: Arc<Target>,
    /// Gone from the config. What an older generation still sends is attempted once; what waits is given up.
    removed: bool,
}

/// What all lanes have in common.
struct Shared {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    client: Client,
    metrics: Arc<Metrics>,
    /// Of the routes that batch, as they are now.
    batchers: ArcSwap<HashMap<Arc<str>, Arc<Batcher>>>,
    capacity: Arc<Capacity>,
    closing: CancellationToken,
    tasks: TaskTracker,
    patience: Duration,
}

/// A lane with the target that counts for one event.
pub(crate) struct Way {
    lane: Arc<Lane>,
    pub(crate) target: Arc<Target>,
}

/// What became of a delivery in a lane.
pub(crate) struct Outcome {
    pub(crate) delivery: Delivery,
    /// `None`: it arrived.
    pub(crate) state: Option<DeliveryState>,
    /// What happened to it.
    pub(crate) trail: Vec<TrailEntry>,
}

impl Way {
    /// Attempts a fresh delivery as soon as there is a place, or as soon as its batch has one. Where there is none
    /// before long, or the lanes are closing, it comes back as due. `room` is dropped as soon as the waiting for a
    /// place is over; a window has a capacity of its own.
    pub(crate) async fn deliver<R>(self, delivery: Delivery, room: R) -> Outcome {
        if let Some(batcher) = self.lane.shared.batcher(&delivery) {
            drop(room);
            return self.lane.deliver_in_batch(delivery, &batcher).await;
        }
        let place = self.lane.gate.enter().await;
        drop(room);
        match place {
            Some(_place) => self.lane.attempt(&self.target, delivery).await,
            None => self.lane.park(delivery, Duration::ZERO),
        }
    }
}

impl Lane {
    fn new(name: Arc<str>, target: Arc<Target>, shared: Arc<Shared>) -> Self {
        Self {
            gate: Gate::new(target.concurrency, shared.patience),
            standing: ArcSwap::from_pointee(Standing { target, removed: false }),
            alarm: Alarm::ringing(),
            recorder: Recorder::new(&name, &shared.metrics),
            windows: Windows::default(),
            share: Arc::default(),
            name,
            shared,
        }
    }

    /// Puts a new target in force, for every attempt that has not begun.
    fn retarget(&self, target: Arc<Target>) {
        self.gate.resize(target.concurrency);
        self.standing.store(Arc::new(Standing { target, removed: false }));
    }

    fn remove(&self) {
        let target = self.standing.load().target.clone();
        self.standing.store(Arc::new(Standing { target, removed: true }));
    }

    /// Attempts what waits in the journal, as it comes due, until the lanes close.
    async fn run(self: Arc<Self>) {
        let shared = self.shared.clone();
        let looks = async {
            loop {
                self.alarm.rings(&*shared.clock).await;
                if self.look().await.is_none() {
                    return;
                }
            }
        };
        shared.closing.run_until_cancelled(looks).await;
    }

    /// Fetches what is due and sees it to its places. `None`: the journal is closed or poisoned, or the gate is
    /// closed.
    async fn look(self: &Arc<Self>) -> Option<()> {
        let now = self.shared.clock.now();
        let promised = self.alarm.take(now);
        let due = match self.shared.journal.claim_due(&self.name, now, FETCH).await {
            Ok(due) => due,
            // The dispatcher hears of it as well, and says so.
            Err(JournalError::Closed | JournalError::Poisoned(_)) => return None,
            Err(error) => {
                tracing::error!(destination = %self.name, %error, "failed to fetch due deliveries, trying again");
                self.alarm.set(now + LOOK_AGAIN);
                return Some(());
            }
        };
        match due.deliveries.len() {
            0 if promised => self.alarm.set(now + LOOK_AGAIN),
            FETCH.. => self.alarm.set(now),
            _ => {}
        }
        if let Some(next) = due.next {
            self.alarm.set(next);
        }
        for delivery in due.deliveries {
            let removed = self.standing.load().removed;
            match self.shared.batcher(&delivery).filter(|_| !removed) {
                Some(batcher) => self.rejoin(delivery, &batcher).await,
                None => {
                    let place = self.gate.enter_due().await?;
                    self.shared.tasks.spawn(self.clone().redeliver(delivery, place));
                }
            }
        }
        Some(())
    }

    /// Sees a fresh delivery through a window and the first attempt at its batch. Where too much waits in windows,
    /// it comes back as due in a moment.
    async fn deliver_in_batch(self: &Arc<Self>, delivery: Delivery, batcher: &Arc<Batcher>) -> Outcome {
        let Some(seat) = self.shared.capacity.take(&self.share, &delivery) else {
            self.make_room();
            return self.park(delivery, LOOK_AGAIN);
        };
        ended(self.join(delivery, batcher, seat, false)).await
    }

    /// Puts a delivery that had been waiting into its window, once there is room for it.
    async fn rejoin(self: &Arc<Self>, delivery: Delivery, batcher: &Arc<Batcher>) {
        let seat = self.shared.capacity.wait(&self.share, &delivery, || self.make_room()).await;
        let (key, attempts) = (delivery.key.clone(), delivery.attempts);
        let (lane, end) = (self.clone(), self.join(delivery, batcher, seat, true));
        self.shared.tasks.spawn(async move {
            let hold = Hold::new(&lane, key, attempts);
            hold.settle(ended(end).await);
        });
    }

    fn join(
        self: &Arc<Self>,
        delivery: Delivery,
        batcher: &Arc<Batcher>,
        seat: Seat,
        is_due: bool,
    ) -> oneshot::Receiver<Outcome> {
        let (told, end) = oneshot::channel();
        let member = Member { delivery, trail: Vec::new(), is_due, end: told, seat };
        let Joined { closed, opened } = self.windows.join(batcher, member, &self.shared.closing);
        for batch in closed {
            self.send_off(batch);
        }
        if let Some(opened) = opened {
            self.shared.tasks.spawn(self.clone().close_in_time(opened));
        }
        end
    }

    fn send_off(self: &Arc<Self>, batch: Batch) {
        self.shared.tasks.spawn(self.clone().run_batch(batch));
    }

    /// Closes a window when its time is over, or when the lanes close.
    async fn close_in_time(self: Arc<Self>, opened: Opened) {
        opened.timer.run_until_cancelled(tokio::time::sleep(opened.wait)).await;
        if let Some(batch) = self.windows.close(&opened) {
            self.run_batch(batch).await;
        }
    }

    /// Has a window go early, so that others may be opened.
    fn make_room(self: &Arc<Self>) {
        if let Some(batch) = self.windows.close_oldest() {
            self.send_off(batch);
        }
    }

    /// Makes one more attempt at a delivery that had been waiting.
    async fn redeliver(self: Arc<Self>, delivery: Delivery, _place: Place) {
        let hold = Hold::new(&self, delivery.key.clone(), delivery.attempts);
        let standing = self.standing.load_full();
        let outcome = match standing.removed {
            false => self.attempt(&standing.target, delivery).await,
            true => give_up(delivery, self.shared.clock.now()),
        };
        hold.settle(outcome);
    }

    async fn attempt(&self, target: &Target, mut delivery: Delivery) -> Outcome {
        let (at, began) = (self.shared.clock.now(), Instant::now());
        let id = delivery.key.webhook_id();
        let answer = self.shared.client.attempt(target, id, &delivery.message, at).await;
        let took = began.elapsed();
        delivery.attempts += 1;
        delivery.batch = None;
        let state = next_state(&answer, &target.retry, delivery.attempts, at + took);
        let made = Made { answer, at, took, batch: None };
        let entry = self.recorder.record(&delivery, made, state.as_ref());
        Outcome { delivery, state, trail: vec![entry] }
    }

    /// Has a delivery wait in the journal for so long.
    fn park(&self, delivery: Delivery, wait: Duration) -> Outcome {
        let state = Some(DeliveryState::Waiting { due: self.shared.clock.now() + wait });
        Outcome { delivery, state, trail: Vec::new() }
    }
}

impl Shared {
    /// How the delivery's route batches, if it does.
    fn batcher(&self, delivery: &Delivery) -> Option<Arc<Batcher>> {
        self.batchers.load().get(&delivery.route).cloned()
    }

    fn settle(&self, outcome: Outcome) {
        let Outcome { delivery, state, trail } = outcome;
        self.journal.settle_delivery(DeliveryAttempt {
            key: delivery.key,
            trail,
            attempts: delivery.attempts,
            batch: delivery.batch,
            state,
        });
    }
}

/// The end of a delivery in a batch.
///
/// # Panics
/// Where the batch has: then whoever waits has to see to it that the delivery is attempted again.
async fn ended(end: oneshot::Receiver<Outcome>) -> Outcome {
    match end.await {
        Ok(outcome) => outcome,
        Err(_) => panic!("a batch ended without its members"),
    }
}

/// What an answer to the latest of `attempts` makes of a delivery. `None`: it has arrived.
fn next_state(
    answer: &Answer,
    schedule: &[Duration],
    attempts: u32,
    now: Timestamp,
) -> Option<DeliveryState> {
    let dead = |reason| Some(DeliveryState::Dead { at: now, reason });
    match &answer.verdict {
        Verdict::Delivered => None,
        Verdict::Gone => dead("answered 410 Gone: the receiver wants no more of it".to_owned()),
        Verdict::Failed { error, retry_after } => {
            match retry::next(schedule, attempts, *retry_after, fastrand::f64()) {
                Some(wait) => Some(DeliveryState::Waiting { due: now + wait }),
                None if attempts == 1 => dead(format!("gave up after 1 attempt: {error}")),
                None => dead(format!("gave up after {attempts} attempts: {error}")),
            }
        }
    }
}

/// The end of a delivery whose destination is not in the config.
fn give_up(mut delivery: Delivery, at: Timestamp) -> Outcome {
    delivery.batch = None;
    let reason = gone(&delivery.key.destination);
    tracing::warn!(destination = %delivery.key.destination, event = %delivery.key.event, reason, "dead letter");
    let trail = vec![TrailEntry::Failed { at, reason: reason.clone() }];
    Outcome { delivery, state: Some(DeliveryState::Dead { at, reason }), trail }
}

/// Why a delivery to a destination that is not in the config is given up.
pub(crate) fn gone(destination: &str) -> String {
    format!("destination `{destination}` is not in the config: put it back and replay")
}

/// When a delivery in this state wants its next attempt.
pub(crate) fn due(state: &DeliveryState) -> Option<Timestamp> {
    match state {
        DeliveryState::Waiting { due } => Some(*due),
        DeliveryState::Dead { .. } => None,
    }
}
