//! Requests that a provider makes to see who is there. They are answered at once and never become events.

use std::collections::BTreeMap;

use http::{
    HeaderName, HeaderValue, Method,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Algorithm, AlgorithmField, Family};
use crate::verify::{
    charset::Charset,
    source::Field,
    template::{Part, Template},
};

/// One such request, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// What it is for, in a few words.
    pub about: String,
    /// The method it comes with.
    #[serde(default = "post")]
    pub method: String,
    /// What tells it from an event: all of these must be so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// Whether it carries the proof that an event does, and is answered only if that is right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proven: bool,
    /// What must be so for it to be answered; else it is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demand: Vec<Demand>,
    /// The secret that it hands us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn: Option<Learn>,
    /// The URL that we are to call before answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Confirm>,
    /// What is answered.
    pub answer: Answer,
}

/// Holds when the value is there and, where it says so, is this or that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The place whose value is looked at.
    pub from: Field,
    /// The value is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// There is nothing at this place of the JSON body.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
    /// The value is an empty list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
}

/// What must be so for a handshake to be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// The place whose value is looked at.
    pub from: Field,
    /// The value is the route's variable of this name or, where the route has none, one of its secrets. Compared in
    /// constant time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The value is one of the route's variable of this name; `*` among them stands for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<String>,
    /// The value consists of these characters only (`a-z` for a range) ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    /// ... and is this long, in bytes: at least and at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<(usize, usize)>,
    /// The status of the refusal.
    #[serde(default = "forbidden")]
    pub status: u16,
}

/// A secret that the provider hands us: kept, and used from then on. Only while the route has none, or while an
/// operator expects one: else anybody could put his own in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Learn {
    /// Where the secret is.
    pub from: Field,
}

/// A URL that we are to call before answering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// Where the URL is.
    pub from: Field,
    /// The hosts that may be called, as for keys.
    pub hosts: Vec<String>,
}

/// What is answered. Templates may use `{sign:PLACE}`: what the scheme's algorithm, key and encoding make of the value
/// at that place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// 200 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers beside the usual ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Template>,
    /// The body as plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Template>,
    /// The body as a JSON object: for every key the value, a text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<String, Template>,
    /// The body as JSON, always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_json: Option<String>,
}

/// Headers that are never a scheme's to set: they frame the answer, or are ours.
const OURS: [HeaderName; 4] =
    [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, HeaderName::from_static("x-request-id")];

impl Handshake {
    /// The method as HTTP has it. What is no method was refused when the scheme was read.
    pub fn http_method(&self) -> Method {
        self.method.parse().unwrap_or(Method::POST)
    }

    /// The places whose values the answer signs.
    pub fn signs(&self) -> impl Iterator<Item = &Field> {
        let parts = self.answer.templates().flat_map(Template::parts);
        parts.filter_map(|part| if let Part::Sign(field) = part { Some(field) } else { None })
    }

    /// # Errors
    /// What cannot be meant, or would turn the route into a tool for strangers.
    pub(super) fn check(&self, family: &Family) -> Result<(), String> {
        let wrong = |why: String| format!("handshake \"{}\": {why}", self.about);
        self.check_request().and_then(|()| self.answer.check()).map_err(wrong)?;
        self.check_signing(family).and_then(|()| self.check_secrets(family)).map_err(wrong)
    }

    fn check_request(&self) -> Result<(), String> {
        self.method.parse::<Method>().map_err(|_| format!("`{}` is not a method", self.method))?;
        self.when.iter().try_for_each(Condition::check)?;
        self.demand.iter().try_for_each(Demand::check)?;
        match &self.confirm {
            Some(_) if !self.proven => {
                Err("`confirm` needs `proven = true`: else anybody could make us call URLs".to_owned())
            }
            Some(confirm) if confirm.hosts.is_empty() => {
                Err("`confirm` needs `hosts`: those that may be called".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_signing(&self, family: &Family) -> Result<(), String> {
        for field in self.signs() {
            if !has_keyed_hash(family) {
                return Err("`{sign:…}` needs a scheme with one HMAC algorithm".to_owned());
            }
            if !self.proven && !self.is_bounded(field) {
                let what = format!("`{field}` is signed for anybody");
                return Err(format!(
                    "{what}, so `demand` must say of which characters (`charset`) and how long it is"
                ));
            }
        }
        Ok(())
    }

    fn check_secrets(&self, family: &Family) -> Result<(), String> {
        let Some(Learn { from }) = &self.learn else { return Ok(()) };
        if matches!(family, Family::None {}) {
            return Err("`learn` means nothing where no secret proves a request".to_owned());
        }
        if !self.is_bounded(from) {
            return Err(format!(
                "`{from}` is learned, so `demand` must say of which characters (`charset`) and how long it is"
            ));
        }
        Ok(())
    }

    fn is_bounded(&self, field: &Field) -> bool {
        self.demand.iter().any(|d| d.from == *field && d.charset.is_some() && d.length.is_some())
    }
}

fn has_keyed_hash(family: &Family) -> bool {
    let Family::Signature(scheme) = family else { return false };
    matches!(
        scheme.algorithm,
        AlgorithmField::One(
            Algorithm::HmacMd5 | Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512
        )
    )
}

impl Condition {
    fn check(&self) -> Result<(), String> {
        match (self.empty, &self.from) {
            (true, _) if !self.one_of.is_empty() => {
                Err("a condition cannot ask for `one_of` and `empty` at once".to_owned())
            }
            (true, field) if !matches!(field, Field::Json(_)) => {
                Err(format!("`empty` asks for a list, which `{field}` cannot be"))
            }
            _ => Ok(()),
        }
    }
}

impl Demand {
    fn check(&self) -> Result<(), String> {
        let Self { from, token, listed, charset, length, status } = self;
        if token.is_none() && listed.is_none() && charset.is_none() && length.is_none() {
            return Err(format!("the demand on `{from}` says nothing of it"));
        }
        if let Some(charset) = charset {
            charset.parse::<Charset>()?;
        }
        if let Some((least, most)) = length.filter(|(least, most)| least > most) {
            return Err(format!("no length is at least {least} and at most {most}"));
        }
        match status {
            400..500 => Ok(()),
            _ => Err(format!("`status` of a demand is {status}; it must be 4xx")),
        }
    }
}

impl Answer {
    fn templates(&self) -> impl Iterator<Item = &Template> {
        self.headers.values().chain(&self.text).chain(self.json.values())
    }

    fn check(&self) -> Result<(), String> {
        if let Some(status) = self.status.filter(|status| !(200..300).contains(status)) {
            return Err(format!("`status` of the answer is {status}; it must be 2xx"));
        }
        let bodies = [self.text.is_some(), !self.json.is_empty(), self.raw_json.is_some()];
        if bodies.into_iter().filter(|there| *there).count() > 1 {
            return Err("the answer has more than one of `text`, `json` and `raw_json`".to_owned());
        }
        if let Some(json) = &self.raw_json {
            serde_json::from_str::<serde::de::IgnoredAny>(json)
                .map_err(|e| format!("`raw_json` is not JSON: {e}"))?;
        }
        for (name, value) in &self.headers {
            check_header(name, value)?;
        }
        self.templates().flat_map(Template::parts).try_for_each(check_part)
    }
}

fn check_header(name: &str, value: &Template) -> Result<(), String> {
    let parsed = name.parse::<HeaderName>().map_err(|_| format!("`{name}` is not a header name"))?;
    if OURS.contains(&parsed) {
        return Err(format!("`{name}` is not the answer's to set"));
    }
    let fits = |part: &Part| !matches!(part, Part::Literal(text) if text.parse::<HeaderValue>().is_err());
    match value.parts().iter().all(fits) {
        true => Ok(()),
        false => Err(format!("`{name}` cannot have the value `{value}`")),
    }
}

/// An answer is made of the request's values and the route's variables; above all not of secrets.
fn check_part(part: &Part) -> Result<(), String> {
    match part {
        Part::Literal(_) | Part::Sign(_) | Part::Field { .. } => Ok(()),
        _ => Err("an answer takes text, places such as `{query:NAME}`, and `{sign:PLACE}`".to_owned()),
    }
}

fn post() -> String {
    "POST".to_owned()
}

fn forbidden() -> u16 {
    403
}

#[cfg(test)]
mod tests {
    use crate::verify::scheme::Scheme;

    const KEYED: &str = "family = \"signature\"\nalgorithm = \"hmac-sha256\"\nsigned = \"{body}\"\n\
                         signature = { from = \"header:X-Sig\" }\n";

    #[track_caller]
    fn refused(scheme: &str, handshake: &str, expected: &str) {
        let text = format!("{scheme}[[handshake]]\nabout = \"a test\"\n{handshake}");
        let error = toml::from_str::<Scheme>(&text).unwrap_err().message().to_owned();
        assert!(error.contains("handshake \"a test\": ") && error.contains(expected), "{error}");
    }

    #[test]
    fn what_would_serve_strangers_is_refused() {
        let signs = "answer = { text = \"{sign:query:x}\" }\n";
        refused(KEYED, signs, "`query:x` is signed for anybody");
        let unbounded = format!("{signs}demand = [{{ from = \"query:x\", charset = \"a-z\" }}]");
        refused(KEYED, &unbounded, "`query:x` is signed for anybody");
        refused("family = \"basic\"\n", signs, "needs a scheme with one HMAC algorithm");
        refused(KEYED, "answer = { text = \"{secret}\" }", "an answer takes text, places");
        refused(KEYED, "learn = { from = \"header:X-S\" }\nanswer = {}", "`header:x-s` is learned");
        let confirm = "confirm = { from = \"json:/url\", hosts = [\"a.test\"] }\nanswer = {}";
        refused(KEYED, confirm, "`confirm` needs `proven = true`");
        refused(
            KEYED,
            &confirm.replace("\"a.test\"", "").replace("answer", "proven = true\nanswer"),
            "needs `hosts`",
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (handshake, expected) in [
            ("method = \"G T\"\nanswer = {}", "`G T` is not a method"),
            ("answer = { status = 302 }", "`status` of the answer is 302"),
            ("answer = { text = \"a\", raw_json = \"1\" }", "more than one of"),
            ("answer = { raw_json = \"{\" }", "`raw_json` is not JSON"),
            ("answer = { headers = { \"a b\" = \"c\" } }", "`a b` is not a header name"),
            ("answer = { headers = { a = \"b{nl}c\" } }", "`a` cannot have the value"),
            ("answer = { headers = { Content-Length = \"1\" } }", "`Content-Length` is not the answer's"),
            ("demand = [{ from = \"query:x\" }]\nanswer = {}", "says nothing of it"),
            ("demand = [{ from = \"query:x\", charset = \"z-a\" }]\nanswer = {}", "runs backwards"),
            ("demand = [{ from = \"query:x\", length = [2, 1] }]\nanswer = {}", "at least 2 and at most 1"),
            ("demand = [{ from = \"query:x\", token = \"t\", status = 200 }]\nanswer = {}", "must be 4xx"),
            ("when = [{ from = \"query:x\", empty = true }]\nanswer = {}", "`empty` asks for a list"),
        ] {
            refused(KEYED, handshake, expected);
        }
    }
}
