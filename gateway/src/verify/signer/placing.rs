//! Puts values into a request: the other end of [`Reader`](crate::verify::reader::Reader).

use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use serde_json::Value;

use super::SignError;
use crate::verify::{
    Unverified, Vars,
    pointer::Pointer,
    reader::{Reader, pairs},
    scheme::Field,
};

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Puts a value at a place, instead of what is there.
pub(super) fn put(
    request: &mut Unverified,
    place: &Field,
    item: Option<usize>,
    value: &str,
) -> Result<(), SignError> {
    match place {
        Field::Header(name) => put_header(request, name, value.as_bytes()),
        Field::Query(name) => {
            let query = with_pair(request.query.as_deref().unwrap_or_default(), name, value);
            request.query = Some(query);
            Ok(())
        }
        Field::Form(name) => {
            if !is_form(request) && !request.body.is_empty() {
                return Err(SignError::NotAForm { field: place.to_string() });
            }
            let text = String::from_utf8_lossy(&request.body).into_owned();
            request.headers.insert(CONTENT_TYPE, FORM);
            request.body = with_pair(&text, name, value).into();
            Ok(())
        }
        Field::Json(pointer) => put_json(request, pointer, item, Value::from(value)),
        Field::Var(_) | Field::Claim(_) => Err(SignError::NotAPlace { field: place.to_string() }),
    }
}

/// As [`put`], for a time: a number, where it is one in JSON.
pub(super) fn put_time(request: &mut Unverified, place: &Field, text: &str) -> Result<(), SignError> {
    match (place, text.parse::<u64>()) {
        (Field::Json(pointer), Ok(number)) => put_json(request, pointer, None, number.into()),
        _ => put(request, place, None, text),
    }
}

pub(super) fn put_header(request: &mut Unverified, name: &HeaderName, value: &[u8]) -> Result<(), SignError> {
    let value = HeaderValue::from_bytes(value).map_err(|_| SignError::Value { field: name.to_string() })?;
    request.headers.insert(name, value);
    Ok(())
}

fn put_json(
    request: &mut Unverified,
    pointer: &Pointer,
    item: Option<usize>,
    value: Value,
) -> Result<(), SignError> {
    let not_json = || SignError::NotJson { field: format!("json:{pointer}") };
    let mut json = match request.body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&request.body).map_err(|_| not_json())?,
    };
    if !pointer.set(&mut json, item, value) {
        return Err(not_json());
    }
    request.body = json.to_string().into();
    Ok(())
}

/// Makes the body a form of one field that holds what was the body.
pub(super) fn wrap_in_form(request: &mut Unverified, name: &str) {
    if !is_form(request) {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        request.headers.insert(CONTENT_TYPE, FORM);
        request.body = with_pair("", name, &text).into();
    }
}

pub(super) fn is_form(request: &Unverified) -> bool {
    let kind = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("application/x-www-form-urlencoded"))
}

/// Whether the request has the value, once.
pub(super) fn has(request: &Unverified, place: &Field, item: Option<usize>) -> bool {
    let vars = Vars::default();
    matches!(Reader::new(request, &vars).read_of(place, item), Ok(Some(_)))
}

/// What is signed each by itself: the request as a whole, or the items of a list, one of which may have to be made.
pub(super) fn items(request: &Unverified, each: Option<&Pointer>) -> Vec<Option<usize>> {
    let Some(list) = each else { return vec![None] };
    let json: Option<Value> = serde_json::from_slice(&request.body).ok();
    let length = json.as_ref().and_then(|json| list.value(json, None)?.as_array()).map_or(1, Vec::len);
    (0..length.max(1)).map(Some).collect()
}

/// A query or form with this pair at its end and no other of its name.
fn with_pair(text: &str, name: &str, value: &str) -> String {
    let others = text.split('&').filter(|pair| pairs(pair).next().is_some_and(|(key, _)| key != name));
    let pair = format!("{}={}", escaped(name), escaped(value));
    others.map(str::to_owned).chain([pair]).collect::<Vec<_>>().join("&")
}

/// All but RFC 3986's unreserved characters as `%XX`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(byte.into()),
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tests::request;

    #[track_caller]
    fn check(place: &str, item: Option<usize>, body: &'static str, expected: &str) {
        let mut request = request();
        request.body = body.into();
        let place: Field = place.parse().unwrap();
        put(&mut request, &place, item, "a&b").unwrap();
        assert_eq!(request.body, expected);
        let vars = Vars::default();
        assert_eq!(Reader::new(&request, &vars).read_of(&place, item).unwrap().as_deref(), Some("a&b"));
    }

    #[test]
    fn what_is_put_is_read() {
        check("header:x-sig", None, "{}", "{}");
        check("query:sig", None, "{}", "{}");
        check("form:sig", None, "", "sig=a%26b");
        check("json:/a/b", None, r#"{"c":1}"#, r#"{"c":1,"a":{"b":"a&b"}}"#);
        check("json:/l/*/s", Some(1), r#"{"l":[{},{"s":0}]}"#, r#"{"l":[{},{"s":"a&b"}]}"#);
        check("json:/l/*/s", Some(0), "", r#"{"l":[{"s":"a&b"}]}"#);
    }

    #[test]
    fn a_pair_takes_the_place_of_its_namesake() {
        assert_eq!(with_pair("a=1&s%69g=x&&b", "sig", "y z"), "a=1&b&sig=y%20z");
    }

    #[test]
    fn a_body_without_room_is_refused() {
        let mut request = request();
        request.body = "x".into();
        let refused =
            |request: &mut Unverified, place: &str| put(request, &place.parse().unwrap(), None, "v");
        assert!(matches!(refused(&mut request, "json:/a"), Err(SignError::NotJson { .. })));
        assert!(matches!(refused(&mut request, "form:a"), Err(SignError::NotAForm { .. })));
        assert!(matches!(refused(&mut request, "var:a"), Err(SignError::NotAPlace { .. })));
        request.body = r#"{"a":1}"#.into();
        assert!(matches!(refused(&mut request, "json:/a/b"), Err(SignError::NotJson { .. })));
    }
}
