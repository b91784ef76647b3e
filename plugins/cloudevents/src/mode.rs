//! The two ways of HTTP to carry a CloudEvent.

use serde::Deserialize;
use sluice_plugin::{Body, Error, Message};

use crate::{Attribute, data::Data, text};

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// All in one JSON body.
    #[default]
    Structured,
    /// The attributes in headers, the body as it came.
    Binary,
}

/// The event in one JSON body.
pub(crate) fn structured(
    attributes: &[Attribute<'_>],
    content_type: Option<&str>,
    data: Data<'_>,
) -> Result<Message, Error> {
    let content_type = content_type.map(text::clean);
    let content_type = content_type.as_deref().map(|value| ("datacontenttype", value));
    let attributes = attributes.iter().map(|(name, value)| (*name, value.as_str()));
    let mut out = String::from("{");
    for (name, value) in attributes.chain(content_type) {
        // Names are letters and digits: nothing in them needs an escape.
        out.push_str(&format!("\"{name}\":{},", serde_json::to_string(value)?));
    }
    data.write(&mut out);
    if out.ends_with(',') {
        out.pop();
    }
    out.push('}');
    Ok(Message::new(out).header("content-type", "application/cloudevents+json; charset=utf-8"))
}

/// The event as headers, with its body as it came.
pub(crate) fn binary(attributes: &[Attribute<'_>], content_type: Option<&str>, body: Body) -> Message {
    let message = Message::new(body);
    let message = match content_type {
        Some(content_type) => message.header("content-type", content_type),
        None => message,
    };
    attributes.iter().fold(message, |message, (name, value)| {
        message.header(format!("ce-{name}"), text::header_value(value))
    })
}
