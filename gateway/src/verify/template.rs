//! The text that is signed, as a template: `v0:{timestamp}:{body}`.

use std::{borrow::Cow, fmt, str::FromStr};

use http::{HeaderName, header::HOST};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Refused, canonical, reader::Reader, source::Field};

/// Literal text and `{…}` parts, read once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    /// The body's bytes as they were sent.
    Body,
    /// The bytes of the body's SHA-256.
    BodySha256Raw,
    BodySha256Hex,
    /// The body's CRC-32, in decimal.
    BodyCrc32,
    /// The timestamp's text as it was sent.
    Timestamp,
    /// The key's bytes, for algorithms that are plain hashes.
    Secret,
    Method,
    /// Our URL as the provider knows it.
    Url,
    /// The same without the query.
    UrlBase,
    Host,
    Path,
    /// The path with `?` and the query, where there is one.
    PathQuery,
    /// Twilio, Mandrill: keys and values of the form, sorted; the values of one key sorted, each once.
    FormConcat,
    /// MessageBird: the query sorted and encoded anew.
    QuerySortedUrlencoded,
    /// Shopify's app proxy: `key=value` sorted, nothing between, without the parameter named.
    QuerySortedConcat {
        except: String,
    },
    /// Vonage: `&key=value` sorted, with `&` and `=` in values made `_`, without the parameter named.
    QuerySortedAmp {
        except: String,
    },
    /// Hook0: the names in the signature's field `h`, then the values of these headers.
    SignedHeaders,
    /// Contentful: `name:value;name:value` of the headers that this header lists.
    ListedHeaders(HeaderName),
    /// Contentful: the path with its query escaped twice.
    ContentfulPath,
    /// AWS SNS: the message's keys and values, each on a line.
    SnsCanonical,
    /// In answers to handshakes: what the scheme's algorithm, key and encoding make of this value.
    Sign(Field),
    /// `{header:NAME}` and the like; with a `?` at its end it may be missing.
    Field {
        field: Field,
        optional: bool,
    },
}

/// Which bodies a text covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Coverage {
    None,
    /// Bodies that are forms.
    Forms,
    Any,
}

/// What a template is filled in from beside the request.
#[derive(Clone, Copy, Default)]
pub(super) struct Context<'a> {
    /// The timestamp's text.
    pub(super) timestamp: &'a str,
    /// Our URL as the provider knows it.
    pub(super) url: &'a str,
    /// The key's bytes.
    pub(super) secret: &'a [u8],
    /// The names of the headers that the signature covers, where it says.
    pub(super) signed_headers: Option<&'a str>,
    /// Which item of the list that is signed item by item.
    pub(super) item: Option<usize>,
}

impl Template {
    pub(super) fn uses_timestamp(&self) -> bool {
        self.parts.contains(&Part::Timestamp)
    }

    /// Whether the signature itself has to say which headers are part of the text.
    pub(super) fn uses_signed_headers(&self) -> bool {
        self.parts.contains(&Part::SignedHeaders)
    }

    /// The header that lists which headers are part of the text, where there is one.
    pub(super) fn header_list(&self) -> Option<&HeaderName> {
        self.parts.iter().find_map(|part| match part {
            Part::ListedHeaders(list) => Some(list),
            _ => None,
        })
    }

    /// Whether our own URL is part of the text, so that the config has to say it.
    pub(super) fn uses_url(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Url | Part::UrlBase))
    }

    pub(super) fn uses_secret(&self) -> bool {
        self.parts.contains(&Part::Secret)
    }

    /// Whether it asks for signatures itself, which only answers may.
    pub(super) fn signs(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Sign(_)))
    }

    /// The bodies whose change changes the text.
    pub(super) fn coverage(&self) -> Coverage {
        let coverage = |part: &Part| match part {
            Part::Body
            | Part::BodySha256Raw
            | Part::BodySha256Hex
            | Part::BodyCrc32
            | Part::SnsCanonical
            | Part::Field { field: Field::Form(_), .. } => Coverage::Any,
            Part::FormConcat => Coverage::Forms,
            _ => Coverage::None,
        };
        self.parts.iter().map(coverage).max().unwrap_or(Coverage::None)
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The pieces of the signed text in order. The body is not copied.
    ///
    /// # Errors
    /// When a part is missing from the request, or is there more than once.
    pub(super) fn render<'a>(
        &'a self,
        reader: &'a Reader<'_>,
        context: Context<'a>,
    ) -> Result<Vec<Cow<'a, [u8]>>, Refused> {
        let mut pieces = Vec::with_capacity(self.parts.len() + 2);
        for part in &self.parts {
            match part {
                Part::PathQuery => {
                    pieces.push(path(reader).into());
                    if let Some(query) = reader.request.query.as_deref().filter(|query| !query.is_empty()) {
                        pieces.extend([b"?"[..].into(), query.as_bytes().into()]);
                    }
                }
                part => pieces.push(part.render(reader, context)?),
            }
        }
        Ok(pieces)
    }

    /// For a witness: how long the text is, the secret left out, and how it begins.
    pub(super) fn describe(&self, reader: &Reader<'_>, context: Context<'_>) -> String {
        const SHOWN: usize = 160;
        match self.render(reader, Context { secret: b"", ..context }) {
            Ok(pieces) => {
                let text = pieces.concat();
                let shown = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
                let cut = if text.len() > SHOWN { " …" } else { "" };
                let secret = if self.uses_secret() { " and the secret" } else { "" };
                format!("`{self}`, {} bytes{secret}: {shown:?}{cut}", text.len())
            }
            Err(refused) => format!("`{self}` cannot be made: {refused}"),
        }
    }
}

impl Part {
    fn render<'a>(&'a self, reader: &'a Reader<'_>, context: Context<'a>) -> Result<Cow<'a, [u8]>, Refused> {
        let request = reader.request;
        Ok(match self {
            Self::Literal(text) => text.as_bytes().into(),
            Self::Body => request.body[..].into(),
            Self::BodySha256Raw => Sha256::digest(&request.body).to_vec().into(),
            Self::BodySha256Hex => owned(hex::encode(Sha256::digest(&request.body))),
            Self::BodyCrc32 => owned(crc32fast::hash(&request.body).to_string()),
            Self::Timestamp => context.timestamp.as_bytes().into(),
            Self::Secret => context.secret.into(),
            Self::Method => request.method.as_str().as_bytes().into(),
            Self::Url => context.url.as_bytes().into(),
            Self::UrlBase => {
                context.url.split_once('?').map_or(context.url, |(base, _)| base).as_bytes().into()
            }
            Self::Host => host(reader)?.into(),
            Self::Path | Self::PathQuery => path(reader).into(),
            Self::FormConcat => owned(canonical::form_concat(reader.form())),
            Self::QuerySortedUrlencoded => owned(canonical::query_sorted_urlencoded(reader.query())),
            Self::QuerySortedConcat { except } => {
                owned(canonical::query_sorted_concat(reader.query(), except))
            }
            Self::QuerySortedAmp { except } => owned(canonical::query_sorted_amp(reader.query(), except)),
            Self::SignedHeaders => {
                let missing = || Refused::FieldMissing { field: "sig:h".to_owned() };
                owned(canonical::signed_headers(reader, context.signed_headers.ok_or_else(missing)?)?)
            }
            Self::ListedHeaders(list) => owned(canonical::listed_headers(reader, list)?),
            Self::ContentfulPath => {
                owned(canonical::contentful_path(&request.path, request.query.as_deref()))
            }
            Self::SnsCanonical => owned(canonical::sns_canonical(reader.json())?),
            Self::Field { field, optional } => match reader.read_of(field, context.item)? {
                Some(value) => into_bytes(value),
                None if *optional => Cow::default(),
                None => return Err(Refused::FieldMissing { field: field.to_string() }),
            },
            // Only answers to handshakes have it, and they have the key for it.
            Self::Sign(field) => return Err(Refused::FieldMissing { field: format!("sign:{field}") }),
        })
    }
}

fn owned<'a>(text: String) -> Cow<'a, [u8]> {
    text.into_bytes().into()
}

fn path<'a>(reader: &'a Reader<'_>) -> &'a [u8] {
    match &reader.request.path[..] {
        "" => b"/",
        path => path.as_bytes(),
    }
}

fn host<'a>(reader: &Reader<'a>) -> Result<&'a [u8], Refused> {
    let host = reader.request.headers.get(HOST);
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
            "body_sha256_raw" => Self::BodySha256Raw,
            "body_sha256_hex" => Self::BodySha256Hex,
            "body_crc32" => Self::BodyCrc32,
            "timestamp" => Self::Timestamp,
            "secret" => Self::Secret,
            "method" => Self::Method,
            "url" => Self::Url,
            "url_base" => Self::UrlBase,
            "host" => Self::Host,
            "path" => Self::Path,
            "path_query" => Self::PathQuery,
            "form_concat" => Self::FormConcat,
            "query_sorted_urlencoded" => Self::QuerySortedUrlencoded,
            "signed_headers" => Self::SignedHeaders,
            "contentful_path" => Self::ContentfulPath,
            "sns_canonical" => Self::SnsCanonical,
            "nl" => Self::Literal("\n".to_owned()),
            _ => Self::with_argument(name)?,
        })
    }
}

impl Part {
    fn with_argument(name: &str) -> Result<Self, String> {
        Ok(match name.split_once(':') {
            Some(("query_sorted_concat", except)) => Self::QuerySortedConcat { except: except.to_owned() },
            Some(("query_sorted_amp", except)) => Self::QuerySortedAmp { except: except.to_owned() },
            Some(("listed_headers", header)) => {
                Self::ListedHeaders(header.parse().map_err(|_| format!("`{header}` is not a header name"))?)
            }
            Some(("sign", field)) => Self::Sign(field.parse()?),
            Some(_) | None => {
                let (field, optional) = name.strip_suffix('?').map_or((name, false), |field| (field, true));
                Self::Field { field: field.parse().map_err(|_| unknown(name))?, optional }
            }
        })
    }
}

fn unknown(name: &str) -> String {
    const KNOWN: &str = "body, body_sha256_hex, body_sha256_raw, body_crc32, timestamp, secret, method, url, url_base, host, path, \
        path_query, form_concat, nl, header:NAME, query:NAME, form:NAME, json:/POINTER, var:NAME";
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
    use crate::verify::{tests::request, vars::Vars};

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let mut request = request();
        request.query = Some("a=%20b".to_owned());
        let template: Template = template.parse().unwrap();
        let (vars, url) = (Vars::default(), "https://h.test/in?a=%20b");
        let (reader, context) = (
            Reader::new(&request, &vars),
            Context { timestamp: "17", url, secret: b"k", ..Context::default() },
        );
        let text = template.render(&reader, context).unwrap().concat();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn parts_are_put_in_place() {
        check("v0:{timestamp}:{body}", "v0:17:{}");
        check("{method}{nl}{host}{path_query}{body}.", "POST\nhooks.test/in?a=%20b{}.");
        check("{path}|{header:X-A}|{query:a}|{header:x-none?}|{body}", "/in|1| b||{}");
        check("{url}|{url_base}|{secret}", "https://h.test/in?a=%20b|https://h.test/in|k");
        check(
            "{body_sha256_hex}|{body_crc32}",
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a|2745614147",
        );
    }

    #[test]
    fn what_a_witness_is_shown_leaves_the_secret_out() {
        let template: Template = "{secret}{body}".parse().unwrap();
        let (request, vars) = (request(), Vars::default());
        let reader = Reader::new(&request, &vars);
        let context = Context { secret: b"sesame", ..Context::default() };
        assert_eq!(template.describe(&reader, context), "`{secret}{body}`, 2 bytes and the secret: \"{}\"");
    }

    #[test]
    fn the_strongest_part_says_which_bodies_are_covered() {
        for (template, coverage) in [
            ("{url}", Coverage::None),
            ("{url}{form_concat}", Coverage::Forms),
            ("{form_concat}{body_crc32}", Coverage::Any),
        ] {
            assert_eq!(template.parse::<Template>().unwrap().coverage(), coverage, "{template}");
        }
    }

    #[test]
    fn a_missing_part_is_refused() {
        let template: Template = "{header:x-none}{body}".parse().unwrap();
        let (request, vars) = (request(), Vars::default());
        let reader = Reader::new(&request, &vars);
        let refused = template.render(&reader, Context::default()).unwrap_err();
        assert!(matches!(refused, Refused::FieldMissing { field } if field == "header:x-none"));
    }

    #[test]
    fn mistakes_are_refused_when_it_is_read() {
        for (text, message) in [
            ("{body}{", "has no `}`"),
            ("{body}}", "has a `}` without"),
            ("{body}{urn}", "`{urn}` is not known"),
            ("{body}{cookie:id}", "`{cookie:id}` is not known"),
        ] {
            let error = text.parse::<Template>().unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
