//! What came of a case, as `expected.json` has it.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;

use super::json::Json;
use crate::{
    event::Headers,
    plugin::{Answer, Call, CallError, Draft, Folded},
};

/// What a plugin that refuses its config comes to.
pub(super) fn refused(reason: &str) -> Json {
    object([("verdict", Json::text("config-refused")), ("reason", Json::text(reason))])
}

/// What a call came to. Bodies are shown in the way that `expected` has them, else as JSON if they are JSON, as text
/// if they are text, and in Base64.
pub(super) fn of(call: &Call, expected: Option<&Json>) -> Json {
    let mut members = match &call.answer {
        Ok(Answer::Keep) => vec![member("verdict", "keep")],
        Ok(Answer::Drop(reason)) => vec![member("verdict", "drop"), member("reason", reason)],
        Ok(Answer::Messages(drafts)) => {
            vec![member("verdict", "messages"), ("messages".to_owned(), messages(drafts, expected))]
        }
        Err(error) => failed(error),
    };
    said(&call.log, &mut members);
    Json::Object(members)
}

/// What a fold of so many items came to; bodies as [`of`] shows them.
pub(super) fn of_fold(call: &Call<Vec<Folded>>, items: usize, expected: Option<&Json>) -> Json {
    let mut members = match &call.answer {
        Ok(made) => {
            let expected = expected_messages(expected);
            let made = made.iter().enumerate().map(|(at, made)| folded(made, items, expected.get(at)));
            vec![member("verdict", "messages"), ("messages".to_owned(), Json::Array(made.collect()))]
        }
        Err(error) => failed(error),
    };
    said(&call.log, &mut members);
    Json::Object(members)
}

/// Which items are in it is shown where not all are.
fn folded(made: &Folded, of: usize, expected: Option<&Json>) -> Json {
    let Folded { message, items } = made;
    let mut members = Vec::new();
    if !message.headers.is_empty() {
        members.push(("headers".to_owned(), headers(&message.headers)));
    }
    members.push(body(&message.body, expected));
    if items.len() < of {
        let items = items.iter().map(|item| Json::Literal(item.to_string())).collect();
        members.push(("items".to_owned(), Json::Array(items)));
    }
    Json::Object(members)
}

fn said(log: &[String], members: &mut Vec<(String, Json)>) {
    if !log.is_empty() {
        members.push(("log".to_owned(), Json::Array(log.iter().map(Json::text).collect())));
    }
}

fn expected_messages(expected: Option<&Json>) -> &[Json] {
    expected.and_then(|expected| expected.get("messages")).map_or(&[][..], Json::elements)
}

fn failed(error: &CallError) -> Vec<(String, Json)> {
    let mut members = vec![
        member("verdict", "error"),
        member("error", error.outcome()),
        member("text", &error.to_string()),
    ];
    if let CallError::Retry { after: Some(after), .. } = error {
        members.push(("after_ms".to_owned(), Json::Literal(after.as_millis().to_string())));
    }
    members
}

fn messages(drafts: &[Draft], expected: Option<&Json>) -> Json {
    let expected = expected_messages(expected);
    let made = drafts.iter().enumerate().map(|(at, draft)| message(draft, expected.get(at)));
    Json::Array(made.collect())
}

fn message(draft: &Draft, expected: Option<&Json>) -> Json {
    let Draft { message, attributes } = draft;
    let mut members = Vec::new();
    if !message.headers.is_empty() {
        members.push(("headers".to_owned(), headers(&message.headers)));
    }
    members.push(body(&message.body, expected));
    if let Some(names) = &message.destinations {
        members.push(("destinations".to_owned(), Json::Array(names.iter().map(Json::text).collect())));
    }
    if let Some(key) = &message.key {
        members.push(member("key", key));
    }
    if !attributes.is_empty() {
        let attributes = attributes.iter().map(|(name, value)| member(name, value)).collect();
        members.push(("attributes".to_owned(), Json::Object(attributes)));
    }
    Json::Object(members)
}

/// A text for a header with one value, else a list.
fn headers(headers: &Headers) -> Json {
    let mut members: Vec<(String, Json)> = Vec::new();
    for name in headers.iter().map(|(name, _)| name.as_str()) {
        if members.iter().any(|(known, _)| known == name) {
            continue;
        }
        let mut values: Vec<_> = headers.get_all(name).map(header_value).collect();
        let value = if values.len() == 1 { values.remove(0) } else { Json::Array(values) };
        members.push((name.to_owned(), value));
    }
    Json::Object(members)
}

fn header_value(value: &HeaderValue) -> Json {
    Json::text(String::from_utf8_lossy(value.as_bytes()))
}

fn body(bytes: &[u8], expected: Option<&Json>) -> (String, Json) {
    let Ok(text) = str::from_utf8(bytes) else {
        return member("body_base64", &BASE64_STANDARD.encode(bytes));
    };
    let as_text = expected.is_some_and(|expected| expected.get("body").is_some());
    match Json::parse(text) {
        Ok(json) if !as_text => ("body_json".to_owned(), json),
        _ => member("body", text),
    }
}

fn member(name: &str, text: &str) -> (String, Json) {
    (name.to_owned(), Json::text(text))
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderName;

    use super::*;
    use crate::event::Message;

    fn call(answer: Result<Answer, CallError>) -> Call {
        Call { answer, elapsed: Duration::ZERO, log: Vec::new() }
    }

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    fn made(body: &'static [u8]) -> Call {
        let message =
            Message { headers: Headers::default(), body: body.into(), destinations: None, key: None };
        call(Ok(Answer::Messages(vec![Draft { message, attributes: Vec::new() }])))
    }

    #[test]
    fn verdicts_of_filters_have_their_reasons_and_the_log() {
        assert_eq!(of(&call(Ok(Answer::Keep)), None), json(r#"{ "verdict": "keep" }"#));
        let dropped = Call { log: vec!["info: hm".into()], ..call(Ok(Answer::Drop("old".into()))) };
        assert_eq!(
            of(&dropped, None),
            json(r#"{ "verdict": "drop", "reason": "old", "log": ["info: hm"] }"#)
        );
    }

    #[test]
    fn errors_have_their_kind_and_text() {
        let later = CallError::Retry { reason: "busy".into(), after: Some(Duration::from_secs(2)) };
        assert_eq!(
            of(&call(Err(later)), None),
            json(
                r#"{ "verdict": "error", "error": "retry", "text": "wants to be called again: busy",
                    "after_ms": 2000 }"#
            )
        );
    }

    #[test]
    fn a_message_has_all_that_was_given_to_it() {
        let mut headers = Headers::default();
        for (name, value) in [("x-a", "1"), ("x-b", "2"), ("x-b", "3")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let message = Message {
            headers,
            body: "x".into(),
            destinations: Some(vec!["one".into()]),
            key: Some("k".into()),
        };
        let draft = Draft { message, attributes: vec![("a".into(), "b".into())] };
        assert_eq!(
            of(&call(Ok(Answer::Messages(vec![draft]))), None).get("messages").unwrap().elements()[0],
            json(
                r#"{ "headers": { "x-a": "1", "x-b": ["2", "3"] }, "body": "x", "destinations": ["one"],
                    "key": "k", "attributes": { "a": "b" } }"#
            )
        );
    }

    #[test]
    fn bodies_are_json_text_or_base64() {
        let body = |bytes, expected: Option<&str>| {
            let outcome = of(&made(bytes), expected.map(json).as_ref());
            outcome.get("messages").unwrap().elements()[0].clone()
        };
        assert_eq!(body(br#"{"n":1.0}"#, None), json(r#"{ "body_json": { "n": 1.0 } }"#));
        assert_eq!(body(b"hello", None), json(r#"{ "body": "hello" }"#));
        assert_eq!(body(b"\xff", None), json(r#"{ "body_base64": "/w==" }"#));
        let as_text = r#"{ "messages": [{ "body": "{}" }] }"#;
        assert_eq!(body(b"{ }", Some(as_text)), json(r#"{ "body": "{ }" }"#));
    }
}
