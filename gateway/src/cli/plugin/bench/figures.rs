//! What was measured of one plugin.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::plugin::{Answer, CallError, Draft, Folded, Judgement, Probe, Reply, Reused};

/// Times in nanoseconds, as measured.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// CPU time for one event in a fresh instance, and for one call of a reused one: a value for each round.
    fresh_cpu: Vec<u64>,
    reused_cpu: Vec<u64>,
    /// Of a fresh instance, on the clock, for each call.
    start: Vec<u64>,
    call: Vec<u64>,
    end: Vec<u64>,
    reused: Vec<u64>,
    pub(super) outcomes: BTreeMap<String, usize>,
    pub(super) most: Most,
}

/// The most that any call took or made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Most {
    /// Linear memory, in bytes.
    pub(super) memory: usize,
    /// Calls of `memory.grow`.
    pub(super) grown: u32,
    /// What was handed over as the answer, in bytes.
    pub(super) output: usize,
    pub(super) messages: usize,
    pub(super) log_lines: usize,
    pub(super) log_bytes: usize,
}

/// The middle of many times, and what nine in ten stay within, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Times {
    pub(super) median: f64,
    pub(super) p90: f64,
}

impl Figures {
    /// Adds a round: calls in fresh instances, which took so much CPU together, and calls in a reused one.
    pub(super) fn add(&mut self, probes: &[Probe], cpu: Duration, reused: &Reused) {
        self.fresh_cpu.extend(each(cpu, probes.len()));
        self.reused_cpu.extend(each(reused.cpu, reused.calls.len()));
        self.reused.extend(reused.calls.iter().copied().map(nanos));
        for probe in probes {
            self.start.push(nanos(probe.start));
            self.call.push(nanos(probe.call));
            self.end.push(nanos(probe.end));
            self.most = self.most.and(probe);
            *self.outcomes.entry(outcome(&probe.reply)).or_default() += 1;
        }
    }

    pub(super) fn fresh_cpu(&self) -> Option<Times> {
        Times::of(&self.fresh_cpu)
    }

    /// A value for each round, in nanoseconds.
    pub(super) fn fresh_rounds(&self) -> &[u64] {
        &self.fresh_cpu
    }

    /// As [`fresh_rounds`](Self::fresh_rounds).
    pub(super) fn reused_rounds(&self) -> &[u64] {
        &self.reused_cpu
    }

    /// `None` where no instance could be called twice.
    pub(super) fn reused_cpu(&self) -> Option<Times> {
        Times::of(&self.reused_cpu)
    }

    pub(super) fn reused(&self) -> Option<Times> {
        Times::of(&self.reused)
    }

    pub(super) fn start(&self) -> Option<Times> {
        Times::of(&self.start)
    }

    pub(super) fn call(&self) -> Option<Times> {
        Times::of(&self.call)
    }

    pub(super) fn end(&self) -> Option<Times> {
        Times::of(&self.end)
    }

    /// The outcomes with their shares, the most frequent first.
    pub(super) fn outcome(&self) -> String {
        let all: usize = self.outcomes.values().sum();
        let mut outcomes: Vec<_> = self.outcomes.iter().collect();
        outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown = outcomes.iter().map(|(name, count)| format!("{name} ({} %)", *count * 100 / all));
        shown.collect::<Vec<_>>().join(", ")
    }
}

impl Most {
    fn and(self, probe: &Probe) -> Self {
        let (output, messages) = made(&probe.reply);
        Self {
            memory: self.memory.max(probe.memory),
            grown: self.grown.max(probe.grown),
            output: self.output.max(output),
            messages: self.messages.max(messages),
            log_lines: self.log_lines.max(probe.log.len()),
            log_bytes: self.log_bytes.max(probe.log.iter().map(String::len).sum()),
        }
    }
}

impl Times {
    fn of(nanos: &[u64]) -> Option<Self> {
        let at = |part| share(nanos, part).map(|nanos| nanos as f64 / 1000.0);
        Some(Self { median: at(50)?, p90: at(90)? })
    }
}

/// How one plugin's events compare with another's, by the rounds that were measured side by side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Ratio {
    /// CPU time of the first by that of the second: the median of the rounds.
    pub(super) ratio: f64,
    /// Half of the rounds are between these two.
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) rounds: usize,
}

impl Ratio {
    pub(super) fn of(one: &[u64], other: &[u64]) -> Self {
        let rounds = one.iter().zip(other);
        let mut ratios: Vec<_> = rounds.map(|(one, other)| *one as f64 / (*other).max(1) as f64).collect();
        ratios.sort_by(f64::total_cmp);
        let at = |part: usize| ratios.get(ratios.len() * part / 100).copied().unwrap_or(f64::NAN);
        Self { ratio: at(50), low: at(25), high: at(75), rounds: ratios.len() }
    }
}

/// What a call came to, in a few words.
fn outcome(reply: &Result<Reply, CallError>) -> String {
    match reply {
        Ok(Reply::Judged(Judgement::Accept { .. })) => "accept".to_owned(),
        Ok(Reply::Judged(Judgement::Reject(reason))) => format!("reject: {reason}"),
        Ok(Reply::Judged(Judgement::Respond { status, .. })) => format!("respond: {status}"),
        Ok(Reply::Decided(Answer::Keep)) => "keep".to_owned(),
        Ok(Reply::Decided(Answer::Drop(reason))) => format!("drop: {reason}"),
        Ok(Reply::Decided(Answer::Messages(drafts))) => messages(drafts.len()),
        Ok(Reply::Folded { made, of }) => format!("{} of {of}", messages(made.len())),
        Err(error) => format!("{}: {error}", error.outcome()),
    }
}

fn messages(count: usize) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

/// What an answer holds, in bytes and about, and how many messages.
fn made(reply: &Result<Reply, CallError>) -> (usize, usize) {
    match reply {
        Ok(Reply::Judged(judgement)) => (judgement_size(judgement), 0),
        Ok(Reply::Decided(Answer::Keep)) | Err(_) => (0, 0),
        Ok(Reply::Decided(Answer::Drop(reason))) => (reason.len(), 0),
        Ok(Reply::Decided(Answer::Messages(drafts))) => (drafts.iter().map(Draft::size).sum(), drafts.len()),
        Ok(Reply::Folded { made, .. }) => (made.iter().map(folded_size).sum(), made.len()),
    }
}

fn judgement_size(judgement: &Judgement) -> usize {
    match judgement {
        Judgement::Accept { delivery_id, event_type } => {
            [delivery_id, event_type].into_iter().flatten().map(String::len).sum()
        }
        Judgement::Reject(reason) => reason.len(),
        Judgement::Respond { headers, body, .. } => {
            body.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        }
    }
}

fn folded_size(folded: &Folded) -> usize {
    let headers = folded.message.headers.iter();
    folded.message.body.len() + headers.map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
}

/// What so many in a hundred do not exceed.
fn share(times: &[u64], part: usize) -> Option<u64> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get((times.len() * part).div_ceil(100).saturating_sub(1)).copied()
}

fn each(all: Duration, count: usize) -> Option<u64> {
    nanos(all).checked_div(count as u64)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(micros: u64) -> Probe {
        Probe {
            reply: Ok(Reply::Decided(Answer::Keep)),
            start: Duration::from_micros(micros),
            call: Duration::from_micros(1),
            end: Duration::ZERO,
            memory: 65536,
            grown: 0,
            log: vec!["info: hm".to_owned()],
        }
    }

    fn reused(micros: [u64; 2]) -> Reused {
        Reused { calls: micros.map(Duration::from_micros).into(), cpu: Duration::from_micros(8) }
    }

    #[test]
    fn shares_are_of_what_was_measured() {
        let times: Vec<_> = (1..=100).collect();
        assert_eq!([50, 90, 100].map(|part| share(&times, part)), [Some(50), Some(90), Some(100)]);
        assert_eq!((share(&[7], 50), share(&[], 50)), (Some(7), None));
    }

    #[test]
    fn a_round_is_shared_out_among_its_calls() {
        let mut figures = Figures::default();
        figures.add(&[probe(2), probe(4)], Duration::from_micros(20), &reused([1, 9]));
        let times = |median, p90| Some(Times { median, p90 });
        assert_eq!((figures.fresh_cpu(), figures.reused_cpu()), (times(10.0, 10.0), times(4.0, 4.0)));
        assert_eq!((figures.start(), figures.reused()), (times(2.0, 4.0), times(1.0, 9.0)));
        assert_eq!(figures.outcome(), "keep (100 %)");
        assert_eq!((figures.most.memory, figures.most.log_lines, figures.most.log_bytes), (65536, 1, 8));
    }

    #[test]
    fn what_could_not_be_reused_has_no_figure() {
        let mut figures = Figures::default();
        figures.add(&[probe(1)], Duration::from_micros(1), &Reused::default());
        assert_eq!((figures.reused_cpu(), figures.reused()), (None, None));
    }

    #[test]
    fn two_are_compared_round_by_round() {
        let (mut one, mut other) = (Figures::default(), Figures::default());
        for noise in [1, 10, 100] {
            one.add(&[probe(1)], Duration::from_micros(2 * noise), &Reused::default());
            other.add(&[probe(1)], Duration::from_micros(noise), &Reused::default());
        }
        let ratio = Ratio::of(one.fresh_rounds(), other.fresh_rounds());
        assert_eq!((ratio.ratio, ratio.rounds), (2.0, 3));
    }
}
