use serde_json::{Value, json};
use sluice_plugin::{Error, Event, EventBuilder, Message, Transform, testing};

use super::CloudEvents;

const ID: &str = "019b76da-a800-7000-8000-000000000000";
const BODY: &str = r#"{ "n": 12345678901234567890123, "issue": {"number": 7, "title": "It \"works\"\nnow é"}, "nil": null }"#;

fn issue() -> EventBuilder {
    Event::builder()
        .event_type("issues")
        .header("content-type", "application/json")
        .header("x-delivery", "d-1")
        .param("tenant", "a b/é%")
}

fn wrap_event(config: &Value, event: EventBuilder, body: &[u8]) -> Result<Message, Error> {
    let plugin: CloudEvents = testing::transform(&config.to_string())?;
    let made = plugin.transform(&event.build(), body.to_vec().into())?;
    let [message] = Vec::from(made).try_into().unwrap();
    Ok(message)
}

fn wrap(config: &Value) -> Result<Message, Error> {
    wrap_event(config, issue(), BODY.as_bytes())
}

/// The event in structured mode, without its data.
fn attributes(config: &Value) -> Value {
    let mut event: Value = serde_json::from_slice(wrap(config).unwrap().body()).unwrap();
    event.as_object_mut().unwrap().remove("data");
    event
}

fn headers(message: &Message) -> Vec<(&str, &str)> {
    message.headers().map(|(name, value)| (name, str::from_utf8(value).unwrap())).collect()
}

#[track_caller]
fn refused(config: &Value, reason: &str) {
    assert_eq!(wrap(config), Err(Error::config(reason)));
}

#[test]
fn structured_event_has_its_json_as_it_was_written() {
    let message = wrap(&json!({ "type_prefix": "com.github.", "subject": "/issue/number" })).unwrap();
    let expected = format!(
        r#"{{"specversion":"1.0","id":"{ID}","source":"/test","type":"com.github.issues","time":"2026-01-01T00:00:00.000Z","subject":"7","datacontenttype":"application/json","data":{BODY}}}"#
    );
    assert_eq!(str::from_utf8(message.body()).unwrap(), expected);
    assert_eq!(headers(&message), [("content-type", "application/cloudevents+json; charset=utf-8")]);
}

#[test]
fn binary_event_has_its_attributes_in_headers_and_its_body_as_it_came() {
    let config = json!({ "mode": "binary", "subject": "/issue/title", "extensions": { "tenant": "{{param:tenant}}" } });
    let message = wrap(&config).unwrap();
    assert_eq!(message.body(), BODY.as_bytes());
    assert_eq!(
        headers(&message),
        [
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", ID),
            ("ce-source", "/test"),
            ("ce-type", "issues"),
            ("ce-time", "2026-01-01T00:00:00.000Z"),
            ("ce-subject", "It%20%22works%22%20now%20%C3%A9"),
            ("ce-tenant", "a%20b/%C3%A9%25"),
        ]
    );
}

#[test]
fn id_and_source_are_templates() {
    let event = attributes(
        &json!({ "id": "{{header:x-delivery}}-{{/issue/number}}", "source": "urn:x%2f:{{param:tenant}}" }),
    );
    assert_eq!(event["id"], "d-1-7");
    assert_eq!(event["source"], "urn:x%2f:a%20b/%C3%A9%25");
}

#[test]
fn event_without_type_has_the_default_one() {
    for (config, expected) in [
        (json!({}), "webhook"),
        (json!({ "type_prefix": "org.example.", "default_type": "hook" }), "org.example.hook"),
    ] {
        let message = wrap_event(&config, Event::builder(), b"1").unwrap();
        let event: Value = serde_json::from_slice(message.body()).unwrap();
        assert_eq!(event["type"], expected);
    }
}

#[test]
fn attributes_without_value_are_left_out() {
    let event = attributes(&json!({ "subject": "/nil", "extensions": { "none": "{{/none}}", "some": "x" } }));
    assert_eq!(event.get("subject"), None);
    assert_eq!(event.get("none"), None);
    assert_eq!(event["some"], "x");
}

#[test]
fn attributes_have_no_control_characters() {
    let event = attributes(&json!({ "subject": "/issue/title" }));
    assert_eq!(event["subject"], "It \"works\" now é");
}

#[test]
fn data_other_than_json_is_base64() {
    let event = Event::builder().header("content-type", "text/plain");
    let config = json!({ "subject": "/issue/number" });
    let message = wrap_event(&config, event, b"\xff{}").unwrap();
    let event: Value = serde_json::from_slice(message.body()).unwrap();
    assert_eq!(event["data_base64"], "/3t9");
    assert_eq!(event["datacontenttype"], "text/plain");
    assert_eq!((event.get("data"), event.get("subject")), (None, None));
}

#[test]
fn data_without_type_is_json_if_it_looks_like_it() {
    for (body, member, value, content_type) in [
        (&b"[1]"[..], "data", json!([1]), "application/json"),
        (b"[1", "data_base64", json!("WzE="), "application/octet-stream"),
    ] {
        let message = wrap_event(&json!({}), Event::builder(), body).unwrap();
        let event: Value = serde_json::from_slice(message.body()).unwrap();
        assert_eq!((&event[member], &event["datacontenttype"]), (&value, &json!(content_type)));
        let message = wrap_event(&json!({ "mode": "binary" }), Event::builder(), body).unwrap();
        assert!(headers(&message).contains(&("content-type", content_type)));
    }
}

#[test]
fn json_goes_by_many_types() {
    for content_type in ["application/vnd.github+JSON; charset=utf-8", "text/json", "application/json ; x"] {
        let event = Event::builder().header("content-type", content_type);
        let message = wrap_event(&json!({}), event, b"{}").unwrap();
        let event: Value = serde_json::from_slice(message.body()).unwrap();
        assert_eq!((&event["data"], &event["datacontenttype"]), (&json!({}), &json!(content_type)));
    }
}

#[test]
fn event_without_body_has_no_data() {
    let message = wrap_event(&json!({}), Event::builder(), b"").unwrap();
    let expected = format!(
        r#"{{"specversion":"1.0","id":"{ID}","source":"/test","type":"webhook","time":"2026-01-01T00:00:00.000Z"}}"#
    );
    assert_eq!(str::from_utf8(message.body()).unwrap(), expected);
}

#[test]
fn json_that_is_none_is_invalid() {
    for mode in ["structured", "binary"] {
        let result = wrap_event(&json!({ "mode": mode }), issue(), b"{");
        assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    }
}

#[test]
fn event_without_id_or_source_is_invalid() {
    for key in ["id", "source"] {
        let error = wrap(&json!({ key: "{{header:x-none}}" })).unwrap_err();
        let reason = format!("nothing is left of `{key}` for this event, and a CloudEvent needs one");
        assert_eq!(error, Error::invalid(reason));
    }
}

#[test]
fn config_that_makes_no_sense_is_refused_by_path() {
    refused(
        &json!({ "mode": "batch" }),
        "`mode`: unknown variant `batch`, expected `structured` or `binary`",
    );
    refused(&json!({ "default_type": "" }), "`default_type`: is empty; a CloudEvent needs a type");
    refused(&json!({ "subject": "a" }), "`subject`: `a` is not a JSON pointer: it must begin with `/`");
    refused(
        &json!({ "source": "{{/a" }),
        "`source`: `{{/a` is not closed; add `}}`, or write `{{{{` for `{{`",
    );
    refused(
        &json!({ "extensions": { "a": "{{x}}" } }),
        "`extensions.a`: `{{x}}` is not a placeholder; write a pointer like `/issue/title`, `header:NAME`, \
         `query:NAME`, `param:NAME`, or `event.` with id, type, route, received_ms, method or path",
    );
    let refused = |name: &str, reason: &str| {
        refused(&json!({ "extensions": { name: "x" } }), &format!("`extensions.{name}`: {reason}"));
    };
    for name in ["Tenant", "tenant_id", "é"] {
        refused(name, "is no name of an attribute: those are lower-case letters and digits only");
    }
    for name in ["", "a23456789012345678901"] {
        refused(name, "is no name of an attribute: those have 1 to 20 characters");
    }
    for name in ["type", "data", "data_base64"] {
        refused(name, "is an attribute of the specification itself; choose another name");
    }
}
