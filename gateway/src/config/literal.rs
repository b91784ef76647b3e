//! Values that the file writes as strings.

use std::{borrow::Cow, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

use super::field::Field;

/// A value with a written form.
pub(super) trait Literal: Sized {
    /// What a person is told was expected, e.g. `a duration such as "30s"`.
    const EXPECTED: &'static str;
    /// A regular expression that every right value matches, for editors.
    const PATTERN: &'static str;

    fn parse(text: &str) -> Result<Self, Invalid>;

    /// The written form: parsing it gives the value again.
    fn print(&self) -> String;
}

/// Why a text is not a value: what is wrong, and what would be right.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}\n{hint}")]
pub(super) struct Invalid {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Invalid {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// A [`Literal`] as serde sees it.
#[derive(Clone, Debug)]
pub(super) struct Written<T>(pub(super) T);

/// A [`Literal`] with its place in the file.
pub(super) type Text<T> = Field<Written<T>>;

impl<T> Text<T> {
    /// The value; `None` if it was wrong.
    pub(super) fn parsed(self) -> Option<T> {
        self.value.map(|value| value.0)
    }
}

impl<'de, T: Literal> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(WrittenVisitor(PhantomData)).map(Self)
    }
}

struct WrittenVisitor<T>(PhantomData<T>);

impl<T: Literal> Visitor<'_> for WrittenVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).map_err(E::custom)
    }
}

impl<T: Literal> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.print())
    }
}

impl<T: Literal> JsonSchema for Written<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::EXPECTED.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": T::PATTERN })
    }
}
