use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use sluice_tests::{
    gateway::{Gateway, Setup},
    guest,
    sink::Sink,
    wait,
};

use crate::common::{LOUD, hook, place};

/// A plugin with a candidate beside it.
const TRIED: &str = r#"
[plugins.speaker]
file = "$DIR/speaker.wasm"
canary = { file = "$DIR/next.wasm", $MODE }

[destinations.sink]
url = "$SINK/in"

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
pipeline = [{ plugin = "speaker", on_error = "dead-letter" }]
deliver = ["sink"]
"#;

fn config(mode: &str) -> String {
    TRIED.replace("$MODE", mode)
}

async fn tried(sink: &Sink, current: &[u8], candidate: &[u8], mode: &str) -> Gateway {
    let setup = Setup::new().sink(sink).guest("speaker", current).guest("next", candidate);
    setup.config(&config(mode)).start().await
}

async fn canary(gateway: &Gateway) -> Value {
    let plugins = gateway.admin().get("/plugins").await.expect(200).json();
    plugins["plugins"][0]["steps"][0]["canary"].clone()
}

/// Waits until the shadow has seen, or skipped, so many events.
async fn seen(gateway: &Gateway, events: u64) -> Value {
    wait::wait_for("shadow", async || {
        let canary = canary(gateway).await;
        let all = canary["candidate"]["calls"].as_u64()? + canary["skipped"].as_u64()?;
        (all >= events).then_some(canary)
    })
    .await
}

fn canary_ran(event: &Value) -> bool {
    event["trail"][0]["canary"] == true
}

#[tokio::test]
async fn share_of_the_events_goes_to_the_candidate_and_a_replay_to_the_same_one() {
    let sink = Sink::start().await;
    let gateway = tried(&sink, &guest::says("one"), &guest::says("two"), "share = 0.3").await;
    let mut ids = Vec::new();
    for number in 0..200 {
        ids.push(gateway.accept(hook(number)).await);
    }
    let received = sink.wait_received("/in", 200).await;
    let twos = received.iter().filter(|request| request.body == "two").count();
    // Six standard deviations to either side of 60.
    assert!((22..=98).contains(&twos), "{twos}");
    for id in &ids[..20] {
        let first = gateway.admin().wait_state(id, "delivered").await;
        gateway.admin().post(&format!("/events/{id}/replay")).await.expect(200);
        let again = wait::wait_for("replay", async || {
            let event = gateway.admin().event(id).await;
            let steps = event["trail"].as_array()?.iter().filter(|entry| entry["what"] == "step");
            let steps: Vec<_> = steps.map(|step| step["canary"] == true).collect();
            (steps.len() == 2).then_some(steps)
        })
        .await;
        assert_eq!(again, [canary_ran(&first); 2]);
    }
    let status = canary(&gateway).await;
    assert_eq!((&status["mode"], &status["share"]), (&"share".into(), &0.3.into()));
    let calls = |side: &str| status[side]["messages"].as_u64().unwrap();
    assert_eq!(calls("current") + calls("candidate"), 220);
    assert!(status["candidate"]["mean_micros"].as_u64().is_some(), "{status}");
}

#[tokio::test]
async fn differences_of_a_shadow_are_listed_and_never_delivered() {
    let sink = Sink::start().await;
    let gateway = tried(&sink, &guest::says("one"), &guest::says("two"), "shadow = true").await;
    let id = gateway.accept(hook(1)).await;
    assert_eq!(sink.wait_received("/in", 1).await[0].body, "one");
    let status = seen(&gateway, 1).await;
    assert_eq!((&status["mode"], &status["candidate"]["messages"]), (&"shadow".into(), &1.into()));
    let last = wait::wait_for("difference", async || {
        Some(canary(&gateway).await["last_differences"][0].take()).filter(|last| !last.is_null())
    })
    .await;
    assert_eq!((&last["event"], &last["differences"][0]["what"]), (&id.clone().into(), &"body".into()));
    let differences = "sluice_plugin_canary_differences_total";
    assert_eq!(gateway.admin().metric(differences, "what=\"body\"").await, 1.0);

    let run = |args: &[&str]| {
        let output = gateway.setup().run(&[args, &["--admin", gateway.admin().url()]].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = run(&["plugin", "canary", "speaker"]);
    assert!(
        said.contains(&format!("event {id}\n  body\n    in force  3 bytes, from byte 0: one\n")),
        "{said}"
    );
    let said = run(&["plugin", "list"]);
    assert!(said.contains("CANARY OF") && said.contains("next.wasm"), "{said}");
    assert_eq!(gateway.admin().wait_state(&id, "delivered").await["trail"][0]["canary"], Value::Null);
    assert_eq!(sink.received("/in").len(), 1);
}

#[tokio::test]
async fn shadow_that_rages_slows_no_event_and_is_quarantined_with_a_warning() {
    let _alone = LOUD.lock().await;
    for hostile in [guest::loops(), guest::hoards(), guest::traps()] {
        let sink = Sink::start().await;
        let gateway = tried(&sink, &guest::keeps(), &hostile, "shadow = true").await;
        let mut slowest = Duration::ZERO;
        for number in 0..40 {
            let begun = Instant::now();
            gateway.accept(hook(number)).await;
            sink.wait_received("/in", number + 1).await;
            slowest = slowest.max(begun.elapsed());
        }
        assert!(slowest < Duration::from_millis(500), "{slowest:?}");
        let log = gateway.wait_log("canary is in quarantine").await;
        assert!(log.contains("the plugin in force handles all events"), "{log}");
        let ready = gateway.admin().get("/readyz").await.expect(200).json();
        assert_eq!((&ready["status"], &ready["quarantined"]), (&"ready".into(), &Value::Null));
        assert_eq!(ready["quarantined_canaries"][0]["plugin"], "speaker");
        let status = canary(&gateway).await;
        assert_eq!((&status["current"]["keep"], &status["candidate"]["keep"]), (&40.into(), &0.into()));
        assert!(gateway.admin().dead_letters().await.is_empty());
    }
}

#[tokio::test]
async fn candidate_in_quarantine_leaves_its_share_to_the_plugin_in_force() {
    let sink = Sink::start().await;
    let gateway = tried(&sink, &guest::keeps(), &guest::traps(), "share = 0.9").await;
    let mut sent = 0;
    while canary(&gateway).await["quarantined"].is_null() {
        let id = gateway.accept(hook(sent)).await;
        wait::wait_until("end of the event", async || gateway.admin().event(&id).await["state"] != "open")
            .await;
        sent += 1;
    }
    let dead = gateway.admin().dead_letters().await;
    assert_eq!(dead.len(), 10);
    let reason = dead[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("canary of plugin `speaker` trapped: "), "{reason}");
    for number in 0..20 {
        let id = gateway.accept(hook(sent + number)).await;
        gateway.admin().wait_state(&id, "delivered").await;
    }
    assert_eq!(gateway.admin().get("/readyz").await.expect(200).json()["status"], "ready");
}

/// Promotion: the candidate becomes the plugin by a reload, with events on their way.
#[tokio::test]
async fn promotion_loses_no_event() {
    let sink = Sink::start().await;
    let gateway = tried(&sink, &guest::says("one"), &guest::says("two"), "share = 0.5").await;
    for number in 0..30 {
        gateway.accept(hook(number)).await;
    }
    let is_one = || sink.received("/in").iter().any(|request| request.body == "one");
    wait::wait_until("message of the old one", async || is_one()).await;
    let promoted = config("").replace("canary = { file = \"$DIR/next.wasm\",  }\n", "");
    assert!(!promoted.contains("next.wasm"));
    gateway.setup().rename_config_over(&promoted.replace("speaker.wasm", "next.wasm"));
    gateway.admin().reload().await.expect(200);
    for number in 30..60 {
        gateway.accept(hook(number)).await;
    }
    sink.wait_received("/in", 60).await;
    assert!(canary(&gateway).await.is_null());
    let id = gateway.accept(hook(60)).await;
    gateway.admin().wait_state(&id, "delivered").await;
    assert_eq!(sink.wait_received("/in", 61).await[60].body, "two");
}

#[tokio::test]
async fn changed_candidate_takes_effect_and_an_unchanged_one_keeps_its_figures() {
    let sink = Sink::start().await;
    let gateway = tried(&sink, &guest::keeps(), &guest::drops("no"), "shadow = true").await;
    gateway.accept(hook(1)).await;
    seen(&gateway, 1).await;
    gateway.setup().rename_config_over(&format!("# changed\n{}", config("shadow = true")));
    gateway.admin().reload().await.expect(200);
    assert_eq!(canary(&gateway).await["candidate"]["drop"], 1);
    let file = gateway.setup().path("next.wasm");
    fs::write(file.with_extension("new"), guest::drops("not at all")).unwrap();
    fs::rename(file.with_extension("new"), file).unwrap();
    wait::wait_until("new candidate", async || canary(&gateway).await["candidate"]["calls"] == 0).await;
}

#[test]
fn candidate_that_cannot_be_loaded_is_shown_at_its_place() {
    for (candidate, reason) in [
        (guest::of_another_contract(), "speaks sluice:plugin@9.0.0"),
        (guest::keeps(), "exports `filter`, the one that it is to replace exports `transform`"),
    ] {
        let setup = Setup::new().value("$SINK", "http://127.0.0.1:9");
        let setup = setup.guest("speaker", &guest::says("one")).guest("next", &candidate);
        let setup = setup.config(&config("shadow = true"));
        let output = setup.run(&["check", "--config", setup.config_file().to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let place = place(&setup, &format!("\"{}\"", setup.path("next.wasm").display()));
        assert!(said.contains("canary of plugin `speaker`") && said.contains(reason), "{said}");
        assert!(said.contains(&place), "{place} is not in\n{said}");
    }
}

/// The plugin in force takes any config, the candidate does not.
#[test]
fn candidate_that_refuses_the_config_is_shown_at_the_steps() {
    let step = r#"plugin = "speaker", config = { rules = 1 }"#;
    let config = config("shadow = true").replace(r#"plugin = "speaker""#, step);
    let setup = Setup::new().plugins().value("$SINK", "http://127.0.0.1:9");
    let setup = setup.guest("speaker", &guest::says("one"));
    let setup = setup.config(&config.replace("$DIR/next.wasm", "$PLUGINS/map.wasm"));
    let output = setup.run(&["check", "--config", setup.config_file().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("canary of plugin `speaker`: plugin `speaker` refuses its config: "), "{said}");
    let line = place(&setup, "pipeline = ").rsplit_once(':').unwrap().0.to_owned();
    assert!(said.contains(&line), "{line} is not in\n{said}");
}
