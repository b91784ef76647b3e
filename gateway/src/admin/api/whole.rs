use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::{Content, HIDDEN, is_proof, rfc3339};
use crate::{
    clock::Timestamp,
    event::{Event, EventId},
};

/// The answer to `GET /events/{id}/whole`: an event as plugins see it, but for the headers that prove who sent it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Whole {
    pub id: EventId,
    pub route: String,
    #[serde(with = "rfc3339")]
    pub received_at: Timestamp,
    pub method: String,
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// In the order of the route's path.
    pub params: Vec<(String, String)>,
    /// In the order received; of those that prove who sent it the value is [`HIDDEN`].
    pub headers: Vec<(String, Content)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// All of it.
    pub body: Content,
}

impl From<&Event> for Whole {
    fn from(event: &Event) -> Self {
        Self {
            id: event.id,
            route: event.route.to_string(),
            received_at: event.received_at,
            method: event.method.to_string(),
            path: event.path.clone(),
            query: event.query.clone(),
            params: event.params.clone(),
            headers: event.headers.iter().map(header).collect(),
            event_type: event.event_type.clone(),
            delivery_id: event.delivery_id.clone(),
            body: Content::of(&event.body),
        }
    }
}

fn header((name, value): (&HeaderName, &HeaderValue)) -> (String, Content) {
    let value = if is_proof(name) { HIDDEN.as_bytes() } else { value.as_bytes() };
    (name.to_string(), Content::of(value))
}
