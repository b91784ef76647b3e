use sluice_plugin::testing;

use super::*;

fn outcome(body: &str) -> Result<Outcome, Error> {
    outcome_of("issues", body)
}

fn outcome_of(event_type: &str, body: &str) -> Result<Outcome, Error> {
    let plugin: Ticket = testing::transform("null").unwrap();
    plugin.transform(&Event::builder().event_type(event_type).build(), body.as_bytes().to_vec().into())
}

#[test]
fn opened_issue_becomes_a_ticket() {
    let body = r#"{"action":"opened","issue":{"id":1,"title":"It \"works\"","html_url":"https://x/1"},
        "repository":{"full_name":"a/b","private":false}}"#;
    let made = outcome(body).unwrap();
    assert_eq!(made.messages()[0].body(), br#"{"repo":"a/b","title":"It \"works\"","url":"https://x/1"}"#);
}

#[test]
fn any_other_action_is_dropped() {
    let body = r#"{"action":"closed","issue":{"title":"","html_url":""},"repository":{"full_name":""}}"#;
    assert_eq!(outcome(body), Ok(Outcome::drop("not a new issue")));
}

#[test]
fn event_about_something_else_is_dropped() {
    let ping = outcome_of("ping", r#"{"zen":"Keep it logically awesome."}"#);
    assert_eq!(ping, Ok(Outcome::drop("not about an issue")));
}

#[test]
fn issue_without_what_a_ticket_needs_is_invalid() {
    assert!(matches!(outcome(r#"{"action":"opened","issue":{}}"#), Err(Error::Invalid(_))));
}
