use std::collections::BTreeSet;

use serde_json::Value;
use sluice_tests::{
    gateway::{Gateway, Setup},
    sink::{Received, Reply, Sink},
    wait,
    webhook::Webhook,
};

use crate::common::hook;

/// `@` is when a window closes.
const BATCHED: &str = r#"
[plugins.ndjson]
file = "$PLUGINS/ndjson.wasm"

[plugins.split]
file = "$PLUGINS/split.wasm"

[destinations.sink]
url = "$SINK/in"
headers = { x-version = "1" }
retry = ["1s", "1s"]

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = []
batch = { plugin = "ndjson", config = { envelope = true }, @ }
deliver = ["sink"]
"#;

fn closing_by(when: &str) -> String {
    BATCHED.replace('@', when)
}

/// A gateway whose windows close like this.
async fn batching(sink: &Sink, when: &str) -> Gateway {
    Setup::new().sink(sink).plugins().config(&closing_by(when)).start().await
}

async fn accept(gateway: &Gateway, numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in numbers {
        ids.push(gateway.accept(hook(number)).await);
    }
    ids
}

fn lines(request: &Received) -> Vec<Value> {
    let text = str::from_utf8(&request.body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The numbers of the events in a request.
fn numbers(request: &Received) -> BTreeSet<u64> {
    lines(request).iter().map(|line| line["body"]["n"].as_u64().unwrap()).collect()
}

/// Waits until so many events are in a window.
async fn wait_open(gateway: &Gateway, count: f64) {
    let is_open = async || gateway.admin().metric("sluice_batch_waiting", "").await == count;
    wait::wait_until("events in a window", is_open).await;
}

#[tokio::test]
async fn full_window_is_one_request_in_which_every_event_has_its_name() {
    let sink = Sink::start().await;
    let gateway = batching(&sink, "events = 3, wait = \"1h\"").await;
    let ids = accept(&gateway, 0..3).await;
    let received = sink.wait_received("/in", 1).await.remove(0);
    assert_eq!(received.header("content-type"), "application/x-ndjson");
    assert!(received.webhook_id().starts_with("batch_"), "{}", received.webhook_id());
    assert_eq!(numbers(&received), BTreeSet::from([0, 1, 2]));
    let named: BTreeSet<_> =
        lines(&received).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(named, ids.iter().map(|id| format!("{id}_sink_0")).collect());
    for id in &ids {
        let event = gateway.admin().wait_state(id, "delivered").await;
        let attempt = event["trail"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&attempt["batch"], &attempt["number"]), (&3.into(), &1.into()), "{event}");
    }
    let admin = gateway.admin().url().to_owned();
    let shown = gateway.setup().run(&["events", "show", &ids[0], "--admin", &admin]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("sink #0, attempt 1 in a batch of 3: delivered"), "{shown}");
    let delivered = r#"route="github",destination="sink",outcome="delivered""#;
    assert_eq!(gateway.admin().metric("sluice_batches_total", delivered).await, 1.0);
    assert_eq!(gateway.admin().metric("sluice_batch_size_sum", "").await, 3.0);
    let folded = r#"route="github",plugin="ndjson",outcome="messages""#;
    assert_eq!(gateway.admin().metric("sluice_plugin_outcomes_total", folded).await, 1.0);
    let plugin = &gateway.admin().get("/plugins").await.expect(200).json()["plugins"][0];
    assert_eq!(
        (&plugin["kind"], &plugin["steps"][0]["place"]),
        (&"batch".into(), &"batch".into()),
        "{plugin}"
    );
}

#[tokio::test]
async fn window_closes_when_its_time_is_over_or_its_bytes_would_be_too_many() {
    let sink = Sink::start().await;
    let gateway = batching(&sink, "wait = \"50ms\"").await;
    accept(&gateway, 0..1).await;
    assert_eq!(numbers(&sink.wait_received("/in", 1).await[0]), BTreeSet::from([0]));

    let (sink, size) = (Sink::start().await, hook(0).body.len());
    let gateway = batching(&sink, &format!("bytes = \"{}B\", wait = \"1h\"", 2 * size + 1)).await;
    accept(&gateway, 0..3).await;
    assert_eq!(lines(&sink.wait_received("/in", 1).await[0]).len(), 2);
}

#[tokio::test]
async fn keys_are_gathered_apart() {
    let sink = Sink::start().await;
    let config = closing_by("events = 2, wait = \"1h\", by_key = true")
        .replace("pipeline = []", "pipeline = [{ plugin = \"split\", config = { key = \"/k\" } }]");
    let gateway = Setup::new().sink(&sink).plugins().config(&config).start().await;
    let body = r#"[{"k":"a","n":1},{"k":"b","n":2},{"k":"a","n":3},{"k":"b","n":4}]"#;
    let id = gateway.accept(Webhook::github("push", body)).await;
    gateway.admin().wait_state(&id, "delivered").await;
    let batches: BTreeSet<_> = sink.received("/in").iter().map(numbers).collect();
    assert_eq!(batches, BTreeSet::from([BTreeSet::from([1, 3]), BTreeSet::from([2, 4])]));
}

#[tokio::test]
async fn crash_in_mid_window_loses_nothing_and_the_window_forms_again() {
    let sink = Sink::start().await;
    let gateway = batching(&sink, "events = 4, wait = \"1h\"").await;
    accept(&gateway, 0..3).await;
    wait_open(&gateway, 3.0).await;
    let gateway = gateway.crash_and_restart().await;
    accept(&gateway, 3..4).await;
    let received = sink.wait_received("/in", 1).await.remove(0);
    assert_eq!(numbers(&received), (0..4).collect());
}

#[tokio::test]
async fn events_in_a_window_at_shutdown_are_delivered_together_at_the_next_start() {
    let sink = Sink::start().await;
    let gateway = batching(&sink, "events = 4, wait = \"1h\"").await;
    accept(&gateway, 0..3).await;
    wait_open(&gateway, 3.0).await;
    let (status, setup) = gateway.stop().await;
    assert!(status.success() && sink.received("/in").is_empty(), "{status}");
    let _gateway = setup.start().await;
    assert_eq!(numbers(&sink.wait_received("/in", 1).await[0]), (0..3).collect());
}

#[tokio::test]
async fn poison_event_is_alone_in_the_dead_letters() {
    let sink = Sink::start().await;
    let gateway = batching(&sink, "events = 8, wait = \"1h\"").await;
    let mut ids = accept(&gateway, 0..5).await;
    let poison = gateway.accept(Webhook::github("issues", "not JSON")).await;
    ids.extend(accept(&gateway, 5..7).await);
    let dead = gateway.admin().wait_dead_letters(1).await;
    assert_eq!(dead[0]["event"], *poison);
    let reason = dead[0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("plugin `ndjson` cannot handle") && reason.contains("not valid JSON"),
        "{reason}"
    );
    for id in &ids {
        gateway.admin().wait_state(id, "delivered").await;
    }
    let all: Vec<_> = sink.received("/in").iter().flat_map(numbers).collect();
    assert_eq!((all.len(), all.into_iter().collect::<BTreeSet<_>>()), (7, (0..7).collect()), "each once");
}

#[tokio::test]
async fn retry_keeps_its_members_and_its_id_even_over_a_crash() {
    let sink = Sink::start().await;
    sink.answer_in_turn("/in", [503, 503, 200].map(Reply::status));
    let gateway = batching(&sink, "events = 3, wait = \"1h\"").await;
    let ids = accept(&gateway, 0..3).await;
    for id in &ids {
        gateway.admin().wait_state(id, "waiting").await;
    }
    let gateway = gateway.crash_and_restart().await;
    let received = sink.wait_received("/in", 3).await;
    for again in &received[1..] {
        assert_eq!(again.webhook_id(), received[0].webhook_id());
        assert_eq!(again.body, received[0].body);
    }
    for id in &ids {
        let event = gateway.admin().wait_state(id, "delivered").await;
        let attempts: Vec<_> =
            event["trail"].as_array().unwrap().iter().filter(|e| e["what"] == "attempt").collect();
        assert_eq!(attempts.len(), 3, "{event}");
        assert!(attempts.iter().all(|attempt| attempt["batch"] == 3), "{event}");
    }
}

#[tokio::test]
async fn reload_in_mid_window_leaves_the_window_open() {
    let sink = Sink::start().await;
    let gateway = batching(&sink, "events = 3, wait = \"1h\"").await;
    accept(&gateway, 0..2).await;
    wait_open(&gateway, 2.0).await;
    let newer = closing_by("events = 100, wait = \"1h\"").replace("x-version = \"1\"", "x-version = \"2\"");
    gateway.setup().write_config(&newer);
    gateway.admin().reload().await.expect(200);
    accept(&gateway, 2..3).await;
    let received = sink.wait_received("/in", 1).await.remove(0);
    assert_eq!(numbers(&received), (0..3).collect(), "by the settings that the window was opened with");
    assert_eq!(received.header("x-version"), "2", "to where the destination is now");
}

#[tokio::test]
async fn dead_letter_of_a_batch_is_replayed_with_others() {
    let sink = Sink::start().await;
    sink.answer_in_turn("/in", [410, 200].map(Reply::status));
    let gateway = batching(&sink, "events = 2, wait = \"1h\"").await;
    accept(&gateway, 0..2).await;
    gateway.admin().wait_dead_letters(2).await;
    assert_eq!(gateway.admin().replay_dead(serde_json::json!({ "route": "github" })).await, 2);
    let received = sink.wait_received("/in", 2).await;
    assert_eq!(numbers(&received[1]), (0..2).collect());
    gateway.admin().wait_dead_letters(0).await;
}
