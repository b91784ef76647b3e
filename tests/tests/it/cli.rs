use std::{fs, process::Output};

use serde_json::Value;
use sluice_tests::{
    gateway::{Gateway, Setup},
    sink::{Reply, Sink},
    webhook::GITHUB_SECRET,
};

use crate::common::{RELAY, hook, place, relay};

fn check(config: &str) -> (Option<i32>, String) {
    let setup = Setup::new().value("$SINK", "http://127.0.0.1:9").config(config);
    let output = setup.run(&["check", "--config", setup.config_file().to_str().unwrap()]);
    (output.status.code(), said(&output))
}

#[test]
fn good_config_is_good() {
    let (code, said) = check(RELAY);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let config = r#"
[destinations.sink]
url = "$SINK/in"
timout = "1s"
retry = ["soon"]

[[routes]]
name = "github"
path = "/github"
verify = { preset = "githbu", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "missing" }]
deliver = ["snik"]
"#;
    let (code, said) = check(config);
    assert_eq!(code, Some(2), "{said}");
    for part in ["timout", "timeout", "soon", "githbu", "github", "missing", "snik", "sluice.toml"] {
        assert!(said.contains(part), "`{part}` is missing from\n{said}");
    }
}

/// Two routes with the same plugins.
const PLUGINS: &str = r#"
[plugins.filter]
file = "$PLUGINS/filter.wasm"

[plugins.broken]
file = "$DIR/broken.wasm"

[destinations.sink]
url = "http://127.0.0.1:9/in"

[[routes]]
name = "github"
path = "/github"
verify = "none"
pipeline = [
  { plugin = "filter", config = { where = { body = "/action", exists = true }, acts = ["opened"] } },
  { plugin = "filter", config = { where = { all = [{ body = "/a", exists = true }, { boddy = "/b" }] } } },
  { plugin = "filter" },
  { plugin = "broken" },
]
deliver = ["sink"]

[[routes]]
name = "other"
path = "/other"
verify = "none"
pipeline = [{ plugin = "broken" }]
deliver = ["sink"]
"#;

#[test]
fn what_plugins_find_fault_with_is_shown_where_it_is_written() {
    let setup = Setup::new().plugins().guest("broken", b"\0asm").config(PLUGINS);
    let output = setup.run(&["check", "--config", setup.config_file().to_str().unwrap()]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: route `github`: plugin `filter` refuses its config: `acts`: "), "{said}");
    for text in ["acts", "boddy", "\"filter\" },\n"] {
        let place = place(&setup, text);
        assert_eq!(said.matches(&format!("{place}\n")).count(), 1, "{place} in\n{said}");
    }
    assert_eq!(said.matches("plugin `broken`").count(), 1, "{said}");
    assert!(said.contains(&format!("file = \"{}\"", setup.path("broken.wasm").display())), "{said}");
    assert!(said.ends_with("has 4 errors\n"), "{said}");
    let (line, caret) = said.split_once("acts = [\"opened\"]").expect("the line is shown");
    let column = line.rsplit('\n').next().unwrap().len();
    let carets = caret.lines().nth(1).unwrap();
    assert_eq!((carets.find('^'), carets.matches('^').count()), (Some(column), "acts".len()), "{said}");
}

#[test]
fn run_shows_what_plugins_find_fault_with_like_check() {
    let setup = Setup::new().plugins().guest("broken", b"\0asm").config(PLUGINS);
    let output = setup.run(&["run", "--config", setup.config_file().to_str().unwrap()]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for text in ["acts", "boddy"] {
        assert!(said.contains(&format!("{}\n", place(&setup, text))), "{said}");
    }
}

#[test]
fn route_that_anybody_may_send_to_is_warned_about() {
    let preset = "{ preset = \"github\", secrets = [{ env = \"GITHUB_SECRET\" }] }";
    let (code, said) = check(&RELAY.replace(preset, "\"none\""));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning") && said.contains("github"), "{said}");
}

#[test]
fn secret_in_the_file_is_warned_about_but_not_shown() {
    let (code, said) = check(&RELAY.replace("{ env = \"GITHUB_SECRET\" }", "\"hush-hush\""));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning") && !said.contains("hush-hush"), "{said}");
}

#[test]
fn secret_that_is_not_set_is_named() {
    let (code, said) = check(&RELAY.replace("GITHUB_SECRET", "NOT_SET_ANYWHERE"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("NOT_SET_ANYWHERE"), "{said}");
}

#[test]
fn missing_config_is_named() {
    let output = Setup::new().run(&["check", "--config", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("nowhere.toml"), "{}", said(&output));
}

#[test]
fn bad_usage_is_2() {
    assert_eq!(Setup::new().run(&["frobnicate"]).status.code(), Some(2));
}

#[test]
fn schema_is_a_json_schema_of_the_config() {
    let output = Setup::new().run(&["schema"]);
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    for section in ["server", "admin", "journal", "plugins", "destinations", "routes"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_signs_and_posts() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let file = gateway.setup().path("body.json");
    fs::write(&file, r#"{"action":"opened"}"#).unwrap();
    let url = format!("{}/github", gateway.url());
    let send = |secret| {
        let file = file.to_str().unwrap();
        gateway.setup().run(&["send", "--preset", "github", "--secret", secret, "--file", file, &url])
    };
    let output = send(GITHUB_SECRET);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("202"), "{}", said(&output));
    assert_eq!(sink.wait_received("/in", 1).await[0].body, r#"{"action":"opened"}"#);
    let output = send("wrong");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("401"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_listed_shown_and_replayed() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let id = gateway.accept(hook(1)).await;
    gateway.admin().wait_state(&id, "delivered").await;
    assert!(ask(&gateway, &["events", "list", "--state", "delivered"]).contains(&id));
    assert!(!ask(&gateway, &["events", "list", "--state", "dead"]).contains(&id));
    let shown = ask(&gateway, &["events", "show", &id]);
    assert!(shown.contains("delivered") && shown.contains("sink"), "{shown}");
    ask(&gateway, &["events", "replay", &id]);
    sink.wait_received("/in", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_and_replayed() {
    let sink = Sink::start().await;
    sink.answer("/in", Reply::status(410));
    let gateway = relay(&sink).await;
    let id = gateway.accept(hook(1)).await;
    gateway.admin().wait_dead_letters(1).await;
    assert!(ask(&gateway, &["dead", "list"]).contains(&id));
    sink.answer("/in", Reply::status(200));
    ask(&gateway, &["dead", "replay", "--destination", "sink"]);
    gateway.admin().wait_dead_letters(0).await;
    gateway.admin().wait_state(&id, "delivered").await;
}

/// Runs a command against the gateway's admin listener; gives what it printed.
fn ask(gateway: &Gateway, args: &[&str]) -> String {
    let output = gateway.setup().run(&[args, &["--admin", gateway.admin().url()]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}
