//! Wraps events as CloudEvents 1.0, for receivers that speak the standard.
//!
//! It teaches how to put a body into an envelope without reading it into types: JSON goes in as it is written, so
//! numbers of any size stay what they are.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_plugin::{
    Body, Error, Event, Outcome, Transform,
    json::{Pointer, Pointers},
};
use templates::{Facts, Missing, Place, Template, text_of};

mod base64;
mod data;
mod mode;
mod name;
mod text;

use data::Data;
use mode::Mode;

struct CloudEvents {
    mode: Mode,
    id: Template,
    source: Template,
    type_prefix: String,
    default_type: String,
    subject: Option<Place>,
    extensions: Vec<(String, Template)>,
    /// Every place in the event's body that something above is made from.
    pointers: Pointers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    mode: Mode,
    #[serde(default = "event_id")]
    id: String,
    #[serde(default = "route")]
    source: String,
    #[serde(default)]
    type_prefix: String,
    #[serde(default = "webhook")]
    default_type: String,
    subject: Option<Pointer>,
    #[serde(default)]
    extensions: BTreeMap<String, String>,
}

/// An attribute's name and value.
type Attribute<'a> = (&'a str, String);

fn event_id() -> String {
    "{{event.id}}".to_owned()
}

fn route() -> String {
    "/{{event.route}}".to_owned()
}

fn webhook() -> String {
    "webhook".to_owned()
}

impl Transform for CloudEvents {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let Config { mode, id, source, type_prefix, default_type, subject, extensions } = config;
        if default_type.is_empty() {
            return Err(Error::config("`default_type`: is empty; a CloudEvent needs a type"));
        }
        let mut pointers = Pointers::new();
        let extensions = extensions.into_iter().map(|(name, value)| {
            name::check(&name)?;
            let value = Template::parse(&value, &format!("extensions.{name}"), &mut pointers)?;
            Ok((name, value))
        });
        Ok(Self {
            mode,
            extensions: extensions.collect::<Result<_, Error>>()?,
            id: Template::parse(&id, "id", &mut pointers)?,
            source: Template::parse(&source, "source", &mut pointers)?,
            type_prefix,
            default_type,
            subject: subject.map(|subject| Place::new(subject, &mut pointers)),
            pointers,
        })
    }

    fn transform(&self, event: &Event, body: Body) -> Result<Outcome, Error> {
        let content_type = event.header_str("content-type");
        let data = Data::of(&body, content_type.as_deref())?;
        let attributes = self.attributes(event, &body, data)?;
        let content_type = content_type.as_deref().or_else(|| data.default_type());
        let message = match self.mode {
            Mode::Structured => mode::structured(&attributes, content_type, data)?,
            Mode::Binary => mode::binary(&attributes, content_type, body),
        };
        Ok(message.into())
    }
}

sluice_plugin::transform!(CloudEvents);

impl CloudEvents {
    /// The context attributes, apart from the data's type.
    fn attributes(&self, event: &Event, body: &Body, data: Data<'_>) -> Result<Vec<Attribute<'_>>, Error> {
        let nothing = Body::from(b"null".to_vec());
        let body = if matches!(data, Data::Json(_)) { body } else { &nothing };
        let facts = &Facts::new(event, body, &self.pointers, Missing::Null)?;
        let event_type = event.event_type().filter(|event_type| !event_type.is_empty());
        let event_type = event_type.as_deref().unwrap_or(&self.default_type);
        let mut attributes = vec![
            ("specversion", "1.0".to_owned()),
            ("id", required(&self.id, "id", facts)?),
            ("source", text::uri_reference(&required(&self.source, "source", facts)?)),
            ("type", text::clean(&format!("{}{event_type}", self.type_prefix))),
            ("time", moments::rfc3339(event.received_ms())),
        ];
        if let Some(subject) = self.subject.as_ref().and_then(|place| text_of(facts.value(place)?)) {
            attributes.push(("subject", text::clean(&subject)));
        }
        for (name, value) in &self.extensions {
            attributes.push((name, text::clean(&value.text(facts)?.unwrap_or_default())));
        }
        // The specification knows no empty attribute: what there is nothing for is left out.
        attributes.retain(|(_, value)| !value.is_empty());
        Ok(attributes)
    }
}

fn required(template: &Template, key: &str, facts: &Facts<'_>) -> Result<String, Error> {
    let text = text::clean(&template.text(facts)?.unwrap_or_default());
    if text.is_empty() {
        return Err(Error::invalid(format_args!(
            "nothing is left of `{key}` for this event, and a CloudEvent needs one"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
