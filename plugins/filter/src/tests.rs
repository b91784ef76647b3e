use sluice_plugin::{Decision, Error, Event, EventBuilder, Filter, testing};

use super::KeepWhere;

fn issue_opened() -> EventBuilder {
    Event::builder()
        .event_type("issues")
        .header("x-github-event", "issues")
        .query("source=a%20b&n=3")
        .param("team", "core")
        .body(
            r#"{"action": "opened", "issue": {"number": 7, "milestone": null, "labels": [{"name": "bug"}]}}"#,
        )
}

fn filter(rule: &str) -> KeepWhere {
    testing::filter(&format!(r#"{{"where": {rule}}}"#)).unwrap()
}

#[track_caller]
fn kept(rule: &str) {
    assert_eq!(filter(rule).filter(&issue_opened().build()), Ok(Decision::Keep));
}

#[track_caller]
fn dropped(rule: &str, reason: &str) {
    assert_eq!(filter(rule).filter(&issue_opened().build()), Ok(Decision::drop(reason)));
}

#[track_caller]
fn refused(rule: &str, reason: &str) {
    let error = testing::filter::<KeepWhere>(&format!(r#"{{"where": {rule}}}"#)).err().unwrap();
    assert_eq!(error, Error::config(reason));
}

#[test]
fn each_subject_is_seen() {
    kept(r#"{"body": "/action", "equals": "opened"}"#);
    kept(r#"{"body": "/issue/labels/0/name", "equals": "bug"}"#);
    kept(r#"{"header": "X-GitHub-Event", "equals": "issues"}"#);
    kept(r#"{"query": "source", "equals": "a b"}"#);
    kept(r#"{"param": "team", "equals": "core"}"#);
    kept(r#"{"event": "type", "equals": "issues"}"#);
    kept(r#"{"event": "route", "equals": "test"}"#);
    kept(r#"{"event": "method", "equals": "POST"}"#);
    kept(r#"{"event": "path", "equals": "/"}"#);
}

#[test]
fn each_condition_is_checked_and_explained() {
    dropped(r#"{"body": "/action", "equals": "closed"}"#, r#"body /action is "opened", not "closed""#);
    dropped(
        r#"{"body": "/action", "not_equals": "opened"}"#,
        r#"body /action is "opened", which is excluded"#,
    );
    dropped(
        r#"{"body": "/action", "in": ["a", "b", 1]}"#,
        r#"body /action is "opened", not one of "a", "b", 1"#,
    );
    dropped(r#"{"body": "/action", "not_in": ["opened"]}"#, r#"body /action is "opened", which is excluded"#);
    dropped(
        r#"{"body": "/action", "prefix": "x"}"#,
        r#"body /action is "opened", which does not begin with "x""#,
    );
    dropped(
        r#"{"body": "/action", "suffix": "x"}"#,
        r#"body /action is "opened", which does not end with "x""#,
    );
    dropped(
        r#"{"body": "/action", "contains": "x"}"#,
        r#"body /action is "opened", which does not contain "x""#,
    );
    dropped(r#"{"body": "/action", "exists": false}"#, r#"body /action is "opened", which must be missing"#);
    dropped(r#"{"body": "/issue/number", "gt": 7}"#, "body /issue/number is 7, not a number above 7");
    dropped(r#"{"body": "/issue/number", "gte": 8}"#, "body /issue/number is 7, not a number from 8 up");
    dropped(r#"{"body": "/issue/number", "lt": 7}"#, "body /issue/number is 7, not a number below 7");
    dropped(r#"{"body": "/issue/number", "lte": 6.5}"#, "body /issue/number is 7, not a number up to 6.5");
    dropped(r#"{"body": "/action", "gt": 1}"#, r#"body /action is "opened", not a number above 1"#);
}

#[test]
fn several_conditions_must_all_hold() {
    kept(r#"{"body": "/issue/number", "gte": 7, "lt": 8}"#);
    dropped(
        r#"{"body": "/issue/number", "gte": 1, "lt": 7}"#,
        "body /issue/number is 7, not a number below 7",
    );
}

#[test]
fn null_and_absent_are_missing() {
    for pointer in ["/issue/milestone", "/pull_request", "/issue/labels/1"] {
        kept(&format!(r#"{{"body": "{pointer}", "exists": false}}"#));
        kept(&format!(r#"{{"body": "{pointer}", "not_equals": "x"}}"#));
        dropped(
            &format!(r#"{{"body": "{pointer}", "exists": true}}"#),
            &format!("body {pointer} is missing"),
        );
        dropped(
            &format!(r#"{{"body": "{pointer}", "equals": "x"}}"#),
            &format!("body {pointer} is missing, not \"x\""),
        );
    }
}

#[test]
fn text_outside_the_body_is_a_number_where_one_is_expected() {
    kept(r#"{"query": "n", "gt": 2, "equals": 3}"#);
    dropped(r#"{"query": "source", "gt": 2}"#, r#"query source is "a b", not a number above 2"#);
}

#[test]
fn types_in_the_body_matter() {
    dropped(r#"{"body": "/issue/number", "equals": "7"}"#, r#"body /issue/number is 7, not "7""#);
    kept(r#"{"body": "/issue/number", "equals": 7.0}"#);
}

#[test]
fn whole_numbers_compare_exactly() {
    let event = Event::builder().body(r#"{"id": 9007199254740993}"#).build();
    let rule = r#"{"body": "/id", "equals": 9007199254740992}"#;
    assert_ne!(filter(rule).filter(&event), Ok(Decision::Keep));
}

#[test]
fn groups_combine() {
    kept(
        r#"{"all": [{"body": "/action", "in": ["opened"]}, {"header": "x-github-event", "equals": "issues"}]}"#,
    );
    kept(r#"{"any": [{"body": "/action", "equals": "x"}, {"body": "/action", "prefix": "open"}]}"#);
    kept(r#"{"not": {"body": "/action", "equals": "closed"}}"#);
}

#[test]
fn reason_of_a_group_names_the_rules_that_decided() {
    dropped(
        r#"{"all": [{"body": "/action", "exists": true}, {"body": "/issue/number", "gt": 9}]}"#,
        "body /issue/number is 7, not a number above 9",
    );
    dropped(
        r#"{"any": [{"body": "/action", "equals": "x"}, {"query": "n", "equals": 4}]}"#,
        r#"query n is "3", not 4; and body /action is "opened", not "x""#,
    );
    dropped(r#"{"not": {"body": "/action", "prefix": "open"}}"#, r#"body /action is "opened""#);
    dropped(
        r#"{"not": {"all": [{"body": "/action", "prefix": "open"}, {"not": {"query": "x", "exists": true}}]}}"#,
        r#"query x is missing and body /action is "opened""#,
    );
}

#[test]
fn long_values_are_cut_in_reasons() {
    let event = Event::builder().header("x", "é".repeat(100)).build();
    let Ok(Decision::Drop(reason)) = filter(r#"{"header": "x", "equals": "y"}"#).filter(&event) else {
        panic!()
    };
    assert_eq!(reason, format!("header x is \"{}\" and more, not \"y\"", "é".repeat(64)));
}

#[test]
fn rules_without_the_body_decide_before_it_is_read() {
    let rule = r#"{"all": [{"body": "/a", "equals": 1}, {"header": "x", "equals": "y"}]}"#;
    let event = Event::builder().header("x", "z").body("not json").build();
    assert_eq!(filter(rule).filter(&event), Ok(Decision::drop(r#"header x is "z", not "y""#)));
}

#[test]
fn body_that_is_not_json_is_invalid_where_a_rule_needs_it() {
    let event = Event::builder().body("payload=1").build();
    let result = filter(r#"{"body": "/a", "exists": true}"#).filter(&event);
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
}

#[test]
fn rules_without_sense_are_refused_by_path() {
    refused(
        "{}",
        "`where`: says not what it is about; add one of `body`, `header`, `query`, `param`, `event`",
    );
    refused(
        r#"{"all": [{"body": "/a", "exists": true}, {"header": "x"}]}"#,
        "`where.all[1]`: says nothing about header x; add `equals`, `in`, `exists` or another condition",
    );
    refused(r#"{"not": {"any": []}}"#, "`where.not.any`: is empty; add a rule or leave it out");
    refused(
        r#"{"body": "/a", "header": "x", "equals": 1}"#,
        "`where`: is about more than one thing; make a rule of each and put them into `all`",
    );
    refused(
        r#"{"all": [], "any": []}"#,
        "`where`: has more than one of `all`, `any` and `not`; put one into the other",
    );
    refused(
        r#"{"all": [], "body": "/a"}"#,
        "`where`: is both a group and a test; put the test into the group",
    );
    refused(
        r#"{"all": [], "equals": 1}"#,
        "`where`: is a group, which has no conditions of its own; put them into a test in the group",
    );
    refused(r#"{"body": "/a", "in": []}"#, "`where`: has an empty list; add a value or leave the list out");
}

#[test]
fn contradictions_are_refused() {
    let reason = "`where`: can never hold, because its conditions contradict each other";
    refused(r#"{"body": "/a", "equals": "x", "prefix": "y"}"#, reason);
    refused(r#"{"body": "/a", "in": ["x", "y"], "not_in": ["y", "x"]}"#, reason);
    refused(r#"{"body": "/a", "gt": 5, "lte": 5}"#, reason);
    refused(r#"{"body": "/a", "gte": 5, "lt": 5}"#, reason);
    refused(r#"{"body": "/a", "gte": 5.5, "lte": 5}"#, reason);
    refused(
        r#"{"body": "/a", "exists": false, "equals": 1}"#,
        "`where`: `exists = false` leaves no value for the other conditions; take one side away",
    );
    kept(r#"{"body": "/issue/number", "gte": 7, "lte": 7}"#);
}

#[test]
fn misspelt_keys_are_refused_by_path() {
    let error = testing::filter::<KeepWhere>(r#"{"where": {"all": [{"bdy": "/a"}]}}"#).err().unwrap();
    assert!(error.to_string().starts_with("`where.all[0].bdy`: unknown key; a rule has"), "{error}");
    let error = testing::filter::<KeepWhere>(r#"{"where": {"body": "a", "equals": 1}}"#).err().unwrap();
    assert_eq!(error.to_string(), "`where.body`: `a` is not a JSON pointer: it must begin with `/`");
    refused(r#"{"body": "/a", "equals": [1]}"#, "`where.equals`: expected a string, a number or a boolean");
    refused(r#"{"body": "/a", "gt": "1"}"#, "`where.gt`: expected a number");
    refused(r#"{"body": "/a", "in": 1}"#, "`where.in`: expected a list");
    refused(r#"{"body": "/a", "exists": 1}"#, "`where.exists`: expected a boolean");
    refused(r#"{"header": 1, "exists": true}"#, "`where.header`: expected a string");
    refused(r#"{"not": 1}"#, "`where.not`: expected a table");
    refused(
        r#"{"event": "id", "exists": true}"#,
        "`where.event`: unknown property `id`, expected `type`, `route`, `method` or `path`",
    );
    let error = testing::filter::<KeepWhere>("null").err().unwrap();
    assert_eq!(error.to_string(), "missing field `where`");
}
