use serde_json::{Value, json};
use sluice_tests::{
    gateway::{Gateway, Setup},
    payload::{Example, github_example, github_examples},
    sink::{Received, Sink},
    webhook::Webhook,
};

/// Newly opened issues, as three fields.
const ISSUES: &str = r#"
[plugins.filter]
file = "$PLUGINS/filter.wasm"

[plugins.map]
file = "$PLUGINS/map.wasm"

[destinations.tracker]
url = "$SINK/tracker"
sign = { secrets = [{ env = "SIGNING_SECRET" }] }

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
dedupe = "24h"
pipeline = [
  { plugin = "filter", config = { where = { all = [
      { header = "x-github-event", equals = "issues" },
      { body = "/action", in = ["opened"] },
  ] } } },
  { plugin = "map", config = { body = { repo = { pointer = "/repository/full_name" }, title = "{{/issue/title}}", url = { pointer = "/issue/html_url" } } } },
]
deliver = ["tracker"]
"#;

const REDACTED: &str = r#"
[plugins.redact]
file = "$PLUGINS/redact.wasm"

[destinations.tracker]
url = "$SINK/tracker"

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "redact", config = { remove = ["/sender"], mask = ["/issue/user/login"] } }]
deliver = ["tracker"]
"#;

async fn issues(sink: &Sink) -> Gateway {
    Setup::new().sink(sink).plugins().config(ISSUES).start().await
}

#[tokio::test]
async fn opened_issues_arrive_mapped_and_everything_else_is_dropped_with_a_reason() {
    let sink = Sink::start().await;
    let gateway = issues(&sink).await;
    let mut expected = Vec::new();
    for example in github_examples() {
        let id = gateway.accept(webhook(&example)).await;
        if example.event == "issues" && example.json()["action"] == "opened" {
            gateway.admin().wait_state(&id, "delivered").await;
            expected.push(mapped(&example));
        } else {
            let event = gateway.admin().wait_state(&id, "dropped").await;
            assert_eq!(event["trail"][0]["outcome"], "drop", "{}: {event}", example.name);
            assert!(event["trail"][0]["detail"].is_string(), "{}: {event}", example.name);
        }
    }
    let received: Vec<_> = sink.received("/tracker").iter().map(Received::json).collect();
    assert_eq!(received, expected);
    assert!(expected.len() >= 3);
}

#[tokio::test]
async fn unmapped_payloads_arrive_byte_for_byte() {
    let sink = Sink::start().await;
    let pipeline = ISSUES.find("pipeline").unwrap()..ISSUES.find("deliver").unwrap();
    let mut config = ISSUES.to_owned();
    config.replace_range(pipeline, "");
    let gateway = Setup::new().sink(&sink).plugins().config(&config).start().await;
    for example in github_examples() {
        let id = gateway.accept(webhook(&example)).await;
        gateway.admin().wait_state(&id, "delivered").await;
        let received = sink.received("/tracker").pop().unwrap();
        assert!(received.body == example.body, "{} was changed", example.name);
        assert_eq!(received.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn redacted_places_do_not_get_out_and_the_rest_is_as_it_was() {
    let sink = Sink::start().await;
    let gateway = Setup::new().sink(&sink).plugins().config(REDACTED).start().await;
    let example = github_example("issues.opened.15");
    gateway.accept(webhook(&example)).await;
    let mut expected = example.json();
    expected.as_object_mut().unwrap().remove("sender");
    expected["issue"]["user"]["login"] = json!("***");
    assert_eq!(sink.wait_received("/tracker", 1).await[0].json(), expected);
}

fn webhook(example: &Example) -> Webhook {
    Webhook::github(&example.event, example.body.clone())
}

fn mapped(example: &Example) -> Value {
    let body = example.json();
    let (issue, repository) = (&body["issue"], &body["repository"]);
    json!({"repo": repository["full_name"], "title": issue["title"], "url": issue["html_url"]})
}
