//! What came of a case, as `expected.json` has it.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::json::Json;
use crate::{
    event::Headers,
    plugin::{Answer, Call, CallError, Draft, Folded, Judgement, Reply},
};

/// What a plugin that refuses its config comes to.
pub(super) fn refused(reason: &str) -> Json {
    object([("verdict", Json::text("config-refused")), ("reason", Json::text(reason))])
}

/// What a call came to. Bodies are shown in the way that `expected` has them, else as JSON if they are JSON, as text
/// if they are text, and in Base64.
pub(super) fn of(call: &Call<Reply>, expected: Option<&Json>) -> Json {
    let mut members = match &call.answer {
        Ok(Reply::Judged(judgement)) => judged(judgement, expected),
        Ok(Reply::Decided(answer)) => decided(answer, expected),
        Ok(Reply::Folded { made, of }) => {
            let expected = expected_messages(expected);
            let made = made.iter().enumerate().map(|(at, made)| folded(made, *of, expected.get(at)));
            vec![member("verdict", "messages"), ("messages".to_owned(), Json::Array(made.collect()))]
        }
        Err(error) => failed(error),
    };
    if !call.log.is_empty() {
        members.push(("log".to_owned(), Json::Array(call.log.iter().map(Json::text).collect())));
    }
    if !call.counts.is_empty() {
        let counts = call.counts.iter().map(|(name, by)| (name.clone(), Json::Literal(by.to_string())));
        members.push(("counts".to_owned(), Json::Object(counts.collect())));
    }
    Json::Object(members)
}

fn judged(judgement: &Judgement, expected: Option<&Json>) -> Vec<(String, Json)> {
    match judgement {
        Judgement::Accept { delivery_id, event_type } => {
            let known = [("delivery_id", delivery_id), ("event_type", event_type)];
            let known = known.into_iter().filter_map(|(name, value)| Some(member(name, value.as_ref()?)));
            [member("verdict", "accept")].into_iter().chain(known).collect()
        }
        Judgement::Reject(reason) => vec![member("verdict", "reject"), member("reason", reason)],
        Judgement::Respond { status, headers, body: bytes } => {
            let mut members =
                vec![member("verdict", "respond"), ("status".to_owned(), Json::Literal(status.to_string()))];
            if !headers.is_empty() {
                let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
                members.push(("headers".to_owned(), fields(headers)));
            }
            members.push(body(bytes, expected));
            members
        }
    }
}

fn decided(answer: &Answer, expected: Option<&Json>) -> Vec<(String, Json)> {
    match answer {
        Answer::Keep => vec![member("verdict", "keep")],
        Answer::Drop(reason) => vec![member("verdict", "drop"), member("reason", reason)],
        Answer::Messages(drafts) => {
            vec![member("verdict", "messages"), ("messages".to_owned(), messages(drafts, expected))]
        }
    }
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

fn headers(headers: &Headers) -> Json {
    fields(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// A text for a header with one value, else a list.
fn fields<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Json {
    let mut by_name: Vec<(&str, Vec<Json>)> = Vec::new();
    for (name, value) in fields {
        let value = Json::text(String::from_utf8_lossy(value));
        match by_name.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => by_name.push((name, vec![value])),
        }
    }
    let member = |(name, mut values): (&str, Vec<Json>)| match values.len() {
        1 => (name.to_owned(), values.remove(0)),
        _ => (name.to_owned(), Json::Array(values)),
    };
    Json::Object(by_name.into_iter().map(member).collect())
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

    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::event::Message;

    fn call(answer: Result<Answer, CallError>) -> Call<Reply> {
        told(answer.map(Reply::Decided))
    }

    fn told(answer: Result<Reply, CallError>) -> Call<Reply> {
        Call { answer, elapsed: Duration::ZERO, log: Vec::new(), counts: Vec::new() }
    }

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    fn made(body: &'static [u8]) -> Call<Reply> {
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
    fn what_was_counted_is_part_of_it() {
        let counted = Call { counts: vec![("seen".into(), 2)], ..call(Ok(Answer::Keep)) };
        assert_eq!(of(&counted, None), json(r#"{ "verdict": "keep", "counts": { "seen": 2 } }"#));
    }

    #[test]
    fn judgements_have_what_they_say() {
        let of = |judgement| of(&told(Ok(Reply::Judged(judgement))), None);
        let accepted = Judgement::Accept { delivery_id: Some("7".into()), event_type: None };
        assert_eq!(of(accepted), json(r#"{ "verdict": "accept", "delivery_id": "7" }"#));
        let refused = Judgement::Reject("stale".into());
        assert_eq!(of(refused), json(r#"{ "verdict": "reject", "reason": "stale" }"#));
        let headers = vec![("content-type".to_owned(), b"text/plain".to_vec())];
        let answered = Judgement::Respond { status: 200, headers, body: b"hi".to_vec() };
        assert_eq!(
            of(answered),
            json(
                r#"{ "verdict": "respond", "status": 200, "headers": { "content-type": "text/plain" },
                    "body": "hi" }"#
            )
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
