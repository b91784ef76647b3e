use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::{
    gateway::{Gateway, Setup},
    sink::{Reply, Sink},
    webhook::Webhook,
};

use crate::common::hook;

/// A route whose plugin runs the errands that events ask for, and one without plugins.
const ERRANDS: &str = r#"
[plugins.errands]
file = "$PLUGINS/errands.wasm"
limits = { wait = "1s" }
grants = $GRANTS

[destinations.sink]
url = "$SINK/in"

[[routes]]
name = "errands"
path = "/errands"
verify = "none"
pipeline = [{ plugin = "errands", on_error = "dead-letter" }]
deliver = ["sink"]

[[routes]]
name = "calm"
path = "/calm"
verify = "none"
deliver = ["sink"]
"#;

async fn start(sink: &Sink, grants: &str) -> Gateway {
    let config = ERRANDS.replace("$GRANTS", grants);
    Setup::new().sink(sink).plugins().config(&config).start().await
}

fn errands(errands: &Value) -> Webhook {
    Webhook::plain("/errands", errands.to_string())
}

/// What came of these errands, the `nth` event of all.
async fn run(gateway: &Gateway, sink: &Sink, nth: usize, list: Value) -> Value {
    let id = gateway.accept(errands(&list)).await;
    // An event that is not settled before a crash is dispatched again, and writes twice.
    gateway.admin().wait_state(&id, "delivered").await;
    sink.wait_received("/in", nth).await[nth - 1].json()
}

#[tokio::test]
async fn values_survive_kill_minus_nine() {
    let sink = Sink::start().await;
    let mut gateway = start(&sink, r#"{ kv = "1KiB" }"#).await;
    let list = json!([
        { "do": "set", "key": "k", "value": "kept" },
        { "do": "add", "key": "n", "by": 41 },
        { "do": "set", "key": "gone", "value": "x" },
        { "do": "delete", "key": "gone" },
        { "do": "set", "key": "short", "value": "x", "ttl_ms": 1 },
    ]);
    assert_eq!(run(&gateway, &sink, 1, list).await, json!(["set", "41", "set", "true", "set"]));
    gateway = gateway.crash_and_restart().await;
    let list = json!([
        { "do": "get", "key": "k" },
        { "do": "add", "key": "n", "by": 1 },
        { "do": "get", "key": "gone" },
        { "do": "get", "key": "short" },
    ]);
    assert_eq!(run(&gateway, &sink, 2, list).await, json!(["kept", "42", "nothing", "nothing"]));
}

#[tokio::test]
async fn store_holds_what_is_granted_and_no_more() {
    let sink = Sink::start().await;
    let gateway = start(&sink, r#"{ kv = "1KiB" }"#).await;
    let list = json!([
        { "do": "set", "key": "a", "value": "x".repeat(1023) },
        { "do": "add", "key": "n", "by": 1 },
        { "do": "set", "key": "", "value": "x" },
        { "do": "add", "key": "a", "by": 1 },
    ]);
    let told = run(&gateway, &sink, 1, list).await;
    assert_eq!(told[0], "set");
    for (index, part) in [(1, "the config grants 1024"), (2, "key is empty"), (3, "no number")] {
        assert!(told[index].as_str().unwrap().contains(part), "{told}");
    }
    assert_eq!(gateway.admin().metric("sluice_plugin_grant_calls_total", r#"outcome="full""#).await, 1.0);
}

#[tokio::test]
async fn racing_events_all_count() {
    let sink = Sink::start().await;
    let gateway = start(&sink, r#"{ kv = "1KiB" }"#).await;
    for _ in 0..50 {
        gateway.accept(errands(&json!([{ "do": "add", "key": "n", "by": 2 }]))).await;
    }
    let received = sink.wait_received("/in", 50).await;
    let mut sums: Vec<u32> =
        received.iter().map(|received| received.json()[0].as_str().unwrap().parse().unwrap()).collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=50).map(|n| n * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn requests_go_where_the_config_says_and_nowhere_else() {
    let (sink, api) = (Sink::start().await, Sink::start().await);
    let url = format!("{}/users/ada", api.url());
    let grants = format!(r#"{{ http = [{{ url = "{}", private = true }}] }}"#, api.url());
    let gateway = start(&sink, &grants).await;
    let list = json!([
        { "do": "send", "url": url },
        { "do": "send", "url": "https://api.example.com/" },
        { "do": "send", "url": url.replace("http:", "https:") },
        { "do": "get", "key": "k" },
    ]);
    let told = run(&gateway, &sink, 1, list).await;
    assert!(told[0].as_str().unwrap().starts_with("200"), "{told}");
    for index in [1, 2] {
        assert!(told[index].as_str().unwrap().contains("does not let it call https://"), "{told}");
    }
    assert!(told[3].as_str().unwrap().contains("grants it no `kv`"), "{told}");
    assert_eq!(api.received("/users/ada").len(), 1);
}

#[tokio::test]
async fn slow_server_hits_the_wait_limit_and_other_routes_go_on() {
    let (sink, api) = (Sink::start().await, Sink::start().await);
    api.answer("/slow", Reply::hang());
    let grants = format!(r#"{{ http = [{{ url = "{}", private = true }}] }}"#, api.url());
    let gateway = start(&sink, &grants).await;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let list = json!([{ "do": "send", "url": format!("{}/slow", api.url()) }]);
        slow.push(gateway.accept(errands(&list)).await);
    }
    api.wait_received("/slow", 1).await;
    let began = Instant::now();
    gateway.accept(hook(7).to("/calm")).await;
    assert_eq!(sink.wait_received("/in", 1).await[0].json()["n"], 7);
    assert!(began.elapsed() < Duration::from_millis(500), "the calm route took {:?}", began.elapsed());
    for id in slow {
        let event = gateway.admin().wait_state(&id, "dead").await;
        assert!(event.to_string().contains("wait-limit"), "{event}");
    }
}
