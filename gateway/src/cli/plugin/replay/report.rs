//! What is told of a replay: each difference as it is found, and the sum of all.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    comparison::{Comparison, KINDS, Ran},
    contest::{Contest, Pair},
};
use crate::{
    cli::{
        output::printable,
        plugin::{diff::diff, json::Json},
    },
    event::EventId,
};

/// The most lines that are shown of one difference.
const MAX_LINES: usize = 200;

/// Counts what came of every event, and keeps those differences that are shown.
pub(super) struct Report {
    show: usize,
    events: usize,
    different: usize,
    kinds: BTreeMap<&'static str, usize>,
    sides: Pair<Side>,
    shown: Vec<Difference>,
}

/// What is counted of the plugin as it is, or of the candidate.
#[derive(Default)]
struct Side {
    /// By how they failed: the events that no plugin should fail on.
    failures: BTreeMap<String, usize>,
    elapsed: Vec<Duration>,
}

/// What came of an event where that is not the same.
#[derive(Serialize)]
struct Difference {
    event: EventId,
    kinds: Vec<&'static str>,
    current: Box<RawValue>,
    candidate: Box<RawValue>,
}

/// A report for programs.
#[derive(Serialize)]
struct Summary<'a> {
    route: &'a str,
    plugin: &'a str,
    events: usize,
    same: usize,
    different: usize,
    kinds: &'a BTreeMap<&'static str, usize>,
    current: Figures<'a>,
    candidate: Figures<'a>,
    /// As many as `--show` says.
    differences: &'a [Difference],
}

#[derive(Serialize)]
struct Figures<'a> {
    file: String,
    /// Half of the events took less.
    micros_per_event: u64,
    failures: &'a BTreeMap<String, usize>,
}

impl Report {
    /// Of the differences so many are shown.
    pub(super) fn new(show: usize) -> Self {
        let (kinds, sides) = (BTreeMap::new(), Pair::default());
        Self { show, events: 0, different: 0, kinds, sides, shown: Vec::new() }
    }

    /// Counts what came of an event; what is to be shown of it, if anything is.
    pub(super) fn take(&mut self, comparison: Comparison) -> Option<String> {
        let kinds = comparison.differences();
        let Comparison { event, ran: Pair { current, candidate } } = comparison;
        self.events += 1;
        self.sides.current.take(&current);
        self.sides.candidate.take(&candidate);
        if kinds.is_empty() {
            return None;
        }
        self.different += 1;
        for kind in &kinds {
            *self.kinds.entry(kind).or_default() += 1;
        }
        if self.shown.len() == self.show {
            return None;
        }
        let (current, candidate) = (current.made.sorted(), candidate.made.sorted());
        let text = shown(event, &kinds, &current, &candidate);
        self.shown.push(Difference { event, kinds, current: raw(&current)?, candidate: raw(&candidate)? });
        Some(text)
    }

    /// Whether no event was run.
    pub(super) fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Whether the candidate makes the same of every event and fails on none.
    pub(super) fn is_clean(&self) -> bool {
        self.different == 0 && self.sides.candidate.failures.is_empty()
    }

    /// The sum of all, for people.
    pub(super) fn summary(&self, contest: &Contest) -> String {
        let Self { events, different, .. } = self;
        let mut text = match different - self.shown.len() {
            0 => String::new(),
            1 => "1 more differs; `--show N` shows more\n".to_owned(),
            more => format!("{more} more differ; `--show N` shows more\n"),
        };
        let by_kind = KINDS.iter().filter_map(|kind| Some(format!("{kind} {}", self.kinds.get(kind)?)));
        let by_kind = listed(by_kind);
        let same = events - different;
        let events = if *events == 1 { "1 event".to_owned() } else { format!("{events} events") };
        let (route, plugin) = (&contest.route, &contest.plugin);
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "{events} of route `{route}`, plugin `{plugin}`: {same} same, {different} different{by_kind}"
        );
        for (name, side, file) in [
            ("current", &self.sides.current, &contest.files.current),
            ("candidate", &self.sides.candidate, &contest.files.candidate),
        ] {
            let (file, line) = (file.display().to_string(), side.line());
            let _ = writeln!(text, "  {name:10}{line}  {}", printable(&file));
        }
        text
    }

    /// The sum of all, for programs.
    ///
    /// # Errors
    /// None, unless this program is broken.
    pub(super) fn json(&self, contest: &Contest) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(&Summary {
            route: &contest.route,
            plugin: &contest.plugin,
            events: self.events,
            same: self.events - self.different,
            different: self.different,
            kinds: &self.kinds,
            current: self.sides.current.figures(contest.files.current.display().to_string()),
            candidate: self.sides.candidate.figures(contest.files.candidate.display().to_string()),
            differences: &self.shown,
        })
    }
}

impl Side {
    fn take(&mut self, ran: &Ran) {
        self.elapsed.push(ran.elapsed);
        if let Some(failure) = &ran.failure {
            *self.failures.entry(failure.clone()).or_default() += 1;
        }
    }

    fn median(&self) -> Duration {
        let mut sorted = self.elapsed.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn line(&self) -> String {
        let failed: usize = self.failures.values().sum();
        let kinds = listed(self.failures.iter().map(|(kind, count)| format!("{kind} {count}")));
        format!("{:>6} µs per event, failed on {failed}{kinds}", self.median().as_micros())
    }

    fn figures(&self, file: String) -> Figures<'_> {
        let micros_per_event = u64::try_from(self.median().as_micros()).unwrap_or(u64::MAX);
        Figures { file, micros_per_event, failures: &self.failures }
    }
}

fn shown(event: EventId, kinds: &[&str], current: &Json, candidate: &Json) -> String {
    let mut text = format!("different {event}: {}; - is current, + is the candidate\n", kinds.join(", "));
    let difference = diff(&current.to_string(), &candidate.to_string());
    for line in difference.lines().take(MAX_LINES) {
        text = text + "    " + line + "\n";
    }
    let more = difference.lines().count().saturating_sub(MAX_LINES);
    if more > 0 {
        text += &format!("    … and {more} more lines\n");
    }
    text
}

/// ` (a 1, b 2)`, or nothing.
fn listed(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn raw(json: &Json) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(made: &str, failure: Option<&str>, micros: u64) -> Ran {
        Ran {
            made: Json::parse(made).unwrap(),
            failure: failure.map(str::to_owned),
            elapsed: Duration::from_micros(micros),
        }
    }

    fn comparison(current: Ran, candidate: Ran) -> Comparison {
        Comparison { event: EventId::from_bytes([1; 16]), ran: Pair { current, candidate } }
    }

    const KEEP: &str = r#"{ "verdict": "keep" }"#;
    const DEAD: &str = r#"{ "verdict": "dead-letter" }"#;

    #[test]
    fn equal_outcomes_are_counted_and_not_shown() {
        let mut report = Report::new(10);
        assert!(report.is_empty());
        assert_eq!(report.take(comparison(ran(KEEP, None, 10), ran(KEEP, None, 30))), None);
        assert!(report.is_clean() && !report.is_empty());
        assert_eq!(report.sides.current.line(), "    10 µs per event, failed on 0");
    }

    #[test]
    fn differences_are_shown_up_to_the_limit_and_all_counted() {
        let mut report = Report::new(1);
        let differs = || comparison(ran(KEEP, None, 1), ran(DEAD, Some("trap"), 1));
        let text = report.take(differs()).unwrap();
        assert!(text.starts_with("different 01010101-"), "{text}");
        assert!(
            text.contains("    -   \"verdict\": \"keep\"\n    +   \"verdict\": \"dead-letter\"\n"),
            "{text}"
        );
        assert_eq!(report.take(differs()), None);
        assert_eq!((report.different, report.kinds["verdict"], report.shown.len()), (2, 2, 1));
        assert_eq!(report.sides.candidate.line(), "     1 µs per event, failed on 2 (trap 2)");
        assert!(!report.is_clean());
    }

    #[test]
    fn a_candidate_that_fails_as_the_current_one_does_is_not_clean() {
        let mut report = Report::new(1);
        let fails = || ran(DEAD, Some("invalid"), 1);
        assert_eq!(report.take(comparison(fails(), fails())), None);
        assert!(!report.is_clean());
    }

    #[test]
    fn a_long_difference_is_cut() {
        let lines = |text: &str| Json::Array((0..500).map(|n| Json::text(format!("{text}{n}"))).collect());
        let text = shown(EventId::from_bytes([0; 16]), &["body"], &lines("a"), &lines("b"));
        assert_eq!(text.lines().count(), MAX_LINES + 2);
        assert!(text.ends_with("more lines\n"));
    }
}
