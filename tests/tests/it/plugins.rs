use std::time::{Duration, Instant};

use sluice_tests::{
    gateway::{Gateway, Setup},
    guest,
    sink::Sink,
    webhook::Webhook,
};

use crate::common::{LOUD, hook};

/// A route with the guest under test, and one that shares nothing with it but the gateway.
const HOSTILE: &str = r#"
[plugins.guest]
file = "$DIR/guest.wasm"
limits = { time = "50ms", memory = "16MiB", output = "1MiB" }
quarantine = $QUARANTINE

[destinations.sink]
url = "$SINK/in"

[destinations.calm]
url = "$SINK/calm"

[[routes]]
name = "hostile"
path = "/hostile"
verify = "none"
pipeline = [{ plugin = "guest", on_error = "$ON_ERROR" }]
deliver = ["sink"]

[[routes]]
name = "calm"
path = "/calm"
verify = "none"
deliver = ["calm"]
"#;

/// The slowest that the calm route may be while guests rage beside it. Its own time is a few milliseconds; the
/// rest is for a machine that is busy with other tests.
const CALM: Duration = Duration::from_millis(500);

async fn hostile(sink: &Sink, wasm: &[u8], on_error: &str) -> Gateway {
    guarded(sink, wasm, on_error, "false").await
}

async fn guarded(sink: &Sink, wasm: &[u8], on_error: &str, quarantine: &str) -> Gateway {
    Setup::new().sink(sink).guest("guest", wasm).config(&config(on_error, quarantine)).start().await
}

fn config(on_error: &str, quarantine: &str) -> String {
    HOSTILE.replace("$ON_ERROR", on_error).replace("$QUARANTINE", quarantine)
}

#[tokio::test]
async fn trap_is_a_dead_letter_and_others_keep_their_latency() {
    check_contained(&guest::traps(), "trap").await;
}

#[tokio::test]
async fn endless_loop_is_stopped_at_its_time_limit_and_others_keep_their_latency() {
    check_contained(&guest::loops(), "time-limit").await;
}

#[tokio::test]
async fn hoarding_is_stopped_at_the_memory_limit_and_others_keep_their_latency() {
    check_contained(&guest::hoards(), "memory-limit").await;
}

#[tokio::test]
async fn flood_is_stopped_at_the_output_limit_and_others_keep_their_latency() {
    check_contained(&guest::floods(), "output-limit").await;
}

#[tokio::test]
async fn endless_recursion_is_a_trap_and_others_keep_their_latency() {
    check_contained(&guest::recurses(), "trap").await;
}

#[tokio::test]
async fn body_outside_the_guests_memory_is_a_trap() {
    check_contained(&guest::lies(), "trap").await;
}

#[tokio::test]
async fn on_error_pass_delivers_the_event_as_it_was() {
    let sink = Sink::start().await;
    let gateway = hostile(&sink, &guest::traps(), "pass").await;
    gateway.accept(hook(7).to("/hostile")).await;
    assert_eq!(sink.wait_received("/in", 1).await[0].json()["n"], 7);
}

#[tokio::test]
async fn on_error_drop_drops_the_event() {
    let sink = Sink::start().await;
    let gateway = hostile(&sink, &guest::loops(), "drop").await;
    let id = gateway.accept(hook(1).to("/hostile")).await;
    gateway.admin().wait_state(&id, "dropped").await;
    assert!(sink.received("/in").is_empty());
}

#[tokio::test]
async fn on_error_retry_runs_it_again() {
    let sink = Sink::start().await;
    let gateway = hostile(&sink, &guest::traps(), "retry").await;
    let id = gateway.accept(hook(1).to("/hostile")).await;
    let event = gateway.admin().wait_state(&id, "waiting").await;
    assert_eq!(steps(&event)[0]["outcome"], "trap");
}

#[tokio::test]
async fn filter_drops_with_its_reason() {
    let sink = Sink::start().await;
    let gateway = hostile(&sink, &guest::drops("not our business"), "retry").await;
    let id = gateway.accept(hook(1).to("/hostile")).await;
    let event = gateway.admin().wait_state(&id, "dropped").await;
    assert!(event.to_string().contains("not our business"), "{event}");
}

#[tokio::test]
async fn filter_that_keeps_lets_the_event_through() {
    let sink = Sink::start().await;
    let gateway = hostile(&sink, &guest::keeps(), "retry").await;
    let id = gateway.accept(hook(3).to("/hostile")).await;
    assert_eq!(sink.wait_received("/in", 1).await[0].json()["n"], 3);
    let event = gateway.admin().wait_state(&id, "delivered").await;
    assert_eq!(steps(&event)[0]["outcome"], "keep");
}

#[tokio::test]
async fn transform_replaces_the_body() {
    let sink = Sink::start().await;
    let gateway = hostile(&sink, &guest::says("rewritten"), "retry").await;
    gateway.accept(hook(1).to("/hostile")).await;
    assert_eq!(sink.wait_received("/in", 1).await[0].body, "rewritten");
}

/// The panic hook of the SDK, in a guest that was built with it and snapshotted after `configure` set the hook.
#[tokio::test]
async fn message_of_a_panic_reaches_the_history_and_the_log() {
    let sink = Sink::start().await;
    let config = config("dead-letter", "false").replace("$DIR/guest", "$PLUGINS/panics");
    let gateway = Setup::new().sink(&sink).plugins().config(&config).start().await;
    for number in 0..2 {
        let id = gateway.accept(hook(number).to("/hostile")).await;
        let event = gateway.admin().wait_state(&id, "dead").await;
        let step = steps(&event)[0];
        assert_eq!(step["outcome"], "trap", "{event}");
        let said = step["log"][0].as_str().unwrap();
        assert!(said.starts_with("error: panicked at "), "{said}");
        assert!(said.contains("panics.rs:") && said.ends_with(": no case for POST"), "{said}");
        assert_eq!(step["log"].as_array().map(Vec::len), Some(1), "{event}");
    }
    let failed = gateway.wait_log("plugin failed").await;
    assert!(failed.contains("panicked at ") && failed.contains("unreachable"), "{failed}");
}

#[tokio::test]
async fn plugin_of_another_contract_is_refused_at_start() {
    let config = config("drop", "false").replace("$SINK", "http://127.0.0.1:9");
    let setup = Setup::new().guest("guest", &guest::of_another_contract()).config(&config);
    let said = setup.start_refused(2).await;
    assert!(said.contains("9.0.0") && said.contains("0.1"), "{said}");
}

/// The plugin keeps a counter, and drops all but what it counts as the first event.
#[tokio::test]
async fn every_event_finds_the_plugin_as_it_was_configured() {
    let sink = Sink::start().await;
    let gateway = hostile(&sink, &guest::keeps_the_first(), "dead-letter").await;
    for number in 0..20 {
        gateway.accept(hook(number).to("/hostile")).await;
    }
    sink.wait_received("/in", 20).await;
}

#[tokio::test]
async fn trap_is_told_with_its_functions_in_the_log_and_in_the_history() {
    let sink = Sink::start().await;
    let gateway =
        hostile(&sink, &guest::traps_in("_ZN6ticket12check_amount17h0123456789abcdefE"), "pass").await;
    let id = gateway.accept(hook(1).to("/hostile")).await;
    let event = gateway.admin().wait_state(&id, "delivered").await;
    let detail = steps(&event)[0]["detail"].as_str().unwrap();
    assert!(detail.contains(" in ticket::check_amount < "), "{detail}");
    let line = gateway.wait_log("plugin failed").await;
    assert!(
        line.contains("ticket::check_amount") && line.contains(&id) && line.contains("\"guest\""),
        "{line}"
    );
}

#[tokio::test]
async fn plugin_in_quarantine_loses_no_event_and_a_reload_with_a_sound_one_delivers_them() {
    let sink = Sink::start().await;
    let gateway = guarded(&sink, &guest::traps(), "dead-letter", "{ failures = 3 }").await;
    quarantine(&gateway).await;
    let admin = gateway.admin();
    let held = gateway.accept(hook(7).to("/hostile")).await;
    let event = admin.wait_state(&held, "waiting").await;
    assert!(steps(&event).is_empty(), "it was called: {event}");

    let ready = admin.get("/readyz").await.expect(200).json();
    assert_eq!(ready["status"], "degraded");
    assert_eq!(
        (&ready["quarantined"][0]["route"], &ready["quarantined"][0]["plugin"]),
        (&"hostile".into(), &"guest".into())
    );
    let plugins = admin.get("/plugins").await.expect(200).json();
    let plugin = &plugins["plugins"][0];
    assert_eq!((&plugin["name"], &plugin["kind"]), (&"guest".into(), &"filter".into()));
    assert!(
        plugin["steps"][0]["quarantined"]["reason"].as_str().unwrap().starts_with("trapped: "),
        "{plugins}"
    );
    assert_eq!(admin.metric("sluice_plugin_quarantines_total", "plugin=\"guest\"").await, 1.0);
    gateway.accept(Webhook::plain("/calm", "{}")).await;
    sink.wait_received("/calm", 1).await;

    std::fs::write(gateway.setup().path("guest.wasm"), guest::keeps()).unwrap();
    admin.reload().await.expect(200);
    assert_eq!(admin.get("/readyz").await.expect(200).json()["status"], "ready");
    assert_eq!(admin.metric("sluice_plugin_quarantined", "plugin=\"guest\"").await, 0.0);
    gateway.wait_log("ended by a reload").await;
    assert_eq!(sink.wait_received("/in", 1).await[0].json()["n"], 7);
    admin.wait_state(&held, "delivered").await;
}

#[tokio::test]
async fn quarantine_outlives_a_reload_and_is_lifted_by_hand() {
    let sink = Sink::start().await;
    let gateway = guarded(&sink, &guest::traps(), "dead-letter", "{ failures = 3 }").await;
    quarantine(&gateway).await;
    gateway.setup().rename_config_over(&format!("# changed\n{}", config("dead-letter", "{ failures = 3 }")));
    gateway.admin().reload().await.expect(200);
    assert_eq!(gateway.admin().get("/readyz").await.expect(200).json()["status"], "degraded");

    let resume =
        |name: &str| gateway.setup().run(&["plugin", "resume", name, "--admin", gateway.admin().url()]);
    let (unknown, resumed) = (resume("gest"), resume("guest"));
    assert!(!unknown.status.success());
    let said = String::from_utf8_lossy(&resumed.stdout);
    assert_eq!(said, "plugin `guest` is called again on `hostile`; what waits comes within a minute\n");
    assert_eq!(gateway.admin().get("/readyz").await.expect(200).json()["status"], "ready");
    let id = gateway.accept(hook(9).to("/hostile")).await;
    gateway.admin().wait_state(&id, "dead").await;
}

/// What is no plugin, in the place of one that works.
#[tokio::test]
async fn broken_file_is_refused_with_the_reason_while_the_old_one_goes_on() {
    let sink = Sink::start().await;
    let gateway = hostile(&sink, &guest::keeps(), "retry").await;
    let sound = guest::keeps();
    let file = gateway.setup().path("guest.wasm");
    let broken = [
        (Vec::new(), "is empty"),
        (sound[..sound.len() / 2].to_vec(), "is not valid WebAssembly"),
        (guest::of_another_contract(), "speaks sluice:plugin@9.0.0"),
        (guest::never_configured(), "ran for longer than 5s, its limit"),
        (guest::imports_sockets(), "wasi:sockets/tcp@0.2.3"),
    ];
    for (number, (bytes, reason)) in broken.iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        let refused = gateway.admin().reload().await.expect(422).text();
        assert!(refused.contains(reason), "{refused}");
        gateway.accept(hook(number).to("/hostile")).await;
        sink.wait_received("/in", number + 1).await;
    }
    // A hole: it is 200 MiB long and takes no room.
    std::fs::File::create(&file).unwrap().set_len(200 << 20).unwrap();
    let refused = gateway.admin().reload().await.expect(422).text();
    assert!(refused.contains("is larger than 64.0 MiB, the limit for a plugin"), "{refused}");
    gateway.accept(hook(broken.len()).to("/hostile")).await;
    sink.wait_received("/in", broken.len() + 1).await;
}

/// Three events that trap, one after the other.
async fn quarantine(gateway: &Gateway) {
    for number in 0..3 {
        let id = gateway.accept(hook(number).to("/hostile")).await;
        gateway.admin().wait_state(&id, "dead").await;
    }
    gateway.wait_log("plugin is in quarantine").await;
    assert_eq!(gateway.admin().metric("sluice_plugin_quarantined", "plugin=\"guest\"").await, 1.0);
}

/// Every event of the hostile route ends as a dead letter that says why, while the calm route goes on as ever.
async fn check_contained(wasm: &[u8], outcome: &str) {
    let _alone = LOUD.lock().await;
    let sink = Sink::start().await;
    let gateway = hostile(&sink, wasm, "dead-letter").await;
    let (mut ids, mut slowest) = (Vec::new(), (Duration::ZERO, Duration::ZERO));
    for number in 0..40 {
        ids.push(gateway.accept(hook(number).to("/hostile")).await);
        let begun = Instant::now();
        gateway.accept(Webhook::plain("/calm", "{}")).await;
        let acknowledged = begun.elapsed();
        sink.wait_received("/calm", number + 1).await;
        slowest = slowest.max((begun.elapsed(), acknowledged));
    }
    let (took, acknowledged) = slowest;
    assert!(took < CALM, "the calm route took {took:?}, {acknowledged:?} of it to the acknowledgement");
    for id in ids {
        let event = gateway.admin().wait_state(&id, "dead").await;
        assert_eq!(steps(&event)[0]["outcome"], outcome, "{event}");
    }
    assert!(sink.received("/in").is_empty());
}

fn steps(event: &serde_json::Value) -> Vec<&serde_json::Value> {
    event["trail"].as_array().into_iter().flatten().filter(|entry| entry["what"] == "step").collect()
}
