//! A JSON value as it is written.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};

use super::scan::Scanner;
use crate::Error;

/// A JSON value as it is written, within a larger text: checked to be valid, not yet read.
///
/// Copying [`json`](Self::json) into another document keeps the value exactly, also numbers that fit no
/// machine type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "JSON's own words")]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl<'a> Raw<'a> {
    /// Checks that a text is one JSON value, with white space around it at most.
    ///
    /// # Errors
    /// [`Error::Invalid`] that says what is wrong and where.
    pub fn parse(json: &'a [u8]) -> Result<Self, Error> {
        serde_json::from_slice::<IgnoredAny>(json)
            .map_err(|e| Error::invalid(format_args!("body is not valid JSON: {e}")))?;
        let text =
            str::from_utf8(json).map_err(|e| Error::invalid(format_args!("body is not valid JSON: {e}")))?;
        Ok(Self(text.trim_matches([' ', '\n', '\r', '\t'])))
    }

    /// The value as it is written, without white space around it.
    pub fn json(self) -> &'a str {
        self.0
    }

    /// What the value is.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'"') => Kind::String,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// A string's text; `None` if it is not a string. Borrows where the string has no escapes.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let inner = self.escaped_text()?;
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str(self.0).map(Cow::Owned).ok()
    }

    /// A string's text as it is written between the quotes, escapes and all: fit to be copied into another
    /// JSON string.
    pub fn escaped_text(self) -> Option<&'a str> {
        self.0.strip_prefix('"')?.strip_suffix('"')
    }

    /// Reads the value.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not of this type.
    pub fn read<T: Deserialize<'a>>(self) -> Result<T, Error> {
        Ok(serde_json::from_str(self.0)?)
    }

    /// An object's members in order, as they are written: name (with its quotes and escapes) and value. Empty
    /// for anything else.
    pub fn members(self) -> impl Iterator<Item = (Raw<'a>, Raw<'a>)> {
        let mut scanner = Scanner::new(self.0.as_bytes());
        let mut open = scanner.take(b'{');
        let mut first = true;
        std::iter::from_fn(move || {
            open = open && scanner.next_in(b'}', first).ok()?;
            first = false;
            if !open {
                return None;
            }
            Some((Self::checked(scanner.name().ok()?)?, Self::checked(scanner.value().ok()?)?))
        })
    }

    /// An array's elements in order. Empty for anything else.
    pub fn elements(self) -> impl Iterator<Item = Raw<'a>> {
        let mut scanner = Scanner::new(self.0.as_bytes());
        let mut open = scanner.take(b'[');
        let mut first = true;
        std::iter::from_fn(move || {
            open = open && scanner.next_in(b']', first).ok()?;
            first = false;
            if open { Self::checked(scanner.value().ok()?) } else { None }
        })
    }

    /// A part of a value that was checked, and thus needs no check.
    fn checked(part: &'a [u8]) -> Option<Self> {
        str::from_utf8(part).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Raw<'_> {
        Raw::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn text_is_unescaped() {
        assert_eq!(raw(r#" "a\n\u00e9" "#).text().as_deref(), Some("a\né"));
        assert_eq!(raw("1").text(), None);
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        assert!(matches!(raw(r#""plain""#).text(), Some(Cow::Borrowed("plain"))));
    }

    #[test]
    fn members_keep_order_repeats_and_spelling() {
        let members: Vec<_> = raw(r#"{ "b" : 1e400, "a\u0041":[1, 2] ,"b":{} }"#)
            .members()
            .map(|(name, value)| (name.json(), value.json()))
            .collect();
        assert_eq!(members, [(r#""b""#, "1e400"), (r#""a\u0041""#, "[1, 2]"), (r#""b""#, "{}")]);
    }

    #[test]
    fn elements_are_in_order() {
        let elements: Vec<_> = raw(r#"[1, "two", [3]]"#).elements().map(Raw::json).collect();
        assert_eq!(elements, ["1", r#""two""#, "[3]"]);
        assert_eq!(
            raw("[]").elements().count() + raw("{}").members().count() + raw("7").elements().count(),
            0
        );
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for json in ["", "{", "[1,]", "{} x", "tru", "\"\u{1}\""] {
            assert!(Raw::parse(json.as_bytes()).is_err(), "{json:?}");
        }
        assert!(Raw::parse(b"\"\xff\"").is_err());
    }
}
