//! What rules ask about, fetched when the first of them asks.

use std::{borrow::Cow, cell::OnceCell, fmt};

use sluice_plugin::{
    Body, Error, Event,
    json::{Pointer, Pointers, Selected, Slot},
};

use crate::value::Value;

/// What a rule is about.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    Body { pointer: Pointer, slot: Slot },
    Header(String),
    Query(String),
    Param(String),
    Event(Property),
}

/// A property of the event itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Property {
    Type,
    Route,
    Method,
    Path,
}

/// One event, as the rules see it.
pub struct Facts<'a> {
    event: &'a Event,
    pointers: &'a Pointers,
    body: &'a OnceCell<Body>,
    selected: OnceCell<Selected<'a>>,
}

impl<'a> Facts<'a> {
    /// `pointers` are those that the rules were compiled with. `body` is where the body is kept once it is there:
    /// an empty cell asks the event for it when a rule needs it.
    pub fn new(event: &'a Event, pointers: &'a Pointers, body: &'a OnceCell<Body>) -> Self {
        Self { event, pointers, body, selected: OnceCell::new() }
    }

    /// The subject's value; `None` where it is missing. In the body, `null` counts as missing.
    pub(crate) fn value(&self, subject: &Subject) -> Result<Option<Value<'a>>, Error> {
        let text = match subject {
            Subject::Body { slot, .. } => {
                let value = self.selected()?.get(*slot);
                return Ok(value.filter(|value| !value.is_null()).map(Value::Json));
            }
            Subject::Header(name) => self.event.header_str(name),
            Subject::Query(name) => self.event.query_param(name),
            Subject::Param(name) => self.event.param(name),
            Subject::Event(Property::Type) => self.event.event_type(),
            Subject::Event(Property::Route) => Some(self.event.route()),
            Subject::Event(Property::Method) => Some(self.event.method()),
            Subject::Event(Property::Path) => Some(self.event.path()),
        };
        Ok(text.map(|text| Value::Text(Cow::Owned(text))))
    }

    fn selected(&self) -> Result<&Selected<'a>, Error> {
        if let Some(selected) = self.selected.get() {
            return Ok(selected);
        }
        let selected = self.body.get_or_init(|| self.event.body()).select(self.pointers)?;
        Ok(self.selected.get_or_init(|| selected))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body { pointer, .. } if pointer.as_str().is_empty() => f.write_str("body"),
            Self::Body { pointer, .. } => write!(f, "body {pointer}"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Param(name) => write!(f, "param {name}"),
            Self::Event(Property::Type) => f.write_str("event type"),
            Self::Event(Property::Route) => f.write_str("event route"),
            Self::Event(Property::Method) => f.write_str("event method"),
            Self::Event(Property::Path) => f.write_str("event path"),
        }
    }
}
