//! A value with its place in the file.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Range};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// A value with its place in the file. `None`: it was wrong, and that has been recorded.
#[derive(Clone, Debug)]
pub(super) struct Field<T> {
    pub(super) span: Range<usize>,
    pub(super) value: Option<T>,
}

/// The name under which the reader knows a [`Field`]; it hands over start, end and value.
pub(super) const FIELD: &str = "$field";

impl<T> Field<T> {
    /// Whether it stands in the file, and is not a default.
    pub(super) fn is_written(&self) -> bool {
        !self.span.is_empty()
    }
}

impl<T: Default> Default for Field<T> {
    fn default() -> Self {
        T::default().into()
    }
}

/// A value that is not in the file.
impl<T> From<T> for Field<T> {
    fn from(value: T) -> Self {
        Self { span: 0..0, value: Some(value) }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(FIELD, FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value read from a config file")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let (Some(start), Some(end)) = (parts.next_element()?, parts.next_element()?) else {
            return Err(de::Error::invalid_length(0, &self));
        };
        // An error has been recorded on the way here.
        Ok(Field { span: start..end, value: parts.next_element().ok().flatten() })
    }
}

/// For the defaults that the JSON schema shows.
impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table whose keys are names that the file's author chose.
#[derive(Clone, Debug)]
pub(super) struct Table<K, V>(pub(super) Vec<(Field<K>, Field<V>)>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Table<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor(PhantomData))
    }
}

struct TableVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for TableVisitor<K, V> {
    type Value = Table<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Table(entries))
    }
}

impl<K: JsonSchema, V: JsonSchema> JsonSchema for Table<K, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Table_of_{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (names, values) = (generator.subschema_for::<K>(), generator.subschema_for::<V>());
        schemars::json_schema!({ "type": "object", "propertyNames": names, "additionalProperties": values })
    }
}
