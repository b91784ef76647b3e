use sluice_plugin::{Error, Event, Message, Outcome, Transform, testing};

use super::Split;

fn split(config: &str, body: &str) -> Result<Vec<Message>, Error> {
    outcome(config, body).map(Vec::from)
}

fn outcome(config: &str, body: &str) -> Result<Outcome, Error> {
    let split: Split = testing::transform(config)?;
    split.transform(&Event::builder().build(), body.as_bytes().to_vec().into())
}

#[track_caller]
fn check(config: &str, body: &str, bodies: &[&str]) {
    let messages = split(config, body).unwrap();
    let made: Vec<_> = messages.iter().map(|message| str::from_utf8(message.body()).unwrap()).collect();
    assert_eq!(made, bodies);
}

#[track_caller]
fn invalid(config: &str, body: &str, reason: &str) {
    assert_eq!(split(config, body), Err(Error::invalid(reason)));
}

#[track_caller]
fn refused(config: &str, reason: &str) {
    assert_eq!(split(config, "[]"), Err(Error::config(reason)));
}

#[test]
fn each_element_is_a_message_as_it_was_written_and_in_order() {
    check(
        "null",
        r#" [ { "n" : 12345678901234567890123 }, "two", null, [3], 1e400 ] "#,
        &[r#"{ "n" : 12345678901234567890123 }"#, r#""two""#, "null", "[3]", "1e400"],
    );
}

#[test]
fn messages_are_json_by_their_header() {
    let messages = split("null", "[1]").unwrap();
    assert_eq!(messages[0].headers().collect::<Vec<_>>(), [("content-type", &b"application/json"[..])]);
}

#[test]
fn array_is_found_by_its_pointer() {
    check(r#"{"pointer": "/a/items"}"#, r#"{"a": {"items": [1, 2]}}"#, &["1", "2"]);
    check(r#"{"pointer": ""}"#, "[1]", &["1"]);
}

#[test]
fn fields_of_the_whole_are_carried_into_each() {
    check(
        r#"{"pointer": "/items", "keep": {"/order": "/id", "/shop": "/meta/shop", "/none": "/none", "/a~1b": "/nil"}}"#,
        r#"{"id": 9007199254740993, "meta": {"shop": {"x": 1}}, "nil": null, "items": [{"sku": "a", "n": 1.0}, {}]}"#,
        &[
            r#"{"sku":"a","n":1.0,"a/b":null,"order":9007199254740993,"shop":{"x": 1}}"#,
            r#"{"a/b":null,"order":9007199254740993,"shop":{"x": 1}}"#,
        ],
    );
}

#[test]
fn carried_field_replaces_the_elements_own_however_it_is_spelt() {
    check(
        r#"{"pointer": "/items", "keep": {"/id": "/id"}}"#,
        r#"{"id": 1, "items": [{"i\u0064": 2, "x": 3, "id": 4}]}"#,
        &[r#"{"x":3,"id":1}"#],
    );
}

#[test]
fn field_that_the_whole_lacks_leaves_the_elements_own() {
    check(
        r#"{"pointer": "/items", "keep": {"/id": "/id"}}"#,
        r#"{"items": [{"id": 2}, 3]}"#,
        &[r#"{"id": 2}"#, "3"],
    );
}

#[test]
fn key_is_taken_from_each_message() {
    let config = r#"{"pointer": "/items", "key": "/id", "keep": {"/shop": "/shop"}}"#;
    let body = r#"{"shop": "s", "items": [{"id": "a\"b"}, {"id": 12345678901234567890}, {"id": null}, {}]}"#;
    let messages = split(config, body).unwrap();
    let keys: Vec<_> = messages.iter().map(Message::order_key).collect();
    assert_eq!(keys, [Some("a\"b"), Some("12345678901234567890"), None, None]);
    let messages =
        split(r#"{"pointer": "/items", "key": "/shop", "keep": {"/shop": "/shop"}}"#, body).unwrap();
    assert!(messages.iter().all(|message| message.order_key() == Some("s")));
}

#[test]
fn empty_array_is_dropped_with_the_reason() {
    let made = outcome(r#"{"pointer": "/items"}"#, r#"{"items": [ ]}"#);
    assert_eq!(made, Ok(Outcome::drop("body /items is empty")));
}

#[test]
fn what_is_not_an_array_is_invalid() {
    invalid("null", r#"{"a": 1}"#, "body is an object, not an array");
    invalid(r#"{"pointer": "/items"}"#, "{}", "body /items is missing");
    invalid(r#"{"pointer": "/items"}"#, r#"{"items": null}"#, "body /items is null, not an array");
    assert!(matches!(split("null", "[1,"), Err(Error::Invalid(_))));
    assert!(matches!(split("null", "a=1"), Err(Error::Invalid(_))));
}

#[test]
fn element_that_cannot_take_a_field_is_invalid() {
    let config = r#"{"pointer": "/items", "keep": {"/id": "/id"}}"#;
    let reason = "element 1 of body /items is no object to `keep` fields in";
    invalid(config, r#"{"id": 1, "items": [{}, 2]}"#, reason);
}

#[test]
fn config_that_makes_no_sense_is_refused_by_path() {
    refused(r#"{"pointer": "items"}"#, "`pointer`: `items` is not a JSON pointer: it must begin with `/`");
    refused(r#"{"keep": {"/a": "b"}}"#, "`keep./a`: `b` is not a JSON pointer: it must begin with `/`");
    refused(r#"{"keep": {"a": "/b"}}"#, "`keep.a`: `a` is not a JSON pointer: it must begin with `/`");
    let reason = "must name a field of the message itself, such as `/order_id`";
    refused(r#"{"keep": {"/a/b": "/b"}}"#, &format!("`keep./a/b`: {reason}"));
    refused(r#"{"keep": {"": "/b"}}"#, &format!("`keep.`: {reason}"));
    refused(
        r#"{"pointr": "/a"}"#,
        "`pointr`: unknown field `pointr`, expected one of `pointer`, `keep`, `key`",
    );
}
