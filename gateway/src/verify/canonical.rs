//! Texts that providers make of several parts of a request, each in a way of its own.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use http::HeaderName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Refused, reader::Reader};

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What Python's `urlencode` leaves as it is, and the blank, which becomes `+`.
const URLENCODE: AsciiSet = NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b' ');
/// What JavaScript's `querystring.escape` leaves as it is.
const ESCAPE: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// What JavaScript's `encodeURI` leaves as it is.
const ENCODE_URI: AsciiSet = ESCAPE
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');

/// Keys and values, sorted; the values of one key sorted, each once (Twilio, Mandrill).
pub(super) fn form_concat(form: &[Pair<'_>]) -> String {
    let pairs: BTreeSet<(&str, &str)> = form.iter().map(|(key, value)| (&**key, &**value)).collect();
    pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()
}

/// The pairs sorted and encoded anew (MessageBird).
pub(super) fn query_sorted_urlencoded<'a>(query: impl Iterator<Item = Pair<'a>>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, &URLENCODE).to_string().replace(' ', "+");
    let mut pairs: Vec<_> = query.collect();
    pairs.sort_unstable();
    let pairs = pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// `key=value` sorted, nothing between, the values of one key joined by `,` (Shopify's app proxy).
pub(super) fn query_sorted_concat<'a>(query: impl Iterator<Item = Pair<'a>>, except: &str) -> String {
    let mut values = BTreeMap::<_, Vec<_>>::new();
    for (key, value) in query.filter(|(key, _)| key != except) {
        values.entry(key).or_default().push(value);
    }
    let mut pairs: Vec<_> =
        values.into_iter().map(|(key, values)| format!("{key}={}", values.join(","))).collect();
    // By the whole of `key=value`, which is not the order of the keys where one begins with another.
    pairs.sort_unstable();
    pairs.concat()
}

/// `&key=value` sorted, with `&` and `=` in values made `_` (Vonage).
pub(super) fn query_sorted_amp<'a>(query: impl Iterator<Item = Pair<'a>>, except: &str) -> String {
    let mut pairs: Vec<_> = query.filter(|(key, _)| key != except).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(key, value)| format!("&{key}={}", value.replace(['&', '='], "_"))).collect()
}

/// The names, then the values of these headers, all joined by `.` (Hook0).
///
/// # Errors
/// If a header is not there, or more than once: what is not delivered cannot be what was signed.
pub(super) fn signed_headers(reader: &Reader<'_>, names: &str) -> Result<String, Refused> {
    let values = names.split(' ').map(|name| delivered(reader, name));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{names}.{}", values.join(".")))
}

/// `name:value`, sorted and joined by `;`, of the headers that a header lists (Contentful).
///
/// # Errors
/// As [`signed_headers`].
pub(super) fn listed_headers(reader: &Reader<'_>, list: &HeaderName) -> Result<String, Refused> {
    let names = delivered(reader, list.as_str())?;
    let mut names: Vec<_> = names.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    names.sort_unstable();
    let pair = |name: &String| Ok(format!("{name}:{}", delivered(reader, name)?));
    Ok(names.iter().map(pair).collect::<Result<Vec<_>, _>>()?.join(";"))
}

/// Whether a header is among those that another one lists.
///
/// # Errors
/// If there is no list, or more than one.
pub(super) fn lists_header(
    reader: &Reader<'_>,
    list: &HeaderName,
    header: &HeaderName,
) -> Result<bool, Refused> {
    let names = delivered(reader, list.as_str())?;
    Ok(names.split(',').any(|name| name.trim().eq_ignore_ascii_case(header.as_str())))
}

fn delivered<'r>(reader: &'r Reader<'_>, name: &str) -> Result<Cow<'r, str>, Refused> {
    let missing = || Refused::FieldMissing { field: format!("header:{name}") };
    let name = name.parse().map_err(|_| missing())?;
    reader.header(&name)?.ok_or_else(missing)
}

/// The path with its query escaped twice: `encodeURI(path + "?" + querystring.escape(query))`.
pub(super) fn contentful_path(path: &str, query: Option<&str>) -> String {
    let query = query.filter(|query| !query.is_empty());
    let query = query.map_or(String::new(), |query| format!("?{}", utf8_percent_encode(query, &ESCAPE)));
    let path = if path.is_empty() { "/" } else { path };
    utf8_percent_encode(&format!("{path}{query}"), &ENCODE_URI).to_string()
}

/// The message's keys and values, each on a line of its own (AWS SNS).
///
/// # Errors
/// If the body is no JSON object, or one of these values is no text.
pub(super) fn sns_canonical(message: Option<&Value>) -> Result<String, Refused> {
    const NOTIFICATION: &[&str] = &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
    const CONFIRMATION: &[&str] =
        &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];
    let message = message.and_then(Value::as_object);
    let message = message.ok_or_else(|| Refused::FieldMissing { field: "json:/Type".to_owned() })?;
    let is_notification = message.get("Type").and_then(Value::as_str) == Some("Notification");
    let mut text = String::new();
    for key in if is_notification { NOTIFICATION } else { CONFIRMATION } {
        match message.get(*key) {
            None | Some(Value::Null) => {}
            Some(Value::String(value)) => text.extend([key, "\n", value, "\n"]),
            Some(_) => return Err(Refused::Unreadable { field: format!("json:/{key}") }),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{reader::pairs, tests::request, vars::Vars};

    #[test]
    fn forms_are_sorted_and_repetitions_dropped() {
        let form: Vec<_> = pairs("b=2&a=y+z&a=x&a=x&B=%C3%A9&empty").collect();
        assert_eq!(form_concat(&form), "Béaxay zb2empty");
    }

    #[test]
    fn queries_are_sorted_and_written_anew() {
        let query = || pairs("b=x+y&a=~1*&a=%26&sig=s&b=");
        assert_eq!(query_sorted_urlencoded(query()), "a=%26&a=~1%2A&b=&b=x+y&sig=s");
        assert_eq!(query_sorted_concat(query(), "sig"), "a=~1*,&b=x y,");
        assert_eq!(query_sorted_amp(query(), "sig"), "&a=_&a=~1*&b=&b=x y");
        assert_eq!(query_sorted_concat(pairs("a=1&a-b=2"), "sig"), "a-b=2a=1");
    }

    #[test]
    fn headers_that_are_listed_must_be_there_once() {
        let mut request = request();
        request.headers.insert("x-b", "2".parse().unwrap());
        request.headers.insert("x-list", "X-B, x-a".parse().unwrap());
        let vars = Vars::default();
        let reader = Reader::new(&request, &vars);
        assert_eq!(signed_headers(&reader, "x-b X-A").unwrap(), "x-b X-A.2.1");
        assert_eq!(listed_headers(&reader, &"x-list".parse().unwrap()).unwrap(), "x-a:1;x-b:2");
        for names in ["", "x-c", "x-a  x-b", "x-a,x-b"] {
            assert!(matches!(signed_headers(&reader, names), Err(Refused::FieldMissing { .. })), "{names}");
        }
        assert!(matches!(
            listed_headers(&reader, &"x-none".parse().unwrap()),
            Err(Refused::FieldMissing { .. })
        ));
    }

    #[test]
    fn contentful_escapes_the_query_twice() {
        assert_eq!(contentful_path("/a b", Some("q=1&r=(x)")), "/a%20b?q%253D1%2526r%253D(x)");
        assert_eq!(contentful_path("", Some("")), "/");
    }

    #[test]
    fn only_texts_are_part_of_an_sns_message() {
        let canonical = |json: &str| sns_canonical(serde_json::from_str(json).ok().as_ref());
        let text = canonical(r#"{"Type":"Notification","Token":"t","Message":"m","Subject":null}"#);
        assert_eq!(text.unwrap(), "Message\nm\nType\nNotification\n");
        let text = canonical(r#"{"Type":"SubscriptionConfirmation","Token":"t","Subject":"s"}"#);
        assert_eq!(text.unwrap(), "Token\nt\nType\nSubscriptionConfirmation\n");
        assert!(matches!(canonical(r#"{"Type":["Notification"]}"#), Err(Refused::Unreadable { .. })));
        assert!(matches!(canonical("[]"), Err(Refused::FieldMissing { .. })));
        assert!(matches!(canonical("x"), Err(Refused::FieldMissing { .. })));
    }
}
