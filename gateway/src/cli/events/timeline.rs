//! One event's history, for people.

use std::{fmt::Write as _, time::Duration};

use bytesize::ByteSize;

use super::state_name;
use crate::{
    admin::api::{Body, Content, Record, Summary, Unfinished},
    cli::output::printable,
    clock::Timestamp,
    journal::{DeliveryState, TrailEntry},
};

/// Shows what is known of an event: its head, then what happened to it and when, counted from its acceptance.
pub(super) fn render(record: &Record) -> String {
    let Summary(event) = &record.summary;
    let mut text = head(record);
    text += "\n";
    moment(&mut text, event.received_at, event.received_at, &["received".to_owned()]);
    for line in &record.trail {
        let (at, lines) = happening(&line.0);
        moment(&mut text, event.received_at, at, &lines);
    }
    if !record.unfinished.is_empty() {
        text += "\nnot delivered\n";
        record.unfinished.iter().for_each(|message| text += &undelivered(message));
    }
    text
}

fn head(record: &Record) -> String {
    let Summary(event) = &record.summary;
    let query = record.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut text = String::new();
    field(&mut text, "event", &event.id.to_string());
    field(&mut text, "state", &state_name(event.state));
    if let Some(reason) = &record.reason {
        field(&mut text, "reason", reason);
    }
    field(&mut text, "route", &event.route);
    field(&mut text, "received", &event.received_at.to_string());
    field(&mut text, "request", &format!("{} {}{query}", record.method, record.path));
    for (name, value) in [("type", &event.event_type), ("delivery", &event.delivery_id)] {
        if let Some(value) = value {
            field(&mut text, name, value);
        }
    }
    field(&mut text, "body", &body(&record.body, &record.headers));
    text
}

fn field(text: &mut String, name: &str, value: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{name:<8}  {}", printable(value));
}

fn body(body: &Body, headers: &[(String, String)]) -> String {
    let size = ByteSize::b(body.length as u64).display().iec();
    let kind = headers.iter().find(|(name, _)| name == "content-type");
    match (kind, &body.content) {
        (Some((_, kind)), _) => format!("{size}, {kind}"),
        (None, Content::Text(_)) => format!("{size} of text"),
        (None, Content::Base64(_)) => format!("{size} of binary data"),
    }
}

/// Writes the first line behind the time, and the others below it.
fn moment(text: &mut String, start: Timestamp, at: Timestamp, lines: &[String]) {
    let mut mark = elapsed(at.since(start));
    for line in lines {
        let _ = writeln!(text, "{mark:>10}  {}", printable(line));
        mark.clear();
    }
}

fn elapsed(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("+{}ms", time.as_millis()),
        1..60 => format!("+{:.1}s", time.as_secs_f64()),
        secs => {
            let text = humantime::format_duration(Duration::from_secs(secs)).to_string();
            format!("+{}", text.replace(' ', ""))
        }
    }
}

fn happening(entry: &TrailEntry) -> (Timestamp, Vec<String>) {
    match entry {
        TrailEntry::Step { at, plugin, micros, outcome, detail, log } => {
            let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
            let mut lines = vec![format!("plugin {plugin} took {micros} µs and said {outcome}{detail}")];
            lines.extend(log.iter().map(|line| format!("  log: {line}")));
            (*at, lines)
        }
        TrailEntry::Attempt {
            at,
            destination,
            index,
            number,
            millis,
            outcome,
            status,
            error,
            answer,
            next,
            batch,
        } => {
            let said = match (status, error) {
                (Some(status), Some(error)) => format!("{status} ({error})"),
                (Some(status), None) => status.to_string(),
                (None, Some(error)) => error.clone(),
                (None, None) => "no answer".to_owned(),
            };
            let next = next.map(|next| format!(", next at {next}")).unwrap_or_default();
            let batch = batch.map(|size| format!(" in a batch of {size}")).unwrap_or_default();
            let mut lines = vec![format!(
                "{destination} #{index}, attempt {number}{batch}: {outcome}, {said} in {millis} ms{next}"
            )];
            lines.extend(answer.iter().map(|answer| format!("  answer: {answer}")));
            (*at, lines)
        }
        TrailEntry::Failed { at, reason } => (*at, vec![format!("failed: {reason}")]),
        TrailEntry::Replayed { at } => (*at, vec!["replayed by request".to_owned()]),
    }
}

fn undelivered(message: &Unfinished) -> String {
    let Unfinished { destination, index, attempts, .. } = message;
    let state = match &message.state {
        DeliveryState::Waiting { due } => format!("waiting, next attempt at {due}"),
        DeliveryState::Dead { at, reason } => format!("dead since {at}: {reason}"),
    };
    let plural = if *attempts == 1 { "" } else { "s" };
    format!(
        "  {}\n",
        printable(&format!("{destination} #{index}, after {attempts} attempt{plural}: {state}"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::{
            api::Line,
            testing::{EVENT, NOW, trail},
        },
        journal::{EventState, EventSummary},
    };

    fn record() -> Record {
        Record {
            summary: Summary(EventSummary {
                id: EVENT.parse().unwrap(),
                route: "github".into(),
                received_at: NOW,
                state: EventState::Dead,
                event_type: Some("issues".into()),
                delivery_id: None,
            }),
            reason: None,
            method: "POST".into(),
            path: "/github".into(),
            query: Some("x=1".into()),
            params: Default::default(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: Body { length: 8192, truncated: false, content: Content::Text("{}".into()) },
            trail: trail().into_iter().map(Line).collect(),
            unfinished: vec![Unfinished {
                destination: "tracker".into(),
                index: 0,
                webhook_id: format!("{EVENT}_tracker_0"),
                attempts: 2,
                state: DeliveryState::Dead {
                    at: NOW + Duration::from_secs(5),
                    reason: "schedule ended".into(),
                },
                headers: Vec::new(),
                body: Body { length: 2, truncated: false, content: Content::Text("{}".into()) },
            }],
        }
    }

    #[test]
    fn history_reads_from_top_to_bottom() {
        let expected = "\
event     01930c2e-7b1a-7c3d-9a52-5d7f3f0d2c11
state     dead
route     github
received  2026-03-01T12:00:00.000Z
request   POST /github?x=1
type      issues
body      8.0 KiB, application/json

      +0ms  received
      +2ms  plugin issue-filter took 38 µs and said keep
              log: info: opened
     +10ms  tracker #0, attempt 1: retry, 503 in 12 ms, next at 2026-03-01T12:00:05.000Z
              answer: busy\\u{1b}[2J
     +5.0s  tracker #0, attempt 2: dead, 503 in 12 ms
              answer: busy\\u{1b}[2J

not delivered
  tracker #0, after 2 attempts: dead since 2026-03-01T12:00:05.000Z: schedule ended
";
        assert_eq!(render(&record()), expected);
    }

    #[test]
    fn failures_without_an_answer_tell_their_cause() {
        let entry = TrailEntry::Attempt {
            at: NOW,
            destination: "tracker".into(),
            index: 1,
            number: 1,
            millis: 10_000,
            outcome: "retry".into(),
            status: None,
            error: Some("timed out after 10s".into()),
            answer: None,
            next: None,
            batch: None,
        };
        assert_eq!(happening(&entry).1, ["tracker #1, attempt 1: retry, timed out after 10s in 10000 ms"]);
    }

    #[test]
    fn attempts_in_a_batch_tell_its_size() {
        let entry = TrailEntry::Attempt {
            at: NOW,
            destination: "tracker".into(),
            index: 0,
            number: 1,
            millis: 7,
            outcome: "delivered".into(),
            status: Some(200),
            error: None,
            answer: None,
            next: None,
            batch: Some(100),
        };
        assert_eq!(happening(&entry).1, ["tracker #0, attempt 1 in a batch of 100: delivered, 200 in 7 ms"]);
    }

    #[test]
    fn times_are_as_fine_as_they_need_to_be() {
        assert_eq!(elapsed(Duration::from_millis(999)), "+999ms");
        assert_eq!(elapsed(Duration::from_millis(5_240)), "+5.2s");
        assert_eq!(elapsed(Duration::from_secs(3_905)), "+1h5m5s");
    }
}
