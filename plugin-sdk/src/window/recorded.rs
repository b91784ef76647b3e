//! A window without a gateway, for tests.

use super::Window;
use crate::pairs;

/// What a window holds, spelled out.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    route: String,
    destination: String,
    items: Vec<Message>,
}

#[derive(Clone, Debug)]
struct Message {
    event_id: String,
    webhook_id: String,
    received_ms: u64,
    key: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// Makes a [`Window`] for a test, from route `test` to destination `test` where nothing else is said.
///
/// ```
/// # use sluice_plugin::{ItemBuilder, Window};
/// let window = Window::builder().body("1").item(ItemBuilder::default().key("a").body("22")).build();
/// let sizes: Vec<_> = window.items().map(|item| item.body_len()).collect();
/// assert_eq!(sizes, [1, 2]);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "`build` makes the window"]
pub struct WindowBuilder(Source);

/// Makes an [`Item`](crate::Item) for a test. What is not said is as in an empty message of an event that was received at
/// 2026-01-01T00:00:00Z.
#[derive(Clone, Debug, Default)]
#[must_use = "a window takes it"]
pub struct ItemBuilder(Message);

impl Default for Source {
    fn default() -> Self {
        Self { route: "test".to_owned(), destination: "test".to_owned(), items: Vec::new() }
    }
}

impl Default for Message {
    fn default() -> Self {
        Self {
            event_id: "019b76da-a800-7000-8000-000000000000".to_owned(),
            webhook_id: "019b76da-a800-7000-8000-000000000000_test_0".to_owned(),
            received_ms: 1_767_225_600_000,
            key: None,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

impl WindowBuilder {
    /// Sets [`Window::route`].
    pub fn route(mut self, route: impl Into<String>) -> Self {
        self.0.route = route.into();
        self
    }

    /// Sets [`Window::destination`].
    pub fn destination(mut self, destination: impl Into<String>) -> Self {
        self.0.destination = destination.into();
        self
    }

    /// Adds an item.
    pub fn item(mut self, item: ItemBuilder) -> Self {
        self.0.items.push(item.0);
        self
    }

    /// Adds an item that has nothing but a body.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        self.item(ItemBuilder::default().body(body))
    }

    /// The window.
    pub fn build(self) -> Window {
        Window(self.0)
    }
}

impl ItemBuilder {
    /// Sets [`Item::event_id`](crate::Item::event_id).
    pub fn event_id(mut self, event_id: impl Into<String>) -> Self {
        self.0.event_id = event_id.into();
        self
    }

    /// Sets [`Item::webhook_id`](crate::Item::webhook_id).
    pub fn webhook_id(mut self, webhook_id: impl Into<String>) -> Self {
        self.0.webhook_id = webhook_id.into();
        self
    }

    /// Sets [`Item::received_ms`](crate::Item::received_ms).
    pub fn received_ms(mut self, at: u64) -> Self {
        self.0.received_ms = at;
        self
    }

    /// Sets [`Item::key`](crate::Item::key).
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// Adds a header, also beside one of the same name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets [`Item::body`](crate::Item::body).
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }
}

/// The same methods as the gateway's window.
impl Source {
    pub(super) fn route(&self) -> String {
        self.route.clone()
    }

    pub(super) fn destination(&self) -> String {
        self.destination.clone()
    }

    pub(super) fn len(&self) -> u32 {
        self.items.len() as u32
    }

    pub(super) fn event_id(&self, place: u32) -> String {
        self.item(place).event_id.clone()
    }

    pub(super) fn webhook_id(&self, place: u32) -> String {
        self.item(place).webhook_id.clone()
    }

    pub(super) fn received_ms(&self, place: u32) -> u64 {
        self.item(place).received_ms
    }

    pub(super) fn key(&self, place: u32) -> Option<String> {
        self.item(place).key.clone()
    }

    pub(super) fn headers(&self, place: u32) -> Vec<(String, Vec<u8>)> {
        self.item(place).headers.clone()
    }

    pub(super) fn body(&self, place: u32) -> Vec<u8> {
        self.item(place).body.clone()
    }

    pub(super) fn body_len(&self, place: u32) -> u64 {
        self.item(place).body.len() as u64
    }

    pub(super) fn header(&self, place: u32, name: &str) -> Option<Vec<u8>> {
        pairs::values(&self.item(place).headers, name).next()
    }

    pub(super) fn header_values(&self, place: u32, name: &str) -> Vec<Vec<u8>> {
        pairs::values(&self.item(place).headers, name).collect()
    }

    fn item(&self, place: u32) -> &Message {
        &self.items[place as usize]
    }
}
