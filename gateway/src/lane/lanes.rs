//! All lanes, by destination. They survive reloads.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Batcher, FETCH, Lane, Shared, Way, capacity::Capacity, gate::PATIENCE, give_up};
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
    /// Told when there may be deliveries without a lane.
    orphans: Notify,
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
            capacity: Capacity::new(metrics.batch_waiting.clone()),
            metrics,
            batchers: ArcSwap::default(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            patience,
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
            by_name: ArcSwap::default(),
            applying: Mutex::new(()),
            orphans: Notify::new(),
        }))
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

    /// Puts the ways in force in which routes batch. What waits in a window stays there; what waits for a route that
    /// is not among these goes singly.
    pub fn batch(&self, batchers: HashMap<Arc<str>, Arc<Batcher>>) {
        self.shared.batchers.store(Arc::new(batchers));
    }

    /// Has every lane look into the journal now. To be called after dead letters have been replayed: some may have
    /// no lane.
    pub fn wake_all(&self) {
        for lane in self.by_name.load().values() {
            lane.alarm.set(Timestamp::default());
        }
        self.orphans.notify_one();
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

    /// From now on, until the lanes close, makes dead letters of what waits for destinations that are not in the
    /// config: those that left it while the gateway was down, and those that somebody replays to all the same.
    pub(crate) fn start_giving_up_orphans(self: &Arc<Self>) {
        let lanes = self.clone();
        self.shared.tasks.spawn(async move {
            let rounds = async {
                loop {
                    if let Err(error) = lanes.give_up_orphans().await {
                        tracing::error!(%error, "failed to look for deliveries whose destination is not in the config");
                    }
                    lanes.orphans.notified().await;
                }
            };
            lanes.shared.closing.run_until_cancelled(rounds).await;
        });
    }

    async fn give_up_orphans(&self) -> Result<(), JournalError> {
        for name in self.shared.journal.waiting_destinations().await? {
            let mut given_up = 0;
            // Between two fetches a reload may have brought it back.
            while !self.by_name.load().contains_key(&name) {
                let count = self.give_up_some(&name).await?;
                if count == 0 {
                    break;
                }
                given_up += count;
            }
            if given_up > 0 {
                tracing::warn!(destination = %name, given_up, "destination is not in the config, dead letters");
            }
        }
        Ok(())
    }

    async fn give_up_some(&self, destination: &str) -> Result<usize, JournalError> {
        let whenever = Timestamp::from_millis(u64::MAX);
        let orphans = self.shared.journal.claim_due(destination, whenever, FETCH).await?.deliveries;
        let count = orphans.len();
        for orphan in orphans {
            self.shared.settle(give_up(orphan, self.shared.clock.now()));
        }
        Ok(count)
    }

    #[cfg(test)]
    pub(super) fn waiting_in_windows(&self) -> usize {
        self.by_name.load().values().map(|lane| lane.windows.len()).sum()
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
