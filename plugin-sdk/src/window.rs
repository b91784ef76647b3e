//! What is to become a batch.

use serde::de::DeserializeOwned;

use crate::{Body, Error};

#[cfg_attr(target_arch = "wasm32", path = "window/host.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "window/recorded.rs")]
mod source;

#[cfg(not(target_arch = "wasm32"))]
pub use source::{ItemBuilder, WindowBuilder};

pub(crate) use source::Source;

/// Messages that wait to be delivered together, in the order in which they came, lent to a batch plugin for one call.
///
/// They stay with the gateway: each method copies what it returns into the plugin. Keep what you need more than once.
#[derive(Debug)]
#[repr(transparent)]
pub struct Window(Source);

/// One message of a [`Window`].
#[derive(Clone, Copy, Debug)]
pub struct Item<'w> {
    window: &'w Source,
    place: u32,
}

impl Window {
    /// Makes a window for a test, without a gateway.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn builder() -> WindowBuilder {
        WindowBuilder::default()
    }

    /// The name of the route that the messages came by.
    pub fn route(&self) -> String {
        self.0.route()
    }

    /// The name of the destination that they go to.
    pub fn destination(&self) -> String {
        self.0.destination()
    }

    /// The messages, in the order in which they came. There is at least one.
    pub fn items(&self) -> impl ExactSizeIterator<Item = Item<'_>> {
        // A range of `u32` is no `ExactSizeIterator`, since it might be too long on other machines.
        (0..self.0.len() as usize).map(|place| Item { window: &self.0, place: place as u32 })
    }
}

impl Item<'_> {
    /// Its place in the window, from 0: what [`Folded::of`](crate::Folded::of) takes.
    pub fn place(&self) -> u32 {
        self.place
    }

    /// The id of the event that it was made of (UUIDv7).
    pub fn event_id(&self) -> String {
        self.window.event_id(self.place)
    }

    /// The `webhook-id` that the message would have alone. It never changes, so a receiver can drop by it what it
    /// has had in another batch.
    pub fn webhook_id(&self) -> String {
        self.window.webhook_id(self.place)
    }

    /// When its event was received, in milliseconds since the Unix epoch.
    pub fn received_ms(&self) -> u64 {
        self.window.received_ms(self.place)
    }

    /// The order key that a transform gave it.
    pub fn key(&self) -> Option<String> {
        self.window.key(self.place)
    }

    /// The first value of a header; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.window.header(self.place, name)
    }

    /// Every value of a header, in order.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        self.window.header_values(self.place, name)
    }

    /// The message's headers, in order; names are lower-case.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.window.headers(self.place)
    }

    /// The body, copied into the plugin on every call.
    pub fn body(&self) -> Body {
        self.window.body(self.place).into()
    }

    /// The body's size in bytes.
    pub fn body_len(&self) -> u64 {
        self.window.body_len(self.place)
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not JSON, or not JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.body().json()
    }
}
