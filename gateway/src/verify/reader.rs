//! Reads values from a request of which nothing is proven yet.

use std::{borrow::Cow, sync::OnceLock};

use http::{HeaderName, header::CONTENT_TYPE};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Refused, Unverified, document::document, source::Field, vars::Vars};

/// A key and its value, decoded.
pub(super) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// One request, read while it is checked. The body is parsed at most once, and only where a scheme has its proof
/// in there.
pub(super) struct Reader<'a> {
    pub(super) request: &'a Unverified,
    pub(super) vars: &'a Vars,
    /// `None` where the body is no form.
    form: OnceLock<Option<Vec<Pair<'a>>>>,
    json: OnceLock<Option<Value>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(request: &'a Unverified, vars: &'a Vars) -> Self {
        Self { request, vars, form: OnceLock::new(), json: OnceLock::new() }
    }

    /// The value, if it is there once. A `*` in a pointer stands for no item: see [`read_of`](Self::read_of).
    ///
    /// # Errors
    /// [`Refused::Repeated`]: proxies disagree on which of several counts. [`Refused::Unreadable`]: not text.
    pub(super) fn read(&self, field: &Field) -> Result<Option<Cow<'_, str>>, Refused> {
        self.read_of(field, None)
    }

    /// The value, for one item of the list that a scheme signs item by item.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn read_of(
        &self,
        field: &Field,
        item: Option<usize>,
    ) -> Result<Option<Cow<'_, str>>, Refused> {
        match field {
            Field::Header(name) => self.header(name),
            Field::Query(name) => once(self.query(), name, field),
            Field::Form(name) => once(self.form().iter().cloned(), name, field),
            Field::Json(pointer) => Ok(self.json().and_then(|json| pointer.scalar(json, item))),
            Field::Var(name) => Ok(self.vars.one(name).map(Cow::Borrowed)),
            // Only facts are read from claims, once the token is proven.
            Field::Claim(_) => Ok(None),
        }
    }

    /// The header's value, if it is there once.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) fn header(&self, name: &HeaderName) -> Result<Option<Cow<'a, str>>, Refused> {
        let mut values = self.request.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refused::Repeated { field: format!("header:{name}") });
        }
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(Cow::Borrowed(text))),
            Err(_) => Err(Refused::Unreadable { field: format!("header:{name}") }),
        }
    }

    /// The query's pairs, decoded (`+` is a blank), in their order.
    pub(super) fn query(&self) -> impl Iterator<Item = Pair<'a>> {
        pairs(self.request.query.as_deref().unwrap_or_default())
    }

    /// The pairs of a form, decoded, in their order; none where the body is no form.
    pub(super) fn form(&self) -> &[Pair<'a>] {
        self.read_form().unwrap_or_default()
    }

    /// Whether the body is a form: it says so, in one content type, and is text.
    pub(super) fn is_form(&self) -> bool {
        self.read_form().is_some()
    }

    fn read_form(&self) -> Option<&[Pair<'a>]> {
        let read = || {
            let kind = self.header(&CONTENT_TYPE).ok()??.to_ascii_lowercase();
            let is_form = kind.contains("application/x-www-form-urlencoded");
            let text = std::str::from_utf8(&self.request.body).ok().filter(|_| is_form)?;
            Some(pairs(text).collect())
        };
        self.form.get_or_init(read).as_deref()
    }

    /// The body as JSON, if it is or has a part that is.
    pub(super) fn json(&self) -> Option<&Value> {
        let read = || serde_json::from_slice(document(&self.request.headers, &self.request.body)).ok();
        self.json.get_or_init(read).as_ref()
    }
}

fn once<'p>(
    pairs: impl Iterator<Item = Pair<'p>>,
    name: &str,
    field: &Field,
) -> Result<Option<Cow<'p, str>>, Refused> {
    let mut values = pairs.filter_map(|(key, value)| (key == name).then_some(value));
    let Some(value) = values.next() else { return Ok(None) };
    match values.next() {
        None => Ok(Some(value)),
        Some(_) => Err(Refused::Repeated { field: field.to_string() }),
    }
}

/// The pairs of a query or a form (WHATWG URL, application/x-www-form-urlencoded parsing).
/// What is not UTF-8 becomes U+FFFD.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = Pair<'_>> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

/// A key or a value of a query or a form.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    match text.contains('+') {
        true => Cow::Owned(percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()),
        false => percent_decode_str(text).decode_utf8_lossy(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tests::request;

    fn read(field: &str, query: &str) -> Result<Option<String>, Refused> {
        let mut request = request();
        request.query = Some(query.to_owned());
        let vars = Vars::default();
        Ok(Reader::new(&request, &vars).read(&field.parse().unwrap())?.map(Cow::into_owned))
    }

    #[test]
    fn query_values_are_decoded() {
        assert_eq!(read("query:sig", "a=1&sig=x%2By%3D&b").unwrap().as_deref(), Some("x+y="));
        assert_eq!(read("query:sig", "sig=a+b").unwrap().as_deref(), Some("a b"));
        assert_eq!(read("query:sig", "a=1").unwrap(), None);
    }

    #[test]
    fn repeated_query_values_are_refused() {
        assert!(matches!(read("query:sig", "sig=1&sig=1"), Err(Refused::Repeated { .. })));
    }

    #[test]
    fn a_form_counts_only_where_the_body_says_that_it_is_one() {
        let mut request = request();
        request.body = "a=1&b=x%20y".into();
        let (vars, field) = (Vars::default(), "form:b".parse().unwrap());
        assert_eq!(Reader::new(&request, &vars).read(&field).unwrap(), None);
        request
            .headers
            .insert(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8".parse().unwrap());
        assert_eq!(Reader::new(&request, &vars).read(&field).unwrap().as_deref(), Some("x y"));
    }

    #[test]
    fn what_is_no_text_is_no_form() {
        let mut request = request();
        request.body = (&b"a=\xff"[..]).into();
        let kind = || "application/x-www-form-urlencoded".parse().unwrap();
        request.headers.insert(CONTENT_TYPE, kind());
        let vars = Vars::default();
        assert!(!Reader::new(&request, &vars).is_form());
        request.body = "a=%FF".into();
        assert_eq!(Reader::new(&request, &vars).form()[0].1, "\u{fffd}");
        request.headers.append(CONTENT_TYPE, kind());
        assert!(!Reader::new(&request, &vars).is_form());
    }

    #[test]
    fn json_values_are_found_by_item() {
        let mut request = request();
        request.body = r#"{"items":[{"id":1},{"id":"b"}],"flag":true}"#.into();
        let vars = Vars::default();
        let reader = Reader::new(&request, &vars);
        let of =
            |field: &str, item| reader.read_of(&field.parse().unwrap(), item).unwrap().map(Cow::into_owned);
        assert_eq!(of("json:/items/*/id", Some(0)).as_deref(), Some("1"));
        assert_eq!(of("json:/items/*/id", Some(1)).as_deref(), Some("b"));
        assert_eq!(of("json:/items/*/id", None), None);
        assert_eq!(of("json:/flag", None).as_deref(), Some("true"));
        assert_eq!(of("json:/items", None), None);
    }
}
