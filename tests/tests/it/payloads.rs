use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use sluice_tests::{
    gateway::{Gateway, Setup},
    payload::{Example, github_example, github_examples},
    sink::{Received, Sink},
    webhook::{SIGNING_SECRET, Webhook},
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

/// Where there is no python3 this is left out; with `CI=true` that is a failure.
#[tokio::test]
async fn signatures_are_accepted_by_pythons_standardwebhooks() {
    let Some(python) = python() else {
        let ci = env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "CI=true, but python3 with `venv` and the package `standardwebhooks` are not to be had");
        eprintln!("left out: python3 with `venv` and the package `standardwebhooks` are not to be had");
        return;
    };
    let sink = Sink::start().await;
    let gateway = issues(&sink).await;
    for name in ["issues.opened.15", "issues.opened.17"] {
        gateway.accept(webhook(&github_example(name))).await;
    }
    let received = sink.wait_received("/tracker", 2).await;
    let messages: Vec<_> = received.iter().map(message).collect();
    assert_eq!(verdicts(&python, SIGNING_SECRET, &messages), "accepted accepted");
    let other = "whsec_bm90IHRoZSBzZWNyZXQgdGhhdCBpdCB3YXMgc2lnbmVkIHdpdGg=";
    assert_eq!(verdicts(&python, other, &messages), "refused refused");
}

fn webhook(example: &Example) -> Webhook {
    Webhook::github(&example.event, example.body.clone())
}

fn mapped(example: &Example) -> Value {
    let body = example.json();
    let (issue, repository) = (&body["issue"], &body["repository"]);
    json!({"repo": repository["full_name"], "title": issue["title"], "url": issue["html_url"]})
}

fn message(received: &Received) -> Value {
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Value =
        headers.iter().map(|name| ((*name).to_owned(), json!(received.header(name)))).collect();
    json!({"headers": headers, "body": BASE64.encode(&received.body)})
}

/// What the Python library says of each message.
fn verdicts(python: &Path, secret: &str, messages: &[Value]) -> String {
    const VERIFY: &str = r#"
import base64, json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

def verdict(message):
    try:
        Webhook(sys.argv[1]).verify(base64.b64decode(message["body"]).decode(), message["headers"])
        return "accepted"
    except WebhookVerificationError:
        return "refused"

print(*[verdict(message) for message in json.loads(sys.argv[2])])
"#;
    let messages = serde_json::to_string(messages).unwrap();
    let output = Command::new(python).args(["-c", VERIFY, secret, &messages]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A Python with the package, in a virtual environment under `target/` that is made on first use.
fn python() -> Option<PathBuf> {
    let target = env::current_exe().ok()?.ancestors().find(|dir| dir.ends_with("target"))?.to_owned();
    let python = target.join("python/bin/python3");
    if has_package(&python) {
        return Some(python);
    }
    fs::create_dir_all(&target).ok()?;
    run(Command::new("python3").args(["-m", "venv"]).arg(target.join("python")))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "standardwebhooks==1.0.0"]))?;
    has_package(&python).then_some(python)
}

fn has_package(python: &Path) -> bool {
    run(Command::new(python).args(["-c", "import standardwebhooks"])).is_some()
}

fn run(command: &mut Command) -> Option<()> {
    command.output().ok()?.status.success().then_some(())
}
