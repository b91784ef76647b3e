//! What two pipelines made of the same event, and what of it differs.

use std::time::Duration;

use super::contest::Pair;
use crate::{
    cli::plugin::{json::Json, outcome},
    event::EventId,
    journal::TrailEntry,
    pipeline::{Failure, Outcome, Verdict},
    plugin::{Answer, Call, Draft, Reply},
};

/// In what two outcomes can differ, as the summary names and orders them.
pub(super) const KINDS: [&str; 8] =
    ["verdict", "messages", "body", "headers", "destinations", "key", "reason", "errors"];

/// What came of one event, both ways.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) event: EventId,
    pub(super) ran: Pair<Ran>,
}

/// What a pipeline made of an event.
#[derive(Debug)]
pub(super) struct Ran {
    /// As `expected.json` has it, with `errors`: every call that failed, whatever became of it.
    pub(super) made: Json,
    /// How the first call that failed did so.
    pub(super) failure: Option<String>,
    /// Of the whole pipeline.
    pub(super) elapsed: Duration,
}

impl Ran {
    pub(super) fn new(outcome: Outcome, elapsed: Duration) -> Self {
        let failed: Vec<_> = outcome.trail.iter().filter_map(failed).collect();
        let errors = failed.iter().map(|(_, text)| Json::text(text)).collect::<Vec<_>>();
        let mut members = verdict(outcome.verdict);
        if !errors.is_empty() {
            members.push(("errors".to_owned(), Json::Array(errors)));
        }
        let failure = failed.into_iter().next().map(|(outcome, _)| outcome);
        Self { made: Json::Object(members), failure, elapsed }
    }
}

/// How a call failed, in one word and in many; `None` if it did not.
fn failed(entry: &TrailEntry) -> Option<(String, String)> {
    match entry {
        TrailEntry::Step { plugin, outcome, detail, .. }
            if !matches!(outcome.as_str(), "keep" | "drop" | "messages") =>
        {
            let detail = detail.as_deref().unwrap_or(outcome);
            Some((outcome.clone(), format!("plugin `{plugin}` {detail}")))
        }
        TrailEntry::Step { .. }
        | TrailEntry::Attempt { .. }
        | TrailEntry::Failed { .. }
        | TrailEntry::Replayed { .. } => None,
    }
}

fn verdict(verdict: Result<Verdict, Failure>) -> Vec<(String, Json)> {
    let answer = match verdict {
        Ok(Verdict::Drop { reason }) => Answer::Drop(reason),
        Ok(Verdict::Deliver(messages)) => {
            let draft = |message| Draft { message, attributes: Vec::new() };
            Answer::Messages(messages.into_iter().map(draft).collect())
        }
        Err(failure) => return vec![("verdict".to_owned(), Json::text(fate(&failure)))],
    };
    let answer = Ok(Reply::Decided(answer));
    match outcome::of(&Call { answer, elapsed: Duration::ZERO, log: Vec::new(), counts: Vec::new() }, None) {
        Json::Object(members) => members,
        other => vec![("made".to_owned(), other)],
    }
}

/// What becomes of an event whose pipeline failed.
fn fate(failure: &Failure) -> &'static str {
    match failure {
        Failure::Retry { .. } => "retry",
        Failure::DeadLetter { .. } => "dead-letter",
        Failure::Quarantined { .. } => "wait",
    }
}

impl Comparison {
    /// Those of [`KINDS`] in which the two differ; none if they are the same. The order of members of JSON means
    /// nothing.
    pub(super) fn differences(&self) -> Vec<&'static str> {
        let Pair { current, candidate } = &self.ran;
        let (old, new) = (current.made.sorted(), candidate.made.sorted());
        let found = differences(&old, &new);
        if found.is_empty() && old != new { vec!["messages"] } else { found }
    }
}

fn differences(old: &Json, new: &Json) -> Vec<&'static str> {
    if old.get("verdict") != new.get("verdict") {
        return vec!["verdict"];
    }
    let mut found = Vec::new();
    let messages = |made: &Json| made.get("messages").map_or(&[][..], Json::elements).to_vec();
    let (old_messages, new_messages) = (messages(old), messages(new));
    if old_messages.len() == new_messages.len() {
        for kind in ["body", "headers", "destinations", "key"] {
            let mut pairs = old_messages.iter().zip(&new_messages);
            if pairs.any(|(one, other)| parts(one, kind) != parts(other, kind)) {
                found.push(kind);
            }
        }
    } else {
        found.push("messages");
    }
    found.extend(["reason", "errors"].into_iter().filter(|kind| old.get(kind) != new.get(kind)));
    found
}

/// Those members of a message that are one thing, such as `body_json` and `body`.
fn parts<'a>(message: &'a Json, kind: &str) -> Vec<(&'a str, &'a Json)> {
    let Json::Object(members) = message else { return Vec::new() };
    let is_part = |name: &str| name == kind || (kind == "body" && name.starts_with("body"));
    members.iter().filter(|(name, _)| is_part(name)).map(|(name, value)| (name.as_str(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(old: &str, new: &str, expected: &[&str]) {
        let json = |text| Json::parse(text).unwrap().sorted();
        assert_eq!(differences(&json(old), &json(new)), expected);
    }

    fn messages(of: &str) -> String {
        format!(r#"{{ "verdict": "messages", "messages": {of} }}"#)
    }

    #[test]
    fn equal_outcomes_do_not_differ() {
        let one = messages(r#"[{ "body_json": { "a": 1, "b": 2 } }]"#);
        let other = messages(r#"[{ "body_json": { "b": 2, "a": 1 } }]"#);
        check(&one, &other, &[]);
    }

    #[test]
    fn another_verdict_is_all_that_is_said() {
        check(&messages("[]"), r#"{ "verdict": "drop", "reason": "old" }"#, &["verdict"]);
    }

    #[test]
    fn every_part_of_a_message_is_told() {
        let old = messages(r#"[{ "body": "a", "headers": { "x": "1" }, "key": "k" }]"#);
        let new = messages(r#"[{ "body_json": 1, "headers": { "x": "2" }, "destinations": ["a"] }]"#);
        check(&old, &new, &["body", "headers", "destinations", "key"]);
        check(&old, &messages("[]"), &["messages"]);
    }

    #[test]
    fn reasons_and_errors_are_told_apart() {
        let drop = |rest: &str| format!(r#"{{ "verdict": "drop", "reason": {rest} }}"#);
        check(&drop(r#""a""#), &drop(r#""b""#), &["reason"]);
        check(&drop(r#""a""#), &drop(r#""a", "errors": ["trapped"]"#), &["errors"]);
    }

    #[test]
    fn a_failed_pipeline_shows_its_fate_and_every_error() {
        let step = |outcome: &str, detail: &str| TrailEntry::Step {
            at: crate::clock::Timestamp::default(),
            plugin: "p".into(),
            micros: 1,
            outcome: outcome.into(),
            detail: Some(detail.into()),
            log: Vec::new(),
            canary: false,
        };
        let outcome = Outcome {
            trail: vec![step("keep", ""), step("trap", "trapped"), step("invalid", "no")],
            verdict: Err(Failure::DeadLetter { reason: "no".into() }),
        };
        let ran = Ran::new(outcome, Duration::ZERO);
        assert_eq!(ran.failure.as_deref(), Some("trap"));
        assert_eq!(
            ran.made,
            Json::parse(r#"{ "verdict": "dead-letter", "errors": ["plugin `p` trapped", "plugin `p` no"] }"#)
                .unwrap()
        );
    }
}
