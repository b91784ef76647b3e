//! The request that a verifier judges.

use serde::de::DeserializeOwned;

use crate::{Body, Error, query};

#[cfg_attr(target_arch = "wasm32", path = "request/host.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "request/recorded.rs")]
mod source;

#[cfg(not(target_arch = "wasm32"))]
pub use source::RequestBuilder;

pub(crate) use source::Source;

/// A request of which nothing is proven yet, lent to a verifier for one call.
///
/// It stays with the gateway: each method copies what it returns into the plugin. Keep what you need more than once.
#[derive(Debug)]
#[repr(transparent)]
pub struct Request(Source);

impl Request {
    /// Makes a request for a test, without a gateway.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn builder() -> RequestBuilder {
        RequestBuilder::default()
    }

    /// The name of the route that it came in by.
    pub fn route(&self) -> String {
        self.0.route()
    }

    /// Now: when it was received, in milliseconds since the Unix epoch. What timestamps are compared with.
    pub fn received_ms(&self) -> u64 {
        self.0.received_ms()
    }

    /// The method, e.g. `POST`.
    pub fn method(&self) -> String {
        self.0.method()
    }

    /// The path without its query, as received.
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// The query without `?`, as received.
    pub fn query(&self) -> Option<String> {
        self.0.query()
    }

    /// The first value of a query parameter, percent-decoded; empty for one without `=`.
    pub fn query_param(&self, name: &str) -> Option<String> {
        query::param(&self.query()?, name)
    }

    /// The value of a `{name}` segment of the route's path, percent-decoded.
    pub fn param(&self, name: &str) -> Option<String> {
        self.0.param(name)
    }

    /// Our URL as the sender knows it, with path and query, where the route says it with `url`.
    pub fn url(&self) -> Option<String> {
        self.0.url()
    }

    /// The first value of a header; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.0.header(name)
    }

    /// The only value of a header as text; none where it is missing, repeated or no UTF-8. What proves something
    /// must not be ambiguous.
    pub fn only_header(&self, name: &str) -> Option<String> {
        let mut values = self.header_values(name);
        let value = values.pop()?;
        values.is_empty().then_some(value).and_then(|value| String::from_utf8(value).ok())
    }

    /// Every value of a header, in the order received.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header_values(name)
    }

    /// All headers, in the order received; names are lower-case.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.0.headers()
    }

    /// The body, exactly as sent, copied into the plugin on every call.
    pub fn body(&self) -> Body {
        self.0.body().into()
    }

    /// The body's size in bytes.
    pub fn body_len(&self) -> u64 {
        self.0.body_len()
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not JSON, or not JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.body().json()
    }
}
