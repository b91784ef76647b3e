use serde_json::{Value, json};
use sluice_tests::{
    gateway::{Gateway, Setup},
    guest,
    sink::Sink,
    webhook::Webhook,
};

use crate::common::hook;

const EDGE: &str = r#"
[plugins.guest]
file = "$DIR/guest.wasm"
quarantine = { failures = 3 }

[destinations.sink]
url = "$SINK/in"

[[routes]]
name = "in"
path = "/in"
verify = "none"
pipeline = [{ plugin = "guest", at = "edge", on_error = "dead-letter" }]
deliver = ["sink"]
"#;

async fn gateway(sink: &Sink, wasm: &[u8], config: &str) -> Gateway {
    Setup::new().sink(sink).guest("guest", wasm).config(config).start().await
}

fn steps(event: &Value) -> usize {
    event["trail"].as_array().into_iter().flatten().filter(|entry| entry["what"] == "step").count()
}

#[tokio::test]
async fn what_is_dropped_is_answered_as_ever_and_never_written_down() {
    let sink = Sink::start().await;
    let gateway = gateway(&sink, &guest::drops("not our business"), EDGE).await;
    let body = r#"{"note":"unmistakable-words-of-a-sender"}"#;
    let first = gateway.accept(Webhook::plain("/in", body)).await;
    let second = gateway.accept(Webhook::plain("/in", body)).await;
    assert_ne!(first, second);
    let admin = gateway.admin();
    assert_eq!(admin.metric("sluice_events_dropped_at_edge_total", "route=\"in\"").await, 2.0);
    assert_eq!(admin.metric("sluice_events_accepted_total", "route=\"in\"").await, 0.0);
    admin.get(&format!("/events/{first}")).await.expect(404);
    assert_eq!(admin.get("/events").await.expect(200).json()["events"], json!([]));
    for file in std::fs::read_dir(gateway.setup().path("journal")).unwrap().map(|file| file.unwrap().path()) {
        let bytes = if file.is_file() { std::fs::read(&file).unwrap() } else { Vec::new() };
        let is_there = bytes.windows(12).any(|window| window == b"unmistakable");
        assert!(!is_there, "{} has the body", file.display());
    }
}

#[tokio::test]
async fn what_is_kept_is_delivered_and_the_filter_does_not_run_twice() {
    let sink = Sink::start().await;
    let gateway = gateway(&sink, &guest::keeps(), EDGE).await;
    let id = gateway.accept(hook(1).to("/in")).await;
    sink.wait_received("/in", 1).await;
    let event = gateway.admin().wait_state(&id, "delivered").await;
    assert_eq!(steps(&event), 0, "{event}");
    let calls = gateway.admin().metric("sluice_plugin_outcomes_total", "outcome=\"keep\"").await;
    assert_eq!(calls, 1.0);
    let plugin = &gateway.admin().get("/plugins").await.expect(200).json()["plugins"][0];
    assert_eq!((&plugin["steps"][0]["place"], &plugin["steps"][0]["step"]), (&json!("edge"), &json!(1)));
}

#[tokio::test]
async fn filter_that_traps_at_the_edge_loses_nothing() {
    let sink = Sink::start().await;
    let gateway = gateway(&sink, &guest::traps(), EDGE).await;
    let id = gateway.accept(hook(7).to("/in")).await;
    let event = gateway.admin().wait_state(&id, "dead").await;
    assert_eq!(steps(&event), 1, "it ran behind the journal: {event}");

    // Those were two traps; a third begins the quarantine, and events wait.
    gateway.accept(hook(8).to("/in")).await;
    gateway.wait_log("plugin is in quarantine").await;
    let held = gateway.accept(hook(9).to("/in")).await;
    gateway.admin().wait_state(&held, "waiting").await;
    std::fs::write(gateway.setup().path("guest.wasm"), guest::keeps()).unwrap();
    gateway.admin().reload().await.expect(200);
    gateway.admin().wait_state(&held, "delivered").await;
}

/// An endless loop costs its sender the plugin's time, and the event nothing.
#[tokio::test]
async fn filter_that_loops_at_the_edge_is_stopped_and_the_event_taken_in() {
    let sink = Sink::start().await;
    let config = EDGE.replace("\"dead-letter\"", "\"pass\"").replace("{ failures = 3 }", "false");
    let gateway = gateway(&sink, &guest::loops(), &config).await;
    gateway.accept(hook(3).to("/in")).await;
    assert_eq!(sink.wait_received("/in", 1).await[0].json()["n"], 3);
}

#[tokio::test]
async fn step_can_be_moved_from_the_edge_behind_the_journal_and_back() {
    let sink = Sink::start().await;
    let gateway = gateway(&sink, &guest::drops("no"), EDGE).await;
    let admin = gateway.admin();
    gateway.accept(hook(1).to("/in")).await;

    gateway.setup().rename_config_over(&EDGE.replace("at = \"edge\", ", ""));
    admin.reload().await.expect(200);
    let id = gateway.accept(hook(2).to("/in")).await;
    assert_eq!(steps(&admin.wait_state(&id, "dropped").await), 1);

    gateway.setup().rename_config_over(EDGE);
    admin.reload().await.expect(200);
    let id = gateway.accept(hook(3).to("/in")).await;
    admin.get(&format!("/events/{id}")).await.expect(404);
    assert_eq!(admin.metric("sluice_events_dropped_at_edge_total", "route=\"in\"").await, 2.0);
}

/// A replay goes by the pipeline as it is then: a filter that kept the event before is not asked again, a new one is.
#[tokio::test]
async fn replay_meets_filters_that_are_new_at_the_edge() {
    let sink = Sink::start().await;
    let gateway = gateway(&sink, &guest::keeps(), EDGE).await;
    let admin = gateway.admin();
    let id = gateway.accept(hook(1).to("/in")).await;
    admin.wait_state(&id, "delivered").await;
    let replay = async || admin.post(&format!("/events/{id}/replay")).await.expect(200);
    replay().await;
    sink.wait_received("/in", 2).await;
    assert_eq!(steps(&admin.wait_state(&id, "delivered").await), 0);

    std::fs::write(gateway.setup().path("guest.wasm"), guest::drops("not any more")).unwrap();
    admin.reload().await.expect(200);
    replay().await;
    let event = admin.wait_state(&id, "dropped").await;
    assert_eq!(steps(&event), 1, "{event}");
}
