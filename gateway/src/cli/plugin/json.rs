//! JSON whose numbers stay as they are written, to compare and to show.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A JSON value. Two that differ only in how numbers are written are different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json {
    /// A number, `true`, `false` or `null`, as written.
    Literal(String),
    Text(String),
    Array(Vec<Self>),
    /// In the order written.
    Object(Vec<(String, Self)>),
}

/// Deeper than any message that makes sense.
const MAX_DEPTH: usize = 100;

impl Json {
    /// # Errors
    /// If it is not JSON, or nested more than a hundred deep.
    pub(super) fn parse(text: &str) -> serde_json::Result<Self> {
        Self::read(serde_json::from_str(text)?, MAX_DEPTH)
    }

    fn read(raw: &RawValue, depth: usize) -> serde_json::Result<Self> {
        let text = raw.get();
        let Some(depth) = depth.checked_sub(1) else {
            return Err(serde_json::Error::custom("it is nested too deep"));
        };
        Ok(match text.as_bytes().first() {
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(text)?;
                Self::Array(elements.into_iter().map(|raw| Self::read(raw, depth)).collect::<Result<_, _>>()?)
            }
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text)?;
                let read = |(name, raw)| Ok((name, Self::read(raw, depth)?));
                Self::Object(members.into_iter().map(read).collect::<serde_json::Result<_>>()?)
            }
            _ => Self::Literal(text.to_owned()),
        })
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The first member of this name; `None` also where this is no object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The elements; none where this is no array.
    pub(super) fn elements(&self) -> &[Self] {
        match self {
            Self::Array(elements) => elements,
            Self::Literal(_) | Self::Text(_) | Self::Object(_) => &[],
        }
    }

    /// The same with the members of every object sorted by name, for their order means nothing.
    pub(super) fn sorted(&self) -> Self {
        match self {
            Self::Literal(_) | Self::Text(_) => self.clone(),
            Self::Array(elements) => Self::Array(elements.iter().map(Self::sorted).collect()),
            Self::Object(members) => {
                let mut members: Vec<_> =
                    members.iter().map(|(name, value)| (name.clone(), value.sorted())).collect();
                members.sort_by(|(one, _), (other, _)| one.cmp(other));
                Self::Object(members)
            }
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Array(elements) if elements.is_empty() => f.write_str("[]"),
            Self::Object(members) if members.is_empty() => f.write_str("{}"),
            Self::Array(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    next_line(f, index, indent + 1)?;
                    element.write(f, indent + 1)?;
                }
                write!(f, "\n{:1$}]", "", 2 * indent)
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    next_line(f, index, indent + 1)?;
                    write!(f, "{}: ", quoted(name))?;
                    value.write(f, indent + 1)?;
                }
                write!(f, "\n{:1$}}}", "", 2 * indent)
            }
        }
    }
}

/// Indented by two, each value on a line of its own.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

fn next_line(f: &mut fmt::Formatter<'_>, index: usize, indent: usize) -> fmt::Result {
    let comma = if index == 0 { "" } else { "," };
    write!(f, "{comma}\n{:1$}", "", 2 * indent)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An object's members, in order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        let text = "[\n  12345678901234567890123,\n  1.0,\n  1e2\n]";
        assert_eq!(json(text).to_string(), text);
        assert_ne!(json("1.0"), json("1"));
    }

    #[test]
    fn only_the_order_of_members_means_nothing() {
        assert_eq!(
            json(r#"{"b":[{"d":1,"c":2}],"a":0}"#).sorted(),
            json(r#"{"a":0,"b":[{"c":2,"d":1}]}"#).sorted()
        );
        assert_ne!(json("[1,2]").sorted(), json("[2,1]").sorted());
    }

    #[test]
    fn texts_are_compared_by_what_they_say() {
        assert_eq!(json(r#""\u00e9""#), json("\"é\""));
        assert_eq!(json(r#""a\nb""#).to_string(), r#""a\nb""#);
    }

    #[test]
    fn empty_ones_are_on_one_line() {
        assert_eq!(json(r#"{"a":[ ],"b":{ }}"#).to_string(), "{\n  \"a\": [],\n  \"b\": {}\n}");
    }

    #[test]
    fn what_is_too_deep_is_refused_and_not_followed() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(Json::parse(&deep).unwrap_err().to_string().contains("too deep"));
        assert!(Json::parse("{").is_err());
    }
}
