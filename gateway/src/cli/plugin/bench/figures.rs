//! What was measured of one plugin.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    cli::output::table,
    plugin::{Answer, CallError, Draft, Probe},
};

#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Each sorted when it is shown, in nanoseconds.
    start: Vec<u64>,
    call: Vec<u64>,
    end: Vec<u64>,
    event: Vec<u64>,
    reused: Vec<u64>,
    /// The median of each round's events, to compare with those of another plugin in the same rounds.
    rounds: Vec<u64>,
    outcomes: BTreeMap<String, usize>,
    memory: usize,
    grown: u32,
    faults: Option<u64>,
    output: usize,
}

impl Figures {
    /// Adds a round. `faults` are those of all its probes. What is `pooled` is compared by what is reused.
    pub(super) fn add(&mut self, probes: &[Probe], faults: Option<u64>, reused: Vec<Duration>, pooled: bool) {
        let events: Vec<_> = probes.iter().map(|probe| nanos(probe.start + probe.call + probe.end)).collect();
        self.start.extend(probes.iter().map(|probe| nanos(probe.start)));
        self.call.extend(probes.iter().map(|probe| nanos(probe.call)));
        self.end.extend(probes.iter().map(|probe| nanos(probe.end)));
        // The first call of an instance pays for what is fresh in it.
        let reused: Vec<_> = reused.into_iter().skip(1).map(nanos).collect();
        self.rounds.push(share(if pooled { &reused } else { &events }, 50));
        self.reused.extend(reused);
        self.event.extend(events);
        for probe in probes {
            *self.outcomes.entry(outcome(&probe.answer)).or_default() += 1;
            self.memory = self.memory.max(probe.memory);
            self.grown = self.grown.max(probe.grown);
            self.output = self.output.max(output(&probe.answer));
        }
        self.faults = faults.map(|faults| self.faults.unwrap_or_default() + faults).or(self.faults);
    }

    /// The times, a row each.
    pub(super) fn table(&self) -> String {
        let row = |name: &str, times: &[u64]| {
            let [p50, p99] = [50, 99].map(|part| micros(share(times, part)));
            let mean = times.iter().sum::<u64>().checked_div(times.len() as u64).unwrap_or_default();
            match times.is_empty() {
                true => [name.to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned()],
                false => [name.to_owned(), p50, p99, micros(mean)],
            }
        };
        table(
            ["µs", "p50", "p99", "mean"],
            &[
                row("fresh instance", &self.start),
                row("call", &self.call),
                row("throwing away", &self.end),
                row("per event", &self.event),
                row("reused instance", &self.reused),
            ],
        )
    }

    /// The outcomes with their shares, the most frequent first.
    pub(super) fn outcome(&self) -> String {
        let all: usize = self.outcomes.values().sum();
        let mut outcomes: Vec<_> = self.outcomes.iter().collect();
        outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown = outcomes.iter().map(|(name, count)| format!("{name} ({} %)", *count * 100 / all));
        shown.collect::<Vec<_>>().join(", ")
    }

    /// In bytes.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn grown(&self) -> u32 {
        self.grown
    }

    /// What an event's answer holds, in bytes and at most.
    pub(super) fn output(&self) -> usize {
        self.output
    }

    pub(super) fn faults(&self) -> String {
        match self.faults {
            Some(faults) => format!("{:.1} for each event", faults as f64 / self.event.len().max(1) as f64),
            None => "not told by this system".to_owned(),
        }
    }
}

/// How one plugin's events compare with another's, by the rounds that were measured side by side.
pub(super) fn compared(one: &Figures, other: &Figures) -> String {
    let mut ratios: Vec<_> = one
        .rounds
        .iter()
        .zip(&other.rounds)
        .map(|(one, other)| *one as f64 / (*other).max(1) as f64)
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |part: usize| ratios.get(ratios.len() * part / 100).copied().unwrap_or(f64::NAN);
    format!(
        "the first costs {:.2} × the second for each event (median of {} rounds in turns; half of them between {:.2} \
         and {:.2})",
        at(50),
        ratios.len(),
        at(25),
        at(75)
    )
}

fn outcome(answer: &Result<Answer, CallError>) -> String {
    match answer {
        Ok(Answer::Keep) => "keep".to_owned(),
        Ok(Answer::Drop(reason)) => format!("drop: {reason}"),
        Ok(Answer::Messages(drafts)) if drafts.len() == 1 => "1 message".to_owned(),
        Ok(Answer::Messages(drafts)) => format!("{} messages", drafts.len()),
        Err(error) => format!("{}: {error}", error.outcome()),
    }
}

fn output(answer: &Result<Answer, CallError>) -> usize {
    match answer {
        Ok(Answer::Messages(drafts)) => drafts.iter().map(Draft::size).sum(),
        Ok(Answer::Drop(reason)) => reason.len(),
        Ok(Answer::Keep) | Err(_) => 0,
    }
}

/// What so many in a hundred do not exceed.
fn share(times: &[u64], part: usize) -> u64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = (times.len() * part).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or_default()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(nanos: u64) -> String {
    format!("{:.1}", nanos as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(micros: u64) -> Probe {
        Probe {
            answer: Ok(Answer::Keep),
            start: Duration::from_micros(micros),
            call: Duration::from_micros(1),
            end: Duration::ZERO,
            memory: 65536,
            grown: 0,
        }
    }

    #[test]
    fn shares_are_of_what_was_measured() {
        let times: Vec<_> = (1..=100).collect();
        assert_eq!([50, 99, 100].map(|part| share(&times, part)), [50, 99, 100]);
        assert_eq!((share(&[7], 50), share(&[], 50)), (7, 0));
    }

    #[test]
    fn a_table_has_a_row_for_each_part_of_an_event() {
        let mut figures = Figures::default();
        figures.add(
            &[probe(2), probe(4)],
            Some(3),
            vec![Duration::from_micros(9), Duration::from_micros(1)],
            false,
        );
        assert_eq!(
            figures.table(),
            "µs               p50  p99  mean\n\
             fresh instance   2.0  4.0  3.0\n\
             call             1.0  1.0  1.0\n\
             throwing away    0.0  0.0  0.0\n\
             per event        3.0  5.0  4.0\n\
             reused instance  1.0  1.0  1.0\n"
        );
        assert_eq!(
            (figures.faults(), figures.outcome()),
            ("1.5 for each event".into(), "keep (100 %)".into())
        );
    }

    #[test]
    fn two_are_compared_round_by_round() {
        let (mut one, mut other) = (Figures::default(), Figures::default());
        for noise in [1, 10, 100] {
            one.add(&[probe(2 * noise - 1)], None, Vec::new(), false);
            other.add(&[probe(noise - 1)], None, Vec::new(), false);
        }
        assert!(compared(&one, &other).starts_with("the first costs 2.00 × "), "{}", compared(&one, &other));
    }
}
