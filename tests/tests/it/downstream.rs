use std::time::{Duration, Instant};

use serde_json::json;
use sluice_tests::{
    gateway::{Gateway, Setup},
    sink::{Received, Reply, Sink},
    webhook::{SIGNING_SECRET, standard_signature, unix_now},
};

use crate::common::{RELAY, hook, patient_relay, relay};

/// Two destinations of one route; the first one is given up on quickly.
const FAN_OUT: &str = r#"
[destinations.a]
url = "$SINK/a"
timeout = "1s"
concurrency = 2
retry = ["50ms", "50ms"]

[destinations.b]
url = "$SINK/b"
headers = { x-origin = "sluice" }
forward_headers = ["x-github-event"]

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
deliver = ["a", "b"]
"#;

async fn fan_out(sink: &Sink) -> Gateway {
    Setup::new().sink(sink).config(FAN_OUT).start().await
}

#[tokio::test]
async fn destination_that_is_down_gets_everything_once_it_is_up() {
    let down = Sink::down();
    let gateway = Setup::new().value("$SINK", down.url()).config(RELAY).start().await;
    for number in 0..5 {
        let id = gateway.accept(hook(number)).await;
        gateway.admin().wait_state(&id, "waiting").await;
    }
    let sink = down.up();
    sink.wait_received("/in", 5).await;
}

#[tokio::test]
async fn slow_answer_is_given_up_on_and_tried_again_under_the_same_id() {
    let sink = Sink::start().await;
    sink.answer_in_turn("/in", [Reply::hang(), Reply::status(200)]);
    let gateway = relay(&sink).await;
    let id = gateway.accept(hook(1)).await;
    let received = sink.wait_received("/in", 2).await;
    assert_eq!(received[0].webhook_id(), received[1].webhook_id());
    let event = gateway.admin().wait_state(&id, "delivered").await;
    let outcomes: Vec<_> = attempts(&event).map(|attempt| attempt["outcome"].clone()).collect();
    assert_eq!(outcomes, ["retry", "delivered"]);
}

#[tokio::test]
async fn connection_closed_without_an_answer_is_tried_again() {
    let sink = Sink::start().await;
    sink.answer_in_turn("/in", [Reply::close(), Reply::status(200)]);
    let gateway = relay(&sink).await;
    let id = gateway.accept(hook(1)).await;
    gateway.admin().wait_state(&id, "delivered").await;
}

#[tokio::test]
async fn flapping_destination_gets_every_event_once() {
    let sink = Sink::start().await;
    sink.answer_in_circles("/in", [200, 500, 503, 200, 404].map(Reply::status));
    // Which answer an event meets is chance.
    let gateway = Setup::new().sink(&sink).config(&patient_relay()).start().await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(gateway.accept(hook(number)).await);
    }
    for id in &ids {
        let event = gateway.admin().wait_state(id, "delivered").await;
        let attempts: Vec<_> = event["trail"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| entry["what"] == "attempt")
            .collect();
        let delivered = attempts.iter().filter(|attempt| attempt["outcome"] == "delivered").count();
        assert_eq!(delivered, 1, "{event}");
        let arrived = sink.received("/in").iter().filter(|got| got.webhook_id().starts_with(id)).count();
        assert_eq!(arrived, attempts.len(), "{event}");
    }
    assert_eq!(gateway.admin().dead_letters().await.len(), 0);
}

#[tokio::test]
async fn retry_after_in_seconds_is_waited_for() {
    let asked = Reply::status(429).header("retry-after", "2");
    assert!(pause_after(asked).await >= Duration::from_secs(2));
}

#[tokio::test]
async fn retry_after_as_a_date_is_waited_for() {
    let asked = Reply::status(503).date_header("retry-after", Duration::from_secs(3));
    // A date has whole seconds: up to one of the three is lost to that.
    assert!(pause_after(asked).await >= Duration::from_millis(1900));
}

#[tokio::test]
async fn redirect_is_not_followed_and_fails() {
    let sink = Sink::start().await;
    let elsewhere = format!("{}/elsewhere", sink.url());
    sink.answer("/a", Reply::status(302).header("location", &elsewhere));
    let gateway = fan_out(&sink).await;
    gateway.accept(hook(1)).await;
    let dead = gateway.admin().wait_dead_letters(1).await;
    assert!(dead[0]["reason"].as_str().unwrap().contains("302"), "{}", dead[0]);
    assert!(sink.received("/elsewhere").is_empty());
}

#[tokio::test]
async fn destination_that_is_gone_is_not_tried_again() {
    let sink = Sink::start().await;
    sink.answer("/in", Reply::status(410));
    let gateway = relay(&sink).await;
    let id = gateway.accept(hook(1)).await;
    let event = gateway.admin().wait_state(&id, "dead").await;
    assert_eq!(attempts(&event).count(), 1);
}

#[tokio::test]
async fn dead_destination_does_not_slow_another() {
    let sink = Sink::start().await;
    sink.answer("/a", Reply::hang());
    let gateway = fan_out(&sink).await;
    let begun = Instant::now();
    for number in 0..50 {
        gateway.accept(hook(number)).await;
    }
    sink.wait_received("/b", 50).await;
    // One at a time through the dead one, this would take 25 s.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn every_destination_gets_its_own_id_and_its_own_headers() {
    let sink = Sink::start().await;
    let gateway = fan_out(&sink).await;
    gateway.accept(hook(1)).await;
    let a = sink.wait_received("/a", 1).await.remove(0);
    let b = sink.wait_received("/b", 1).await.remove(0);
    assert_ne!(a.webhook_id(), b.webhook_id());
    assert_eq!((b.header("x-origin"), b.header("x-github-event")), ("sluice", "issues"));
    assert_eq!((a.header("x-origin"), a.header("x-github-event")), ("", ""));
    assert_eq!(b.header("x-hub-signature-256"), "");
}

#[tokio::test]
async fn failing_destination_has_a_state_of_its_own() {
    let sink = Sink::start().await;
    sink.answer("/a", Reply::status(500));
    let gateway = fan_out(&sink).await;
    let id = gateway.accept(hook(1)).await;
    let event = gateway.admin().wait_state(&id, "dead").await;
    let of = |name: &'static str| attempts(&event).filter(move |attempt| attempt["destination"] == name);
    assert_eq!(of("a").count(), 3);
    assert_eq!(of("b").count(), 1);
    assert_eq!(sink.received("/b").len(), 1);
}

#[tokio::test]
async fn dead_letter_is_replayed_under_the_same_id() {
    let sink = Sink::start().await;
    sink.answer("/a", Reply::status(500));
    let gateway = fan_out(&sink).await;
    let id = gateway.accept(hook(1)).await;
    let dead = gateway.admin().wait_dead_letters(1).await;
    assert_eq!((&dead[0]["event"], &dead[0]["destination"]), (&id.clone().into(), &"a".into()));
    sink.answer("/a", Reply::status(200));
    assert_eq!(gateway.admin().replay_dead(json!({"destination": "b"})).await, 0);
    assert_eq!(gateway.admin().replay_dead(json!({"destination": "a", "route": "github"})).await, 1);
    let received = sink.wait_received("/a", 4).await;
    assert!(received.iter().all(|request| request.webhook_id() == received[0].webhook_id()));
    gateway.admin().wait_dead_letters(0).await;
    gateway.admin().wait_state(&id, "delivered").await;
    assert_eq!(sink.received("/b").len(), 1);
}

#[tokio::test]
async fn deliveries_are_signed_afresh_on_every_attempt() {
    let sink = Sink::start().await;
    sink.answer_in_turn("/in", [Reply::status(500), Reply::status(200)]);
    let gateway = relay(&sink).await;
    gateway.accept(hook(1)).await;
    for received in sink.wait_received("/in", 2).await {
        assert_signed(&received);
    }
}

fn assert_signed(received: &Received) {
    let timestamp = received.header("webhook-timestamp");
    let expected = standard_signature(SIGNING_SECRET, received.webhook_id(), timestamp, &received.body);
    assert_eq!(received.header("webhook-signature"), expected);
    assert!(timestamp.parse::<u64>().unwrap().abs_diff(unix_now()) < 60);
}

/// How long the gateway waits for its second attempt after this answer to the first.
async fn pause_after(reply: Reply) -> Duration {
    let sink = Sink::start().await;
    sink.answer_in_turn("/in", [reply, Reply::status(200)]);
    let gateway = relay(&sink).await;
    gateway.accept(hook(1)).await;
    let received = sink.wait_received("/in", 2).await;
    received[1].at - received[0].at
}

fn attempts(event: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    event["trail"].as_array().into_iter().flatten().filter(|entry| entry["what"] == "attempt")
}
