use sluice_plugin::{Body, Error, Event, Message, Transform, testing};

use super::Map;

const ISSUE: &str = r#"{
    "action": "opened",
    "issue": {"number": 7, "title": "It \"works\"\nnow", "milestone": null, "labels": ["a", "b"], "id": 12345678901234567890123},
    "repository": {"full_name": "octo/hello"}
}"#;

fn map(config: &str) -> Result<Message, Error> {
    let event =
        Event::builder().event_type("issues").header("x-github-event", "issues").query("a=1").param("p", "q");
    let map: Map = testing::transform(config)?;
    let messages = map.transform(&event.build(), Body::from(ISSUE.as_bytes().to_vec()))?;
    let [message] = Vec::from(messages).try_into().unwrap();
    Ok(message)
}

#[track_caller]
fn check(body: &str, output: &str) {
    check_with("null", body, output);
}

#[track_caller]
fn check_with(missing: &str, body: &str, output: &str) {
    let message = map(&format!(r#"{{"body": {body}, "missing": "{missing}"}}"#)).unwrap();
    assert_eq!(str::from_utf8(message.body()).unwrap(), output);
    serde_json::from_str::<serde_json::Value>(output).unwrap();
}

#[track_caller]
fn refused(config: &str, reason: &str) {
    assert_eq!(map(config), Err(Error::config(reason)));
}

#[test]
fn pointers_keep_types_and_spelling() {
    check(
        r#"{"repo": {"pointer": "/repository/full_name"}, "id": {"pointer": "/issue/id"}, "labels": {"pointer": "/issue/labels"}}"#,
        r#"{"repo":"octo/hello","id":12345678901234567890123,"labels":["a", "b"]}"#,
    );
}

#[test]
fn templates_give_text() {
    check(
        r##"{"text": "#{{/issue/number}} \"{{ /issue/title }}\" in {{/repository/full_name}}"}"##,
        r##"{"text":"#7 \"It \"works\"\nnow\" in octo/hello"}"##,
    );
    check(r#""{{/issue/labels}}""#, r#""[\"a\", \"b\"]""#);
}

#[test]
fn templates_see_the_event() {
    check(
        r#""{{header:X-GitHub-Event}} {{query:a}} {{param:p}} {{event.type}} {{event.route}} {{event.method}} {{event.path}} {{event.received_ms}}""#,
        r#""issues 1 q issues test POST / 1767225600000""#,
    );
    check(r#""{{event.id}}""#, r#""019b76da-a800-7000-8000-000000000000""#);
}

#[test]
fn double_braces_can_be_written() {
    check(r#""{{{{x}} {{/action}}""#, r#""{{x}} opened""#);
}

#[test]
fn objects_and_arrays_nest_in_order() {
    check(
        r#"{"z": [1, {"a": "{{/action}}"}, null], "a": {"b": true}}"#,
        r#"{"z":[1,{"a":"opened"},null],"a":{"b":true}}"#,
    );
}

#[test]
fn fixed_values_are_not_read_as_templates() {
    check(r#"{"a": {"value": {"pointer": "{{x}}"}}}"#, r#"{"a":{"pointer": "{{x}}"}}"#);
}

#[test]
fn missing_is_null_or_nothing_by_default() {
    check(r#"{"a": {"pointer": "/x"}, "b": "<{{/x}}{{/issue/milestone}}>"}"#, r#"{"a":null,"b":"<>"}"#);
}

#[test]
fn missing_can_be_left_out() {
    check_with(
        "omit",
        r#"{"a": {"pointer": "/x"}, "b": "<{{/x}}>", "c": [{"pointer": "/y"}, 1]}"#,
        r#"{"c":[1]}"#,
    );
    check_with("omit", r#"{"a": {"pointer": "/issue/milestone"}}"#, r#"{"a":null}"#);
    check_with("omit", r#"{"pointer": "/x"}"#, "null");
}

#[test]
fn missing_can_be_an_error() {
    let error = map(r#"{"body": {"a": [{"pointer": "/x"}]}, "missing": "error"}"#).unwrap_err();
    assert_eq!(error, Error::invalid("event has no body /x, which `body.a[0]` is made from"));
    let error = map(r#"{"body": "{{header:x-none}}", "missing": "error"}"#).unwrap_err();
    assert_eq!(error, Error::invalid("event has no header x-none, which `body` is made from"));
    let error = map(r#"{"body": 1, "key": "{{query:none}}", "missing": "error"}"#).unwrap_err();
    assert_eq!(error, Error::invalid("event has no query none, which `key` is made from"));
}

#[test]
fn default_takes_the_place_of_what_is_missing() {
    check_with("error", r#"{"a": {"pointer": "/x", "default": [0]}}"#, r#"{"a":[0]}"#);
}

#[test]
fn headers_and_key_are_made_from_templates() {
    let message = map(
        r#"{"body": 1, "key": "issue-{{/issue/number}}",
            "headers": {"X-Title": "{{/issue/title}}", "x-none": "{{/x}}", "Content-Type": "application/x+json"}}"#,
    )
    .unwrap();
    assert_eq!(
        message.headers().collect::<Vec<_>>(),
        [("content-type", &b"application/x+json"[..]), ("x-title", &b"It \"works\" now"[..])]
    );
    assert_eq!(message.order_key(), Some("issue-7"));
}

#[test]
fn body_is_json_by_its_header() {
    let message = map(r#"{"body": {}}"#).unwrap();
    assert_eq!(message.headers().collect::<Vec<_>>(), [("content-type", &b"application/json"[..])]);
}

#[test]
fn body_that_is_not_json_is_invalid_where_it_is_needed() {
    let transform = |config: &str| {
        let map: Map = testing::transform(config).unwrap();
        map.transform(&Event::builder().build(), Body::from(b"payload=1".to_vec()))
    };
    assert!(matches!(transform(r#"{"body": "{{/a}}"}"#), Err(Error::Invalid(_))));
    assert!(transform(r#"{"body": "{{event.id}}"}"#).is_ok());
}

#[test]
fn config_that_makes_no_sense_is_refused_by_path() {
    refused("{}", "missing field `body`");
    refused(
        r#"{"body": {"a": ["{{x}}"]}}"#,
        "`body.a[0]`: `{{x}}` is not a placeholder; write a pointer like `/issue/title`, `header:NAME`, `query:NAME`, \
         `param:NAME`, or `event.` with id, type, route, received_ms, method or path",
    );
    refused(r#"{"body": "a {{/b"}"#, "`body`: `{{/b` is not closed; add `}}`, or write `{{{{` for `{{`");
    refused(
        r#"{"body": "{{/a} {{/b}}"}"#,
        "`body`: `{{/a} ` is not closed; add `}}`, or write `{{{{` for `{{`",
    );
    refused(
        r#"{"body": "{{/a~}}"}"#,
        "`body`: `/a~` is not a JSON pointer: `~` must be followed by 0 (for `~`) or 1 (for `/`)",
    );
    refused(
        r#"{"body": {"a": {"pointer": "/x", "x": 1}}}"#,
        "`body.a`: \"x\" can't stand beside `pointer` or `value`; for an object with members of these names, use \
         { value = … }",
    );
    refused(
        r#"{"body": {"pointer": "/x", "value": 1}}"#,
        "`body`: has `value`, which needs no `pointer` and no `default`; take one side away",
    );
    refused(r#"{"body": 1, "headers": {"a b": "x"}}"#, "`headers`: \"a b\" can't be the name of a header");
    refused(
        r#"{"body": 1, "missing": "nul"}"#,
        "`missing`: unknown variant `nul`, expected one of `null`, `omit`, `error`",
    );
}
