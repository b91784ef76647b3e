//! JSON pointers (RFC 6901), looked up without building a document.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A path to a value, e.g. `/event/type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads the body once, as far as it must, and returns for each pointer the string, number or boolean that
    /// it leads to. What is not there, or is no scalar, or comes after a syntax error, is `None`.
    pub(super) fn find_all(pointers: &[Self], json: &[u8]) -> Vec<Option<String>> {
        let mut found = vec![None; pointers.len()];
        let alive = (0..pointers.len()).collect();
        let walk = Walk { pointers, depth: 0, alive, found: &mut found };
        // The error is either a syntax error or "all found": what was found counts in both cases.
        let _ = walk.deserialize(&mut serde_json::Deserializer::from_slice(json));
        found
    }
}

impl Pointer {
    /// The string, number or boolean that it leads to. A `*` stands for the index of `item`.
    pub(super) fn scalar<'v>(&self, json: &'v Value, item: Option<usize>) -> Option<Cow<'v, str>> {
        match self.value(json, item)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    pub(super) fn value<'v>(&self, json: &'v Value, item: Option<usize>) -> Option<&'v Value> {
        self.0.iter().try_fold(json, |value, token| match value {
            Value::Object(object) => object.get(token),
            Value::Array(array) if token == "*" => array.get(item?),
            Value::Array(array) => array.get(token.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }
}

impl Pointer {
    /// Puts a value where it leads to, making what is missing on the way; whether there was room for it. A `*` stands for
    /// the index of `item`.
    pub(super) fn set(&self, json: &mut Value, item: Option<usize>, new: Value) -> bool {
        let mut at = json;
        for token in &self.0 {
            let index = if token == "*" { item } else { token.parse::<usize>().ok() };
            if at.is_null() {
                let list = || Value::Array(vec![Value::Null]);
                *at = index.map_or_else(|| Value::Object(serde_json::Map::new()), |_| list());
            }
            let next = match (at, index) {
                (Value::Object(object), _) => Some(object.entry(token.as_str()).or_insert(Value::Null)),
                (Value::Array(array), Some(index)) => array.get_mut(index),
                _ => None,
            };
            let Some(next) = next else { return false };
            at = next;
        }
        *at = new;
        true
    }
}

impl TryFrom<String> for Pointer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.to_string()
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is not a JSON pointer: it must begin with `/`"));
        };
        Ok(Self(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

/// Visits one value on the way; `alive` are the pointers that lead through it.
struct Walk<'p, 'f> {
    pointers: &'p [Pointer],
    depth: usize,
    alive: Vec<usize>,
    found: &'f mut [Option<String>],
}

impl Walk<'_, '_> {
    fn settle<E: Error>(self, value: impl FnOnce() -> String) -> Result<(), E> {
        let ends = |&index: &usize| self.pointers[index].0.len() == self.depth;
        let text = value();
        for index in self.alive.into_iter().filter(ends) {
            self.found[index].get_or_insert_with(|| text.clone());
        }
        if self.found.iter().all(Option::is_some) { Err(E::custom("all found")) } else { Ok(()) }
    }

    fn step(&mut self, alive: Vec<usize>) -> Walk<'_, '_> {
        Walk { pointers: self.pointers, depth: self.depth + 1, alive, found: self.found }
    }

    fn through(&self, token: &str) -> Vec<usize> {
        let leads = |&index: &usize| self.pointers[index].0.get(self.depth).is_some_and(|t| t == token);
        self.alive.iter().copied().filter(leads).collect()
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.settle(|| text.to_owned())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.settle(|| number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.settle(|| number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.settle(|| number.to_string())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.settle(|| value.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(alive) = map.next_key_seed(Key(&self))? {
            match alive.is_empty() {
                true => drop(map.next_value::<IgnoredAny>()?),
                false => map.next_value_seed(self.step(alive))?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        for index in 0usize.. {
            let alive = self.through(&index.to_string());
            let more = match alive.is_empty() {
                true => seq.next_element::<IgnoredAny>()?.is_some(),
                false => seq.next_element_seed(self.step(alive))?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }
}

/// Visits a key and tells which pointers lead through it.
struct Key<'w, 'p, 'f>(&'w Walk<'p, 'f>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_, '_> {
    type Value = Vec<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_, '_> {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Vec<usize>, E> {
        Ok(self.0.through(key))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(json: &str, pointers: &[&str]) -> Vec<Option<String>> {
        let pointers: Vec<Pointer> = pointers.iter().map(|p| p.parse().unwrap()).collect();
        Pointer::find_all(&pointers, json.as_bytes())
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn scalars_are_found_at_any_depth() {
        let json = r#"{"id":"evt_1","n":{"a":[true,{"b":-5}]},"x/y":1.5,"z":null}"#;
        assert_eq!(find(json, &["/n/a/1/b", "/id"]), [some("-5"), some("evt_1")]);
        assert_eq!(find(json, &["/n/a/0", "/x~1y"]), [some("true"), some("1.5")]);
        assert_eq!(find(json, &["/z", "/n", "/nope"]), [None, None, None]);
    }

    #[test]
    fn what_comes_after_the_last_value_wanted_is_not_read() {
        assert_eq!(find(r#"{"id":"evt_1", this is not json"#, &["/id"]), [some("evt_1")]);
    }

    #[test]
    fn one_value_may_be_on_the_way_to_another() {
        assert_eq!(find(r#"{"event":{"type":"a"}}"#, &["/event", "/event/type"]), [None, some("a")]);
    }

    #[test]
    fn bodies_that_are_not_json_hold_nothing() {
        for body in ["", "a=b", "[", "{\"id\"", "\"id\""] {
            assert_eq!(find(body, &["/id"]), [None], "{body}");
        }
    }

    #[test]
    fn pointers_must_begin_with_a_slash() {
        assert!("id".parse::<Pointer>().is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>) {
            Pointer::find_all(&["/a/0/b".parse().unwrap()], &body);
        }
    }
}
