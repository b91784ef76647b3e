//! Every route of the admin listener, over TCP.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::testing::{Bench, EVENT, NOW, generation};
use crate::{
    cli::connection,
    clock::Timestamp,
    config::{Destination, Secret},
    journal::{EventState, Health},
};

struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    #[track_caller]
    fn expect(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status.as_u16(), body["code"].as_str()), (status, Some(code)), "{body}");
        body
    }
}

async fn send(bench: &Bench, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let client = connection::http_client(&bench.url().parse().unwrap()).unwrap();
    let mut request = client.request(method, format!("{}{path}", bench.url())).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

async fn get(bench: &Bench, path: &str) -> Answer {
    send(bench, Method::GET, path, &[], "").await
}

async fn post(bench: &Bench, path: &str, body: &str) -> Answer {
    send(bench, Method::POST, path, &[], body).await
}

#[tokio::test]
async fn probes_say_ok_when_all_is_well() {
    let bench = Bench::open().await;
    assert_eq!(get(&bench, "/healthz").await.json(), json!({"status": "ok"}));
    assert_eq!(get(&bench, "/readyz").await.json(), json!({"status": "ready"}));
}

#[tokio::test]
async fn stopped_journal_is_not_ready_but_alive() {
    let bench = Bench::open().await;
    bench.journal.health.lock().unwrap().failure = Some("fsync failed".into());
    let body = get(&bench, "/readyz").await.expect(503, "not_ready");
    assert_eq!(body["message"], "the journal does not take events: fsync failed");
    assert_eq!(get(&bench, "/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn gateway_that_shuts_down_is_not_ready() {
    let bench = Bench::open().await;
    *bench.control.unready.lock().unwrap() = Some("shutting down".into());
    assert_eq!(get(&bench, "/readyz").await.expect(503, "not_ready")["message"], "shutting down");
}

#[tokio::test]
async fn metrics_are_open_metrics_with_the_journals_figures() {
    let bench = Bench::open().await;
    *bench.journal.health.lock().unwrap() = Health {
        depth: 3,
        oldest: Some(Timestamp::from_millis(NOW.as_millis() - 90_000)),
        ..Health::default()
    };
    let answer = get(&bench, "/metrics").await;
    assert_eq!(answer.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for line in ["sluice_journal_depth 3", "sluice_journal_oldest_seconds 90", "sluice_generation 1"] {
        assert!(answer.text.lines().any(|l| l == line), "{line} is not in\n{}", answer.text);
    }
    assert!(answer.text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn events_are_listed_by_filter() {
    let bench = Bench::open().await;
    let answer = get(&bench, "/events?route=github&state=dead&since=2026-03-01T11:00:00Z&limit=7").await;
    assert_eq!(
        answer.json(),
        json!({"events": [{
            "id": EVENT, "route": "github", "received_at": "2026-03-01T12:00:00.000Z", "state": "dead",
            "event_type": "issues", "delivery_id": "72d3162e"
        }]})
    );
    let asked = bench.journal.events_asked.lock().unwrap().pop().unwrap();
    assert_eq!(
        (asked.route.as_deref(), asked.state, asked.limit),
        (Some("github"), Some(EventState::Dead), 7)
    );
    assert_eq!(asked.since, Some(Timestamp::from_millis(NOW.as_millis() - 3_600_000)));
}

#[tokio::test]
async fn misspelt_filter_is_refused_before_the_journal_is_asked() {
    let bench = Bench::open().await;
    get(&bench, "/events?stat=dead").await.expect(400, "bad_query");
    get(&bench, "/dead-letters?until=tomorrow").await.expect(400, "bad_query");
    post(&bench, "/dead-letters/replay?route=github", r#"{"all":true}"#).await.expect(400, "bad_query");
    let body = post(&bench, "/reload?now", "").await.expect(400, "bad_query");
    assert_eq!(body["message"], "unknown query key `now`; this path takes none");
    assert!(bench.journal.replayed_dead.lock().unwrap().is_empty());
    assert!(bench.journal.events_asked.lock().unwrap().is_empty());
    assert!(bench.journal.dead_asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn event_is_explained_whole() {
    let bench = Bench::open().await;
    *bench.journal.body.lock().unwrap() = Bytes::from_static(b"{\"action\":\"opened\"}");
    let record = get(&bench, &format!("/events/{EVENT}")).await.json();
    assert_eq!(record["id"], EVENT);
    assert_eq!(record["state"], "dead");
    assert_eq!(record["path"], "/github/acme");
    assert_eq!(record["params"], json!({"org": "acme"}));
    assert_eq!(record["headers"], json!([["content-type", "application/json"], ["x-odd", "caf\u{fffd}"]]));
    assert_eq!(record["body"], json!({"length": 19, "truncated": false, "text": "{\"action\":\"opened\"}"}));
    assert_eq!(record["trail"][0]["plugin"], "issue-filter");
    assert_eq!(record["trail"][1]["next"], "2026-03-01T12:00:05.000Z");
    assert_eq!(record["unfinished"][0]["webhook_id"], format!("{EVENT}_tracker_0"));
    assert_eq!(record["unfinished"][0]["state"], "dead");
    assert_eq!(record["unfinished"][0]["at"], "2026-03-01T12:00:05.000Z");
}

#[tokio::test]
async fn large_body_is_shown_in_part() {
    let bench = Bench::open().await;
    *bench.journal.body.lock().unwrap() = Bytes::from(vec![b'a'; 100_000]);
    let record = get(&bench, &format!("/events/{EVENT}")).await.json();
    assert_eq!(
        (record["body"]["length"].as_u64(), record["body"]["truncated"].as_bool()),
        (Some(100_000), Some(true))
    );
    assert_eq!(record["body"]["text"].as_str().unwrap().len(), 65_536);
}

#[tokio::test]
async fn bad_and_unknown_ids_are_told_apart() {
    let bench = Bench::open().await;
    let other = "01930c2e-7b1a-7c3d-9a52-000000000000";
    get(&bench, "/events/42").await.expect(400, "bad_id");
    get(&bench, &format!("/events/{other}")).await.expect(404, "event_not_found");
    post(&bench, "/events/42/replay", "").await.expect(400, "bad_id");
    post(&bench, &format!("/events/{other}/replay"), "").await.expect(404, "event_not_found");
    assert_eq!(bench.control.wakes(), 0);
}

#[tokio::test]
async fn replayed_event_wakes_the_gateway() {
    let bench = Bench::open().await;
    let answer = post(&bench, &format!("/events/{EVENT}/replay"), "").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"replayed": 1})));
    assert_eq!(*bench.journal.replayed_events.lock().unwrap(), [EVENT.parse().unwrap()]);
    assert_eq!(bench.control.wakes(), 1);
}

#[tokio::test]
async fn dead_letters_are_listed_by_filter() {
    let bench = Bench::open().await;
    let answer = get(&bench, "/dead-letters?destination=tracker&since=1h").await;
    assert_eq!(
        answer.json(),
        json!({"dead_letters": [{
            "event": EVENT, "route": "github", "destination": "tracker", "index": 0, "attempts": 2,
            "received_at": "2026-03-01T12:00:00.000Z", "died_at": "2026-03-01T12:00:05.000Z",
            "reason": "schedule ended: 503"
        }]})
    );
    let asked = bench.journal.dead_asked.lock().unwrap().pop().unwrap();
    assert_eq!((asked.destination.as_deref(), asked.limit), (Some("tracker"), 100));
}

#[tokio::test]
async fn dead_letters_are_replayed_by_filter() {
    let bench = Bench::open().await;
    let answer = post(&bench, "/dead-letters/replay", r#"{"route":"github","destination":"tracker"}"#).await;
    assert_eq!(answer.json(), json!({"replayed": 4}));
    let asked = bench.journal.replayed_dead.lock().unwrap().pop().unwrap();
    assert_eq!((asked.route.as_deref(), asked.destination.as_deref()), (Some("github"), Some("tracker")));
    assert_eq!(bench.control.wakes(), 1);
}

#[tokio::test]
async fn replay_without_filter_must_be_asked_for() {
    let bench = Bench::open().await;
    post(&bench, "/dead-letters/replay", "").await.expect(400, "bad_query");
    post(&bench, "/dead-letters/replay", "{}").await.expect(400, "bad_query");
    post(&bench, "/dead-letters/replay", "not json").await.expect(400, "bad_query");
    assert!(bench.journal.replayed_dead.lock().unwrap().is_empty());
    assert_eq!(post(&bench, "/dead-letters/replay", r#"{"all":true}"#).await.json(), json!({"replayed": 4}));
}

#[tokio::test]
async fn replay_of_nothing_wakes_nobody() {
    let bench = Bench::open().await;
    let answer = post(&bench, "/dead-letters/replay", r#"{"route":"nothing"}"#).await;
    assert_eq!(answer.json(), json!({"replayed": 0}));
    assert_eq!(bench.control.wakes(), 0);
}

#[tokio::test]
async fn reload_names_the_generation_or_says_why_not() {
    let bench = Bench::open().await;
    assert_eq!(post(&bench, "/reload", "").await.json(), json!({"generation": 7}));
    *bench.control.reload_error.lock().unwrap() = Some("unknown key `rout`".into());
    assert_eq!(
        post(&bench, "/reload", "").await.expect(422, "reload_refused")["message"],
        "unknown key `rout`"
    );
}

#[tokio::test]
async fn failing_journal_is_our_fault() {
    let bench = Bench::open().await;
    *bench.journal.broken.lock().unwrap() = true;
    let body = get(&bench, "/events").await.expect(500, "journal_failed");
    assert_eq!(body["message"], "the journal could not answer: journal query failed: disk I/O error");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let bench = Bench::open().await;
    get(&bench, "/").await.expect(404, "path_not_found");
    let answer = get(&bench, "/reload").await;
    answer.expect(405, "method_not_allowed");
    assert_eq!(answer.headers["allow"], "POST");
}

#[tokio::test]
async fn oversized_body_is_refused() {
    let bench = Bench::open().await;
    post(&bench, "/dead-letters/replay", &" ".repeat(70_000)).await.expect(413, "bad_body");
}

#[tokio::test]
async fn token_is_required_on_all_but_the_probes() {
    let bench = Bench::with_token(Some("open sesame")).await;
    for path in ["/metrics", "/events", &format!("/events/{EVENT}"), "/dead-letters"] {
        let answer = get(&bench, path).await;
        answer.expect(401, "token_required");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    for path in [&format!("/events/{EVENT}/replay"), "/dead-letters/replay", "/reload"] {
        post(&bench, path, r#"{"all":true}"#).await.expect(401, "token_required");
    }
    assert!(bench.journal.replayed_events.lock().unwrap().is_empty());
    assert_eq!(get(&bench, "/healthz").await.status, StatusCode::OK);
    assert_eq!(get(&bench, "/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_the_right_token_opens() {
    let bench = Bench::with_token(Some("open sesame")).await;
    for wrong in ["Bearer open sesam", "Bearer open sesame!", "Basic open sesame", "Bearer "] {
        let answer = send(&bench, Method::GET, "/events", &[("authorization", wrong)], "").await;
        answer.expect(401, "token_required");
    }
    let right = [("authorization", "Bearer open sesame"), ("host", "gateway.internal")];
    assert_eq!(send(&bench, Method::GET, "/events", &right, "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn reload_can_change_the_token() {
    let bench = Bench::with_token(Some("old")).await;
    bench.current.store(Arc::new(generation(2, Some("new"))));
    let with = |token: &'static str| [("authorization", token)];
    let old = send(&bench, Method::GET, "/events", &with("Bearer old"), "").await;
    let new = send(&bench, Method::GET, "/events", &with("Bearer new"), "").await;
    assert_eq!((old.status, new.status), (StatusCode::UNAUTHORIZED, StatusCode::OK));
}

#[tokio::test]
async fn rebound_name_is_refused_without_a_token() {
    let bench = Bench::open().await;
    let answer = send(&bench, Method::GET, "/events", &[("host", "evil.example:9090")], "").await;
    answer.expect(403, "host_refused");
    let local = send(&bench, Method::GET, "/events", &[("host", "localhost:9090")], "").await;
    assert_eq!(local.status, StatusCode::OK);
}

#[tokio::test]
async fn web_page_cannot_change_anything_without_a_token() {
    let bench = Bench::open().await;
    let origin = [("origin", "https://evil.example")];
    for path in ["/reload", "/dead-letters/replay", &format!("/events/{EVENT}/replay")] {
        send(&bench, Method::POST, path, &origin, r#"{"all":true}"#).await.expect(403, "origin_refused");
    }
    assert!(bench.journal.replayed_dead.lock().unwrap().is_empty());
    assert_eq!(bench.control.wakes(), 0);
}

#[tokio::test]
async fn listener_open_to_the_network_stays_shut_without_a_token() {
    let bench = Bench::open().await;
    let mut open = generation(2, None);
    open.config.admin.listen = "192.0.2.1:9090".parse().unwrap();
    bench.current.store(Arc::new(open));
    get(&bench, "/events").await.expect(401, "token_required");
}

#[tokio::test]
async fn listener_stops_when_told() {
    let mut bench = Bench::open().await;
    get(&bench, "/healthz").await;
    bench.shutdown.cancel();
    (&mut bench.served).await.unwrap().unwrap();
}

#[test]
fn config_in_a_log_line_shows_no_secret() {
    let mut config = generation(1, Some("open sesame")).config;
    let destination = Destination {
        name: "tracker".into(),
        url: "https://tracker.example/hooks".parse().unwrap(),
        timeout: Duration::from_secs(1),
        concurrency: 1,
        retry: Vec::new(),
        sign: vec![Secret::new(*b"swordfish", "env TRACKER_SECRET")],
        headers: Vec::new(),
        forward_headers: Vec::new(),
    };
    config.destinations.insert("tracker".into(), Arc::new(destination));
    let text = format!("{config:?} {config:#?}");
    assert!(text.contains("TRACKER_SECRET"), "{text}");
    for secret in ["open sesame", "swordfish"] {
        let as_bytes = format!("{:?}", secret.as_bytes());
        assert!(!text.contains(secret) && !text.contains(as_bytes.trim_matches(['[', ']'])), "{text}");
    }
}

#[tokio::test]
async fn a_route_is_told_to_take_new_secrets_for_a_while() {
    let bench = Bench::with_learning_route("asana").await;
    let answer = post(&bench, "/routes/asana/learn", "").await.json();
    assert_eq!(answer, json!({"route": "asana", "until": "2026-03-01T12:10:00.000Z"}));
    let answer = post(&bench, "/routes/asana/learn?for=1h", "").await.json();
    assert_eq!(answer["until"], "2026-03-01T13:00:00.000Z");
    let last = NOW + Duration::from_secs(3599);
    bench.learned.learn("asana", "given", true, last).unwrap();
    assert!(bench.learned.learn("asana", "late", true, last + Duration::from_secs(1)).is_err());
    assert_eq!(post(&bench, "/routes/asana/forget", "").await.json(), json!({"forgotten": 1}));
    assert_eq!(post(&bench, "/routes/asana/forget", "").await.json(), json!({"forgotten": 0}));
}

#[tokio::test]
async fn learning_is_refused_where_it_makes_no_sense() {
    let bench = Bench::with_learning_route("asana").await;
    for time in ["0s", "25h", "soon"] {
        post(&bench, &format!("/routes/asana/learn?for={time}"), "").await.expect(400, "bad_query");
    }
    post(&bench, "/routes/notion/learn", "").await.expect(404, "route_not_found");
    post(&bench, "/routes/notion/forget", "").await.expect(404, "route_not_found");
    let mut generation = generation(1, None);
    generation.config.routes.push(Arc::new(crate::ingest::tests::route("open", "/in")));
    bench.current.store(Arc::new(generation));
    post(&bench, "/routes/open/learn", "").await.expect(422, "learns_nothing");
}
