//! Makes one message of each element of a JSON array, in the array's order.
//!
//! It teaches how one event becomes several messages. Elements are copied as they are written, so numbers of any size
//! stay what they are.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_plugin::{
    Body, Error, Event, Message, Outcome, Transform,
    json::{Kind, Pointer, Pointers, Raw, Slot},
};

mod carried;
mod key;

use carried::Carried;
use key::Key;

struct Split {
    array: Pointer,
    array_slot: Slot,
    /// What of the whole goes into every message.
    keep: Vec<Carried>,
    key: Option<Key>,
    /// The array, and all that goes into every message.
    pointers: Pointers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    pointer: Option<Pointer>,
    #[serde(default)]
    keep: BTreeMap<String, Pointer>,
    key: Option<Pointer>,
}

impl Transform for Split {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let Config { pointer, keep, key } = config;
        let array = pointer.map_or_else(whole, Ok)?;
        let mut pointers = Pointers::new();
        let array_slot = pointers.add(&array);
        let keep = keep.into_iter().map(|(field, from)| Carried::new(&field, &from, &mut pointers));
        Ok(Self {
            array,
            array_slot,
            keep: keep.collect::<Result<_, _>>()?,
            key: key.map(Key::new),
            pointers,
        })
    }

    fn transform(&self, _event: &Event, body: Body) -> Result<Outcome, Error> {
        let found = body.select(&self.pointers)?;
        let array = self.array(found.get(self.array_slot))?;
        let carried: Vec<_> =
            self.keep.iter().filter_map(|carried| Some((carried, found.get(carried.slot)?))).collect();
        let messages = array.elements().enumerate().map(|(i, element)| {
            let body = carried::into(element, &carried).ok_or_else(|| {
                Error::invalid(format_args!(
                    "element {i} of {} is no object to `keep` fields in",
                    self.named()
                ))
            })?;
            self.message(body)
        });
        let messages: Vec<_> = messages.collect::<Result<_, _>>()?;
        if messages.is_empty() {
            return Ok(Outcome::drop(format!("{} is empty", self.named())));
        }
        Ok(messages.into())
    }
}

sluice_plugin::transform!(Split);

impl Split {
    fn array<'a>(&self, found: Option<Raw<'a>>) -> Result<Raw<'a>, Error> {
        let named = self.named();
        let Some(array) = found else { return Err(Error::invalid(format_args!("{named} is missing"))) };
        match array.kind() {
            Kind::Array => Ok(array),
            other => Err(Error::invalid(format_args!("{named} is {}, not an array", word(other)))),
        }
    }

    fn message(&self, body: String) -> Result<Message, Error> {
        let key = self.key.as_ref().map(|key| key.of(&body)).transpose()?.flatten();
        let message = Message::new(body).header("content-type", "application/json");
        Ok(match key {
            Some(key) => message.key(key),
            None => message,
        })
    }

    /// The array, as operators know it.
    fn named(&self) -> String {
        match self.array.as_str() {
            "" => "body".to_owned(),
            pointer => format!("body {pointer}"),
        }
    }
}

fn whole() -> Result<Pointer, Error> {
    "".parse().map_err(Error::config)
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Bool => "a boolean",
        Kind::Number => "a number",
        Kind::String => "a string",
        Kind::Array => "an array",
        Kind::Object => "an object",
    }
}

#[cfg(test)]
mod tests;
