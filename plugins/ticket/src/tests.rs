use sluice_plugin::testing;

use super::*;

fn messages(body: &str) -> Result<Vec<Message>, Error> {
    let plugin: Ticket = testing::transform("null").unwrap();
    plugin.transform(&Event::builder().build(), body.as_bytes().to_vec().into())
}

#[test]
fn opened_issue_becomes_a_ticket() {
    let body = r#"{"action":"opened","issue":{"id":1,"title":"It \"works\"","html_url":"https://x/1"},
        "repository":{"full_name":"a/b","private":false}}"#;
    let made = messages(body).unwrap();
    assert_eq!(made[0].body(), br#"{"repo":"a/b","title":"It \"works\"","url":"https://x/1"}"#);
}

#[test]
fn any_other_action_is_dropped() {
    let body = r#"{"action":"closed","issue":{"title":"","html_url":""},"repository":{"full_name":""}}"#;
    assert_eq!(messages(body).unwrap(), []);
}

#[test]
fn body_of_another_event_is_invalid() {
    assert!(matches!(messages(r#"{"zen":"Keep it logically awesome."}"#), Err(Error::Invalid(_))));
}
