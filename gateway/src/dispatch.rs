//! Takes events from the journal through their pipelines to their destinations. Nobody is waiting.
//!
//! What is in hand is bounded twice: few pipelines of a route run at once, because plugins are work for the processor,
//! and few events are between the journal and their attempts. An event leaves the second bound when its attempts begin
//! or are parked, which takes a lane a second at most, and goes back into the journal where too many of its route wait
//! for the plugins: so neither a destination nor a plugin, dead or slow, can stop the dispatcher.

use std::{sync::Arc, time::Duration};

use futures_util::future::{OptionFuture, join_all};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::coop::consume_budget,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

pub use self::turns::Turns;
use self::{lease::Lease, plan::Plan, turns::Place};
use crate::{
    clock::{Clock, Timestamp},
    deliver::retry,
    event::Event,
    generation::{Current, LiveRoute},
    journal::{Claim, Delivery, Ending, Journal, JournalError, Settlement, TrailEntry},
    lane::{Lanes, Outcome, Way, due},
    pipeline::{Failure, Verdict},
    telemetry::{Metrics, RouteLabel},
};

mod lease;

mod plan;

mod turns;

/// The waits between runs of a pipeline that failed and asked for another; after the last the event is a dead
/// letter. Spread by ±20 %, and never shorter than a plugin asked for.
pub const PIPELINE_RETRY: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(3600),
];

/// How many events are claimed at once.
const CLAIM: usize = 64;

/// Units of room for events between the journal and their attempts. An event takes one, and one more for every
/// [`UNIT`] bytes of its body: 2,048 small ones, or 32 MiB.
const ROOM: usize = 2048;
const UNIT: usize = 16 << 10;

/// After the journal failed to hand out events.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);

/// Dispatches what the journal holds.
pub struct Dispatcher {
    current: Current,
    journal: Arc<dyn Journal>,
    lanes: Arc<Lanes>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    room: Arc<Semaphore>,
    /// Cancelled once nothing is begun any more.
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// An event's part of the room; shared by its deliveries until the last has begun or is parked.
type Room = Arc<OwnedSemaphorePermit>;

impl Dispatcher {
    pub fn new(
        current: Current,
        journal: Arc<dyn Journal>,
        lanes: Arc<Lanes>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            current,
            journal,
            lanes,
            clock,
            metrics,
            room: Arc::new(Semaphore::new(ROOM)),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Dispatches until `shutdown`, then returns once the attempts that had begun are over and settled.
    ///
    /// What had not begun then stays as it is in the journal, or is settled as due now where other deliveries of
    /// the event have been attempted: the next start goes on with it and repeats nothing. If this is dropped
    /// before it returns, the attempts that are cut off are repeated, under the same `webhook-id`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        self.lanes.start_giving_up_orphans();
        shutdown.run_until_cancelled(self.clone().claim_and_dispatch()).await;
        self.stopping.cancel();
        self.lanes.close();
        self.tasks.close();
        self.tasks.wait().await;
        self.lanes.idle().await;
    }

    /// Ends when the journal is closed, or poisoned: what is done from then on could not be recorded.
    async fn claim_and_dispatch(self: Arc<Self>) {
        loop {
            let claims = match self.journal.claim(CLAIM).await {
                Ok(claims) => claims,
                Err(JournalError::Closed) => return,
                Err(error @ JournalError::Poisoned(_)) => {
                    tracing::error!(%error, "nothing is dispatched any more");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "failed to claim events, trying again");
                    tokio::time::sleep(CLAIM_AGAIN).await;
                    continue;
                }
            };
            for claim in claims {
                let span =
                    tracing::info_span!("dispatch", event = %claim.event.id, route = %claim.event.route);
                self.clone().begin(claim, &span).instrument(span.clone()).await;
            }
        }
    }

    /// Begins the dispatch of an event once there is room for it, or puts it back into the journal.
    async fn begin(self: Arc<Self>, claim: Claim, span: &tracing::Span) {
        let route = self.route(&claim.event);
        let units = units(&claim.event);
        let mut place = None;
        // An event without plugins before it has no turn to wait for.
        if let Some(LiveRoute { turns, pipeline, .. }) =
            route.as_deref().filter(|r| !r.pipeline.is_empty_for(&claim.event))
        {
            if let Some(wait) = pipeline.held(&claim.event, self.clock.now()) {
                self.put_back(&claim, turns.after(self.clock.now(), wait), "a plugin is in quarantine");
                return consume_budget().await;
            }
            place = turns.line_up(units, &self.room).await;
            if place.is_none() {
                let due = turns.later(self.clock.now());
                self.put_back(&claim, due, "too many events of the route wait for its plugins");
                // Not a whole turn of the thread for each: where guests rage, that takes milliseconds.
                return consume_budget().await;
            }
        }
        // Never closed, so this cannot fail.
        let Ok(room) = self.room.clone().acquire_many_owned(units as u32).await else { return };
        self.tasks.spawn(self.clone().dispatch(claim, route, place, Arc::new(room)).instrument(span.clone()));
    }

    fn put_back(&self, claim: &Claim, due: Timestamp, reason: &str) {
        tracing::debug!(%due, reason, "put back");
        let event = claim.event.id;
        self.journal.settle(Settlement { event, trail: Vec::new(), ending: Ending::Later { due } });
    }

    /// Takes one event through its route's pipeline to its destinations, then settles it.
    async fn dispatch(
        self: Arc<Self>,
        claim: Claim,
        route: Option<Arc<LiveRoute>>,
        place: Option<Place>,
        room: Room,
    ) {
        let Claim { event, attempt } = claim;
        let turn = OptionFuture::from(place.map(Place::turn));
        // Stopping: nothing has been done yet, and the journal still has it.
        let Some(turn) = self.stopping.run_until_cancelled(turn).await else { return };
        let lease = Lease::new(&*self.journal, &*self.clock, event.id);
        let Some(route) = route else {
            return lease.dead(route_gone(&event.route));
        };
        let crate::pipeline::Outcome { mut trail, verdict } = route.pipeline.run(&event, attempt).await;
        drop(turn);
        let ending = match verdict {
            Ok(Verdict::Deliver(messages)) => {
                let plan = Plan::new(&event, &route.config, messages, &self.lanes, self.clock.now());
                self.deliver(plan, room, &mut trail).await
            }
            Ok(Verdict::Drop { reason }) => self.drop_event(&event, reason),
            Err(failure) => after_failure(failure, attempt, &route.turns, self.clock.now()),
        };
        self.settle(lease, trail, ending);
    }

    /// The event's route in the generation in force, which the event keeps from here on.
    fn route(&self, event: &Event) -> Option<Arc<LiveRoute>> {
        self.current.load().routes.get(&event.route).cloned()
    }

    /// Sees every delivery through its first attempt, or into the journal where its lane has no place for it.
    async fn deliver(&self, plan: Plan, room: Room, trail: &mut Vec<TrailEntry>) -> Ending {
        let Plan { ready, mut unfinished } = plan;
        if ready.is_empty() && unfinished.is_empty() {
            return Ending::Dropped {
                reason: "no destination: neither the route nor a plugin names one".to_owned(),
            };
        }
        for Outcome { delivery, state, trail: happened } in attempt_all(ready, room).await {
            trail.extend(happened);
            unfinished.extend(state.map(|state| Delivery { state, ..delivery }));
        }
        Ending::Delivered { unfinished }
    }

    fn drop_event(&self, event: &Event, reason: String) -> Ending {
        tracing::debug!(reason, "event dropped by plugin");
        self.metrics.dropped.get_or_create(&RouteLabel { route: event.route.clone() }).inc();
        Ending::Dropped { reason }
    }

    /// Settles, then tells the lanes of what waits for them: in this order, so that they find it.
    fn settle(&self, lease: Lease<'_>, trail: Vec<TrailEntry>, ending: Ending) {
        let waiting: Vec<_> = match &ending {
            Ending::Delivered { unfinished } => {
                unfinished.iter().filter_map(|d| Some((d.key.destination.clone(), due(&d.state)?))).collect()
            }
            Ending::Dropped { .. } | Ending::Dead { .. } | Ending::RetryAt { .. } | Ending::Later { .. } => {
                Vec::new()
            }
        };
        lease.settle(trail, ending);
        for (destination, due) in waiting {
            self.lanes.expect(&destination, due);
        }
    }
}

/// The units of room that an event takes.
fn units(event: &Event) -> usize {
    (1 + event.body.len() / UNIT).min(ROOM)
}

/// Makes the first attempts, all at once. The room is free when the last of them has begun or is parked: nobody
/// here may hold on to it any longer.
async fn attempt_all(mut ready: Vec<(Way, Delivery)>, room: Room) -> Vec<Outcome> {
    let Some((way, delivery)) = ready.pop() else { return Vec::new() };
    if ready.is_empty() {
        return vec![way.deliver(delivery, room).await];
    }
    let others: Vec<_> =
        ready.into_iter().map(|(way, delivery)| way.deliver(delivery, room.clone())).collect();
    join_all(others.into_iter().chain([way.deliver(delivery, room)])).await
}

fn route_gone(route: &str) -> String {
    format!("route `{route}` is not in the config: put it back and replay")
}

/// What becomes of an event whose pipeline failed at this attempt, counted from 1.
fn after_failure(failure: Failure, attempt: u32, turns: &Turns, now: Timestamp) -> Ending {
    let (reason, after) = match failure {
        Failure::Retry { after, reason } => (reason, after),
        Failure::DeadLetter { reason } => {
            tracing::warn!(attempt, reason, "pipeline failed, dead letter");
            return Ending::Dead { reason };
        }
        Failure::Quarantined { wait } => return Ending::Later { due: turns.after(now, wait) },
    };
    let Some(wait) = retry::next(&PIPELINE_RETRY, attempt, after, fastrand::f64()) else {
        tracing::warn!(attempt, reason, "pipeline failed, dead letter");
        return Ending::Dead { reason: format!("pipeline failed {attempt} times: {reason}") };
    };
    let due = now + wait;
    tracing::warn!(attempt, reason, next = %due, "pipeline failed, will retry");
    Ending::RetryAt { due }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
