//! A batch on its way: it is folded, its messages are attempted, and each member gets its own outcome.
//!
//! What fails for good splits in halves, each attempted at once on its own, until the member that is at fault is
//! alone. Members are settled as soon as their end is known; a crash finds the others in the journal.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::{
    Lane, Outcome,
    batcher::{Batcher, FOLDED, Part},
    give_up, next_state,
    record::{DEAD, DELIVERED, Made, RETRY},
    window::{Batch, Member},
};
use crate::{
    clock::Timestamp,
    deliver::{Answer, Target, Verdict, retry},
    event::Message,
    journal::{BatchTag, Delivery, DeliveryState, TrailEntry},
    plugin::{Call, CallError, Folded, Item, Window},
    telemetry::{BatchLabels, RouteLabel},
};

/// How long members wait whose plugin says that its config is wrong: it is the operator's turn.
const MISCONFIGURED: Duration = Duration::from_secs(60);

/// What becomes of a member; of several, the last in this order counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Done,
    Wait(Timestamp),
    /// It is attempted again in a smaller batch.
    Split,
    Die(String),
}

impl Lane {
    /// Sees a closed window to its place. Where there is none before long, its members come back as due now.
    pub(super) async fn run_batch(self: Arc<Self>, Batch { batcher, members }: Batch) {
        let only_due = members.iter().all(|member| member.is_due);
        let place = match only_due {
            true => self.gate.enter_due().await,
            false => self.gate.enter().await,
        };
        let now = self.shared.clock.now();
        let Some(_place) = place else { return wait(members, now) };
        let standing = self.standing.load_full();
        let (lost, members): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| standing.removed && member.is_due);
        lost.into_iter().for_each(|member| member.end_with(|delivery| give_up(delivery, now)));
        if let Some(first) = members.first() {
            let route = first.delivery.route.clone();
            Run { lane: &self, batcher: &batcher, target: &standing.target, route }.all(members).await;
        }
    }
}

/// A batch in its place.
struct Run<'a> {
    lane: &'a Lane,
    batcher: &'a Batcher,
    target: &'a Target,
    route: Arc<str>,
}

/// What a member has come to so far; nothing, where no message is of it.
type Fates = Vec<Option<Fate>>;

impl Run<'_> {
    async fn all(&self, members: Vec<Member>) {
        let mut groups = vec![(members, Part::Whole)];
        while let Some((group, part)) = groups.pop() {
            if self.lane.shared.closing.is_cancelled() {
                wait(group, self.lane.shared.clock.now());
                continue;
            }
            let mut first = self.attempt(group, part).await;
            let second = first.split_off(first.len() / 2);
            let halves = [second, first].into_iter().filter(|half| !half.is_empty());
            groups.extend(halves.map(|half| (half, Part::Half)));
        }
    }

    /// One attempt. What comes back is to be split.
    async fn attempt(&self, mut group: Vec<Member>, part: Part) -> Vec<Member> {
        let clock = &*self.lane.shared.clock;
        let at = clock.now();
        let call = match self.batcher.fold(&self.window(&group), part, clock).await {
            Ok(call) => call,
            // It counts as no attempt.
            Err(held) => {
                return settle(group.into_iter().map(|member| (member, Fate::Wait(at + held.wait(at)))), at);
            }
        };
        let Call { answer, elapsed, log, counts: _ } = call;
        let step = |error: Option<&CallError>, log| self.step(at, elapsed, error, log);
        match answer {
            Ok(folded) => {
                if let Some(first) = group.first_mut() {
                    first.trail.push(step(None, log));
                }
                self.deliver(group, folded, at).await
            }
            Err(error) => self.fail(group, &error, log, step),
        }
    }

    fn window(&self, group: &[Member]) -> Window {
        Window {
            route: self.route.clone(),
            destination: self.lane.name.clone(),
            items: group.iter().map(|member| item(&member.delivery)).collect(),
        }
    }

    /// Attempts every message of a fold made at `at`.
    async fn deliver(&self, mut group: Vec<Member>, folded: Vec<Folded>, at: Timestamp) -> Vec<Member> {
        group.iter_mut().for_each(|member| member.delivery.attempts += 1);
        let fates = self.send_all(&mut group, folded).await;
        let left_out = self.left_out(at);
        let fated = group.into_iter().zip(fates).map(|(mut member, fate)| {
            let fate = fate.unwrap_or_else(|| {
                member.trail.push(left_out.clone());
                Fate::Done
            });
            (member, fate)
        });
        settle(fated, self.lane.shared.clock.now())
    }

    async fn send_all(&self, group: &mut [Member], folded: Vec<Folded>) -> Fates {
        let mut fates = vec![None; group.len()];
        let mut ids = Ids::default();
        for Folded { message, items } in folded {
            let id = ids.next(items.iter().map(|item| group[*item].delivery.key.webhook_id()));
            let made = self.send(id, &message, items.len()).await;
            let fate = self.judge(&made, &items, group);
            let (outcome, next) = fate.shown();
            for item in items {
                let entry = self.lane.recorder.entry(&group[item].delivery, made.clone(), outcome, next);
                group[item].trail.push(entry);
                fates[item] = fates[item].take().max(Some(fate.clone()));
            }
        }
        fates
    }

    async fn send(&self, id: String, message: &Message, size: usize) -> Made {
        let (at, began) = (self.lane.shared.clock.now(), Instant::now());
        let answer = self.lane.shared.client.attempt(self.target, id, message, at).await;
        Made { answer, at, took: began.elapsed(), batch: Some(u32::try_from(size).unwrap_or(u32::MAX)) }
    }

    /// What an answer means for the members of the message, by the one that has been attempted most often.
    fn judge(&self, made: &Made, items: &[usize], group: &[Member]) -> Fate {
        let attempts = items.iter().map(|item| group[*item].delivery.attempts).max().unwrap_or_default();
        let state = next_state(&made.answer, &self.target.retry, attempts, made.at + made.took);
        let fate = match state {
            None => Fate::Done,
            Some(DeliveryState::Waiting { due }) => Fate::Wait(due),
            Some(DeliveryState::Dead { .. }) if items.len() > 1 && may_be_one_s_fault(&made.answer) => {
                Fate::Split
            }
            Some(DeliveryState::Dead { reason, .. }) => Fate::Die(reason),
        };
        self.record(made, items.len(), &fate);
        fate
    }

    fn record(&self, made: &Made, size: usize, fate: &Fate) {
        let (route, destination, outcome) = (&self.route, &self.lane.name, fate.shown().0);
        let metrics = &self.lane.shared.metrics;
        let labels =
            |outcome| BatchLabels { route: route.clone(), destination: destination.clone(), outcome };
        metrics.batches.get_or_create(&labels(outcome)).inc();
        metrics.batch_size.get_or_create(&RouteLabel { route: route.clone() }).observe(size as f64);
        self.lane.recorder.count(outcome, made.took);
        let (status, took) = (made.answer.status.map(|status| status.as_u16()), made.took);
        match fate {
            Fate::Done => tracing::debug!(%route, %destination, size, status, ?took, "batch delivered"),
            Fate::Wait(_) | Fate::Split | Fate::Die(_) => {
                let error = made.answer.error();
                tracing::warn!(%route, %destination, size, status, error, ?took, outcome, "attempt at a batch failed");
            }
        }
    }

    /// What becomes of members that could not be folded. What the plugin said is told once.
    fn fail(
        &self,
        mut group: Vec<Member>,
        error: &CallError,
        mut log: Vec<String>,
        step: impl Fn(Option<&CallError>, Vec<String>) -> TrailEntry,
    ) -> Vec<Member> {
        if may_pass(error) {
            group.iter_mut().for_each(|member| member.delivery.attempts += 1);
        }
        let now = self.lane.shared.clock.now();
        let fate = self.fate_after(error, &group, now);
        let (route, destination, plugin) = (&self.route, &self.lane.name, self.batcher.plugin());
        let (size, outcome, said) = (group.len(), fate.shown().0, log.join(" | "));
        tracing::warn!(%route, %destination, %plugin, size, %error, said, outcome, "batch could not be folded");
        // Who waits for the operator is told once, not every minute.
        let is_news = |member: &&mut Member| !member.is_due || !matches!(error, CallError::Config(_));
        for member in group.iter_mut().filter(is_news) {
            member.trail.push(step(Some(error), std::mem::take(&mut log)));
        }
        settle(group.into_iter().map(|member| (member, fate.clone())), now)
    }

    fn fate_after(&self, error: &CallError, group: &[Member], now: Timestamp) -> Fate {
        let attempts = group.iter().map(|member| member.delivery.attempts).max().unwrap_or_default();
        let after = match error {
            CallError::Config(_) => return Fate::Wait(now + MISCONFIGURED),
            CallError::Retry { after, .. } => *after,
            _ => None,
        };
        let wait = may_pass(error)
            .then(|| retry::next(&self.target.retry, attempts, after, fastrand::f64()))
            .flatten();
        match wait {
            Some(wait) => Fate::Wait(now + wait),
            None if group.len() > 1 => Fate::Split,
            None => Fate::Die(format!("plugin `{}` {error}", self.batcher.plugin())),
        }
    }

    /// The line of history about a fold.
    fn step(&self, at: Timestamp, took: Duration, error: Option<&CallError>, log: Vec<String>) -> TrailEntry {
        TrailEntry::Step {
            at,
            plugin: self.batcher.plugin().to_string(),
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            outcome: error.map_or(FOLDED, CallError::outcome).to_owned(),
            detail: error.map(ToString::to_string),
            log,
            canary: false,
        }
    }

    fn left_out(&self, at: Timestamp) -> TrailEntry {
        TrailEntry::Step {
            at,
            plugin: self.batcher.plugin().to_string(),
            micros: 0,
            outcome: "drop".to_owned(),
            detail: Some("left out of the batch".to_owned()),
            log: Vec::new(),
            canary: false,
        }
    }
}

impl Fate {
    /// What history and metrics call it, and when the next attempt is.
    fn shown(&self) -> (&'static str, Option<Timestamp>) {
        match self {
            Self::Done => (DELIVERED, None),
            Self::Wait(due) => (RETRY, Some(*due)),
            Self::Split => ("split", None),
            Self::Die(_) => (DEAD, None),
        }
    }
}

/// A delivery, as the plugin sees it.
fn item(delivery: &Delivery) -> Item {
    Item {
        event: delivery.key.event,
        webhook_id: delivery.key.webhook_id(),
        received_at: delivery.key.event.accepted_at().unwrap_or_default(),
        message: delivery.message.clone(),
    }
}

/// Whether a refusal for good may be about one of several: who could not be reached, or wants no more of it, has
/// not looked at any.
fn may_be_one_s_fault(answer: &Answer) -> bool {
    answer.status.is_some() && answer.verdict != Verdict::Gone
}

/// Whether the same items may be folded another time, as an attempt of its own.
fn may_pass(error: &CallError) -> bool {
    matches!(error, CallError::Retry { .. })
}

/// Ends the members whose end is known and has the others wait, together. What comes back is to be split.
fn settle(fated: impl Iterator<Item = (Member, Fate)>, now: Timestamp) -> Vec<Member> {
    let (mut waiting, mut due, mut split) = (Vec::new(), Timestamp::default(), Vec::new());
    for (member, fate) in fated {
        match fate {
            Fate::Done => member.end_as(None, None),
            Fate::Die(reason) => member.end_as(Some(DeliveryState::Dead { at: now, reason }), None),
            Fate::Split => split.push(member),
            Fate::Wait(until) => {
                due = due.max(until);
                waiting.push(member);
            }
        }
    }
    wait(waiting, due);
    split
}

/// Has members wait until `due`, for each other.
fn wait(members: Vec<Member>, due: Timestamp) {
    let id = digest(members.iter().map(|member| member.delivery.key.webhook_id()));
    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
    for (member, place) in members.into_iter().zip(0..) {
        let tag = BatchTag { id, members: count, place };
        member.end_as(Some(DeliveryState::Waiting { due }), Some(tag));
    }
}

impl Member {
    fn end_as(self, state: Option<DeliveryState>, batch: Option<BatchTag>) {
        self.end_with(|mut delivery| {
            delivery.batch = batch;
            Outcome { delivery, state, trail: Vec::new() }
        });
    }

    fn end_with(self, end: impl FnOnce(Delivery) -> Outcome) {
        let Self { delivery, mut trail, end: told, seat, .. } = self;
        let mut outcome = end(delivery);
        trail.append(&mut outcome.trail);
        outcome.trail = trail;
        drop(seat);
        // Whoever waits for it is gone only when the process ends.
        let _ = told.send(outcome);
    }
}

/// The `webhook-id`s of a batch's messages: the same for the same members, in whatever batch they are.
#[derive(Default)]
struct Ids(HashMap<[u8; 16], u32>);

impl Ids {
    fn next(&mut self, members: impl Iterator<Item = String>) -> String {
        let digest = digest(members);
        let seen = self.0.entry(digest).or_default();
        let id = format!("batch_{:032x}_{seen}", u128::from_be_bytes(digest));
        *seen += 1;
        id
    }
}

fn digest(members: impl Iterator<Item = String>) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for member in members {
        hasher.update((member.len() as u64).to_le_bytes());
        hasher.update(member);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize()[..16]);
    first
}

#[cfg(test)]
mod tests;
