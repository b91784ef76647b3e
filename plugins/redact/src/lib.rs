//! Removes or masks parts of a JSON body, and masks headers; everything else stays as it was written.
//!
//! It teaches how to change a body without reading it into types: numbers keep all their digits, members their
//! order and repeats, because what is not redacted is copied as it stands.

use serde::Deserialize;
use sluice_plugin::{
    Body, Error, Event, Message, Outcome, Transform,
    json::{Pointer, Raw},
};

mod redaction;

use redaction::{Action, Redaction};

struct Redact {
    body: Redaction,
    headers: Vec<String>,
    mask: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    remove: Vec<Pointer>,
    #[serde(default)]
    mask: Vec<Pointer>,
    #[serde(default = "three_stars")]
    with: String,
    #[serde(default)]
    headers: Vec<String>,
}

fn three_stars() -> String {
    "***".to_owned()
}

impl Transform for Redact {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let Config { remove, mask, with, headers } = config;
        if [remove.len(), mask.len(), headers.len()] == [0; 3] {
            return Err(Error::config(
                "nothing to redact; name pointers in `remove` or `mask`, or `headers`",
            ));
        }
        if with.contains(|c: char| c.is_ascii_control()) && !headers.is_empty() {
            return Err(Error::config("`with`: a header can't hold control characters"));
        }
        let mut body = Redaction::new(&with)?;
        for (pointers, action, key) in [(remove, Action::Remove, "remove"), (mask, Action::Mask, "mask")] {
            for (i, pointer) in pointers.iter().enumerate() {
                body.add(pointer, action).map_err(|e| Error::config(format_args!("`{key}[{i}]`: {e}")))?;
            }
        }
        Ok(Self { body, headers, mask: with })
    }

    fn transform(&self, event: &Event, body: Body) -> Result<Outcome, Error> {
        let body = if self.body.is_empty() { body.into_bytes() } else { self.body.apply(Raw::parse(&body)?) };
        let mut message = Message::with_content_type_of(event, body);
        for name in &self.headers {
            if event.header(name).is_some() {
                message = message.header(name, self.mask.as_bytes());
            }
        }
        Ok(message.into())
    }
}

sluice_plugin::transform!(Redact);

#[cfg(test)]
mod tests;
