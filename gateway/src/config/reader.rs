//! Reads parsed TOML into plain serde types without stopping at the first mistake.
//!
//! serde's derives stop at the first error. Here the deserializer records each error where it happens, with its
//! span, and a [`Field`] turns the failure into "nothing", so that reading goes on with the next key. Unknown
//! keys are recorded at every level, because every derived struct says which keys it knows.

use std::{cell::RefCell, fmt, marker::PhantomData, ops::Range};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Unexpected, Visitor},
    forward_to_deserialize_any,
};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{nearest, report::Problem};

/// Reads a whole document; `None` if not even its outermost table is right.
pub(super) fn read<T: DeserializeOwned>(document: Spanned<DeTable<'_>>) -> (Option<T>, Vec<Problem>) {
    let root = Spanned::new(document.span(), DeValue::Table(document.into_inner()));
    let problems = RefCell::default();
    let reader = Reader { value: &root, problems: &problems };
    let value = reader.settle(T::deserialize(reader)).ok();
    (value, problems.into_inner())
}

/// A value with its place in the file. `None`: it was wrong, and that has been recorded.
#[derive(Clone, Debug)]
pub(super) struct Field<T> {
    pub(super) span: Range<usize>,
    pub(super) value: Option<T>,
}

/// The name under which [`Reader`] knows a [`Field`]; it hands over start, end and value.
const FIELD: &str = "$field";

/// To be given as the serde name of an enum whose variants are told apart by the TOML type they are written as:
/// `string`, `table`, `boolean` and so on.
pub(super) const BY_TYPE: &str = "by type";

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

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
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

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Table_of_{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (names, values) = (generator.subschema_for::<K>(), generator.subschema_for::<V>());
        schemars::json_schema!({ "type": "object", "propertyNames": names, "additionalProperties": values })
    }
}

/// An error on its way to the place that knows its span, or one that has been recorded there already.
#[derive(Debug)]
enum Error {
    New(Problem),
    Recorded,
}

impl Error {
    fn expected(what: impl fmt::Display, found: &str) -> Self {
        Self::New(Problem::error(format!("expected {what}, found {found}")))
    }

    fn record(self, problems: &RefCell<Vec<Problem>>, span: &Range<usize>) -> Self {
        if let Self::New(problem) = self {
            problems.borrow_mut().push(problem.at(span));
        }
        Self::Recorded
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(problem) => f.write_str(problem.message()),
            Self::Recorded => f.write_str("a mistake that has been recorded"),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    /// The first line is the message; a second one, if there is one, the hint.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        Self::New(match text.split_once('\n') {
            Some((message, hint)) => Problem::error(message).hint(hint),
            None => Problem::error(text),
        })
    }

    /// Names the type only: the value itself may be a secret.
    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(expected, type_of(found))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let problem = Problem::error(format!("`{found}` is not one of the values known here"));
        Self::New(problem.hint(nearest::hint(found, "known values", expected.iter().copied())))
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        Self::New(unknown_key(found, expected))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::custom(format_args!("missing key `{key}`"))
    }
}

fn type_of(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a float",
        Unexpected::Str(_) | Unexpected::Char(_) => "a string",
        Unexpected::Seq => "an array",
        Unexpected::Map => "a table",
        _ => "something else",
    }
}

fn unknown_key(key: &str, known: &'static [&'static str]) -> Problem {
    Problem::error(format!("unknown key `{key}`")).hint(nearest::hint(
        key,
        "known keys",
        known.iter().copied(),
    ))
}

/// One value of the document.
#[derive(Clone, Copy)]
struct Reader<'a> {
    value: &'a Spanned<DeValue<'a>>,
    problems: &'a RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    /// Records a new error as one of this value.
    fn settle<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| error.record(self.problems, &self.value.span()))
    }

    fn child(&self, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { value, ..*self }
    }

    fn found(&self) -> &'static str {
        match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        }
    }

    /// Records the keys of a table that are not `known`, and gives the others.
    fn entries(self, table: &'a DeTable<'a>, known: Option<&'static [&'static str]>) -> Entries<'a> {
        let is_known = |key: &str| known.is_none_or(|known| known.contains(&key));
        for key in table.keys().filter(|key| !is_known(key.get_ref())) {
            let problem = unknown_key(key.get_ref(), known.unwrap_or_default());
            self.problems.borrow_mut().push(problem.at(&key.span()));
        }
        let mut entries: Vec<_> = table.iter().filter(|(key, _)| is_known(key.get_ref())).collect();
        entries.sort_by_key(|(key, _)| std::cmp::Reverse(key.span().start));
        Entries { reader: self, rest: entries, value: None }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => visitor.visit_i64(number),
                Err(_) => Err(de::Error::custom(format_args!("`{number}` does not fit in 64 bits"))),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => visitor.visit_f64(number),
                _ => Err(de::Error::custom(format_args!("`{number}` is not a finite number"))),
            },
            DeValue::Boolean(value) => visitor.visit_bool(*value),
            DeValue::Datetime(date) => visitor.visit_string(date.to_string()),
            DeValue::Array(items) => visitor.visit_seq(Items { reader: self, rest: items.iter() }),
            DeValue::Table(table) => visitor.visit_map(self.entries(table, None)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            _ => Err(Error::expected(&visitor as &dyn de::Expected, self.found())),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == FIELD {
            return visitor.visit_seq(Parts {
                span: self.value.span(),
                value: self,
                taken: 0,
                problems: self.problems,
            });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.get_ref() {
            DeValue::Array(items) => visitor.visit_seq(Items { reader: self, rest: items.iter() }),
            _ => {
                let problem = Problem::error(format!("expected an array, found {}", self.found()));
                Err(Error::New(problem.hint("write it in brackets, even if there is only one: `[…]`")))
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.get_ref() {
            DeValue::Table(table) => visitor.visit_map(self.entries(table, None)),
            _ => Err(Error::expected("a table", self.found())),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value.get_ref() {
            DeValue::Table(table) => visitor.visit_map(self.entries(table, Some(keys))),
            _ => Err(Error::expected("a table", self.found())),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value = self.value.get_ref();
        if name == BY_TYPE {
            return match variants.contains(&value.type_str()) {
                true => visitor.visit_enum(Variant { name: value.type_str(), reader: self }),
                false => Err(Error::expected(one_of(variants), self.found())),
            };
        }
        match value {
            DeValue::String(text) => visitor.visit_enum((&**text).into_deserializer()),
            DeValue::Table(table) => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(self.entries(table, None)))
            }
            _ => Err(Error::expected("a string", self.found())),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple
        tuple_struct identifier ignored_any
    }
}

fn one_of(types: &[&str]) -> String {
    let with_article =
        |name: &&str| if name.starts_with(['a', 'i']) { format!("an {name}") } else { format!("a {name}") };
    types.iter().map(with_article).collect::<Vec<_>>().join(" or ")
}

struct Items<'a> {
    reader: Reader<'a>,
    rest: std::slice::Iter<'a, Spanned<DeValue<'a>>>,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(value) = self.rest.next() else { return Ok(None) };
        let reader = self.reader.child(value);
        reader.settle(seed.deserialize(reader)).map(Some)
    }
}

/// The entries of a table in the file's order.
struct Entries<'a> {
    reader: Reader<'a>,
    /// Reversed: the next one is the last.
    rest: Vec<(&'a Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>)>,
    value: Option<&'a Spanned<DeValue<'a>>>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((key, value)) = self.rest.pop() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(Key { key, problems: self.reader.problems }).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some(value) = self.value.take() else { return Err(de::Error::custom("a value before its key")) };
        let reader = self.reader.child(value);
        reader.settle(seed.deserialize(reader))
    }
}

/// A table's key, read as a value.
#[derive(Clone, Copy)]
struct Key<'a> {
    key: &'a Spanned<DeString<'a>>,
    problems: &'a RefCell<Vec<Problem>>,
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.key.get_ref())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == FIELD {
            return visitor.visit_seq(Parts {
                span: self.key.span(),
                value: self,
                taken: 0,
                problems: self.problems,
            });
        }
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What a [`Field`] is made from: start, end, value.
struct Parts<'a, V> {
    span: Range<usize>,
    value: V,
    taken: u8,
    problems: &'a RefCell<Vec<Problem>>,
}

impl<'de, V: Deserializer<'de, Error = Error> + Copy> de::SeqAccess<'de> for Parts<'_, V> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.taken += 1;
        let element = match self.taken {
            1 => seed.deserialize(self.span.start.into_deserializer()),
            2 => seed.deserialize(self.span.end.into_deserializer()),
            _ => seed.deserialize(self.value).map_err(|error| error.record(self.problems, &self.span)),
        };
        element.map(Some)
    }
}

/// A variant chosen by the TOML type of its value.
struct Variant<'a> {
    name: &'static str,
    reader: Reader<'a>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        Ok((seed.deserialize(self.name.into_deserializer())?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Err(Error::expected("a value", "none"))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.reader.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.reader.deserialize_struct("", keys, visitor)
    }
}
