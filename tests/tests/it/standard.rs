use serde_json::{Value, json};
use sluice_tests::{
    gateway::{Gateway, Setup},
    sink::{Received, Sink},
    webhook::Webhook,
};

/// A route for each plugin, and destinations that tell themselves apart by their paths.
const STANDARD: &str = r##"
[plugins.cloudevents]
file = "$PLUGINS/cloudevents.wasm"

[plugins.flatten]
file = "$PLUGINS/flatten.wasm"

[plugins.map]
file = "$PLUGINS/map.wasm"

[plugins.route]
file = "$PLUGINS/route.wasm"

[plugins.slack]
file = "$PLUGINS/slack.wasm"

[plugins.split]
file = "$PLUGINS/split.wasm"

[destinations.a]
url = "$SINK/a"

[destinations.b]
url = "$SINK/b"

[[routes]]
name = "route"
path = "/route"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "route", config = { routes = [
  { when = { body = "/severity", gte = 4 }, to = ["a", "b"] },
  { when = { header = "x-github-event", equals = "push" }, to = ["b"] },
] } }]
deliver = ["a", "b"]

[[routes]]
name = "mapped"
path = "/mapped"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [
  { plugin = "map", config = { body = { n = { pointer = "/n" } }, headers = { "x-n" = "{{/n}}" } } },
  { plugin = "route", config = { headers = ["x-n"], routes = [{ when = { body = "/n", lt = 0 }, to = ["a"] }], else = ["b"] } },
]
deliver = ["a", "b"]

[[routes]]
name = "split"
path = "/split"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [
  { plugin = "split", config = { pointer = "/items", keep = { "/order" = "/id" }, key = "/sku" } },
  { plugin = "cloudevents", config = { id = "{{event.id}}-{{/sku}}", subject = "/order" } },
]
deliver = ["a"]

[[routes]]
name = "slack"
path = "/slack"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "slack", config = {
  text = "*{{/repo}}* {{/title}}",
  blocks = [{ type = "section", text = { type = "mrkdwn", text = "<{{/url}}|{{/title}}>" } }],
} }]
deliver = ["a"]

[[routes]]
name = "binary"
path = "/binary/{tenant}"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "cloudevents", config = {
  mode = "binary", type_prefix = "com.github.", extensions = { tenant = "{{param:tenant}}" },
} }]
deliver = ["a"]

[[routes]]
name = "flatten"
path = "/flatten"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "flatten" }]
deliver = ["a"]
"##;

async fn standard(sink: &Sink) -> Gateway {
    Setup::new().sink(sink).plugins().config(STANDARD).start().await
}

fn hook(path: &str, body: &str) -> Webhook {
    Webhook::github("issues", body.to_owned()).to(path)
}

fn text(received: &Received) -> &str {
    str::from_utf8(&received.body).unwrap()
}

#[tokio::test]
async fn route_sends_an_event_unchanged_to_what_its_rules_choose() {
    let sink = Sink::start().await;
    let gateway = standard(&sink).await;
    let body = r#"{ "severity": 4.5, "n": 12345678901234567890123 }"#;
    let both = gateway.accept(hook("/route", body)).await;
    gateway.admin().wait_state(&both, "delivered").await;
    let push = Webhook::github("push", r#"{"severity": 1}"#).to("/route");
    let one = gateway.accept(push).await;
    gateway.admin().wait_state(&one, "delivered").await;
    let (a, b) = (sink.received("/a"), sink.received("/b"));
    assert_eq!(a.iter().map(text).collect::<Vec<_>>(), [body]);
    assert_eq!(b.iter().map(text).collect::<Vec<_>>(), [body, r#"{"severity": 1}"#]);
    assert_eq!(a[0].header("content-type"), "application/json");
}

#[tokio::test]
async fn route_drops_what_no_rule_wants_and_the_history_says_why() {
    let sink = Sink::start().await;
    let gateway = standard(&sink).await;
    let id = gateway.accept(hook("/route", r#"{"severity": 3}"#)).await;
    let event = gateway.admin().wait_state(&id, "dropped").await;
    let reason = "body /severity is 3, not a number from 4 up; and header x-github-event is";
    assert!(event["reason"].to_string().contains(reason), "{event}");
    assert!(sink.received("/a").is_empty() && sink.received("/b").is_empty());
}

#[tokio::test]
async fn route_behind_another_step_takes_its_headers_along_where_named() {
    let sink = Sink::start().await;
    let gateway = standard(&sink).await;
    gateway.accept(hook("/mapped", r#"{"n": 7}"#)).await;
    let received = &sink.wait_received("/b", 1).await[0];
    assert_eq!((text(received), received.header("x-n")), (r#"{"n":7}"#, "7"));
}

#[tokio::test]
async fn split_makes_messages_that_the_next_step_wraps_one_by_one() {
    let sink = Sink::start().await;
    let gateway = standard(&sink).await;
    let body = r#"{"id": 9007199254740993, "items": [{"sku": "x"}, {"sku": "y"}]}"#;
    let id = gateway.accept(hook("/split", body)).await;
    gateway.admin().wait_state(&id, "delivered").await;
    let received = sink.received("/a");
    let mut made: Vec<_> = received.iter().map(|received| received.json()["id"].clone()).collect();
    made.sort_by_key(Value::to_string);
    assert_eq!(made, [json!(format!("{id}-x")), json!(format!("{id}-y"))]);
    for received in &received {
        assert_eq!(received.header("content-type"), "application/cloudevents+json; charset=utf-8");
        let event = received.json();
        assert_eq!((&event["subject"], &event["source"]), (&json!("9007199254740993"), &json!("/split")));
        assert!(text(received).ends_with(r#","order":9007199254740993}}"#), "{}", text(received));
    }
}

#[tokio::test]
async fn split_drops_an_empty_array_and_refuses_what_is_none() {
    let sink = Sink::start().await;
    let gateway = standard(&sink).await;
    let empty = gateway.accept(hook("/split", r#"{"items": []}"#)).await;
    let event = gateway.admin().wait_state(&empty, "dropped").await;
    assert!(event["reason"].to_string().contains("body /items is empty"), "{event}");
    let wrong = gateway.accept(hook("/split", r#"{"items": 1}"#)).await;
    let event = gateway.admin().wait_state(&wrong, "dead").await;
    assert!(event.to_string().contains("body /items is a number, not an array"), "{event}");
}

#[tokio::test]
async fn slack_message_calls_nobody_that_the_operator_did_not() {
    let sink = Sink::start().await;
    let gateway = standard(&sink).await;
    let body = r#"{"repo": "octo/hello", "title": "<!channel> \"hi\"", "url": "https://x.example/?a=1&b=2"}"#;
    gateway.accept(hook("/slack", body)).await;
    let received = &sink.wait_received("/a", 1).await[0];
    let link = "<https://x.example/?a=1&amp;b=2|&lt;!channel&gt; \"hi\">";
    assert_eq!(
        received.json(),
        json!({
            "text": "*octo/hello* &lt;!channel&gt; \"hi\"",
            "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": link } }],
        })
    );
    assert_eq!(received.header("content-type"), "application/json; charset=utf-8");
}

#[tokio::test]
async fn binary_cloud_event_is_the_body_with_headers() {
    let sink = Sink::start().await;
    let gateway = standard(&sink).await;
    let body = r#"{ "n": 12345678901234567890123 }"#;
    let id = gateway.accept(hook("/binary/a%20b", body)).await;
    let received = &sink.wait_received("/a", 1).await[0];
    assert_eq!(text(received), body);
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", id.as_str()),
        ("ce-source", "/binary"),
        ("ce-type", "com.github.issues"),
        ("ce-tenant", "a%20b"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(received.header(name), value);
    }
    assert!(received.header("ce-time").ends_with('Z'), "{}", received.header("ce-time"));
}

#[tokio::test]
async fn flat_body_has_one_level_and_no_depth_overflows_the_guest() {
    let sink = Sink::start().await;
    let gateway = standard(&sink).await;
    gateway.accept(hook("/flatten", r#"{"a": {"b": [1, {"c": 9007199254740993}]}}"#)).await;
    assert_eq!(text(&sink.wait_received("/a", 1).await[0]), r#"{"a.b.0":1,"a.b.1.c":9007199254740993}"#);
    let deep = format!("{}1{}", r#"{"a":"#.repeat(20_000), "}".repeat(20_000));
    gateway.accept(hook("/flatten", &deep)).await;
    let received = &sink.wait_received("/a", 2).await[1];
    assert!(text(received).starts_with(&format!(r#"{{"{}":{{"a":"#, ["a"; 64].join("."))));
}

#[test]
fn mistakes_in_a_plugins_config_are_named_by_key() {
    for (from, to, reason) in [
        ("gte = 4", "gte = \"4\"", "`routes[0].when.gte`: expected a number"),
        ("to = [\"b\"] },\n]", "to = [] },\n]", "`routes[1].to`: names no destination"),
        ("key = \"/sku\"", "key = \"sku\"", "`key`: `sku` is not a JSON pointer"),
        ("text = \"*{{/repo}}*", "text = \"*{{/repo}*", "`text`: `{{/repo}* ` is not closed"),
        ("{ tenant = ", "{ Tenant = ", "`extensions.Tenant`: is no name of an attribute"),
        ("plugin = \"flatten\"", "plugin = \"flatten\", config = { max_depth = 0 }", "`max_depth`: is 0"),
    ] {
        let config = STANDARD.replace("$SINK", "http://127.0.0.1:9");
        let broken = config.replacen(from, to, 1);
        assert_ne!(broken, config, "{from}");
        let setup = Setup::new().plugins().config(&broken);
        let output = setup.run(&["check", "--config", setup.config_file().to_str().unwrap()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(reason), "{reason}\n{stderr}");
    }
}
