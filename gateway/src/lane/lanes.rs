//! All lanes, by destination. They survive reloads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{BATCH, Lane, Shared, Way, gate::PATIENCE, give_up};
use crate::{
    clock::{Clock, Timestamp},
    config::Config,
    deliver::{Client, ClientError, Target, TargetError},
    journal::{Journal, JournalError},
    telemetry::Metrics,
};

/// The lanes of every destination that has been in the config since the start.
pub struct Lanes {
    shared: Arc<Shared>,
    by_name: ArcSwap<HashMap<Arc<str>, Arc<Lane>>>,
    /// Held while a config is applied: one at a time.
    applying: Mutex<()>,
}

impl Lanes {
    /// Makes an empty set of lanes; [`apply`](Self::apply) fills it.
    pub fn new(
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, LaneError> {
        Self::with_patience(journal, clock, metrics, PATIENCE)
    }

    pub(crate) fn with_patience(
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        patience: Duration,
    ) -> Result<Arc<Self>, LaneError> {
        let shared = Shared {
            journal,
            clock,
            client: Client::new()?,
            metrics,
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            patience,
        };
        Ok(Arc::new(Self { shared: Arc::new(shared), by_name: ArcSwap::default(), applying: Mutex::new(()) }))
    }

    /// Brings the lanes in line with a config: new destinations get a lane, known ones their new target and
    /// concurrency from the next attempt on, and what waits for one that is gone becomes a dead letter as it
    /// comes due. To be called inside a Tokio runtime, before the config's generation is put in force, so that no
    /// event meets a destination without a lane.
    ///
    /// # Errors
    /// Where a destination's signing secret is broken. Nothing has changed then.
    pub fn apply(&self, config: &Config) -> Result<(), LaneError> {
        let mut targets = config
            .destinations
            .iter()
            .map(|(name, destination)| Ok((name.clone(), Arc::new(Target::new(destination)?))))
            .collect::<Result<BTreeMap<_, _>, TargetError>>()?;
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lanes = HashMap::clone(&self.by_name.load());
        for (name, lane) in &lanes {
            match targets.remove(name) {
                Some(target) => lane.retarget(target),
                None => lane.remove(),
            }
        }
        for (name, target) in targets {
            let lane = Arc::new(Lane::new(name.clone(), target, self.shared.clone()));
            self.shared.tasks.spawn(lane.clone().run());
            lanes.insert(name, lane);
        }
        self.by_name.store(Arc::new(lanes));
        Ok(())
    }

    /// Has every lane look into the journal now. To be called after dead letters have been replayed.
    pub fn wake_all(&self) {
        for lane in self.by_name.load().values() {
            lane.alarm.set(Timestamp::default());
        }
    }

    /// The way to a destination, with its target as it is now. `None`: it is in no config since the start.
    pub(crate) fn way(&self, destination: &str) -> Option<Way> {
        let lane = self.by_name.load().get(destination)?.clone();
        let target = lane.standing.load().target.clone();
        Some(Way { lane, target })
    }

    /// Tells a destination's lane that the journal holds something for it that is due at `due`.
    pub(crate) fn expect(&self, destination: &str, due: Timestamp) {
        if let Some(lane) = self.by_name.load().get(destination) {
            lane.alarm.set(due);
        }
    }

    /// Makes dead letters of what waits for destinations that left the config while the gateway was down: they have
    /// no lane that would meet them.
    pub(crate) async fn give_up_orphans(&self) -> Result<(), JournalError> {
        let shared = &self.shared;
        for name in shared.journal.waiting_destinations().await? {
            if self.by_name.load().contains_key(&name) {
                continue;
            }
            let mut given_up = 0;
            loop {
                let whenever = Timestamp::from_millis(u64::MAX);
                let orphans = shared.journal.claim_due(&name, whenever, BATCH).await?.deliveries;
                if orphans.is_empty() {
                    break;
                }
                given_up += orphans.len();
                for orphan in orphans {
                    shared.settle(give_up(orphan, shared.clock.now()));
                }
            }
            tracing::warn!(destination = %name, given_up, "destination is not in the config, dead letters");
        }
        Ok(())
    }

    /// Begins no attempt any more; what is waiting for a place comes back as due.
    pub(crate) fn close(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        for lane in self.by_name.load().values() {
            lane.gate.close();
        }
    }

    /// Returns once the last attempt has ended, after [`close`](Self::close).
    pub(crate) async fn idle(&self) {
        self.shared.tasks.wait().await;
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Target(#[from] TargetError),
}
