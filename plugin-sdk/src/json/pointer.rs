//! JSON Pointer, RFC 6901.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// Names a place in a JSON document, such as `/issue/labels/0/name`; the empty one names all of it.
///
/// In a config it is read from a string. `~1` stands for `/` in a name, and `~0` for `~`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// The names and indices on the way, decoded.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The pointer as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Pointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, InvalidPointer> {
        let mut tokens = text.split('/');
        if tokens.next() != Some("") {
            return Err(InvalidPointer { text: text.to_owned(), reason: "it must begin with `/`" });
        }
        let tokens = tokens.map(decode).collect::<Option<_>>();
        let tokens = tokens.ok_or_else(|| InvalidPointer {
            text: text.to_owned(),
            reason: "`~` must be followed by 0 (for `~`) or 1 (for `/`)",
        })?;
        Ok(Self { text: text.to_owned(), tokens })
    }
}

fn decode(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tilde, rest) = part.split_at_checked(1)?;
        decoded.push(match tilde {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        decoded.push_str(rest);
    }
    Some(decoded)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that is no JSON Pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPointer {
    text: String,
    reason: &'static str,
}

impl fmt::Display for InvalidPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a JSON pointer: {}", self.text, self.reason)
    }
}

impl std::error::Error for InvalidPointer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, tokens: &[&str]) {
        assert_eq!(text.parse::<Pointer>().unwrap().tokens(), tokens);
    }

    #[test]
    fn tokens_are_split_and_decoded() {
        check("", &[]);
        check("/", &[""]);
        check("/a/0//b", &["a", "0", "", "b"]);
        check("/~01~1x~0", &["~1/x~"]);
    }

    #[test]
    fn pointer_without_slash_is_refused_with_a_reason() {
        let error = "action".parse::<Pointer>().unwrap_err();
        assert_eq!(error.to_string(), "`action` is not a JSON pointer: it must begin with `/`");
    }

    #[test]
    fn stray_tilde_is_refused() {
        for text in ["/~", "/a~2", "/~é"] {
            assert!(text.parse::<Pointer>().is_err(), "{text}");
        }
    }
}
