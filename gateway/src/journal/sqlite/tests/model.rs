//! Random sequences of operations against a simple model, with crashes at random points.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::journal::DeadFilter;

#[derive(Clone, Debug)]
enum Step {
    Append { delivery: usize },
    Claim { max: usize },
    Settle { pick: usize, ending: usize },
    ClaimDue { to: usize },
    Attempt { pick: usize, ending: usize },
    ReplayEvent { pick: usize },
    ReplayDead { to: usize },
    Wait { minutes: u64 },
    Crash,
}

const DESTINATIONS: [&str; 2] = ["a", "b"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..30_usize).prop_map(|delivery| Step::Append { delivery }),
        4 => (1..4_usize).prop_map(|max| Step::Claim { max }),
        4 => (0..100_usize, 0..7_usize).prop_map(|(pick, ending)| Step::Settle { pick, ending }),
        3 => (0..2_usize).prop_map(|to| Step::ClaimDue { to }),
        3 => (0..100_usize, 0..3_usize).prop_map(|(pick, ending)| Step::Attempt { pick, ending }),
        1 => (0..100_usize).prop_map(|pick| Step::ReplayEvent { pick }),
        1 => (0..2_usize).prop_map(|to| Step::ReplayDead { to }),
        2 => (1..90_u64).prop_map(|minutes| Step::Wait { minutes }),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What the journal should hold.
#[derive(Default)]
struct Model {
    /// By delivery id, in the order of acceptance.
    accepted: BTreeMap<usize, EventId>,
    events: BTreeMap<EventId, Entry>,
    in_hand: Vec<EventId>,
    lanes_in_hand: Vec<Delivery>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    finished: Option<EventState>,
    /// When a dispatch is wanted, if one is; it comes as this attempt.
    wanted: Option<(Timestamp, u32)>,
    attempt: u32,
    /// By destination: due, or dead.
    deliveries: BTreeMap<&'static str, DeliveryState>,
    dispatched: bool,
}

impl Entry {
    fn state(&self) -> EventState {
        match self.finished {
            Some(state) => state,
            None if self.dispatched => EventState::Waiting,
            None => EventState::Open,
        }
    }

    /// After a change of its deliveries.
    fn conclude(&mut self) {
        let waits = |state: &DeliveryState| matches!(state, DeliveryState::Waiting { .. });
        if self.finished.is_some() || self.wanted.is_some() || self.deliveries.values().any(waits) {
            return;
        }
        let dead = !self.deliveries.is_empty();
        self.finished = Some(if dead { EventState::Dead } else { EventState::Delivered });
    }
}

struct Run {
    bench: Bench,
    model: Model,
}

impl Run {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Append { delivery } => self.append(delivery).await,
            Step::Claim { max } => self.claim(max).await,
            Step::Settle { pick, ending } => self.settle(pick, ending),
            Step::ClaimDue { to } => self.claim_due(DESTINATIONS[to]).await,
            Step::Attempt { pick, ending } => self.attempt(pick, ending),
            Step::ReplayEvent { pick } => self.replay_event(pick).await,
            Step::ReplayDead { to } => self.replay_dead(DESTINATIONS[to]).await,
            Step::Wait { minutes } => self.bench.clock.advance(Duration::from_secs(60 * minutes)),
            Step::Crash => self.crash().await,
        }
    }

    async fn append(&mut self, number: usize) {
        let event = self.bench.event(number);
        let appended = self.bench.journal().append(event.clone(), Some(10_000 * HOUR)).await.unwrap();
        match self.model.accepted.get(&number) {
            Some(first) => assert_eq!(appended, Appended::Duplicate(*first)),
            None => {
                assert_eq!(appended, Appended::New);
                self.model.accepted.insert(number, event.id);
                let entry = Entry { wanted: Some((self.bench.now(), 1)), ..Entry::default() };
                self.model.events.insert(event.id, entry);
            }
        }
    }

    /// The events that a claim could get now.
    fn claimable(&self) -> BTreeSet<EventId> {
        let now = self.bench.now();
        let is_due = |entry: &Entry| entry.wanted.is_some_and(|(due, _)| due <= now);
        let events =
            self.model.events.iter().filter(|(id, entry)| is_due(entry) && !self.model.in_hand.contains(id));
        events.map(|(id, _)| *id).collect()
    }

    async fn claim(&mut self, max: usize) {
        // What a settlement has just asked for is claimable once it is written.
        self.bench.journal().flush().await;
        let claimable = self.claimable();
        if claimable.is_empty() {
            return assert!(self.bench.has_no_claim().await);
        }
        let claims = within(self.bench.journal().claim(max)).await.unwrap();
        assert!((1..=max).contains(&claims.len()));
        for claim in claims {
            let id = claim.event.id;
            assert!(claimable.contains(&id), "{id} was not to be had");
            let entry = self.model.events.get_mut(&id).unwrap();
            assert_eq!(entry.wanted, entry.wanted.map(|(due, _)| (due, claim.attempt)));
            entry.attempt = claim.attempt;
            self.model.in_hand.push(id);
        }
    }

    fn settle(&mut self, pick: usize, ending: usize) {
        if self.model.in_hand.is_empty() {
            return;
        }
        let id = self.model.in_hand.swap_remove(pick % self.model.in_hand.len());
        let (now, waiting, dead) = (self.bench.now(), self.bench.waiting(HOUR), self.bench.dead());
        let entry = self.model.events.get_mut(&id).unwrap();
        (entry.wanted, entry.dispatched, entry.finished) = (None, true, None);
        entry.deliveries.clear();
        let event = Event { id, ..(*self.bench.event(0)).clone() };
        let mut leave = |states: [(&'static str, &DeliveryState); 2]| {
            let unfinished = states.map(|(to, state)| delivery(&event, to, state.clone()));
            entry.deliveries.extend(states.map(|(to, state)| (to, state.clone())));
            entry.conclude();
            Ending::Delivered { unfinished: unfinished.into() }
        };
        let ending = match ending {
            0 => leave([("a", &waiting), ("b", &waiting)]),
            1 => leave([("a", &waiting), ("b", &dead)]),
            2 => leave([("a", &dead), ("b", &dead)]),
            3 => {
                entry.wanted = Some((now + HOUR, entry.attempt + 1));
                Ending::RetryAt { due: now + HOUR }
            }
            4 => {
                entry.wanted = Some((now + HOUR, entry.attempt));
                Ending::Later { due: now + HOUR }
            }
            5 => {
                entry.finished = Some(EventState::Dropped);
                Ending::Dropped { reason: "no".into() }
            }
            _ => {
                entry.finished = Some(EventState::Delivered);
                Ending::Delivered { unfinished: Vec::new() }
            }
        };
        self.bench.settle(id, ending);
    }

    async fn claim_due(&mut self, to: &'static str) {
        let now = self.bench.now();
        let in_hand = |id: &EventId| {
            self.model
                .lanes_in_hand
                .iter()
                .any(|delivery| delivery.key.event == *id && &*delivery.key.destination == to)
        };
        let waiting = self.model.events.iter().filter(|(id, _)| !in_hand(id)).filter_map(|(id, entry)| {
            match entry.deliveries.get(to) {
                Some(DeliveryState::Waiting { due }) => Some((*id, *due)),
                _ => None,
            }
        });
        let (due, later): (Vec<_>, Vec<_>) = waiting.partition(|(_, due)| *due <= now);
        let claimed = self.bench.due(to).await;
        let got: BTreeSet<_> = claimed.deliveries.iter().map(|delivery| delivery.key.event).collect();
        assert_eq!(got, due.into_iter().map(|(id, _)| id).collect());
        assert_eq!(claimed.next, later.into_iter().map(|(_, due)| due).min());
        self.model.lanes_in_hand.extend(claimed.deliveries);
    }

    fn attempt(&mut self, pick: usize, ending: usize) {
        if self.model.lanes_in_hand.is_empty() {
            return;
        }
        let delivery = self.model.lanes_in_hand.swap_remove(pick % self.model.lanes_in_hand.len());
        let state = [None, Some(self.bench.waiting(HOUR)), Some(self.bench.dead())][ending].clone();
        self.bench.attempted(&delivery, state.clone());
        let entry = self.model.events.get_mut(&delivery.key.event).unwrap();
        let to = DESTINATIONS.into_iter().find(|name| *name == &*delivery.key.destination).unwrap();
        let Some(current) = entry.deliveries.get_mut(to) else { return };
        match state {
            Some(state) => *current = state,
            None => drop(entry.deliveries.remove(to)),
        }
        entry.conclude();
    }

    async fn replay_event(&mut self, pick: usize) {
        let Some(id) = self.model.accepted.values().nth(pick % self.model.accepted.len().max(1)).copied()
        else {
            return;
        };
        assert!(self.bench.journal().replay_event(id, self.bench.now()).await.unwrap());
        let entry = self.model.events.get_mut(&id).unwrap();
        if self.model.in_hand.contains(&id) || !entry.dispatched {
            return;
        }
        entry.deliveries.clear();
        (entry.finished, entry.wanted) = (None, Some((self.bench.now(), 1)));
    }

    async fn replay_dead(&mut self, to: &'static str) {
        let filter = DeadFilter { destination: Some(to.into()), ..DeadFilter::default() };
        let replayed = self.bench.journal().replay_dead(filter, self.bench.now()).await.unwrap();
        let mut expected = 0;
        for entry in self.model.events.values_mut() {
            if let Some(state @ DeliveryState::Dead { .. }) = entry.deliveries.get_mut(to) {
                *state = DeliveryState::Waiting { due: self.bench.clock.now() };
                entry.finished = None;
                expected += 1;
            }
        }
        assert_eq!(replayed, expected);
    }

    async fn crash(&mut self) {
        // What nobody waits for may be lost in a crash; the model is only of what was written.
        self.bench.journal().flush().await;
        self.bench.crash();
        self.model.in_hand.clear();
        self.model.lanes_in_hand.clear();
    }

    async fn check(&self) {
        for (id, entry) in &self.model.events {
            let record = self.bench.journal().event(*id).await.unwrap().unwrap();
            assert_eq!(record.state, entry.state(), "{id}: {entry:?}");
            assert_eq!(record.unfinished.len(), entry.deliveries.len(), "{id}: {entry:?}");
        }
        let health = self.bench.journal().health();
        let unfinished = self.model.events.values().filter(|entry| entry.finished.is_none()).count();
        let is_dead = |state: &&DeliveryState| matches!(state, DeliveryState::Dead { .. });
        let dead =
            self.model.events.values().flat_map(|entry| entry.deliveries.values()).filter(is_dead).count();
        assert_eq!((health.depth, health.dead_letters), (unfinished as u64, dead as u64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn any_history_ends_as_the_model_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::with(|config| config.retain = 100_000 * HOUR);
            let mut run = Run { bench, model: Model::default() };
            for step in steps {
                run.step(step).await;
            }
            run.check().await;
            run.crash().await;
            run.check().await;
        });
    }
}
