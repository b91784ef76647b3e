//! Where in a request a value is: `header:X-Id`, `query:sig`, `form:payload`, `json:/event/id`, `sig:t`.

use std::{borrow::Cow, fmt, str::FromStr};

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::pointer::Pointer;

/// A place that has a value: `header:NAME`, `query:NAME`, `form:NAME`, `json:/POINTER`, `var:NAME` or `claim:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Field {
    Header(HeaderName),
    Query(String),
    /// Of a body that is `application/x-www-form-urlencoded`.
    Form(String),
    /// Of a body that is JSON.
    Json(Pointer),
    /// One that the route's config gives.
    Var(String),
    /// Of a JSON Web Token, once it is proven.
    Claim(String),
}

/// Any number of [`Field`]s; one may be written without the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

impl Fields {
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For messages: the places, joined by ` or `.
    pub fn names(&self) -> String {
        self.0.iter().map(Field::to_string).collect::<Vec<_>>().join(" or ")
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
            Some(("form", name)) if !name.is_empty() => Ok(Self::Form(name.to_owned())),
            Some(("var", name)) if !name.is_empty() => Ok(Self::Var(name.to_owned())),
            Some(("claim", name)) if !name.is_empty() => Ok(Self::Claim(name.to_owned())),
            Some(("json", pointer)) => pointer.parse().map(Self::Json),
            _ => Err(format!(
                "`{text}` is not a place: write `header:NAME`, `query:NAME`, `form:NAME`, `json:/POINTER`, \
                 `var:NAME` or `claim:NAME`"
            )),
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

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
            Self::Var(name) => write!(f, "var:{name}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
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

impl JsonSchema for Field {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Field".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(header|query|form|json|var|claim):." })
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

impl TryFrom<OneOrMany> for Fields {
    type Error = String;

    fn try_from(raw: OneOrMany) -> Result<Self, String> {
        match raw {
            OneOrMany::One(text) => Ok(Self(vec![text.parse()?])),
            OneOrMany::Many(texts) => {
                texts.iter().map(|text| text.parse()).collect::<Result<_, _>>().map(Self)
            }
        }
    }
}

impl From<Fields> for OneOrMany {
    fn from(fields: Fields) -> Self {
        match &fields.0[..] {
            [one] => Self::One(one.to_string()),
            many => Self::Many(many.iter().map(Field::to_string).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_they_were_read() {
        for text in ["header:x-id", "query:sig", "form:payload", "json:/a~1b/0", "var:key", "sig:t"] {
            assert_eq!(text.parse::<TimestampSource>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn places_that_do_not_exist_are_refused() {
        for text in ["", "x-id", "header:", "header:a b", "query:", "cookie:x", "json:a", "sig:"] {
            assert!(text.parse::<TimestampSource>().is_err(), "{text}");
        }
    }
}
