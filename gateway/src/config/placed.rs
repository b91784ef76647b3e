//! A value of whatever shape, with the place of every part of it.

use std::{borrow::Cow, fmt, ops::Range};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use serde_json::Value;

use super::field::Field;

/// A plugin's own settings: only the plugin knows what is right, and when it has refused them the place of what it
/// names has to be found.
#[derive(Clone, Debug)]
pub(super) enum Placed {
    Table(Vec<(Field<String>, Field<Self>)>),
    List(Vec<Field<Self>>),
    Scalar(Value),
}

impl Field<Placed> {
    /// The value as JSON; `None` if any part of it was wrong.
    pub(super) fn json(&self) -> Option<Value> {
        match self.value.as_ref()? {
            Placed::Table(entries) => {
                let entries = entries.iter().map(|(key, value)| Some((key.value.clone()?, value.json()?)));
                entries.collect::<Option<_>>().map(Value::Object)
            }
            Placed::List(items) => items.iter().map(Self::json).collect::<Option<_>>().map(Value::Array),
            Placed::Scalar(value) => Some(value.clone()),
        }
    }

    /// The place of what a path such as `rules[1].name` leads to: the key or the item of a list. Where there is no
    /// such thing, the nearest thing around it.
    pub(super) fn place_of(&self, path: &str) -> Range<usize> {
        self.part(path).unwrap_or_else(|| self.span.clone())
    }

    fn part(&self, path: &str) -> Option<Range<usize>> {
        if path.is_empty() {
            return None;
        }
        let (place, value, rest) = match self.value.as_ref()? {
            Placed::Table(entries) => entry(entries, path.strip_prefix('.').unwrap_or(path))?,
            Placed::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                (&item.span, item, rest)
            }
            Placed::Scalar(_) => return None,
        };
        Some(value.part(rest).unwrap_or_else(|| place.clone()))
    }
}

/// The place of the entry that a path begins with, its value, and the rest of the path. Keys may hold dots and
/// brackets: the longest that fits is meant.
fn entry<'e, 'p>(
    entries: &'e [(Field<String>, Field<Placed>)],
    path: &'p str,
) -> Option<(&'e Range<usize>, &'e Field<Placed>, &'p str)> {
    let fitting = entries.iter().filter_map(|(key, value)| {
        let rest = path.strip_prefix(key.value.as_deref()?)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((&key.span, value, rest))
    });
    fitting.min_by_key(|(_, _, rest)| rest.len())
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlacedVisitor)
    }
}

struct PlacedVisitor;

impl<'de> Visitor<'de> for PlacedVisitor {
    type Value = Placed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Placed, E> {
        Ok(Placed::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Placed, E> {
        Ok(Placed::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Placed, E> {
        Ok(Placed::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Placed, E> {
        Ok(Placed::Scalar(value.into()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Placed, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Placed::List(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Placed, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Placed::Table(entries))
    }
}

impl JsonSchema for Placed {
    fn inline_schema() -> bool {
        Value::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        Value::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Value::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;
    use crate::config::{field::Table, reader};

    const TEXT: &str = r#"config = { actions = ["opened", { name = "x" }], rules = [{ name = "a" }, { nme = "b", deep = { "a.b" = { c = 1 } } }], a = 1, a-b = [[1, 2]] }"#;

    /// What of [`TEXT`] a path leads to.
    #[track_caller]
    fn leads_to(path: &str, expected: &str) {
        assert_eq!(&TEXT[read(TEXT).place_of(path)], expected, "{path}");
    }

    /// The value of the only key.
    fn read(text: &str) -> Field<Placed> {
        let (entries, problems) = reader::read::<Table<String, Placed>>(DeTable::parse(text).unwrap());
        assert_eq!(problems, []);
        entries.unwrap().0.remove(0).1
    }

    #[test]
    fn a_path_leads_to_a_key_or_to_an_item_of_a_list() {
        leads_to("rules", "rules");
        leads_to("rules[1].nme", "nme");
        leads_to("actions[0]", "\"opened\"");
        leads_to("a-b[0][1]", "2");
    }

    #[test]
    fn keys_may_hold_dots_and_begin_alike() {
        leads_to("rules[1].deep.a.b.c", "c");
        leads_to("a", "a");
        leads_to("a-b", "a-b");
    }

    #[test]
    fn a_path_to_nothing_leads_to_what_is_around_it() {
        leads_to("rules[0].missing", "{ name = \"a\" }");
        leads_to("rules[7]", "rules");
        leads_to("rules.name", "rules");
        leads_to("a.b", "a");
        leads_to("missing", &TEXT["config = ".len()..]);
        leads_to("", &TEXT["config = ".len()..]);
    }

    #[test]
    fn json_is_what_the_text_says() {
        let value = read("config = { a = [1, 1.5, { b = true }] }");
        assert_eq!(value.json(), Some(serde_json::json!({ "a": [1, 1.5, { "b": true }] })));
    }
}
