use serde_json::{Value, json};
use sluice_plugin::{Error, Event, Message, Transform, testing};

use super::Slack;

const ISSUE: &str = r#"{
    "issue": {"number": 12345678901234567890123, "title": "<!channel> \"R&D\" *x*", "url": "https://x.example/?a=1&b=2"},
    "repository": {"full_name": "octo/hello"}, "team": "core"
}"#;

fn message(config: &Value) -> Result<Message, Error> {
    let slack: Slack = testing::transform(&config.to_string())?;
    let event = Event::builder().event_type("issues").build();
    let [message] = Vec::from(slack.transform(&event, ISSUE.as_bytes().to_vec().into())?).try_into().unwrap();
    Ok(message)
}

fn slack(config: &Value) -> Value {
    serde_json::from_slice(message(config).unwrap().body()).unwrap()
}

#[track_caller]
fn text(template: &str, text: &str) {
    assert_eq!(slack(&json!({ "text": template })), json!({ "text": text }));
}

#[track_caller]
fn refused(config: &Value, reason: &str) {
    assert_eq!(message(config), Err(Error::config(reason)));
}

#[test]
fn text_is_filled_from_the_event() {
    text(
        "*{{/repository/full_name}}* #{{/issue/number}} ({{event.type}})",
        "*octo/hello* #12345678901234567890123 (issues)",
    );
}

#[test]
fn values_are_escaped_and_the_operators_own_text_is_not() {
    text(
        "<{{/issue/url}}|{{/issue/title}}> & <!here>",
        "<https://x.example/?a=1&amp;b=2|&lt;!channel&gt; \"R&amp;D\" *x*> & <!here>",
    );
}

#[test]
fn escaping_can_be_turned_off() {
    assert_eq!(
        slack(&json!({ "text": "{{/issue/title}}", "escape": false })),
        json!({ "text": "<!channel> \"R&D\" *x*" })
    );
}

#[test]
fn long_values_are_cut_before_they_are_escaped() {
    assert_eq!(
        slack(&json!({ "text": "{{/issue/title}}|{{/team}}", "max_value": 4 })),
        json!({ "text": "&lt;!ch…|core" })
    );
}

#[test]
fn channel_is_a_template_too() {
    assert_eq!(
        slack(&json!({ "text": "x", "channel": "#team-{{/team}}" })),
        json!({ "text": "x", "channel": "#team-core" })
    );
}

#[test]
fn strings_in_blocks_are_templates_and_the_rest_is_as_it_was() {
    let blocks = json!([
        { "type": "divider" },
        { "type": "context", "elements": [], "options": {}, "level": 2, "emoji": true, "none": null },
        { "type": "section", "text": { "type": "plain_text", "text": "{{/team}}: {{{{x}}" } },
    ]);
    let mut expected = blocks.clone();
    expected[2]["text"]["text"] = json!("core: {{x}}");
    assert_eq!(slack(&json!({ "text": "x", "blocks": blocks })), json!({ "text": "x", "blocks": expected }));
}

#[test]
fn in_blocks_only_mrkdwn_is_escaped() {
    let blocks = |title: &str, url: &str, plain: &str| {
        json!([
            { "type": "section", "fields": [{ "type": "mrkdwn", "text": title }] },
            { "type": "actions", "elements": [
                { "type": "button", "url": url, "value": plain, "text": { "type": "plain_text", "text": plain } },
            ] },
        ])
    };
    let (title, url, plain) =
        ("&lt;!channel&gt; \"R&amp;D\" *x*", "https://x.example/?a=1&b=2", "<!channel> \"R&D\" *x*");
    assert_eq!(
        slack(
            &json!({ "text": "x", "blocks": blocks("{{/issue/title}}", "{{/issue/url}}", "{{/issue/title}}") })
        ),
        json!({ "text": "x", "blocks": blocks(title, url, plain) })
    );
}

#[test]
fn missing_is_empty_or_an_error() {
    text("<{{/nobody}}>", "<>");
    let error = message(&json!({ "text": "<{{/nobody}}>", "missing": "error" })).unwrap_err();
    assert_eq!(error, Error::invalid("event has no body /nobody, which `text` is made from"));
}

#[test]
fn message_that_slack_would_not_take_is_invalid() {
    let error = message(&json!({ "text": " {{/nobody}}" })).unwrap_err();
    assert_eq!(
        error,
        Error::invalid("nothing is left of `text` for this event, and Slack takes no empty text")
    );
    let error = message(&json!({ "text": "x", "channel": "{{/nobody}}" })).unwrap_err();
    assert_eq!(error, Error::invalid("nothing is left of `channel` for this event"));
}

#[test]
fn message_is_json_by_its_header() {
    let message = message(&json!({ "text": "x" })).unwrap();
    let headers: Vec<_> = message.headers().collect();
    assert_eq!(headers, [("content-type", &b"application/json; charset=utf-8"[..])]);
}

#[test]
fn config_that_makes_no_sense_is_refused_by_path() {
    refused(&json!({}), "missing field `text`");
    refused(
        &json!({ "text": " " }),
        "`text`: is empty; Slack shows it in notifications, also beside `blocks`",
    );
    refused(
        &json!({ "text": "x", "max_value": 0 }),
        "`max_value`: is 0, which would leave nothing of any value",
    );
    for blocks in [json!([]), json!({ "type": "divider" }), json!(vec![json!({ "type": "divider" }); 51])] {
        refused(&json!({ "text": "x", "blocks": blocks }), "`blocks`: expected a list of 1 to 50 blocks");
    }
    refused(
        &json!({ "text": "x", "blocks": [{ "fields": [{ "text": "{{/a" }] }] }),
        "`blocks[0].fields[0].text`: `{{/a` is not closed; add `}}`, or write `{{{{` for `{{`",
    );
    refused(
        &json!({ "text": "x", "missing": "null" }),
        "`missing`: unknown variant `null`, expected `empty` or `error`",
    );
}
