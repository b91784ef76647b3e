//! Where in a request a value is: `header:X-Id`, `query:sig`, `json:/event/id`, `sig:t`.

use std::{borrow::Cow, fmt, str::FromStr};

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Refused, Unverified, pointer::Pointer};
use crate::route::percent_decode;

/// A place that can be read before anything is proven: `header:NAME` or `query:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Field {
    Header(HeaderName),
    Query(String),
}

/// One or several [`Field`]s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "OneOrMany", into = "OneOrMany")]
#[schemars(with = "OneOrMany")]
pub struct Fields(Vec<Field>);

/// Where the time of signing is: a [`Field`], or `sig:NAME`, a field of the signature itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum TimestampSource {
    Field(Field),
    Signature(String),
}

/// Where an id or a type is: a [`Field`], or `json:/POINTER` into the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    Field(Field),
    Json(Pointer),
}

/// Any number of [`Detail`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "OneOrMany", into = "OneOrMany")]
#[schemars(with = "OneOrMany")]
pub struct Details(Vec<Detail>);

impl Field {
    /// The value, if it is there once.
    ///
    /// # Errors
    /// [`Refused::Repeated`]: proxies disagree on which of several counts. [`Refused::Unreadable`]: not text.
    pub(super) fn read<'a>(&self, request: &'a Unverified) -> Result<Option<Cow<'a, str>>, Refused> {
        match self {
            Self::Header(name) => self.read_header(name, request),
            Self::Query(name) => self.read_query(name, request),
        }
    }

    fn read_header<'a>(
        &self,
        name: &HeaderName,
        request: &'a Unverified,
    ) -> Result<Option<Cow<'a, str>>, Refused> {
        let mut values = request.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refused::Repeated { field: self.to_string() });
        }
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(Cow::Borrowed(text))),
            Err(_) => Err(Refused::Unreadable { field: self.to_string() }),
        }
    }

    fn read_query<'a>(&self, name: &str, request: &'a Unverified) -> Result<Option<Cow<'a, str>>, Refused> {
        let pairs = request.query.as_deref().unwrap_or_default().split('&');
        let mut values = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(key) == name).then_some(value)
        });
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refused::Repeated { field: self.to_string() });
        }
        Ok(Some(percent_decode(value)))
    }
}

impl Fields {
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    /// For messages: the places, joined by ` or `.
    pub(super) fn names(&self) -> String {
        self.0.iter().map(Field::to_string).collect::<Vec<_>>().join(" or ")
    }
}

impl Details {
    pub fn iter(&self) -> impl Iterator<Item = &Detail> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("header", name)) => name
                .parse()
                .map(Self::Header)
                .map_err(|_| format!("`{name}` in `{text}` is not a header name")),
            Some(("query", name)) if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            _ => Err(format!("`{text}` is not a place: write `header:NAME` or `query:NAME`")),
        }
    }
}

impl FromStr for TimestampSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sig:") {
            Some("") => Err("`sig:` names no field".to_owned()),
            Some(name) => Ok(Self::Signature(name.to_owned())),
            None => text.parse().map(Self::Field),
        }
    }
}

impl FromStr for Detail {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("json:") {
            Some(pointer) => pointer.parse().map(Self::Json),
            None => text.parse().map(Self::Field),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
        }
    }
}

impl fmt::Display for TimestampSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Signature(name) => write!(f, "sig:{name}"),
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
        }
    }
}

impl TryFrom<String> for Field {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Field> for String {
    fn from(field: Field) -> Self {
        field.to_string()
    }
}

impl TryFrom<String> for TimestampSource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TimestampSource> for String {
    fn from(source: TimestampSource) -> Self {
        source.to_string()
    }
}

/// How lists of places are written: one string, or an array of them.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn parse<T: FromStr<Err = String>>(self) -> Result<Vec<T>, String> {
        match self {
            Self::One(text) => Ok(vec![text.parse()?]),
            Self::Many(texts) => texts.iter().map(|text| text.parse()).collect(),
        }
    }

    fn write<T: fmt::Display>(items: &[T]) -> Self {
        match items {
            [one] => Self::One(one.to_string()),
            many => Self::Many(many.iter().map(T::to_string).collect()),
        }
    }
}

impl TryFrom<OneOrMany> for Fields {
    type Error = String;

    fn try_from(raw: OneOrMany) -> Result<Self, String> {
        let fields = raw.parse()?;
        if fields.is_empty() { Err("the list of places is empty".to_owned()) } else { Ok(Self(fields)) }
    }
}

impl From<Fields> for OneOrMany {
    fn from(fields: Fields) -> Self {
        Self::write(&fields.0)
    }
}

impl TryFrom<OneOrMany> for Details {
    type Error = String;

    fn try_from(raw: OneOrMany) -> Result<Self, String> {
        raw.parse().map(Self)
    }
}

impl From<Details> for OneOrMany {
    fn from(details: Details) -> Self {
        Self::write(&details.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tests::request;

    fn read(field: &str, query: &str) -> Result<Option<String>, Refused> {
        let mut request = request();
        request.query = Some(query.to_owned());
        let field: Field = field.parse().unwrap();
        Ok(field.read(&request)?.map(Cow::into_owned))
    }

    #[test]
    fn places_are_written_as_they_were_read() {
        for text in ["header:x-id", "query:sig", "sig:t"] {
            assert_eq!(text.parse::<TimestampSource>().unwrap().to_string(), text);
        }
        assert_eq!("json:/a~1b/0".parse::<Detail>().unwrap().to_string(), "json:/a~1b/0");
    }

    #[test]
    fn places_that_do_not_exist_are_refused() {
        for text in ["", "x-id", "header:", "header:a b", "query:", "form:x"] {
            assert!(text.parse::<Detail>().is_err(), "{text}");
        }
        assert!("json:/a".parse::<Field>().is_err(), "nothing is parsed before it is proven");
        assert!("sig:".parse::<TimestampSource>().is_err());
    }

    #[test]
    fn query_values_are_percent_decoded() {
        assert_eq!(read("query:sig", "a=1&sig=x%2By%3D&b").unwrap().as_deref(), Some("x+y="));
        assert_eq!(read("query:sig", "a=1").unwrap(), None);
    }

    #[test]
    fn repeated_query_values_are_refused() {
        assert!(matches!(read("query:sig", "sig=1&sig=1"), Err(Refused::Repeated { .. })));
    }
}
