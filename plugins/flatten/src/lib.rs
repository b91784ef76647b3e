//! Makes a nested JSON object flat: `{"issue": {"number": 7}}` becomes `{"issue.number": 7}`.
//!
//! It teaches how to walk JSON of any shape without reading it into types. Values are copied as they are written, so
//! numbers of any size stay what they are.

use std::borrow::Cow;

use serde::Deserialize;
use sluice_plugin::{
    Body, Error, Event, Message, Outcome, Transform,
    json::{Kind, Raw},
};

mod fields;

use fields::Fields;

/// The deepest that a body is walked. A plugin's stack is small, and a key of so many names is of use to nobody.
const DEEPEST: u32 = 64;

struct Flatten {
    prefix: String,
    separator: String,
    arrays: Arrays,
    join: String,
    max_depth: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    prefix: String,
    #[serde(default = "dot")]
    separator: String,
    #[serde(default)]
    arrays: Arrays,
    join: Option<String>,
    #[serde(default = "deepest")]
    max_depth: u32,
}

/// What becomes of arrays.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Arrays {
    /// A field for each element, named by its index.
    #[default]
    Index,
    /// One text.
    Join,
    /// They stay what they are.
    Keep,
}

fn dot() -> String {
    ".".to_owned()
}

fn deepest() -> u32 {
    DEEPEST
}

impl Transform for Flatten {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let Config { prefix, separator, arrays, join, max_depth } = config;
        if separator.is_empty() {
            return Err(Error::config(
                "`separator`: is empty, which would run names together; give one, such as `_`",
            ));
        }
        if join.is_some() && arrays != Arrays::Join {
            return Err(Error::config(
                "`join`: is of use only with `arrays = \"join\"`; add that or leave it out",
            ));
        }
        if !(1..=DEEPEST).contains(&max_depth) {
            return Err(Error::config(format_args!("`max_depth`: is {max_depth}, expected 1 to {DEEPEST}")));
        }
        Ok(Self { prefix, separator, arrays, join: join.unwrap_or_else(|| ",".to_owned()), max_depth })
    }

    fn transform(&self, _event: &Event, body: Body) -> Result<Outcome, Error> {
        let body = Raw::parse(&body)?;
        if body.kind() != Kind::Object {
            return Err(Error::invalid("body is not a JSON object, so there is nothing to flatten"));
        }
        let mut fields = Fields::default();
        for (name, value) in body.members() {
            let name = format!("{}{}", self.prefix, name.text().unwrap_or_default());
            self.add(name, value, 1, &mut fields)?;
        }
        Ok(Message::new(fields.into_json()?).header("content-type", "application/json").into())
    }
}

sluice_plugin::transform!(Flatten);

impl Flatten {
    /// Adds a value, or what is in it. `depth` is how many names its name is made of.
    fn add<'a>(&self, name: String, value: Raw<'a>, depth: u32, to: &mut Fields<'a>) -> Result<(), Error> {
        if value.kind() == Kind::Array && self.arrays == Arrays::Join {
            to.add(name, serde_json::to_string(&self.joined(value))?);
            return Ok(());
        }
        let inner = if depth < self.max_depth { self.inner(value) } else { Vec::new() };
        if inner.is_empty() {
            to.add(name, value.json());
            return Ok(());
        }
        inner.into_iter().try_for_each(|(part, value)| {
            self.add(format!("{name}{}{part}", self.separator), value, depth + 1, to)
        })
    }

    /// What in a value becomes fields of its own, by name.
    fn inner<'a>(&self, value: Raw<'a>) -> Vec<(Cow<'a, str>, Raw<'a>)> {
        match (value.kind(), self.arrays) {
            (Kind::Array, Arrays::Index) => {
                value.elements().enumerate().map(|(i, value)| (i.to_string().into(), value)).collect()
            }
            _ => value.members().map(|(name, value)| (name.text().unwrap_or_default(), value)).collect(),
        }
    }

    /// The elements as one text: a string's content, nothing for `null`, anything else as its JSON.
    fn joined(&self, array: Raw<'_>) -> String {
        let texts = array.elements().map(|element| match element.kind() {
            Kind::Null => String::new(),
            _ => element.text().map_or_else(|| element.json().to_owned(), String::from),
        });
        texts.collect::<Vec<_>>().join(&self.join)
    }
}

#[cfg(test)]
mod tests;
