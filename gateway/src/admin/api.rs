//! The shapes of the admin API: the listener writes them, the command line reads them.
//!
//! Times are RFC 3339 here, while the journal keeps milliseconds; hence the `…Shape`s, which give the journal's
//! own types their outward form.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    event::{EventId, Headers},
    journal::{DeadLetter, Delivery, DeliveryState, EventRecord, EventState, EventSummary, TrailEntry},
};

pub use lineup::{Lineup, LineupStep, StepLimits, StepPool};
pub use whole::Whole;

mod lineup;
mod whole;

/// How many bytes of an event's body are shown.
const EVENT_BODY_SHOWN: usize = 64 << 10;

/// How many bytes of an undelivered message's body are shown: one event can have many.
const MESSAGE_BODY_SHOWN: usize = 4 << 10;

/// The answer to `GET /events`.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventList {
    /// The newest first.
    pub events: Vec<Summary>,
}

/// One event of a list.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Summary(#[serde(with = "SummaryShape")] pub EventSummary);

/// The answer to `GET /events/{id}`: everything known of one event.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub summary: Summary,
    /// Why it was dropped, or why its pipeline gave it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub method: String,
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    pub params: BTreeMap<String, String>,
    /// Name and value, in the order received; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    pub body: Body,
    pub trail: Vec<Line>,
    /// The messages that have not arrived.
    pub unfinished: Vec<Unfinished>,
}

/// A body as far as it is shown.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// Of the whole body, in bytes.
    pub length: usize,
    /// Whether this is only its beginning.
    pub truncated: bool,
    #[serde(flatten)]
    pub content: Content,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    Text(String),
    /// Standard alphabet, padded.
    Base64(String),
}

/// One line of an event's history.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Line(#[serde(with = "LineShape")] pub TrailEntry);

/// A message that has not arrived.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unfinished {
    pub destination: String,
    pub index: u32,
    pub webhook_id: String,
    /// Made since the last replay.
    pub attempts: u32,
    #[serde(flatten, with = "DeliveryStateShape")]
    pub state: DeliveryState,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// The answer to `GET /dead-letters`.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeadLetterList {
    /// The newest first.
    pub dead_letters: Vec<Dead>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dead(#[serde(with = "DeadShape")] pub DeadLetter);

/// The body of `POST /dead-letters/replay`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// RFC 3339, or how long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// RFC 3339, or how long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Every dead letter there is; asked for by name so that a forgotten filter replays nothing.
    pub all: bool,
}

/// The answer to both kinds of replay.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    pub replayed: u64,
}

/// The answer to `GET /routes`.
#[derive(Debug, Serialize, Deserialize)]
pub struct RouteList {
    /// In the order of the config.
    pub routes: Vec<RouteStatus>,
}

/// A route, and how its senders prove themselves.
#[derive(Debug, Serialize, Deserialize)]
pub struct RouteStatus {
    pub name: String,
    /// The preset's name, `inline` for a scheme written out in the config, `plugin`, or `none`.
    pub verify: String,
    /// Its secrets or public keys, in the order of the config.
    pub secrets: Vec<SecretStatus>,
}

/// A secret or a public key of a route; never its bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct SecretStatus {
    /// Where it came from: `env NAME`, `file PATH`, or `inline` and its place in the list.
    pub origin: String,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339::option")]
    pub valid_from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339::option")]
    pub valid_until: Option<Timestamp>,
    /// Whether it counts now.
    pub active: bool,
    /// When it last proved a request since the gateway started.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339::option")]
    pub last_matched: Option<Timestamp>,
    /// How many requests it has proven since the gateway started.
    pub matched: u64,
    /// How many requests the route's other secrets have proven since then.
    pub others_since: u64,
}

/// The answer to `POST /reload`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    pub generation: u64,
}

/// The answer to `POST /routes/{name}/learn`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expecting {
    pub route: String,
    /// Until when it takes secrets that its provider hands it.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
}

/// The answer to `POST /routes/{name}/forget`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    pub forgotten: usize,
}

/// The answer to `GET /plugins`.
#[derive(Debug, Serialize, Deserialize)]
pub struct PluginList {
    /// Those on a route, by name.
    pub plugins: Vec<PluginStatus>,
}

/// A plugin as it is loaded.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginStatus {
    pub name: String,
    /// `verify`, `filter`, `transform` or `batch`.
    pub kind: String,
    /// The version of the contract that it was built for; empty from a gateway that does not tell.
    #[serde(default)]
    pub contract: String,
    pub file: String,
    /// Of the file as it was loaded, in hex.
    pub sha256: String,
    pub steps: Vec<PluginStep>,
}

/// A plugin's place on a route.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginStep {
    pub route: String,
    /// `verify`, `edge` or `pipeline`.
    pub place: String,
    /// Which step of the route's pipeline it is, from 1; those at the edge count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<Quarantined>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
}

/// What is tried out beside a step's plugin, and what has come of both since.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct CanaryStatus {
    pub file: String,
    /// Of the file as it was loaded, in hex.
    pub sha256: String,
    #[serde(flatten)]
    pub mode: CanaryMode,
    /// While it is in quarantine, the plugin in force handles all events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<Quarantined>,
    pub current: Calls,
    pub candidate: Calls,
    /// Messages that a shadow was too slow to see.
    pub skipped: u64,
    /// Calls of a shadow in which something differed.
    pub differences: u64,
    /// The last of them, the newest first.
    pub last_differences: Vec<Differing>,
}

/// What a candidate gets to see.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum CanaryMode {
    /// It handles this part of the events.
    Share { share: f64 },
    /// It sees a copy of every event.
    Shadow,
}

/// Calls by what came of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// All of them.
    pub calls: u64,
    pub keep: u64,
    pub drop: u64,
    /// Those that made messages.
    pub messages: u64,
    pub errors: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_micros: Option<u64>,
}

/// A call in which a shadow did not do what the plugin in force did.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differing {
    pub event: EventId,
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    pub differences: Vec<Difference>,
}

/// What differed, with what either said, in short.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `error`, `verdict`, `reason`, `messages`, `body`, `headers`, `destinations`, `key` or `attributes`.
    pub what: String,
    pub current: String,
    pub candidate: String,
}

/// A plugin that is not called any more.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
    pub reason: String,
    /// When one event is let through, to see whether it works again.
    #[serde(with = "rfc3339")]
    pub probe: Timestamp,
}

/// The answer to `POST /plugins/{name}/resume`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    pub plugin: String,
    /// The routes on which it was in quarantine.
    pub routes: Vec<String>,
}

/// The answer of `/healthz` and `/readyz` when the gateway works.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `ok`, `ready`, or `degraded`: ready, but for what is listed.
    pub status: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined: Vec<Degraded>,
    /// Canaries in quarantine: only a warning, since the plugin in force handles all events meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quarantined_canaries: Vec<Degraded>,
}

/// A plugin on a route that is in quarantine. Whoever asks needs no token for this, so it says no more.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    pub route: String,
    pub plugin: String,
    #[serde(with = "rfc3339")]
    pub since: Timestamp,
}

/// Every answer that is not a success.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs: stable.
    pub code: String,
    /// For people.
    pub message: String,
}

impl From<EventRecord> for Record {
    fn from(record: EventRecord) -> Self {
        let event = record.event;
        Self {
            summary: Summary(EventSummary {
                id: event.id,
                route: event.route.to_string(),
                received_at: event.received_at,
                state: record.state,
                event_type: event.event_type.clone(),
                delivery_id: event.delivery_id.clone(),
            }),
            reason: record.reason,
            method: event.method.to_string(),
            path: event.path.clone(),
            query: event.query.clone(),
            params: event.params.iter().cloned().collect(),
            headers: header_lines(&event.headers),
            body: Body::shown(&event.body, EVENT_BODY_SHOWN),
            trail: record.trail.into_iter().map(Line).collect(),
            unfinished: record.unfinished.into_iter().map(Unfinished::from).collect(),
        }
    }
}

impl From<Delivery> for Unfinished {
    fn from(delivery: Delivery) -> Self {
        Self {
            webhook_id: delivery.key.webhook_id(),
            destination: delivery.key.destination.to_string(),
            index: delivery.key.index,
            attempts: delivery.attempts,
            state: delivery.state,
            headers: header_lines(&delivery.message.headers),
            body: Body::shown(&delivery.message.body, MESSAGE_BODY_SHOWN),
        }
    }
}

impl Body {
    fn shown(bytes: &[u8], limit: usize) -> Self {
        let head = &bytes[..bytes.len().min(limit)];
        let truncated = head.len() < bytes.len();
        let content = match str::from_utf8(head) {
            Ok(text) => Content::Text(text.to_owned()),
            // The cut went through a character.
            Err(error) if truncated && error.error_len().is_none() => {
                Content::Text(String::from_utf8_lossy(&head[..error.valid_up_to()]).into_owned())
            }
            Err(_) => Content::of(head),
        };
        Self { length: bytes.len(), truncated, content }
    }
}

impl Content {
    fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(BASE64_STANDARD.encode(bytes)),
        }
    }

    /// The bytes themselves; `None` if it is Base64 that is none.
    pub fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Base64(text) => BASE64_STANDARD.decode(text).ok(),
        }
    }
}

fn header_lines(headers: &Headers) -> Vec<(String, String)> {
    let shown = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = if is_proof(name) { HIDDEN.into() } else { String::from_utf8_lossy(value.as_bytes()) };
        (name.to_string(), value.into_owned())
    };
    headers.iter().map(shown).collect()
}

/// Stands for the value of a header that proves who sent a request.
pub const HIDDEN: &str = "[hidden]";

/// Whether a header of this name proves who sent a request.
pub(crate) fn is_proof(name: &HeaderName) -> bool {
    PROOFS.iter().any(|part| name.as_str().contains(part))
}

/// What is part of the names of headers that prove who sent a request. Whoever reads such a value could send the
/// same request again where the scheme has no timestamp.
const PROOFS: [&str; 5] = ["signature", "hmac", "token", "secret", "api-key"];

#[derive(Serialize, Deserialize)]
#[serde(remote = "EventSummary")]
struct SummaryShape {
    id: EventId,
    route: String,
    #[serde(with = "rfc3339")]
    received_at: Timestamp,
    state: EventState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivery_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TrailEntry", tag = "what", rename_all = "kebab-case")]
enum LineShape {
    Step {
        #[serde(with = "rfc3339")]
        at: Timestamp,
        plugin: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        canary: bool,
        micros: u64,
        outcome: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log: Vec<String>,
    },
    Attempt {
        #[serde(with = "rfc3339")]
        at: Timestamp,
        destination: String,
        index: u32,
        number: u32,
        millis: u64,
        outcome: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339::option")]
        next: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch: Option<u32>,
    },
    Failed {
        #[serde(with = "rfc3339")]
        at: Timestamp,
        reason: String,
    },
    Replayed {
        #[serde(with = "rfc3339")]
        at: Timestamp,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DeliveryState", tag = "state", rename_all = "kebab-case")]
enum DeliveryStateShape {
    Waiting {
        #[serde(with = "rfc3339")]
        due: Timestamp,
    },
    Dead {
        #[serde(with = "rfc3339")]
        at: Timestamp,
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DeadLetter")]
struct DeadShape {
    event: EventId,
    route: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(with = "rfc3339")]
    received_at: Timestamp,
    #[serde(with = "rfc3339")]
    died_at: Timestamp,
    attempts: u32,
    reason: String,
}

mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{super::moment, Timestamp};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        moment::rfc3339(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not an RFC 3339 time")))
    }

    pub(super) mod option {
        use super::{Deserializer, Serializer, Timestamp};

        #[expect(clippy::ref_option, reason = "serde's `with` calls it so")]
        pub(in super::super) fn serialize<S: Serializer>(
            at: &Option<Timestamp>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, to),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            super::deserialize(from).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_shown_as_text() {
        let expected = Body { length: 3, truncated: false, content: Content::Text("a é".trim_end().into()) };
        assert_eq!(Body::shown("a é".as_bytes(), 10), Body { length: 4, ..expected });
    }

    #[test]
    fn other_bytes_are_shown_as_base64() {
        let body = Body::shown(b"\xff\x00", 10);
        assert_eq!(
            serde_json::to_value(body).unwrap(),
            json!({"length": 2, "truncated": false, "base64": "/wA="})
        );
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let body = Body::shown("aéé".as_bytes(), 4);
        assert_eq!(body, Body { length: 5, truncated: true, content: Content::Text("aé".into()) });
    }

    #[test]
    fn text_that_ends_inside_a_character_is_not_text() {
        assert_eq!(Body::shown(b"a\xc3", 4).content, Content::Base64("YcM=".into()));
    }

    #[test]
    fn history_lines_carry_readable_times_and_survive_the_trip() {
        let entry = TrailEntry::Attempt {
            at: Timestamp::from_millis(1_772_366_400_123),
            destination: "tracker".into(),
            index: 0,
            number: 2,
            millis: 12,
            outcome: "retry".into(),
            status: Some(503),
            error: None,
            answer: Some("busy".into()),
            next: Some(Timestamp::from_millis(1_772_366_405_000)),
            batch: None,
        };
        let value = serde_json::to_value(Line(entry.clone())).unwrap();
        assert_eq!(
            value,
            json!({
                "what": "attempt", "at": "2026-03-01T12:00:00.123Z", "destination": "tracker", "index": 0,
                "number": 2, "millis": 12, "outcome": "retry", "status": 503, "answer": "busy",
                "next": "2026-03-01T12:00:05.000Z"
            })
        );
        assert_eq!(serde_json::from_value::<Line>(value).unwrap().0, entry);
    }
}
