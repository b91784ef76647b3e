//! Makes a new JSON body from pointers into the event's body and from text templates.
//!
//! It teaches the fast side of a transform: everything that depends on the config alone is done in `configure`
//! (templates parsed, fixed text escaped), and of the event's body only the values that are asked for are read.
//! They are copied as they are written, so numbers of any size stay what they are.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluice_plugin::{
    Body, Error, Event, Message, Outcome, Transform,
    json::{Pointers, Raw},
};
use templates::{Facts, Missing, Template};

mod shape;

use shape::Shape;

struct Map {
    body: Shape,
    /// Names are lower-case.
    headers: Vec<(String, Template)>,
    key: Option<Template>,
    missing: Missing,
    /// Every place in the event's body that something above is made from.
    pointers: Pointers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    body: Box<RawValue>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    key: Option<String>,
    #[serde(default)]
    missing: Missing,
}

impl Transform for Map {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let Config { body, headers, key, missing } = config;
        let mut pointers = Pointers::new();
        let headers = headers.into_iter().map(|(name, template)| {
            let template = Template::parse(&template, &format!("headers.{name}"), &mut pointers)?;
            Ok((header_name(name)?, template))
        });
        Ok(Self {
            headers: headers.collect::<Result<_, Error>>()?,
            key: key.map(|key| Template::parse(&key, "key", &mut pointers)).transpose()?,
            body: Shape::compile(Raw::parse(body.get().as_bytes())?, "body", &mut pointers)?,
            missing,
            pointers,
        })
    }

    fn transform(&self, event: &Event, body: Body) -> Result<Outcome, Error> {
        let facts = Facts::new(event, &body, &self.pointers, self.missing)?;
        let mut message = Message::new(self.body.write(&facts)?).header("content-type", "application/json");
        for (name, template) in &self.headers {
            if let Some(value) = template.text(&facts)?.filter(|value| !value.is_empty()) {
                message = message.header(name, one_line(value));
            }
        }
        if let Some(key) = self.key.as_ref().map(|key| key.text(&facts)).transpose()?.flatten() {
            message = message.key(key);
        }
        Ok(message.into())
    }
}

sluice_plugin::transform!(Map);

fn header_name(mut name: String) -> Result<String, Error> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(valid) {
        return Err(Error::config(format_args!("`headers`: {name:?} can't be the name of a header")));
    }
    name.make_ascii_lowercase();
    Ok(name)
}

/// A header can't hold line breaks; what they come from (a title, say) is not worth failing for.
fn one_line(value: String) -> String {
    if value.contains(|c: char| c.is_ascii_control()) {
        value.replace(|c: char| c.is_ascii_control(), " ")
    } else {
        value
    }
}

#[cfg(test)]
mod tests;
