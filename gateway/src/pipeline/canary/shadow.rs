//! Calls a candidate with copies of events, one after the other and behind them, and compares.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::super::{
    Differing, QUARANTINED, What,
    actor::{Actor, SKIPPED},
    comparison::compare,
    figures::Ledger,
    reach::{Reach, Room},
};
use crate::{
    clock::Clock,
    plugin::{Answer, CallError, Draft, View},
    telemetry::{DifferenceLabels, Metrics},
};

/// The most copies that wait for a shadow.
const COPIES: usize = 64;
/// The most bytes that they may have together, unless it is a single one.
const BYTES: usize = 4 << 20;

/// A call that takes longer than this is followed by a rest...
const QUICK: Duration = Duration::from_millis(1);
/// ...of so many times as long: a slow shadow takes a quarter of one core at most from those who deliver...
const REST: u32 = 3;
/// ...but no longer than this.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// A candidate that nothing is delivered of. It has one turn, and a short line before it: what finds the line full is
/// skipped, so that no event waits for it, whatever it does.
pub(super) struct Shadow {
    actor: Actor,
    route: Arc<str>,
    reach: Arc<Reach>,
    ledger: Arc<Ledger>,
    differences: Vec<(What, Counter)>,
    line: Mutex<Line>,
}

/// A message that the plugin in force was called with, and what came of it.
pub(super) struct Duplicate {
    pub(super) view: View,
    pub(super) room: Room,
    pub(super) answer: Result<Answer, CallError>,
    pub(super) clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Duplicate>,
    bytes: usize,
    /// `None`: nobody works off the line, and it is empty.
    worker: Option<JoinHandle<()>>,
}

impl Shadow {
    pub(super) fn new(
        route: &Arc<str>,
        actor: Actor,
        reach: &Arc<Reach>,
        ledger: &Arc<Ledger>,
        metrics: &Metrics,
    ) -> Self {
        let plugin = actor.plugin().name().clone();
        let counter = |what: What| {
            let (route, plugin) = (route.clone(), plugin.clone());
            let labels = DifferenceLabels { route, plugin, mode: "shadow", what: what.name() };
            metrics.canary_differences.get_or_create_owned(&labels)
        };
        Self {
            differences: What::ALL.map(|what| (what, counter(what))).into(),
            actor,
            route: route.clone(),
            reach: reach.clone(),
            ledger: ledger.clone(),
            line: Mutex::default(),
        }
    }

    pub(super) fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Puts a copy into the line, if there is a place. Returns at once.
    pub(super) fn offer(self: &Arc<Self>, view: &View, copy: impl FnOnce() -> Duplicate) {
        let mut line = self.line();
        let is_full = line.waiting.len() >= COPIES || (line.bytes > 0 && line.bytes + size(view) > BYTES);
        if is_full {
            drop(line);
            self.actor.count(SKIPPED);
            return self.ledger.skip();
        }
        let copy = copy();
        line.bytes += copy.size();
        line.waiting.push_back(copy);
        // One that has died is replaced.
        if line.worker.as_ref().is_none_or(JoinHandle::is_finished) {
            line.worker = Some(tokio::spawn(self.clone().work()));
        }
    }

    /// Works off the line, and ends with it.
    async fn work(self: Arc<Self>) {
        while let Some(copy) = self.next() {
            let event = copy.view.event();
            let span = tracing::info_span!("shadow", event = %event.id, route = %self.route);
            let took = self.try_out(&copy).instrument(span).await;
            if took > QUICK {
                tokio::time::sleep((took * REST).min(LONGEST_REST)).await;
            }
        }
    }

    fn next(&self) -> Option<Duplicate> {
        let mut line = self.line();
        let next = line.waiting.pop_front();
        match &next {
            Some(copy) => line.bytes -= copy.size(),
            // Under the lock: whoever comes next begins anew.
            None => line.worker = None,
        }
        next
    }

    /// Calls the candidate and notes what differs; how long it took.
    async fn try_out(&self, Duplicate { view, room, answer, clock }: &Duplicate) -> Duration {
        let now = clock.now();
        let Ok(leave) = self.actor.admit(now) else {
            self.actor.count(QUARANTINED);
            return Duration::ZERO;
        };
        let call = self.actor.call(leave, view, &self.reach, *room, &**clock).await;
        self.ledger.add(self.actor.part(), &call.answer, call.elapsed);
        let differences = compare(answer, &call.answer);
        for (_, counter) in
            self.differences.iter().filter(|(what, _)| differences.iter().any(|d| d.what == *what))
        {
            counter.inc();
        }
        if !differences.is_empty() {
            self.ledger.differ(Differing { event: view.event().id, at: now, differences });
        }
        call.elapsed
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Duplicate {
    /// What it keeps in memory, in bytes and about.
    fn size(&self) -> usize {
        let made = match &self.answer {
            Ok(Answer::Messages(drafts)) => drafts.iter().map(Draft::size).sum(),
            Ok(Answer::Keep | Answer::Drop(_)) | Err(_) => 0,
        };
        size(&self.view) + made
    }
}

fn size(view: &View) -> usize {
    view.event().body.len() + view.draft().map_or(0, Draft::size)
}
