//! Values: what an event has, what a rule expects, and how they compare.

use std::{borrow::Cow, fmt};

use sluice_plugin::json::{Kind, Raw};

use crate::number::Number;

/// What an event has.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// In the body, where values have types.
    Json(Raw<'a>),
    /// Elsewhere, where everything is text: a number or boolean is one by the look of it.
    Text(Cow<'a, str>),
}

impl Value<'_> {
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Json(raw) => raw.text(),
            Self::Text(text) => Some(Cow::Borrowed(text)),
        }
    }

    pub(crate) fn number(&self) -> Option<Number> {
        match self {
            Self::Json(raw) if raw.kind() == Kind::Number => Number::parse(raw.json()),
            Self::Json(_) => None,
            Self::Text(text) => Number::parse(text),
        }
    }

    fn bool(&self) -> Option<bool> {
        match self {
            Self::Json(raw) => raw.json().parse().ok(),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

/// As operators see it in a reason: in full up to some length.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        let text = match self {
            Self::Json(raw) if raw.kind() == Kind::Object => return f.write_str("an object"),
            Self::Json(raw) if raw.kind() == Kind::Array => return f.write_str("an array"),
            Self::Json(raw) if raw.kind() != Kind::String => return f.write_str(raw.json()),
            value => value.text().unwrap_or_default(),
        };
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{:?} and more", &text[..end]),
            None => write!(f, "{text:?}"),
        }
    }
}

/// What a rule expects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    Text(String),
    Number(Number),
    Bool(bool),
}

impl Expected {
    pub(crate) fn is(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Text(expected) => value.text().is_some_and(|text| text == *expected),
            Self::Number(expected) => value.number().is_some_and(|number| number == *expected),
            Self::Bool(expected) => value.bool() == Some(*expected),
        }
    }

    /// The value that this expects.
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Number(number) => Value::Text(Cow::Borrowed(number.as_str())),
            Self::Bool(bool) => Value::Text(Cow::Borrowed(if *bool { "true" } else { "false" })),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => number.fmt(f),
            Self::Bool(bool) => bool.fmt(f),
        }
    }
}
