//! Reads parsed TOML into plain serde types without stopping at the first mistake.
//!
//! serde's derives stop at the first error. Here the deserializer records each error where it happens, with its
//! span, and a [`Field`](super::field::Field) turns the failure into "nothing", so that reading goes on with the next key. Unknown
//! keys are recorded at every level, because every derived struct says which keys it knows.

use std::{cell::RefCell, fmt, ops::Range};

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Unexpected, Visitor},
    forward_to_deserialize_any,
};
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{field::FIELD, nearest, report::Problem};

/// Reads a whole document; `None` if not even its outermost table is right.
pub(super) fn read<T: DeserializeOwned>(document: Spanned<DeTable<'_>>) -> (Option<T>, Vec<Problem>) {
    let root = Spanned::new(document.span(), DeValue::Table(document.into_inner()));
    let problems = RefCell::default();
    let reader = Reader { value: &root, problems: &problems };
    let value = reader.settle(T::deserialize(reader)).ok();
    (value, problems.into_inner())
}

/// To be given as the serde name of an enum whose variants are told apart by the TOML type they are written as:
/// `string`, `table`, `boolean` and so on.
pub(super) const BY_TYPE: &str = "by type";

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
        let by_type = name == BY_TYPE;
        match value {
            _ if by_type && variants.contains(&value.type_str()) => {
                visitor.visit_enum(Variant { name: value.type_str(), reader: self })
            }
            _ if by_type => Err(Error::expected(one_of(variants), self.found())),
            DeValue::String(text) => visitor.visit_enum((&**text).into_deserializer()),
            DeValue::Table(table) => match table.iter().next() {
                Some((key, value)) if table.len() == 1 => {
                    visitor.visit_enum(Variant { name: key.get_ref(), reader: self.child(value) })
                }
                _ => Err(Error::expected("a table with one key", &format!("one with {}", table.len()))),
            },
            _ => Err(Error::expected("a string or a table", self.found())),
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

/// What a [`Field`](super::field::Field) is made from: start, end, value.
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

/// A variant and its content.
struct Variant<'a> {
    name: &'a str,
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
        Err(Error::expected(format_args!("`\"{}\"` alone", self.name), "a table"))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.reader.settle(seed.deserialize(self.reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.reader.settle(self.reader.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.reader.settle(self.reader.deserialize_struct("", keys, visitor))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{super::field::Field, *};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Outer {
        inner: Option<Inner>,
        choice: Option<Choice>,
        list: Option<Vec<u8>>,
        any: Option<serde_json::Value>,
        field: Option<Field<Inner>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Inner {
        number: u8,
        date: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    enum Choice {
        Unit,
        Newtype(u8),
        Struct { number: u8 },
    }

    /// The mistakes in a document, each as `start..end message`.
    fn mistakes(text: &str) -> Vec<String> {
        let (value, problems) = read::<Outer>(DeTable::parse(text).unwrap());
        assert!(value.is_some() || !problems.is_empty(), "nothing was read and nothing said");
        problems.iter().map(|problem| format!("{:?} {}", problem.span(), problem.message())).collect()
    }

    #[test]
    fn plain_serde_types_are_read() {
        for text in [
            "inner = { number = 0x1_0, date = \"x\" }",
            "choice = \"unit\"",
            "choice = { newtype = 1 }",
            "choice = { struct = { number = 1 } }",
            "list = [1, 2]",
            "any = { a = [1, 1.5, true, \"x\", 2026-01-01] }",
        ] {
            assert_eq!(mistakes(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_mistake_is_recorded_once_and_at_its_own_place() {
        assert_eq!(mistakes("inner = { number = true }"), ["Some(19..23) expected u8, found a boolean"]);
        assert_eq!(mistakes("list = [1, \"x\"]"), ["Some(11..14) expected u8, found a string"]);
        assert_eq!(mistakes("choice = { newtype = \"x\" }"), ["Some(21..24) expected u8, found a string"]);
        assert_eq!(mistakes("inner = {}"), ["Some(8..10) missing key `number`"]);
        assert_eq!(mistakes("any = [-inf]"), ["Some(7..11) `-inf` is not a finite number"]);
    }

    #[test]
    fn unknown_keys_are_found_at_every_level() {
        let text = "innr = 1\ninner = { number = 1, numbr = 2 }\nchoice = { struct = { number = 1, n = 1 } }";
        let expected = [
            "Some(0..4) unknown key `innr`",
            "Some(31..36) unknown key `numbr`",
            "Some(77..78) unknown key `n`",
        ];
        assert_eq!(mistakes(text), expected);
    }

    #[test]
    fn a_field_keeps_its_mistake_to_itself() {
        let text = "field = { number = true }\nlist = 3";
        let expected =
            ["Some(19..23) expected u8, found a boolean", "Some(33..34) expected an array, found an integer"];
        assert_eq!(mistakes(text), expected);
    }

    #[test]
    fn a_date_is_not_a_string() {
        assert_eq!(
            mistakes("inner = { number = 1, date = 2026-01-01 }"),
            ["Some(29..39) expected a string, found a date"]
        );
    }
}
