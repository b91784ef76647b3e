use serde_json::json;
use sluice_tests::{
    gateway::Setup,
    sink::{Reply, Sink},
    webhook::{GITHUB_SECRET, SIGNING_SECRET, Webhook},
};

use crate::common::{RELAY, hook, relay};

const TOKEN: &str = "an-operators-token";

#[tokio::test]
async fn healthy_gateway_is_healthy_and_ready() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    gateway.admin().get("/healthz").await.expect(200);
    gateway.admin().get("/readyz").await.expect(200);
    gateway.admin().get("/nowhere").await.expect(404);
}

#[tokio::test]
async fn token_is_required_where_there_is_one() {
    let sink = Sink::start().await;
    let config = format!("[admin]\nlisten = \"0.0.0.0:0\"\ntoken = {{ env = \"ADMIN_TOKEN\" }}\n{RELAY}");
    let setup = Setup::new().sink(&sink).env("ADMIN_TOKEN", TOKEN).token(TOKEN).config(&config);
    let gateway = setup.start().await;
    for path in ["/events", "/dead-letters", "/metrics"] {
        gateway.admin().get(path).await.expect(200);
        for token in [None, Some("guessed"), Some("")] {
            gateway.admin().with_token(token).get(path).await.expect(401);
        }
    }
    gateway.admin().with_token(None).post("/reload").await.expect(401);
    gateway.admin().with_token(None).get("/healthz").await.expect(200);
}

#[tokio::test]
async fn open_admin_listener_without_a_token_is_refused() {
    let config = format!("[admin]\nlisten = \"0.0.0.0:0\"\n{RELAY}").replace("$SINK", "http://127.0.0.1:9");
    let said = Setup::new().config(&config).start_refused(2).await;
    assert!(said.contains("token"), "{said}");
}

#[tokio::test]
async fn events_are_listed_newest_first_and_by_state() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let first = gateway.accept(hook(1)).await;
    gateway.admin().wait_state(&first, "delivered").await;
    sink.answer("/in", Reply::status(500));
    let second = gateway.accept(hook(2)).await;
    gateway.admin().wait_state(&second, "waiting").await;
    let ids =
        |events: Vec<serde_json::Value>| events.into_iter().map(|e| e["id"].clone()).collect::<Vec<_>>();
    let admin = gateway.admin();
    assert_eq!(ids(admin.events("").await), [second.as_str(), first.as_str()]);
    assert_eq!(ids(admin.events("limit=1").await), [second.as_str()]);
    assert_eq!(ids(admin.events("route=github&state=delivered").await), [first.as_str()]);
    assert_eq!(admin.events("route=another").await.len(), 0);
    admin.get("/events?stat=delivered").await.expect(400);
}

#[tokio::test]
async fn event_is_explained_attempt_by_attempt() {
    let sink = Sink::start().await;
    sink.answer_in_turn("/in", [Reply::status(502), Reply::status(200)]);
    let gateway = relay(&sink).await;
    let id = gateway.accept(hook(1).delivery("abc-1")).await;
    let event = gateway.admin().wait_state(&id, "delivered").await;
    assert_eq!((&event["event_type"], &event["delivery_id"]), (&json!("issues"), &json!("abc-1")));
    let attempts: Vec<_> =
        event["trail"].as_array().unwrap().iter().filter(|entry| entry["what"] == "attempt").collect();
    assert_eq!((&attempts[0]["status"], &attempts[0]["outcome"]), (&json!(502), &json!("retry")));
    assert_eq!((&attempts[1]["status"], &attempts[1]["outcome"]), (&json!(200), &json!("delivered")));
    gateway.admin().get("/events/not-an-id").await.expect(400);
    gateway.admin().get("/events/01930c2e-7b1a-7c3d-9a52-5d7f3f0d2c11").await.expect(404);
}

#[tokio::test]
async fn replayed_event_is_delivered_again_under_the_same_id() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let id = gateway.accept(hook(1)).await;
    gateway.admin().wait_state(&id, "delivered").await;
    gateway.admin().post(&format!("/events/{id}/replay")).await.expect(200);
    let received = sink.wait_received("/in", 2).await;
    assert_eq!(received[0].webhook_id(), received[1].webhook_id());
}

#[tokio::test]
async fn replay_without_a_filter_is_refused() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    gateway.admin().post_json("/dead-letters/replay", json!({})).await.expect(400);
    assert_eq!(gateway.admin().replay_dead(json!({"all": true})).await, 0);
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let webhook = hook(1);
    let id = gateway.accept(webhook.clone()).await;
    gateway.send(webhook).await.expect(200);
    gateway.send(hook(2).sign_github("wrong")).await.expect(401);
    gateway.send(Webhook::plain("/nowhere", "{}")).await.expect(404);
    gateway.admin().wait_state(&id, "delivered").await;
    let admin = gateway.admin();
    assert_eq!(admin.metric("sluice_events_accepted_total", r#"route="github""#).await, 1.0);
    assert_eq!(admin.metric("sluice_events_duplicate_total", r#"route="github""#).await, 1.0);
    assert_eq!(admin.metric("sluice_requests_refused_total", "").await, 2.0);
    assert_eq!(admin.metric("sluice_delivery_attempts_total", r#"outcome="delivered""#).await, 1.0);
    assert_eq!(admin.metric("sluice_journal_depth", "").await, 0.0);
    let text = admin.get("/metrics").await.text();
    for name in [
        "sluice_ack_seconds_bucket",
        "sluice_delivery_seconds_bucket",
        "sluice_delivery_attempt_seconds_bucket",
        "sluice_journal_oldest_seconds",
        "sluice_journal_dead_letters",
        "sluice_journal_disk_bytes",
        "sluice_connections",
        "sluice_generation 1",
    ] {
        assert!(text.contains(name), "{name} is missing from\n{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn no_secret_is_logged_or_shown() {
    let sink = Sink::start().await;
    sink.answer_in_turn("/in", [Reply::status(500), Reply::status(200)]);
    let setup = Setup::new().sink(&sink).env("ADMIN_TOKEN", TOKEN).token(TOKEN);
    let config = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {{ env = \"ADMIN_TOKEN\" }}\n{RELAY}");
    let gateway = setup.config(&config).start().await;
    let webhook = hook(1);
    let signature = webhook.headers["x-hub-signature-256"].to_str().unwrap().to_owned();
    let id = gateway.accept(webhook).await;
    gateway.send(hook(2).sign_github("wrong")).await.expect(401);
    gateway.admin().wait_state(&id, "delivered").await;
    gateway.admin().reload().await.expect(200);
    gateway.setup().write_config("[server\n");
    gateway.admin().reload().await.expect(422);
    let mut shown = gateway.logs().join("\n");
    for path in ["/events", &format!("/events/{id}"), "/dead-letters", "/metrics"] {
        shown.push_str(&gateway.admin().get(path).await.text());
    }
    let key = SIGNING_SECRET.trim_start_matches("whsec_");
    for secret in [GITHUB_SECRET, SIGNING_SECRET, key, TOKEN, &signature] {
        assert!(!shown.contains(secret), "`{secret}` is shown in\n{shown}");
    }
}
