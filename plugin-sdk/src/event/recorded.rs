//! An event without a gateway, for tests.

use super::Event;
use crate::pairs;

/// What an event holds, spelled out.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    id: String,
    route: String,
    event_type: Option<String>,
    received_ms: u64,
    attempt: u32,
    method: String,
    path: String,
    query: Option<String>,
    params: Vec<(String, String)>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    attributes: Vec<(String, String)>,
}

/// Makes an [`Event`] for a test. What is not said is as in a first delivery of an empty `POST /` on route
/// `test`, received at 2026-01-01T00:00:00Z.
///
/// ```
/// # use sluice_plugin::Event;
/// let event = Event::builder().header("x-github-event", "issues").body(r#"{"action":"opened"}"#).build();
/// assert_eq!(event.header_str("X-GitHub-Event").as_deref(), Some("issues"));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "`build` makes the event"]
pub struct EventBuilder(Source);

impl Default for Source {
    fn default() -> Self {
        Self {
            id: "019b76da-a800-7000-8000-000000000000".to_owned(),
            route: "test".to_owned(),
            event_type: None,
            received_ms: 1_767_225_600_000,
            attempt: 1,
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: None,
            params: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
            attributes: Vec::new(),
        }
    }
}

impl EventBuilder {
    /// Sets [`Event::id`].
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.0.id = id.into();
        self
    }

    /// Sets [`Event::route`].
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.0.route = route.into();
        self
    }

    /// Sets [`Event::event_type`].
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.0.event_type = Some(event_type.into());
        self
    }

    /// Sets [`Event::received_ms`].
    pub fn received_ms(mut self, at: u64) -> Self {
        self.0.received_ms = at;
        self
    }

    /// Sets [`Event::attempt`].
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.0.attempt = attempt;
        self
    }

    /// Sets [`Event::method`].
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.0.method = method.into();
        self
    }

    /// Sets [`Event::path`].
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.0.path = path.into();
        self
    }

    /// Sets [`Event::query`].
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.0.query = Some(query.into());
        self
    }

    /// Adds a [`Event::param`].
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.params.push((name.into(), value.into()));
        self
    }

    /// Adds a header, also beside one of the same name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets [`Event::body`].
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// Adds an [`Event::attribute`].
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.attributes.push((name.into(), value.into()));
        self
    }

    /// The event.
    pub fn build(self) -> Event {
        Event(self.0)
    }
}

/// The same methods as the gateway's event.
impl Source {
    pub(super) fn id(&self) -> String {
        self.id.clone()
    }

    pub(super) fn route(&self) -> String {
        self.route.clone()
    }

    pub(super) fn event_type(&self) -> Option<String> {
        self.event_type.clone()
    }

    pub(super) fn received_ms(&self) -> u64 {
        self.received_ms
    }

    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(super) fn method(&self) -> String {
        self.method.clone()
    }

    pub(super) fn path(&self) -> String {
        self.path.clone()
    }

    pub(super) fn query(&self) -> Option<String> {
        self.query.clone()
    }

    pub(super) fn param(&self, name: &str) -> Option<String> {
        pairs::first(&self.params, name)
    }

    pub(super) fn header(&self, name: &str) -> Option<Vec<u8>> {
        pairs::values(&self.headers, name).next()
    }

    pub(super) fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        pairs::values(&self.headers, name).collect()
    }

    pub(super) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.clone()
    }

    pub(super) fn body(&self) -> Vec<u8> {
        self.body.clone()
    }

    pub(super) fn body_len(&self) -> u64 {
        self.body.len() as u64
    }

    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        pairs::first(&self.attributes, name)
    }
}
