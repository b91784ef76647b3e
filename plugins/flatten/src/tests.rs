use sluice_plugin::{Error, Event, Message, Transform, testing};

use super::Flatten;

const ISSUE: &str = r#"{
    "action": "opened",
    "issue": {"number": 12345678901234567890123, "user": {"login": "ann", "bio": null}, "labels": ["a", {"n": 1}]},
    "none": {}, "no": []
}"#;

fn flatten(config: &str, body: &str) -> Result<Message, Error> {
    let flatten: Flatten = testing::transform(config)?;
    let [message] = Vec::from(flatten.transform(&Event::builder().build(), body.as_bytes().to_vec().into())?)
        .try_into()
        .unwrap();
    Ok(message)
}

#[track_caller]
fn check(config: &str, body: &str, flat: &str) {
    assert_eq!(str::from_utf8(flatten(config, body).unwrap().body()).unwrap(), flat);
}

#[track_caller]
fn refused(config: &str, reason: &str) {
    assert_eq!(flatten(config, "{}"), Err(Error::config(reason)));
}

#[test]
fn names_on_the_way_become_one_and_values_stay_as_written() {
    check(
        "null",
        ISSUE,
        r#"{"action":"opened","issue.number":12345678901234567890123,"issue.user.login":"ann","issue.user.bio":null,"issue.labels.0":"a","issue.labels.1.n":1,"none":{},"no":[]}"#,
    );
    check("null", "{}", "{}");
}

#[test]
fn prefix_and_separator_are_the_operators() {
    check(
        r#"{"prefix": "gh_", "separator": "__"}"#,
        r#"{"a": {"b": 1}, "c": 2}"#,
        r#"{"gh_a__b":1,"gh_c":2}"#,
    );
}

#[test]
fn arrays_can_be_joined() {
    check(
        r#"{"arrays": "join"}"#,
        r#"{"a": ["x", 1, null, true, {"b": "c"}, "\"q\""], "e": [], "n": {"m": [1, 2]}}"#,
        r#"{"a":"x,1,,true,{\"b\": \"c\"},\"q\"","e":"","n.m":"1,2"}"#,
    );
    check(r#"{"arrays": "join", "join": " | "}"#, r#"{"a": [1, 2]}"#, r#"{"a":"1 | 2"}"#);
}

#[test]
fn arrays_can_be_left() {
    check(r#"{"arrays": "keep"}"#, r#"{"a": {"b": [{"c": 1}, 2]}}"#, r#"{"a.b":[{"c": 1}, 2]}"#);
}

#[test]
fn what_is_too_deep_stays_nested() {
    check(
        r#"{"max_depth": 1, "prefix": "x."}"#,
        r#"{"a": {"b": 1}, "c": [2]}"#,
        r#"{"x.a":{"b": 1},"x.c":[2]}"#,
    );
    check(r#"{"max_depth": 2}"#, r#"{"a": {"b": {"c": 1}}, "d": [[2]]}"#, r#"{"a.b":{"c": 1},"d.0":[2]}"#);
    check(r#"{"max_depth": 1, "arrays": "join"}"#, r#"{"a": [1, 2]}"#, r#"{"a":"1,2"}"#);
}

#[test]
fn depth_has_an_end_by_itself() {
    let nested = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    let name = ["a"; 64].join(".");
    check("null", &nested(100), &format!(r#"{{"{name}":{}}}"#, nested(36)));
    check("null", &nested(64), &format!(r#"{{"{name}":1}}"#));
}

#[test]
fn of_fields_of_the_same_name_the_last_one_counts() {
    check("null", r#"{"a.b": 1, "x": 0, "a": {"b": 2, "\u0062": 3}}"#, r#"{"x":0,"a.b":3}"#);
}

#[test]
fn names_are_escaped() {
    check("null", r#"{"a\"": {"\n": 1, "é": 2}}"#, r#"{"a\".\n":1,"a\".é":2}"#);
}

#[test]
fn flat_body_is_json_by_its_header() {
    let message = flatten("null", "{}").unwrap();
    assert_eq!(message.headers().collect::<Vec<_>>(), [("content-type", &b"application/json"[..])]);
}

#[test]
fn what_is_not_an_object_is_invalid() {
    for body in ["[1]", "1", "null"] {
        let error = flatten("null", body).unwrap_err();
        assert_eq!(error, Error::invalid("body is not a JSON object, so there is nothing to flatten"));
    }
    assert!(matches!(flatten("null", r#"{"a": {"b": tru}}"#), Err(Error::Invalid(_))));
}

#[test]
fn config_that_makes_no_sense_is_refused_by_path() {
    refused(
        r#"{"separator": ""}"#,
        "`separator`: is empty, which would run names together; give one, such as `_`",
    );
    refused(r#"{"join": "-"}"#, "`join`: is of use only with `arrays = \"join\"`; add that or leave it out");
    refused(r#"{"max_depth": 0}"#, "`max_depth`: is 0, expected 1 to 64");
    refused(r#"{"max_depth": 65}"#, "`max_depth`: is 65, expected 1 to 64");
    refused(
        r#"{"arrays": "flat"}"#,
        "`arrays`: unknown variant `flat`, expected one of `index`, `join`, `keep`",
    );
}
