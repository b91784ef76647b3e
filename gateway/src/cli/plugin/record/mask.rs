//! Masks what an event should not take into a repository.

use std::{borrow::Cow, str};

use http::HeaderName;

use super::words;
use crate::{
    admin::api::{HIDDEN, is_proof},
    cli::plugin::{json::Json, unusable},
    event::Event,
    verify::scheme::{self, Family, Field},
};

/// What is masked beside that which looks like a secret.
pub(super) struct Masks {
    /// Paths into the JSON body, in parts.
    pub(super) pointers: Vec<Pointer>,
    /// In lower case.
    pub(super) headers: Vec<String>,
    /// The headers in which the route's provider sends its proof.
    pub(super) proofs: Vec<HeaderName>,
    pub(super) emails: bool,
}

/// A JSON pointer, whose part `*` stands for every element or member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    text: String,
    parts: Vec<String>,
}

/// An event without its secrets.
pub(super) struct Masked {
    pub(super) event: Event,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) params: Vec<(String, String)>,
    /// Name and value, in the order received. What no case can hold is left out.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// What was masked, and what no case can hold.
    pub(super) places: Vec<String>,
}

/// A body, as a case writes it.
pub(super) enum Body {
    Json(Json),
    Text(String),
    Bytes(bytes::Bytes),
}

impl Body {
    /// What has to be in a file of its own.
    pub(super) fn as_file(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Json(_) | Self::Text(_) => None,
        }
    }
}

/// Reads `/a/*/b`.
///
/// # Errors
/// If it does not begin with `/`.
pub(super) fn pointer(text: &str) -> anyhow::Result<Pointer> {
    let Some(path) = text.strip_prefix('/') else {
        return Err(unusable(format!("`--mask {text}` is not a JSON pointer, which begins with `/`")));
    };
    let part = |part: &str| part.replace("~1", "/").replace("~0", "~");
    Ok(Pointer { text: text.to_owned(), parts: path.split('/').map(part).collect() })
}

/// The headers in which a provider sends its proof; none for a name that is no preset's.
pub(super) fn proofs(preset: &str) -> Vec<HeaderName> {
    let Some(preset) = scheme::preset(preset) else { return Vec::new() };
    let fields: Vec<&Field> = match &preset.scheme.family {
        Family::Signature(scheme) => scheme.signature.from.iter().collect(),
        Family::Jws(scheme) => vec![&scheme.from],
        Family::Token(scheme) => scheme.from.iter().collect(),
        // They come in headers that are known by their names.
        Family::Basic(_) | Family::Rfc9421(_) | Family::None {} => Vec::new(),
    };
    let header = |field: &&Field| match field {
        Field::Header(name) => Some(name.clone()),
        Field::Query(_) | Field::Form(_) | Field::Json(_) | Field::Var(_) | Field::Claim(_) => None,
    };
    fields.iter().filter_map(header).collect()
}

impl Masks {
    /// # Errors
    /// If a mask that was asked for hits nothing: it may be misspelt.
    pub(super) fn apply(&self, event: &Event) -> anyhow::Result<Masked> {
        let mut places = Vec::new();
        let headers = self.headers_of(event, &mut places)?;
        let (path, params) = self.path_of(event, &mut places);
        let mut names = Vec::new();
        let query = event.query.as_deref().map(|query| words::pairs(query, self.emails, &mut names));
        places.extend(names.iter().map(|name| format!("query `{name}`")));
        let body = self.body_of(event, &mut places)?;
        Ok(Masked { event: event.clone(), path, query, params, headers, body, places })
    }

    /// A step's config, without what looks like a secret.
    pub(super) fn config(&self, mut config: Json, places: &mut Vec<String>) -> Json {
        let mut found = Vec::new();
        walk(&mut config, self.emails, &mut String::new(), &mut found);
        places.extend(found.iter().map(|at| format!("config `{at}`")));
        config
    }

    fn headers_of(&self, event: &Event, places: &mut Vec<String>) -> anyhow::Result<Vec<(String, String)>> {
        if let Some(name) = self.headers.iter().find(|name| event.headers.get(name).is_none()) {
            return Err(unusable(format!("`--mask-header {name}`: the event has no such header")));
        }
        let mut headers = Vec::new();
        for (name, value) in event.headers.iter() {
            let Ok(value) = value.to_str() else {
                places.push(format!("header `{name}`: left out, for a case holds only ASCII in headers"));
                continue;
            };
            let kept = self.header(name, value);
            if *kept != *value || value == HIDDEN {
                places.push(format!("header `{name}`"));
            }
            headers.push((name.to_string(), kept.into_owned()));
        }
        Ok(headers)
    }

    fn header<'v>(&self, name: &HeaderName, value: &'v str) -> Cow<'v, str> {
        let is_secret = is_proof(name)
            || words::is_secret_name(name.as_str())
            || self.proofs.contains(name)
            || self.headers.iter().any(|known| known == name.as_str());
        match is_secret {
            true => words::mask(value).into(),
            false => words::masked(value, self.emails).map_or(Cow::Borrowed(value), Cow::Owned),
        }
    }

    /// The path and its parameters: one that holds a secret is masked in both.
    fn path_of(&self, event: &Event, places: &mut Vec<String>) -> (String, Vec<(String, String)>) {
        let (mut path, mut params) = (event.path.clone(), event.params.clone());
        for (name, value) in &mut params {
            if words::is_secret_name(name) {
                let masked = words::mask(value);
                let segments = path.split('/').map(|segment| {
                    if crate::route::percent_decode(segment) == *value { &masked } else { segment }
                });
                path = segments.collect::<Vec<_>>().join("/");
                *value = masked;
                places.push(format!("path `{{{name}}}`"));
            }
        }
        (path, params)
    }

    fn body_of(&self, event: &Event, places: &mut Vec<String>) -> anyhow::Result<Body> {
        let text = str::from_utf8(&event.body).ok();
        if let Some(mut json) = text.and_then(|text| Json::parse(text).ok()) {
            for pointer in &self.pointers {
                if hit(&mut json, &pointer.parts) == 0 {
                    return Err(missed(pointer, "there is nothing in the body"));
                }
                places.push(format!("body `{}`", pointer.text));
            }
            let mut found = Vec::new();
            walk(&mut json, self.emails, &mut String::new(), &mut found);
            places.extend(found.iter().map(|at| format!("body `{at}`")));
            return Ok(Body::Json(json));
        }
        if let Some(pointer) = self.pointers.first() {
            return Err(missed(pointer, "the body is not JSON"));
        }
        let Some(text) = text else {
            if !event.body.is_empty() {
                places.push("nothing in the body, which is not text".to_owned());
            }
            return Ok(Body::Bytes(event.body.clone()));
        };
        Ok(Body::Text(self.text(event, text, places)))
    }

    fn text(&self, event: &Event, text: &str, places: &mut Vec<String>) -> String {
        let content_type = event.headers.get("content-type").and_then(|value| value.to_str().ok());
        if content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            let mut names = Vec::new();
            let form = words::pairs(text, self.emails, &mut names);
            places.extend(names.iter().map(|name| format!("form field `{name}`")));
            return form;
        }
        let Some(masked) = words::masked(text, self.emails) else { return text.to_owned() };
        places.push("words in the body".to_owned());
        masked
    }
}

fn missed(pointer: &Pointer, why: &str) -> anyhow::Error {
    unusable(format!("`--mask {}`: {why}, so nothing was masked and nothing was written", pointer.text))
}

/// Masks what looks like a secret, by its name or by itself; pushes where that is.
pub(super) fn walk(json: &mut Json, emails: bool, at: &mut String, found: &mut Vec<String>) {
    match json {
        Json::Literal(literal) => {
            if words::is_card(literal) {
                *json = Json::Literal("0".to_owned());
                found.push(at.clone());
            }
        }
        Json::Text(text) => {
            if let Some(masked) = words::masked(text, emails) {
                *text = masked;
                found.push(at.clone());
            }
        }
        Json::Array(elements) => {
            for (index, element) in elements.iter_mut().enumerate() {
                below(at, &index.to_string(), |at| walk(element, emails, at, found));
            }
        }
        Json::Object(members) => {
            for (name, value) in members {
                below(at, name, |at| match words::is_secret_name(name) {
                    true if mask_all(value, false) => found.push(at.clone()),
                    true => {}
                    false => walk(value, emails, at, found),
                });
            }
        }
    }
}

fn below(at: &mut String, name: &str, with: impl FnOnce(&mut String)) {
    let length = at.len();
    *at += "/";
    *at += &name.replace('~', "~0").replace('/', "~1");
    with(at);
    at.truncate(length);
}

/// Masks everything in a value and keeps its types: texts, numbers and, with `flags`, what is true. Whether anything
/// changed.
fn mask_all(json: &mut Json, flags: bool) -> bool {
    let mut masked = match json {
        Json::Text(text) => Json::Text(words::mask(text)),
        Json::Literal(literal) => Json::Literal(match literal.as_str() {
            "true" if flags => "false".to_owned(),
            "true" | "false" | "null" => literal.clone(),
            number => words::mask_number(number).to_owned(),
        }),
        Json::Array(elements) => {
            return elements.iter_mut().fold(false, |changed, element| mask_all(element, flags) | changed);
        }
        Json::Object(members) => {
            return members.iter_mut().fold(false, |changed, (_, value)| mask_all(value, flags) | changed);
        }
    };
    std::mem::swap(json, &mut masked);
    *json != masked
}

/// Masks what a pointer leads to; how many values that are.
fn hit(json: &mut Json, parts: &[String]) -> usize {
    let Some((part, rest)) = parts.split_first() else {
        mask_all(json, true);
        return 1;
    };
    match json {
        Json::Array(elements) => elements
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| part == "*" || *part == index.to_string())
            .map(|(_, element)| hit(element, rest))
            .sum(),
        Json::Object(members) => members
            .iter_mut()
            .filter(|(name, _)| part == "*" || part == name)
            .map(|(_, value)| hit(value, rest))
            .sum(),
        Json::Literal(_) | Json::Text(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::{
        cli::plugin::case,
        plugin::{Given, Kind},
    };

    const NONE: Masks =
        Masks { pointers: Vec::new(), headers: Vec::new(), proofs: Vec::new(), emails: false };

    fn event(body: &str) -> Event {
        let made_up = case::made_up(Kind::Filter).unwrap().given(Kind::Filter).unwrap();
        let Given::Event(view) = made_up else { panic!("a filter is given an event") };
        let mut event = view.event().clone();
        event.body = body.to_owned().into();
        event
    }

    fn json(masks: &Masks, body: &str) -> (String, Vec<String>) {
        let masked = masks.apply(&event(body)).unwrap();
        let Body::Json(json) = masked.body else { panic!("not JSON") };
        let compact: serde_json::Value = serde_json::from_str(&json.to_string()).unwrap();
        (compact.to_string(), masked.places.into_iter().filter(|place| place.starts_with("body")).collect())
    }

    #[test]
    fn members_with_secret_names_are_masked_and_keep_their_types() {
        let body = r#"{"a":1,"auth":{"token":"abc","n":7,"ok":true,"no":null},"password":"","pin":1234,"id_token":["t"]}"#;
        let (masked, places) = json(&NONE, body);
        assert_eq!(
            masked,
            r#"{"a":1,"auth":{"token":"xxxxxxxx","n":0,"ok":true,"no":null},"password":"","pin":0,"id_token":["xxxxxxxx"]}"#
        );
        assert_eq!(places, ["body `/auth`", "body `/pin`", "body `/id_token`"]);
    }

    #[test]
    fn values_that_look_secret_are_masked_anywhere() {
        let (masked, places) = json(&NONE, r#"{"a/b":[{"c":"4242424242424242"},4242424242424242],"d":"ok"}"#);
        assert_eq!(masked, r#"{"a/b":[{"c":"0000000000000000"},0],"d":"ok"}"#);
        assert_eq!(places, ["body `/a~1b/0/c`", "body `/a~1b/1`"]);
    }

    #[test]
    fn pointers_mask_what_they_lead_to() {
        let masks = Masks { pointers: vec![pointer("/u/*/n").unwrap(), pointer("/f").unwrap()], ..NONE };
        let (masked, _) = json(&masks, r#"{"u":[{"n":"Ann","k":"k"},{"n":5}],"f":true}"#);
        assert_eq!(masked, r#"{"u":[{"n":"xxxxxxxx","k":"k"},{"n":0}],"f":false}"#);
    }

    #[test]
    fn a_mask_that_hits_nothing_is_refused() {
        let masks = Masks { pointers: vec![pointer("/usr").unwrap()], ..NONE };
        let why = |body: &str| masks.apply(&event(body)).err().unwrap().to_string();
        assert!(why(r#"{"user":1}"#).contains("`--mask /usr`: there is nothing in the body"));
        assert!(why("text").contains("the body is not JSON"));
        assert!(pointer("usr").unwrap_err().to_string().contains("begins with `/`"));
        let masks = Masks { headers: vec!["x-none".into()], ..NONE };
        assert!(masks.apply(&event("")).err().unwrap().to_string().contains("no such header"));
    }

    #[test]
    fn headers_that_prove_or_open_something_are_masked() {
        let mut event = event("{}");
        event.headers = Default::default();
        for (name, value) in [
            ("x-odd-proof", "t=1"),
            ("x-api-key", "abc"),
            ("x-hub-signature-256", HIDDEN),
            ("x-session-token", "s"),
            ("x-mine", "m"),
            ("x-plain", "p"),
        ] {
            event.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        event.headers.append(HeaderName::from_static("x-odd"), HeaderValue::from_bytes(b"\xe9").unwrap());
        let masks = Masks {
            headers: vec!["x-mine".into()],
            proofs: vec![HeaderName::from_static("x-odd-proof")],
            ..NONE
        };
        let masked = masks.apply(&event).unwrap();
        let kept: Vec<_> =
            masked.headers.iter().filter(|(_, value)| *value != "x".repeat(value.len())).collect();
        assert_eq!(kept, [&("x-plain".to_owned(), "p".to_owned())]);
        assert_eq!(masked.headers.len(), 6);
        assert!(masked.places.iter().any(|place| place.starts_with("header `x-odd`: left out")));
    }

    #[test]
    fn the_headers_of_a_preset_are_known() {
        assert_eq!(proofs("github"), ["x-hub-signature-256"]);
        assert!(proofs("inline").is_empty());
    }

    #[test]
    fn a_secret_in_the_path_and_in_the_query_is_masked() {
        let mut event = event("");
        event.path = "/in/s%20cret/a".to_owned();
        event.query = Some("page=1&token=abc".to_owned());
        event.params = vec![("token".to_owned(), "s cret".to_owned()), ("x".to_owned(), "a".to_owned())];
        let masked = NONE.apply(&event).unwrap();
        assert_eq!(masked.path, "/in/xxxxxxxx/a");
        assert_eq!(masked.query.as_deref(), Some("page=1&token=xxxxxxxx"));
        assert_eq!(masked.params[1], ("x".to_owned(), "a".to_owned()));
        assert_eq!(masked.places, ["path `{token}`", "query `token`"]);
    }

    #[test]
    fn what_is_not_text_is_left_alone_and_said_so() {
        let mut event = event("");
        event.body = bytes::Bytes::from_static(b"\xff");
        let masked = NONE.apply(&event).unwrap();
        assert_eq!(masked.body.as_file(), Some(&b"\xff"[..]));
        assert!(masked.places.iter().any(|place| place.contains("nothing in the body")));
    }
}
