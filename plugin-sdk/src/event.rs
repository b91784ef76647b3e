//! The event a plugin is called for.

use serde::de::DeserializeOwned;

use crate::{Body, Error, query};

#[cfg_attr(target_arch = "wasm32", path = "event/host.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "event/recorded.rs")]
mod source;

#[cfg(not(target_arch = "wasm32"))]
pub use source::EventBuilder;

pub(crate) use source::Source;

/// One webhook, proven genuine and lent to the plugin for one call.
///
/// It stays with the gateway: each method copies what it returns into the plugin, so a plugin that reads one
/// header pays for one header. Keep what you need more than once.
///
/// Nothing here changes between retries and replays except [`attempt`](Self::attempt): a plugin has no clock
/// and no randomness, so the same event gives the same result.
#[derive(Debug)]
#[repr(transparent)]
pub struct Event(Source);

impl Event {
    /// Makes an event for a test, without a gateway.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn builder() -> EventBuilder {
        EventBuilder::default()
    }

    /// The event's id (UUIDv7), the same for every step, retry and replay.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// The name of the route that accepted it.
    pub fn route(&self) -> String {
        self.0.route()
    }

    /// The provider's event type, where the route's preset knows where to find it, e.g. `issues`.
    pub fn event_type(&self) -> Option<String> {
        self.0.event_type()
    }

    /// When it was received, in milliseconds since the Unix epoch.
    pub fn received_ms(&self) -> u64 {
        self.0.received_ms()
    }

    /// 1 for the first run, then one more for every retry after an error of a plugin.
    pub fn attempt(&self) -> u32 {
        self.0.attempt()
    }

    /// The request's method, e.g. `POST`.
    pub fn method(&self) -> String {
        self.0.method()
    }

    /// The request's path without its query, as received.
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// The request's query without `?`, as received.
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

    /// The first value of a header; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.0.header(name)
    }

    /// The first value of a header as text; what is not UTF-8 in it becomes `U+FFFD`.
    pub fn header_str(&self, name: &str) -> Option<String> {
        self.header(name).map(|value| {
            String::from_utf8(value).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
        })
    }

    /// Every value of a header, in the order received.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header_values(name)
    }

    /// All headers, in the order received; names are lower-case. Credentials that proved the request are not
    /// among them.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.0.headers()
    }

    /// The body, copied into the plugin on every call. A transform has it already, as an argument.
    pub fn body(&self) -> Body {
        self.0.body().into()
    }

    /// The body's size in bytes.
    pub fn body_len(&self) -> u64 {
        self.0.body_len()
    }

    /// Reads the body as JSON; the shortest way for a filter.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not JSON, or not JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.body().json()
    }

    /// What an earlier step of the pipeline attached to the message under this name.
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.0.attribute(name)
    }
}
