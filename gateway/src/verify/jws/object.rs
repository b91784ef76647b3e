//! JSON objects whose keys are there once: of two of a name, one reader takes the first and another the last.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::Value;

/// A token's header, or its claims.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::verify) struct Object(BTreeMap<String, Value>);

impl Object {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    pub(super) fn str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// The value as text, if it is text, a number or a boolean.
    pub(in crate::verify) fn text(&self, key: &str) -> Option<String> {
        text(self.get(key)?)
    }
}

/// The value as text, if it is text, a number or a boolean.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut object = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key is there more than once"));
            }
        }
        Ok(Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_refused() {
        let read = |json: &str| serde_json::from_str::<Object>(json).is_ok();
        assert!(read(r#"{"alg":"HS256","typ":"JWT"}"#));
        for json in [r#"{"alg":"HS256","alg":"none"}"#, "[]", "1", "", "{} {}", &"[".repeat(10_000)] {
            assert!(!read(json), "{json}");
        }
        assert!(!read(&format!(r#"{{"a":{}}}"#, "[".repeat(100_000))));
    }
}
