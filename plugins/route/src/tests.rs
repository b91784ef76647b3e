use sluice_plugin::{Error, Event, EventBuilder, Outcome, Transform, testing};

use super::Route;

const BODY: &str = r#"{ "n": 12345678901234567890123, "action": "opened", "size": 7 }"#;

fn event() -> EventBuilder {
    Event::builder()
        .event_type("issues")
        .header("content-type", "application/vnd.x+json")
        .header("x-issue", "7")
        .header("x-issue", "8")
}

fn route(config: &str) -> Result<Outcome, Error> {
    route_body(config, BODY)
}

fn route_body(config: &str, body: &str) -> Result<Outcome, Error> {
    let route: Route = testing::transform(config)?;
    route.transform(&event().build(), body.as_bytes().to_vec().into())
}

#[track_caller]
fn goes_to(config: &str, destinations: &[&str]) {
    let [message] = Vec::from(route(config).unwrap()).try_into().unwrap();
    assert_eq!(message.destinations().unwrap(), destinations);
}

#[track_caller]
fn refused(config: &str, reason: &str) {
    assert_eq!(route(config), Err(Error::config(reason)));
}

const TWO: &str = r#""routes": [
    {"when": {"event": "type", "equals": "issues"}, "to": ["a", "b"]},
    {"when": {"body": "/size", "gt": 5}, "to": ["b", "c"]}
]"#;

#[test]
fn first_rule_that_holds_decides() {
    goes_to(&format!("{{{TWO}}}"), &["a", "b"]);
    goes_to(
        r#"{"routes": [
            {"when": {"event": "type", "equals": "push"}, "to": ["a"]},
            {"when": {"body": "/size", "equals": 7}, "to": ["b"]}
        ], "else": ["c"]}"#,
        &["b"],
    );
}

#[test]
fn every_rule_that_holds_counts_once_in_mode_all() {
    goes_to(&format!(r#"{{{TWO}, "mode": "all", "else": ["d"]}}"#), &["a", "b", "c"]);
}

#[test]
fn what_no_rule_wants_goes_elsewhere() {
    goes_to(r#"{"routes": [{"when": {"body": "/size", "gt": 7}, "to": ["a"]}], "else": ["b"]}"#, &["b"]);
}

#[test]
fn what_no_rule_wants_is_dropped_with_the_reason() {
    let config = r#"{"routes": [
        {"when": {"event": "type", "equals": "push"}, "to": ["a"]},
        {"when": {"body": "/size", "gt": 7}, "to": ["b"]}
    ]}"#;
    let reason = r#"event type is "issues", not "push"; and body /size is 7, not a number above 7"#;
    assert_eq!(route(config), Ok(Outcome::drop(reason)));
}

#[test]
fn body_and_content_type_go_on_unchanged() {
    let [message] = Vec::from(route(&format!("{{{TWO}}}")).unwrap()).try_into().unwrap();
    assert_eq!(message.body(), BODY.as_bytes());
    assert_eq!(message.headers().collect::<Vec<_>>(), [("content-type", &b"application/vnd.x+json"[..])]);
}

#[test]
fn named_headers_go_along_with_every_value() {
    let config = format!(r#"{{{TWO}, "headers": ["X-Issue", "x-none", "content-type"]}}"#);
    let [message] = Vec::from(route(&config).unwrap()).try_into().unwrap();
    let headers: Vec<_> = message.headers().collect();
    let expected = [("x-issue", "7"), ("x-issue", "8"), ("content-type", "application/vnd.x+json")];
    assert_eq!(headers, expected.map(|(name, value)| (name, value.as_bytes())));
}

#[test]
fn body_that_is_not_json_matters_only_to_a_rule_about_it() {
    assert_eq!(route_body(&format!("{{{TWO}}}"), "a=1").unwrap().messages()[0].body(), b"a=1");
    let both = format!(r#"{{{TWO}, "mode": "all"}}"#);
    assert!(matches!(route_body(&both, "a=1"), Err(Error::Invalid(_))));
}

#[test]
fn config_that_makes_no_sense_is_refused_by_path() {
    let reason = "`routes`: is missing; add a list of `{ when = RULE, to = [DESTINATION] }`";
    refused("null", reason);
    refused(r#"{"else": ["a"]}"#, reason);
    for routes in ["[]", "{}", "null"] {
        let reason = "`routes`: expected a list of `{ when = RULE, to = [DESTINATION] }`, at least one";
        refused(&format!(r#"{{"routes": {routes}}}"#), reason);
    }
    let rule = r#"{"event": "type", "equals": "x"}"#;
    refused(
        &format!(r#"{{"routes": [{{"when": {rule}, "to": []}}]}}"#),
        "`routes[0].to`: names no destination; to drop events, use the plugin `filter`",
    );
    for to in ["1", "[1]", "{}"] {
        refused(
            &format!(r#"{{"routes": [{{"when": {rule}, "to": {to}}}]}}"#),
            r#"`routes[0].to`: expected a list of names, such as `["archive"]`"#,
        );
    }
    refused(
        &format!(r#"{{"routes": [{{"when": {rule}}}]}}"#),
        "`routes[0]`: expected a table with `to`, the destinations",
    );
    refused(r#"{"routes": [{"to": ["a"]}]}"#, "`routes[0]`: expected a table with `when`, the rule");
    refused(r#"{"routes": [7]}"#, "`routes[0]`: expected a table with `when`, the rule");
    refused(
        &format!(r#"{{"routes": [{{"when": {rule}, "to": ["a"]}}], "else": []}}"#),
        "`else`: names no destination; leave it out to drop what no rule wants",
    );
    refused(
        r#"{"routes": [{"when": {"all": []}, "to": ["a"]}]}"#,
        "`routes[0].when.all`: is empty; add a rule or leave it out",
    );
    refused(
        &format!(r#"{{"routes": [{{"when": {rule}, "to": ["a"], "drop": true}}]}}"#),
        "`routes[0].drop`: unknown key; an entry has `when` and `to`",
    );
    refused(
        &format!(r#"{{"routes": [{{"when": {rule}, "to": ["a"]}}], "mode": "any"}}"#),
        "`mode`: expected `first` or `all`",
    );
    refused(r#"{"headers": "x"}"#, r#"`headers`: expected a list of names, such as `["archive"]`"#);
    refused(r#"{"headers": ["a", "b c"]}"#, "`headers`: \"b c\" can't be the name of a header");
    refused(r#"{"rules": []}"#, "`rules`: unknown key, expected one of `routes`, `else`, `mode`, `headers`");
}
