//! What an operator asks for, read strictly: a misspelt filter must not widen what is listed or replayed.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use axum::{extract::Query, http::Uri};
use clap::ValueEnum;

use super::{api::ReplayRequest, moment};
use crate::{
    clock::Timestamp,
    event::EventId,
    journal::{DeadFilter, EventFilter, EventState},
};

/// How many entries a list may have.
const LIMITS: RangeInclusive<usize> = 1..=1000;

/// How many entries a list has unless more are asked for.
const DEFAULT_LIMIT: usize = 100;

/// For how long a route takes new secrets unless it is said.
const LEARNING: Duration = Duration::from_secs(10 * 60);

/// Whoever finds the route meanwhile can put in a secret of his own: it is to be a while, not a state.
const LONGEST_LEARNING: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum QueryError {
    #[error("the query is not `key=value` pairs joined by `&`")]
    Malformed,
    #[error("unknown query key `{key}`; this path takes {known}")]
    UnknownKey { key: String, known: String },
    #[error("query key `{key}` is given twice")]
    Repeated { key: String },
    #[error("`{key}` is `{value}`, which is not {expected}")]
    BadValue { key: &'static str, value: String, expected: String },
    #[error("the body is not a replay request: {0}")]
    BadBody(serde_json::Error),
    #[error("a replay of everything must be asked for with `\"all\": true`; otherwise give a filter")]
    NoFilter,
    #[error("`all` asks for every dead letter, so it takes no filter beside it")]
    AllWithFilter,
}

/// For paths that take no query.
pub(super) fn none(uri: &Uri) -> Result<(), QueryError> {
    Keys::read(uri, &[]).map(|_| ())
}

/// For how long a route takes new secrets.
pub(super) fn learn(uri: &Uri) -> Result<Duration, QueryError> {
    let mut keys = Keys::read(uri, &["for"])?;
    let time = |text: &str| {
        let time = humantime::parse_duration(text).ok();
        let time = time.filter(|time| !time.is_zero() && *time <= LONGEST_LEARNING);
        time.ok_or_else(|| "a time such as `10m`, up to 24h".to_owned())
    };
    Ok(keys.parsed("for", time)?.unwrap_or(LEARNING))
}

pub(super) fn events(uri: &Uri, now: Timestamp) -> Result<EventFilter, QueryError> {
    let mut keys = Keys::read(uri, &["route", "state", "since", "before", "limit"])?;
    Ok(EventFilter {
        route: keys.text("route"),
        state: keys.parsed("state", state)?,
        since: keys.parsed("since", |text| time(text, now))?,
        before: keys.parsed("before", id)?,
        limit: keys.parsed("limit", limit)?.unwrap_or(DEFAULT_LIMIT),
    })
}

pub(super) fn dead_letters(uri: &Uri, now: Timestamp) -> Result<DeadFilter, QueryError> {
    let mut keys = Keys::read(uri, &["event", "route", "destination", "since", "until", "limit"])?;
    Ok(DeadFilter {
        event: keys.parsed("event", id)?,
        route: keys.text("route"),
        destination: keys.text("destination"),
        since: keys.parsed("since", |text| time(text, now))?,
        until: keys.parsed("until", |text| time(text, now))?,
        limit: keys.parsed("limit", limit)?.unwrap_or(DEFAULT_LIMIT),
    })
}

pub(super) fn replay(body: &[u8], now: Timestamp) -> Result<DeadFilter, QueryError> {
    let asked: ReplayRequest = match body {
        b"" => ReplayRequest::default(),
        json => serde_json::from_slice(json).map_err(QueryError::BadBody)?,
    };
    let ReplayRequest { event, route, destination, since, until, all } = asked;
    let unfiltered =
        event.is_none() && route.is_none() && destination.is_none() && since.is_none() && until.is_none();
    match (all, unfiltered) {
        (false, true) => return Err(QueryError::NoFilter),
        (true, false) => return Err(QueryError::AllWithFilter),
        (true, true) | (false, false) => {}
    }
    Ok(DeadFilter {
        event,
        route,
        destination,
        since: since.map(|text| checked("since", text, |text| time(text, now))).transpose()?,
        until: until.map(|text| checked("until", text, |text| time(text, now))).transpose()?,
        limit: 0,
    })
}

/// The pairs of a query, each key known and given once. An empty value counts as not given.
struct Keys(BTreeMap<String, String>);

impl Keys {
    fn read(uri: &Uri, known: &[&'static str]) -> Result<Self, QueryError> {
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| QueryError::Malformed)?;
        let mut keys = BTreeMap::new();
        for (key, value) in pairs {
            if !known.contains(&key.as_str()) {
                return Err(QueryError::UnknownKey { key, known: list(known) });
            }
            if keys.insert(key.clone(), value).is_some() {
                return Err(QueryError::Repeated { key });
            }
        }
        keys.retain(|_, value| !value.is_empty());
        Ok(Self(keys))
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, QueryError> {
        self.text(key).map(|value| checked(key, value, parse)).transpose()
    }
}

fn checked<T>(
    key: &'static str,
    value: String,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, QueryError> {
    parse(&value).map_err(|expected| QueryError::BadValue { key, value, expected })
}

fn state(text: &str) -> Result<EventState, String> {
    let states = EventState::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let names: Vec<_> = states.map(|state| state.get_name().to_owned()).collect();
    EventState::from_str(text, false).map_err(|_| format!("one of {}", list(&names)))
}

fn time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    moment::parse(text, now)
        .ok_or_else(|| "a time such as `2026-03-01T12:00:00Z`, nor a time ago such as `1h`".to_owned())
}

fn id(text: &str) -> Result<EventId, String> {
    text.parse().map_err(|_| "an event id".to_owned())
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| LIMITS.contains(limit));
    limit.ok_or_else(|| format!("a number from {} to {}", LIMITS.start(), LIMITS.end()))
}

fn list(names: &[impl AsRef<str>]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let quoted: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_772_366_400_000);

    fn uri(query: &str) -> Uri {
        format!("/events?{query}").parse().unwrap()
    }

    #[track_caller]
    fn refused(query: &str, message: &str) {
        assert_eq!(events(&uri(query), NOW).unwrap_err().to_string(), message);
    }

    #[test]
    fn every_filter_of_a_list_is_read() {
        let filter = events(
            &uri("route=github&state=waiting&since=1h&before=01930c2e-7b1a-7c3d-9a52-5d7f3f0d2c11&limit=5"),
            NOW,
        )
        .unwrap();
        assert_eq!(filter.route.as_deref(), Some("github"));
        assert_eq!(filter.state, Some(EventState::Waiting));
        assert_eq!(filter.since, Some(Timestamp::from_millis(1_772_362_800_000)));
        assert_eq!(filter.before.unwrap().to_string(), "01930c2e-7b1a-7c3d-9a52-5d7f3f0d2c11");
        assert_eq!(filter.limit, 5);
    }

    #[test]
    fn empty_values_count_as_not_given() {
        let filter = events(&uri("route=&state=&since=&limit="), NOW).unwrap();
        assert_eq!((filter.route, filter.state, filter.since, filter.limit), (None, None, None, 100));
    }

    #[test]
    fn bad_queries_are_refused_by_name() {
        refused(
            "rout=x",
            "unknown query key `rout`; this path takes `route`, `state`, `since`, `before`, `limit`",
        );
        refused("route=a&route=b", "query key `route` is given twice");
        refused("before=42", "`before` is `42`, which is not an event id");
        refused("limit=0", "`limit` is `0`, which is not a number from 1 to 1000");
        refused("limit=1001", "`limit` is `1001`, which is not a number from 1 to 1000");
        refused(
            "state=gone",
            "`state` is `gone`, which is not one of `open`, `waiting`, `delivered`, `dropped`, `dead`",
        );
        refused(
            "since=then",
            "`since` is `then`, which is not a time such as `2026-03-01T12:00:00Z`, nor a time ago such as `1h`",
        );
    }

    #[test]
    fn replay_filters_are_read() {
        let filter = replay(br#"{"destination":"tracker","since":"2h","until":"1h"}"#, NOW).unwrap();
        assert_eq!(filter.destination.as_deref(), Some("tracker"));
        assert_eq!(filter.since, Some(Timestamp::from_millis(1_772_359_200_000)));
        assert_eq!(filter.until, Some(Timestamp::from_millis(1_772_362_800_000)));
        assert_eq!(filter.limit, 0);
    }

    #[test]
    fn replay_of_everything_must_be_asked_for() {
        for body in ["", "{}", r#"{"all":false}"#] {
            assert!(matches!(replay(body.as_bytes(), NOW), Err(QueryError::NoFilter)), "{body}");
        }
        assert!(replay(br#"{"all":true}"#, NOW).is_ok());
        assert!(matches!(replay(br#"{"all":true,"route":"a"}"#, NOW), Err(QueryError::AllWithFilter)));
    }

    #[test]
    fn misspelt_replay_filter_is_refused() {
        let error = replay(br#"{"all":true,"rout":"a"}"#, NOW).unwrap_err().to_string();
        assert!(error.contains("unknown field `rout`"), "{error}");
    }
}
