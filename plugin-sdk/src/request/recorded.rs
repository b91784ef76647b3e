//! A request without a gateway, for tests.

use super::Request;
use crate::pairs;

/// What a request holds, spelled out.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    route: String,
    received_ms: u64,
    method: String,
    path: String,
    query: Option<String>,
    params: Vec<(String, String)>,
    url: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// Makes a [`Request`] for a test. What is not said is as in an empty `POST /` on route `test`, received at
/// 2026-01-01T00:00:00Z.
///
/// ```
/// # use sluice_plugin::Request;
/// let request = Request::builder().header("x-signature", "1f").body("hello").build();
/// assert_eq!(request.only_header("X-Signature").as_deref(), Some("1f"));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "`build` makes the request"]
pub struct RequestBuilder(Source);

impl Default for Source {
    fn default() -> Self {
        Self {
            route: "test".to_owned(),
            received_ms: 1_767_225_600_000,
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: None,
            params: Vec::new(),
            url: None,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

impl RequestBuilder {
    /// Sets [`Request::route`].
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.0.route = route.into();
        self
    }

    /// Sets [`Request::received_ms`].
    pub fn received_ms(mut self, at: u64) -> Self {
        self.0.received_ms = at;
        self
    }

    /// Sets [`Request::method`].
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.0.method = method.into();
        self
    }

    /// Sets [`Request::path`].
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.0.path = path.into();
        self
    }

    /// Sets [`Request::query`].
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.0.query = Some(query.into());
        self
    }

    /// Adds a [`Request::param`].
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.params.push((name.into(), value.into()));
        self
    }

    /// Sets [`Request::url`].
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.0.url = Some(url.into());
        self
    }

    /// Adds a header, also beside one of the same name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets [`Request::body`].
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// The request.
    pub fn build(self) -> Request {
        Request(self.0)
    }
}

/// The same methods as the gateway's request.
impl Source {
    pub(super) fn route(&self) -> String {
        self.route.clone()
    }

    pub(super) fn received_ms(&self) -> u64 {
        self.received_ms
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

    pub(super) fn url(&self) -> Option<String> {
        self.url.clone()
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
}
