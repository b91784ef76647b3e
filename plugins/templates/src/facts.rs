//! What the output is made from: the values of one event.

use std::{borrow::Cow, fmt};

use sluice_plugin::{
    Body, Error, Event,
    json::{Pointer, Pointers, Raw, Selected, Slot},
};

use crate::Missing;

/// One event, with the values that the plugin's pointers found in its body.
pub struct Facts<'a> {
    event: &'a Event,
    selected: Selected<'a>,
    /// What becomes of something whose source is not in the event.
    pub missing: Missing,
}

/// Where a placeholder's text comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Body(Place),
    Header(String),
    Query(String),
    Param(String),
    Event(Property),
}

/// A place in the event's body.
#[derive(Clone, Debug)]
pub struct Place {
    /// As the config has it.
    pub pointer: Pointer,
    slot: Slot,
}

/// A property of the event itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Property {
    Id,
    Type,
    Route,
    ReceivedMs,
    Method,
    Path,
}

impl Property {
    /// The properties by the names that templates call them.
    pub(crate) const NAMED: [(&str, Self); 6] = [
        ("event.id", Self::Id),
        ("event.type", Self::Type),
        ("event.route", Self::Route),
        ("event.received_ms", Self::ReceivedMs),
        ("event.method", Self::Method),
        ("event.path", Self::Path),
    ];
}

impl Place {
    /// Notes in `pointers` that the place is asked for.
    pub fn new(pointer: Pointer, pointers: &mut Pointers) -> Self {
        Self { slot: pointers.add(&pointer), pointer }
    }
}

impl<'a> Facts<'a> {
    /// `pointers` are those that the places and templates were made with.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the body is not JSON and anything in it is asked for.
    pub fn new(
        event: &'a Event,
        body: &'a Body,
        pointers: &Pointers,
        missing: Missing,
    ) -> Result<Self, Error> {
        let body: &[u8] = if pointers.is_empty() { b"null" } else { body };
        Ok(Self { event, selected: pointers.select(body)?, missing })
    }

    /// The value at a place; `None` where the body has no such place.
    pub fn value(&self, place: &Place) -> Option<Raw<'a>> {
        self.selected.get(place.slot)
    }

    /// The text of a source.
    pub(crate) fn text(&self, source: &Source) -> Option<Cow<'a, str>> {
        match source {
            Source::Body(place) => self.value(place).and_then(text_of),
            Source::Header(name) => self.event.header_str(name).map(Cow::Owned),
            Source::Query(name) => self.event.query_param(name).map(Cow::Owned),
            Source::Param(name) => self.event.param(name).map(Cow::Owned),
            Source::Event(Property::Id) => Some(Cow::Owned(self.event.id())),
            Source::Event(Property::Type) => self.event.event_type().map(Cow::Owned),
            Source::Event(Property::Route) => Some(Cow::Owned(self.event.route())),
            Source::Event(Property::ReceivedMs) => Some(Cow::Owned(self.event.received_ms().to_string())),
            Source::Event(Property::Method) => Some(Cow::Owned(self.event.method())),
            Source::Event(Property::Path) => Some(Cow::Owned(self.event.path())),
        }
    }
}

/// A value as text: a string's content, `null` as nothing at all, anything else as it is written.
pub fn text_of(value: Raw<'_>) -> Option<Cow<'_, str>> {
    if value.is_null() {
        return None;
    }
    Some(value.text().unwrap_or(Cow::Borrowed(value.json())))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(place) => write!(f, "body {}", place.pointer),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query {name}"),
            Self::Param(name) => write!(f, "param {name}"),
            Self::Event(property) => {
                let named = Property::NAMED.iter().find(|(_, named)| named == property);
                f.write_str(named.map_or("event", |(name, _)| name))
            }
        }
    }
}
