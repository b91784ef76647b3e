//! The text that is signed, as a template: `v0:{timestamp}:{body}`.

use std::{borrow::Cow, fmt, str::FromStr};

use http::header::HOST;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Refused, Unverified, source::Field};

/// Literal text and `{…}` parts, read once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The body's bytes as they were sent.
    Body,
    /// The timestamp's text as it was sent.
    Timestamp,
    Method,
    Host,
    Path,
    /// The path with `?` and the query, where there is one.
    PathQuery,
    /// `{header:NAME}` or `{query:NAME}`; with a `?` at its end it may be missing.
    Field {
        field: Field,
        optional: bool,
    },
}

impl Template {
    pub(super) fn uses_timestamp(&self) -> bool {
        self.parts.contains(&Part::Timestamp)
    }

    /// The pieces of the signed text in order. The body is not copied.
    ///
    /// # Errors
    /// When a part is missing from the request, or is there more than once.
    pub(super) fn render<'a>(
        &'a self,
        request: &'a Unverified,
        timestamp: &'a str,
    ) -> Result<Vec<Cow<'a, [u8]>>, Refused> {
        let mut pieces = Vec::with_capacity(self.parts.len() + 2);
        for part in &self.parts {
            match part {
                Part::Literal(text) => pieces.push(text.as_bytes().into()),
                Part::Body => pieces.push(request.body[..].into()),
                Part::Timestamp => pieces.push(timestamp.as_bytes().into()),
                Part::Method => pieces.push(request.method.as_str().as_bytes().into()),
                Part::Host => pieces.push(host(request)?.into()),
                Part::Path => pieces.push(request.path.as_bytes().into()),
                Part::PathQuery => {
                    pieces.push(request.path.as_bytes().into());
                    if let Some(query) = &request.query {
                        pieces.extend([b"?"[..].into(), query.as_bytes().into()]);
                    }
                }
                Part::Field { field, optional } => match field.read(request)? {
                    Some(value) => pieces.push(into_bytes(value)),
                    None if *optional => {}
                    None => return Err(Refused::FieldMissing { field: field.to_string() }),
                },
            }
        }
        Ok(pieces)
    }
}

fn host(request: &Unverified) -> Result<&[u8], Refused> {
    let host = request.headers.get(HOST);
    host.map(|h| h.as_bytes()).ok_or_else(|| Refused::FieldMissing { field: "host".to_owned() })
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            parts.extend(self::literal(literal)?);
            let unclosed = || format!("`{{{after}` in `{text}` has no `}}`");
            let (name, after) = after.split_once('}').ok_or_else(unclosed)?;
            parts.push(name.parse()?);
            rest = after;
        }
        parts.extend(literal(rest)?);
        if !parts.contains(&Part::Body) {
            return Err(format!("`{text}` signs no `{{body}}`: anybody could change what it says"));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

fn literal(text: &str) -> Result<Option<Part>, String> {
    match text {
        "" => Ok(None),
        text if text.contains('}') => Err(format!("`{text}` has a `}}` without `{{`")),
        text => Ok(Some(Part::Literal(text.to_owned()))),
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "body" => Self::Body,
            "timestamp" => Self::Timestamp,
            "method" => Self::Method,
            "host" => Self::Host,
            "path" => Self::Path,
            "path_query" => Self::PathQuery,
            "nl" => Self::Literal("\n".to_owned()),
            _ => {
                let (field, optional) = name.strip_suffix('?').map_or((name, false), |field| (field, true));
                let field = field.parse().map_err(|_| unknown(name))?;
                Self::Field { field, optional }
            }
        })
    }
}

fn unknown(name: &str) -> String {
    const KNOWN: &str = "body, timestamp, method, host, path, path_query, nl, header:NAME, query:NAME";
    format!("`{{{name}}}` is not known; these are: {KNOWN}")
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tests::request;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let mut request = request();
        request.query = Some("a=%20b".to_owned());
        let template: Template = template.parse().unwrap();
        let text = template.render(&request, "17").unwrap().concat();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn parts_are_put_in_place() {
        check("v0:{timestamp}:{body}", "v0:17:{}");
        check("{method}{nl}{host}{path_query}{body}.", "POST\nhooks.test/in?a=%20b{}.");
        check("{path}|{header:X-A}|{query:a}|{header:x-none?}|{body}", "/in|1| b||{}");
    }

    #[test]
    fn a_missing_part_is_refused() {
        let template: Template = "{header:x-none}{body}".parse().unwrap();
        let refused = template.render(&request(), "").unwrap_err();
        assert!(matches!(refused, Refused::FieldMissing { field } if field == "header:x-none"));
    }

    #[test]
    fn mistakes_are_refused_when_it_is_read() {
        for (text, message) in [
            ("{timestamp}", "signs no `{body}`"),
            ("{body}{", "has no `}`"),
            ("{body}}", "has a `}` without"),
            ("{body}{url}", "`{url}` is not known"),
            ("{body}{json:/id}", "`{json:/id}` is not known"),
        ] {
            let error = text.parse::<Template>().unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
