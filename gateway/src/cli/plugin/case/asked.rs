//! The request of a case, as JSON spells it out or as it came over the wire, and the event that it becomes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::{body, headers, moment};
use crate::{
    cli::verify::capture::capture,
    config::Secret,
    event::{Event, EventId, Headers, Message},
    plugin::{Claimed, Item, View, Window},
    verify::{Proof, Unverified, passed_on},
};

/// What a case says of one request.
pub(in crate::cli::plugin) struct Asked {
    request: Unverified,
    /// Those that its event has.
    headers: Headers,
    event_type: Option<String>,
    attempt: u32,
    secrets: Arc<[Secret]>,
    url: Option<Arc<str>>,
}

/// `event.json` and `request.json`, key for key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAsked {
    id: Option<String>,
    route: Option<String>,
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    params: Map<String, Value>,
    headers: Map<String, Value>,
    event_type: Option<String>,
    received_at: Option<String>,
    attempt: Option<u32>,
    body: Option<String>,
    body_json: Option<Box<RawValue>>,
    body_file: Option<PathBuf>,
    secrets: Vec<String>,
    url: Option<String>,
}

/// What is not said is as in the SDK's `Event::builder()` and `Request::builder()`.
const ID: &str = "019b76da-a800-7000-8000-000000000000";
const ROUTE: &str = "test";
const RECEIVED_AT: &str = "2026-01-01T00:00:00Z";

impl RawAsked {
    /// Files that it names lie in `dir`.
    pub(super) fn asked(mut self, dir: &Path) -> Result<Asked, String> {
        let method = self.method.take().unwrap_or_else(|| "POST".to_owned());
        let file = self.body_file.take().map(|file| dir.join(file));
        let headers = headers(std::mem::take(&mut self.headers))?;
        let request = Sent {
            method: Method::from_bytes(method.as_bytes())
                .map_err(|_| format!("`method` is `{method}`, not one of HTTP's"))?,
            path: self.path.take().unwrap_or_else(|| "/".to_owned()),
            query: self.query.take(),
            headers: headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            body: body(self.body.take(), self.body_json.take(), file)?,
        };
        self.sent(request, headers)
    }

    /// The same with what was sent from a capture.
    pub(super) fn captured(self, bytes: &[u8]) -> Result<Asked, String> {
        let is_said = self.method.is_some() || self.path.is_some() || self.query.is_some();
        let has_body = self.body.is_some() || self.body_json.is_some() || self.body_file.is_some();
        if is_said || has_body || !self.headers.is_empty() {
            return Err(
                "`request.http` has method, path, query, headers and body; leave them out here".into()
            );
        }
        let request = capture(bytes, moment(RECEIVED_AT)?).map_err(|error| error.to_string())?;
        let Unverified { method, path, query, headers, body, .. } = request;
        let seen = passed_on(headers.clone());
        self.sent(Sent { method, path, query, headers, body }, seen)
    }

    fn sent(self, sent: Sent, headers: Headers) -> Result<Asked, String> {
        let Sent { method, path, query, headers: received, body } = sent;
        let id = self.id.as_deref().unwrap_or(ID);
        let attempt = self.attempt.unwrap_or(1);
        if attempt == 0 {
            return Err("`attempt` is 0; the first one is 1".to_owned());
        }
        let secret =
            |(at, secret): (usize, String)| Secret::new(secret.into_bytes(), format!("secret {}", at + 1));
        Ok(Asked {
            request: Unverified {
                id: id.parse::<EventId>().map_err(|_| format!("`id` is `{id}`, not a UUID"))?,
                route: self.route.as_deref().unwrap_or(ROUTE).into(),
                received_at: moment(self.received_at.as_deref().unwrap_or(RECEIVED_AT))?,
                method,
                path,
                query,
                params: params(self.params)?,
                headers: received,
                body,
            },
            headers,
            event_type: self.event_type,
            attempt,
            secrets: self.secrets.into_iter().enumerate().map(secret).collect(),
            url: self.url.map(Into::into),
        })
    }
}

/// What comes over the wire.
struct Sent {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    /// The request, as a verifier is lent it.
    pub(in crate::cli::plugin) fn claimed(&self) -> Claimed {
        Claimed::new(Arc::new(self.request.clone()), self.secrets.clone(), self.url.clone())
    }

    /// The event that it becomes.
    pub(in crate::cli::plugin) fn view(&self) -> View {
        let request = self.request.clone();
        let event = Event {
            id: request.id,
            route: request.route,
            received_at: request.received_at,
            method: request.method,
            path: request.path,
            query: request.query,
            params: request.params,
            headers: self.headers.clone(),
            body: request.body,
            event_type: self.event_type.clone(),
            delivery_id: None,
            passed: None,
            proof: Proof::of_a_case(),
        };
        View::of(Arc::new(event), self.attempt)
    }

    /// So many messages that are its body, on their way to one destination.
    pub(super) fn window(&self, items: usize) -> Window {
        let item = |at: usize| Item {
            event: self.request.id,
            webhook_id: format!("{}_test_{at}", self.request.id),
            received_at: self.request.received_at,
            message: Message {
                headers: self.headers.clone(),
                body: self.request.body.clone(),
                destinations: None,
                key: None,
            },
        };
        Window {
            route: self.request.route.clone(),
            destination: "test".into(),
            items: (0..items).map(item).collect(),
        }
    }
}

fn params(raw: Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let text = |(name, value)| match value {
        Value::String(value) => Ok((name, value)),
        other => Err(format!("param `{name}` is {other}, not a text")),
    };
    raw.into_iter().map(text).collect()
}
