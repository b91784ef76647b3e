//! What a transform makes of an event.

use serde::Serialize;

use crate::{Error, Event};

/// Something to deliver. Made from a body, then completed with the methods that return it:
///
/// ```
/// # use sluice_plugin::{Error, Message};
/// # fn message() -> Result<Message, Error> {
/// let message = Message::json(&["hello"])?.header("x-priority", "high").to(["tracker"]).key("issue-7");
/// # Ok(message)
/// # }
/// # assert_eq!(message().unwrap().body(), br#"["hello"]"#);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a message is delivered only if it is returned"]
pub struct Message {
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) destinations: Option<Vec<String>>,
    pub(crate) key: Option<String>,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Message {
    /// A message without headers.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// A message with a JSON body and its `content-type`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the value has no JSON form, such as a map whose keys are not text.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Ok(Self::new(serde_json::to_vec(value)?).header("content-type", "application/json"))
    }

    /// A message with a text body and its `content-type`.
    pub fn text(body: impl Into<String>) -> Self {
        Self::new(body.into()).header("content-type", "text/plain; charset=utf-8")
    }

    /// The event with another body of the same `content-type`. Other headers of the event need no copying: later
    /// steps still see them, and a destination gets those that its `forward_headers` names.
    pub fn with_content_type_of(event: &Event, body: impl Into<Vec<u8>>) -> Self {
        let content_type = event.header("content-type").map(|value| ("content-type".to_owned(), value));
        Self { headers: content_type.into_iter().collect(), ..Self::new(body) }
    }

    /// Sets a header: replaces the ones of this name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        let name = lower_case(name.into());
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a header beside the ones of this name.
    pub fn add_header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((lower_case(name.into()), value.into()));
        self
    }

    /// Takes a header away.
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// Chooses which of the route's destinations get it; without this, all of them do.
    pub fn to<D: Into<String>>(mut self, destinations: impl IntoIterator<Item = D>) -> Self {
        self.destinations = Some(destinations.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the order key. It is kept with the message; no destination delivers in order yet.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Attaches something for later steps of the pipeline, which read it with [`Event::attribute`]. It is not
    /// delivered.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// The headers, in order; names are lower-case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The chosen destinations; `None` means all of the route's.
    pub fn destinations(&self) -> Option<&[String]> {
        self.destinations.as_deref()
    }

    /// The order key.
    pub fn order_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What later steps will read, in order.
    pub fn attributes(&self) -> &[(String, String)] {
        &self.attributes
    }
}

fn lower_case(mut name: String) -> String {
    name.make_ascii_lowercase();
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_replaces_and_add_header_adds() {
        let message = Message::new("").header("X-A", "1").header("x-a", "2").add_header("x-a", "3");
        let headers: Vec<_> = message.headers().collect();
        assert_eq!(headers, [("x-a", &b"2"[..]), ("x-a", &b"3"[..])]);
    }

    #[test]
    fn another_body_keeps_the_content_type_and_nothing_else() {
        let event = Event::builder().header("content-type", "text/xml").header("content-length", "5").build();
        let message = Message::with_content_type_of(&event, "other");
        assert_eq!(message.headers().collect::<Vec<_>>(), [("content-type", &b"text/xml"[..])]);
    }
}
