use sluice_plugin::{Body, Error, Event, Message, Transform, testing};

use super::Redact;

fn redact(config: &str, body: &str) -> Result<Message, Error> {
    let event = Event::builder()
        .header("content-type", "application/json")
        .header("content-length", "99")
        .header("x-user", "a@b.example")
        .header("x-user", "c@d.example")
        .build();
    let redact: Redact = testing::transform(config)?;
    let made = redact.transform(&event, Body::from(body.as_bytes().to_vec()))?;
    let [message] = Vec::from(made).try_into().unwrap();
    Ok(message)
}

#[track_caller]
fn check(config: &str, body: &str, redacted: &str) {
    let message = redact(config, body).unwrap();
    assert_eq!(str::from_utf8(message.body()).unwrap(), redacted);
}

#[track_caller]
fn refused(config: &str, reason: &str) {
    assert_eq!(redact(config, "{}"), Err(Error::config(reason)));
}

#[test]
fn places_are_removed() {
    check(r#"{"remove": ["/a/b", "/c/0"]}"#, r#"{"a":{"b":1,"x":2},"c":[3,4]}"#, r#"{"a":{"x":2},"c":[4]}"#);
    check(r#"{"remove": ["/a"]}"#, r#"{"a":1}"#, "{}");
}

#[test]
fn places_are_masked_whatever_they_hold() {
    check(
        r#"{"mask": ["/a", "/b", "/c"]}"#,
        r#"{"a":"x","b":{"y":1},"c":null}"#,
        r#"{"a":"***","b":"***","c":"***"}"#,
    );
    check(r#"{"mask": ["/a"], "with": "\"x\""}"#, r#"{"a":1}"#, r#"{"a":"\"x\""}"#);
}

#[test]
fn star_is_every_member_and_element() {
    check(
        r#"{"mask": ["/items/*/card"]}"#,
        r#"{"items":[{"card":1},{"n":2},{"card":3}]}"#,
        r#"{"items":[{"card":"***"},{"n":2},{"card":"***"}]}"#,
    );
    check(
        r#"{"remove": ["/*/secret"]}"#,
        r#"{"a":{"secret":1},"b":{"secret":2,"c":3},"d":4}"#,
        r#"{"a":{},"b":{"c":3},"d":4}"#,
    );
}

#[test]
fn star_and_name_both_apply() {
    check(
        r#"{"mask": ["/*/x"], "remove": ["/a/y"]}"#,
        r#"{"a":{"x":1,"y":2},"b":{"x":3,"y":4}}"#,
        r#"{"a":{"x":"***"},"b":{"x":"***","y":4}}"#,
    );
}

#[test]
fn removal_wins_over_mask() {
    check(r#"{"mask": ["/a"], "remove": ["/*"]}"#, r#"{"a":1,"b":2}"#, "{}");
}

#[test]
fn the_rest_stays_as_it_was_written() {
    check(
        r#"{"mask": ["/secret"]}"#,
        r#"{"z":1.0,"a":12345678901234567890123,"e":1e400,"u":"\u00e9\/","n":{ "k" : [ 1 ] },"secret":"s"}"#,
        r#"{"z":1.0,"a":12345678901234567890123,"e":1e400,"u":"\u00e9\/","n":{ "k" : [ 1 ] },"secret":"***"}"#,
    );
}

#[test]
fn body_without_the_places_is_the_same_json() {
    check(r#"{"mask": ["/a/b/c", "/x/0"]}"#, r#"{"a":7,"x":"text"}"#, r#"{"a":7,"x":"text"}"#);
    check(r#"{"mask": ["/a"]}"#, "[1, 2]", "[1,2]");
    check(r#"{"mask": ["/a"]}"#, "null", "null");
}

#[test]
fn repeated_and_escaped_names_do_not_hide_anything() {
    check(r#"{"remove": ["/key"]}"#, r#"{"key":1,"k\u0065y":2,"key":3,"x":4}"#, r#"{"x":4}"#);
}

#[test]
fn headers_are_masked_where_they_are_there() {
    let headers = |config: &str| {
        let message = redact(config, "{}").unwrap();
        message
            .headers()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        headers(r#"{"headers": ["X-User", "x-none"]}"#),
        ["content-type: application/json", "x-user: ***"]
    );
}

#[test]
fn body_that_is_not_json_never_passes() {
    for body in ["card=4111", r#"{"card": 4111"#, r#"{"card": 4111} x"#, ""] {
        assert!(matches!(redact(r#"{"mask": ["/card"]}"#, body), Err(Error::Invalid(_))), "{body}");
    }
}

#[test]
fn body_is_not_looked_at_where_only_headers_are_redacted() {
    check(r#"{"headers": ["x-user"]}"#, "a=1", "a=1");
}

#[test]
fn config_that_makes_no_sense_is_refused() {
    refused("null", "nothing to redact; name pointers in `remove` or `mask`, or `headers`");
    refused(
        r#"{"mask": ["/a", ""]}"#,
        "`mask[1]`: the empty pointer names the whole body; use a filter to drop the event",
    );
    refused(r#"{"mask": ["a"]}"#, "`mask[0]`: `a` is not a JSON pointer: it must begin with `/`");
    refused(r#"{"headers": ["a"], "with": "\n"}"#, "`with`: a header can't hold control characters");
}
