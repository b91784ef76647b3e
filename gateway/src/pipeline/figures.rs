//! What has come of a candidate and of the plugin in force beside it.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{actor::Part, comparison::Difference};
use crate::{
    clock::Timestamp,
    event::EventId,
    plugin::{Answer, CallError},
};

/// The most calls that are listed with what differed.
const LISTED: usize = 20;

/// What has come of both since the two were put beside each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub current: Tally,
    pub candidate: Tally,
    /// Messages that a shadow was too slow to see.
    pub skipped: u64,
    /// Calls in which something differed.
    pub differences: u64,
    /// The last of them, the newest first.
    pub last: VecDeque<Differing>,
}

/// Calls by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub keep: u64,
    pub drop: u64,
    /// Calls that made messages, however many.
    pub messages: u64,
    pub errors: u64,
    /// All calls together.
    pub time: Duration,
}

/// A call in which a shadow did not do what the plugin in force did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    pub event: EventId,
    /// When the shadow was called.
    pub at: Timestamp,
    /// At least one.
    pub differences: Vec<Difference>,
}

impl Tally {
    pub fn calls(&self) -> u64 {
        self.keep + self.drop + self.messages + self.errors
    }

    /// How long a call took; `None` if there was none.
    pub fn mean(&self) -> Option<Duration> {
        let calls = u32::try_from(self.calls()).unwrap_or(u32::MAX);
        self.time.checked_div(calls)
    }

    fn add(&mut self, answer: &Result<Answer, CallError>, elapsed: Duration) {
        let count = match answer {
            Ok(Answer::Keep) => &mut self.keep,
            Ok(Answer::Drop(_)) => &mut self.drop,
            Ok(Answer::Messages(_)) => &mut self.messages,
            Err(_) => &mut self.errors,
        };
        *count += 1;
        self.time += elapsed;
    }
}

/// Where they are kept. It outlives a reload that leaves both plugins as they are.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Figures>);

impl Ledger {
    pub(super) fn figures(&self) -> Figures {
        self.lock().clone()
    }

    pub(super) fn add(&self, part: Part, answer: &Result<Answer, CallError>, elapsed: Duration) {
        let mut figures = self.lock();
        let tally = match part {
            Part::InForce => &mut figures.current,
            Part::Candidate => &mut figures.candidate,
        };
        tally.add(answer, elapsed);
    }

    pub(super) fn skip(&self) {
        self.lock().skipped += 1;
    }

    pub(super) fn differ(&self, differing: Differing) {
        let mut figures = self.lock();
        figures.differences += 1;
        figures.last.truncate(LISTED - 1);
        figures.last.push_front(differing);
    }

    fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_differences_are_listed_the_newest_first() {
        let ledger = Ledger::default();
        for n in 0..30 {
            let event = EventId::from_bytes([n; 16]);
            ledger.differ(Differing { event, at: Timestamp::from_millis(n.into()), differences: Vec::new() });
        }
        let figures = ledger.figures();
        assert_eq!((figures.differences, figures.last.len()), (30, LISTED));
        assert_eq!(figures.last[0].event, EventId::from_bytes([29; 16]));
        assert_eq!(figures.last[LISTED - 1].event, EventId::from_bytes([10; 16]));
    }

    #[test]
    fn mean_is_over_all_calls_and_there_is_none_without() {
        let mut tally = Tally::default();
        assert_eq!(tally.mean(), None);
        tally.add(&Ok(Answer::Keep), Duration::from_micros(10));
        tally.add(&Err(CallError::Other(String::new())), Duration::from_micros(30));
        assert_eq!((tally.calls(), tally.mean()), (2, Some(Duration::from_micros(20))));
    }
}
