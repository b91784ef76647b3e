//! A lane: everything that goes to one destination, with its own places, line and schedule. A destination that is
//! slow or dead holds up its own lane and nothing else.
//!
//! A fresh delivery is attempted at once if there is a place, waits a moment if there is none, and is otherwise
//! *parked*: it goes into the journal as due now. What waits in the journal, parked or failed, the lane fetches
//! as it comes due. So memory holds no more than the attempts being made and a short line, however much waits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use lanes::{LaneError, Lanes};

use self::{
    alarm::Alarm,
    gate::{Gate, Place},
    hold::Hold,
    record::Recorder,
};
use crate::{
    clock::{Clock, Timestamp},
    deliver::{Answer, Client, Target, Verdict, retry},
    journal::{Delivery, DeliveryAttempt, DeliveryState, Journal, JournalError, TrailEntry},
    telemetry::Metrics,
};

mod alarm;

mod gate;

mod hold;

mod lanes;

mod record;

/// How many due deliveries a lane fetches at once, and so holds beyond those it is attempting.
const BATCH: usize = 32;

/// After a look that did not go well: the journal failed, or had nothing of what was promised.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One destination's lane. It outlives the generations; only its target changes.
pub(crate) struct Lane {
    name: Arc<str>,
    standing: ArcSwap<Standing>,
    gate: Arc<Gate>,
    alarm: Alarm,
    recorder: Recorder,
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
    /// `None`: nothing was attempted.
    pub(crate) entry: Option<TrailEntry>,
}

impl Way {
    /// Attempts a fresh delivery as soon as there is a place. Where there is none before long, or the lanes are
    /// closing, it comes back as due now. `room` is dropped as soon as the waiting is over.
    pub(crate) async fn deliver<R>(self, delivery: Delivery, room: R) -> Outcome {
        let place = self.lane.gate.enter().await;
        drop(room);
        match place {
            Some(_place) => self.lane.attempt(&self.target, delivery).await,
            None => self.lane.park(delivery),
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
        let due = match self.shared.journal.claim_due(&self.name, now, BATCH).await {
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
            BATCH.. => self.alarm.set(now),
            _ => {}
        }
        if let Some(next) = due.next {
            self.alarm.set(next);
        }
        for delivery in due.deliveries {
            let place = self.gate.enter_due().await?;
            self.shared.tasks.spawn(self.clone().redeliver(delivery, place));
        }
        Some(())
    }

    /// Makes one more attempt at a delivery that had been waiting.
    async fn redeliver(self: Arc<Self>, delivery: Delivery, _place: Place) {
        let hold = Hold::new(&self, &delivery);
        let standing = self.standing.load_full();
        let outcome = match standing.removed {
            false => self.attempt(&standing.target, delivery).await,
            true => give_up(delivery, self.shared.clock.now()),
        };
        hold.settle(outcome);
    }

    async fn attempt(&self, target: &Target, mut delivery: Delivery) -> Outcome {
        let (at, began) = (self.shared.clock.now(), Instant::now());
        let answer = self.shared.client.attempt(target, &delivery, at).await;
        let took = began.elapsed();
        delivery.attempts += 1;
        let state = next_state(&answer, &target.retry, delivery.attempts, at + took);
        let entry = self.recorder.record(&delivery, answer, state.as_ref(), at, took);
        Outcome { delivery, state, entry: Some(entry) }
    }

    fn park(&self, delivery: Delivery) -> Outcome {
        let state = Some(DeliveryState::Waiting { due: self.shared.clock.now() });
        Outcome { delivery, state, entry: None }
    }
}

impl Shared {
    fn settle(&self, outcome: Outcome) {
        let Outcome { delivery, state, entry } = outcome;
        self.journal.settle_delivery(DeliveryAttempt {
            key: delivery.key,
            trail: entry.into_iter().collect(),
            attempts: delivery.attempts,
            state,
        });
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
fn give_up(delivery: Delivery, at: Timestamp) -> Outcome {
    let reason = gone(&delivery.key.destination);
    tracing::warn!(destination = %delivery.key.destination, event = %delivery.key.event, reason, "dead letter");
    let entry = Some(TrailEntry::Failed { at, reason: reason.clone() });
    Outcome { delivery, state: Some(DeliveryState::Dead { at, reason }), entry }
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
