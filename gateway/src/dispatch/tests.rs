use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::Ordering,
};

use arc_swap::ArcSwap;
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{
    testing::{Bench, Reply, Sink, config, current, destination, event, with_guests},
    *,
};
use crate::{
    clock::{ManualClock, SystemClock},
    config::{Destination, Secret},
    event::EventId,
    generation::Generation,
    journal::DeliveryState,
    plugin::fixtures::{Rig, filter},
    telemetry::AttemptLabels,
};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn standing_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW))
}

/// A guest that never comes back, but for its time limit.
fn spins() -> Vec<u8> {
    filter("(loop $again (br $again)) (unreachable)")
}

fn keeps() -> Vec<u8> {
    filter("(call $ok)")
}

/// One route to `sink` for each of these guests, called after them.
fn guests_bench(rig: &Rig, sink: &Sink, guests: &[(&str, &[u8])]) -> Bench {
    let generation = with_guests(rig, vec![destination("crm", &sink.url())], guests, None);
    Bench::start_on(Arc::new(SystemClock), Arc::new(ArcSwap::from_pointee(generation)))
}

/// An event of the route `quick`.
fn quick() -> Event {
    Event { route: "quick".into(), ..event("{}") }
}

/// A route `quick` to `sink`, with a plugin that keeps every event, and its turns.
fn quick_bench(sink: &Sink) -> (Bench, Arc<Turns>) {
    let generation =
        with_guests(&Rig::new(), vec![destination("crm", &sink.url())], &[("quick", &keeps())], None);
    let turns = generation.routes["quick"].turns.clone();
    (Bench::start_on(Arc::new(SystemClock), Arc::new(ArcSwap::from_pointee(generation))), turns)
}

/// What became of the event's only delivery at its first attempt.
async fn first_attempt(bench: &Bench, id: EventId) -> (TrailEntry, Option<DeliveryState>) {
    let mut settlement = bench.journal.settlement(id).await;
    let Ending::Delivered { mut unfinished } = settlement.ending else { panic!("{:?}", settlement.ending) };
    assert_eq!(settlement.trail.len(), 1, "{:?}", settlement.trail);
    (settlement.trail.remove(0), unfinished.pop().map(|delivery| delivery.state))
}

/// Delivers one event to a sink that answers like this.
async fn answered(reply: fn() -> Reply) -> (TrailEntry, Option<DeliveryState>) {
    let sink = Sink::start(move |_, _| reply()).await;
    let bench = Bench::start(standing_clock(), vec![destination("crm", &sink.url())]);
    let id = bench.accept("{}");
    first_attempt(&bench, id).await
}

fn error_of(entry: &TrailEntry) -> &str {
    match entry {
        TrailEntry::Attempt { error: Some(error), .. } => error,
        other => panic!("no error in {other:?}"),
    }
}

fn wait_of(state: Option<DeliveryState>) -> Duration {
    match state {
        Some(DeliveryState::Waiting { due }) => due.since(NOW),
        other => panic!("not waiting: {other:?}"),
    }
}

fn is_hour_with_jitter(wait: Duration) -> bool {
    (Duration::from_secs(2880)..=Duration::from_secs(4330)).contains(&wait)
}

#[tokio::test]
async fn event_without_plugins_does_not_wait_for_the_guests_of_others() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let rig = Rig::new();
    let mut generation =
        with_guests(&rig, vec![destination("crm", &sink.url())], &[("quick", &keeps())], None);
    let plain = current(config(vec![destination("crm", &sink.url())]));
    generation.routes.extend(plain.load().routes.clone());
    let _raging = generation.routes["quick"].turns.take_all().await;
    let bench = Bench::start_on(Arc::new(SystemClock), Arc::new(ArcSwap::from_pointee(generation)));
    let waiting = bench.journal.accept(quick());
    let id = bench.accept("{}");
    assert_eq!(first_attempt(&bench, id).await.1, None);
    assert!(bench.journal.settled(waiting).is_none());
}

/// Twice what the room holds.
#[tokio::test]
async fn what_was_put_back_is_dispatched_in_the_end_and_once() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let (bench, turns) = quick_bench(&sink);
    let raging = turns.take_all().await;
    let body = bytes::Bytes::from(vec![b'x'; 63 * UNIT]);
    for _ in 0..2 * ROOM / 64 {
        bench.journal.accept(Event { body: body.clone(), ..quick() });
    }
    bench.journal.put_back(ROOM / 64 * 3 / 2).await;
    assert_eq!(turns.waiting(), ROOM / 2, "the rest waits for its turn");
    drop(raging);
    bench.journal.hand_out_put_back();
    bench.journal.settlements(2 * ROOM / 64).await;
    let received = sink.received(2 * ROOM / 64).await;
    let ids: BTreeSet<_> = received.iter().map(|request| request.header("webhook-id")).collect();
    assert_eq!((ids.len(), received.len()), (2 * ROOM / 64, 2 * ROOM / 64));
}

#[tokio::test]
async fn events_wait_for_a_plugin_in_quarantine_and_are_delivered_once_it_is_put_right() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let rig = Rig::new();
    let generation = |guest: &[u8], previous: Option<&Generation>| {
        with_guests(&rig, vec![destination("crm", &sink.url())], &[("quick", guest)], previous)
    };
    let misconfigured = generation(&filter("(call $fail (i32.const 2))"), None);
    let current = Arc::new(ArcSwap::from_pointee(misconfigured));
    let bench = Bench::start_on(Arc::new(SystemClock), current.clone());
    bench.journal.accept(quick());
    bench.journal.put_back(1).await;
    bench.journal.accept(quick());
    bench.journal.accept(quick());
    bench.journal.put_back(3).await;
    let metrics = rig.metrics.encode();
    assert!(metrics.contains("plugin=\"quick\",outcome=\"config\"} 1\n"), "called once: {metrics}");

    let sound = generation(&keeps(), Some(&current.load()));
    current.store(Arc::new(sound));
    bench.journal.hand_out_put_back();
    assert_eq!(sink.received(3).await.len(), 3);
}

#[tokio::test]
async fn what_waits_for_its_turn_at_shutdown_stays_in_the_journal() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let (bench, turns) = quick_bench(&sink);
    let _raging = turns.take_all().await;
    let ids = [(); 3].map(|()| bench.journal.accept(quick()));
    while turns.waiting() < 3 {
        tokio::task::yield_now().await;
    }
    bench.shutdown.cancel();
    bench.running.await.unwrap();
    assert!(ids.iter().all(|id| bench.journal.settled(*id).is_none()));
    assert_eq!(turns.waiting(), 0);
}

#[tokio::test]
async fn turns_and_the_line_before_them_survive_a_reload() {
    let rig = Rig::new();
    let old = with_guests(&rig, vec![], &[("looping", &spins()), ("removed", &keeps())], None);
    let new = with_guests(&rig, vec![], &[("looping", &keeps()), ("added", &keeps())], Some(&old));
    let turns = |generation: &Generation, route: &str| generation.routes[route].turns.clone();
    assert!(Arc::ptr_eq(&turns(&old, "looping"), &turns(&new, "looping")));
    assert!(!Arc::ptr_eq(&turns(&new, "looping"), &turns(&new, "added")));
}

/// Four times what the room holds.
#[tokio::test]
async fn route_whose_plugin_loops_does_not_delay_another() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let bench = guests_bench(&Rig::new(), &sink, &[("looping", &spins()), ("quick", &keeps())]);
    for _ in 0..4 * ROOM {
        bench.journal.accept(Event { route: "looping".into(), ..event("{}") });
    }
    let id = bench.journal.accept(quick());
    let settlement = bench.journal.settlement(id).await;
    assert!(matches!(settlement.ending, Ending::Delivered { unfinished } if unfinished.is_empty()));
}

#[tokio::test]
async fn event_is_delivered_and_settled_once() {
    let sink = Sink::start(|_, _| Reply::status(202).body("thanks")).await;
    let bench = Bench::start(standing_clock(), vec![destination("crm", &sink.url())]);
    let id = bench.accept(r#"{"action":"opened"}"#);
    let settlement = bench.journal.settlement(id).await;
    assert!(matches!(settlement.ending, Ending::Delivered { unfinished } if unfinished.is_empty()));
    let [
        TrailEntry::Attempt {
            at,
            destination,
            index: 0,
            number: 1,
            outcome,
            status,
            error,
            answer,
            next,
            ..
        },
    ] = settlement.trail.as_slice()
    else {
        panic!("{:?}", settlement.trail)
    };
    assert_eq!((*at, destination.as_str(), outcome.as_str()), (NOW, "crm", "delivered"));
    assert_eq!((*status, error, answer.as_deref(), *next), (Some(202), &None, Some("thanks"), None));
    let labels = AttemptLabels { destination: "crm".into(), outcome: "delivered" };
    assert_eq!(bench.metrics.attempts.get_or_create(&labels).get(), 1);
}

#[tokio::test]
async fn request_carries_the_message_and_the_headers_of_the_contract() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let crm = Destination {
        headers: vec![(HeaderName::from_static("x-team"), HeaderValue::from_static("ops"))],
        forward_headers: vec![HeaderName::from_static("x-github-event"), HeaderName::from_static("x-absent")],
        ..destination("crm", &sink.url())
    };
    let bench = Bench::start(standing_clock(), vec![crm]);
    let id = bench.accept("payload");
    let request = sink.received(1).await.remove(0);
    assert_eq!((request.path.as_str(), &request.body[..]), ("/hooks", &b"payload"[..]));
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("webhook-id"), format!("{id}_crm_0"));
    assert_eq!(request.header("webhook-timestamp"), "1700000000");
    assert_eq!(request.header("webhook-signature"), "");
    assert_eq!(request.header("user-agent"), concat!("Sluice/", env!("CARGO_PKG_VERSION")));
    assert_eq!((request.header("x-team"), request.header("x-github-event")), ("ops", "issues"));
}

#[tokio::test]
async fn signature_is_what_the_receiver_computes() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let key = b"0123456789abcdef01234567";
    let secret = format!("whsec_{}", BASE64_STANDARD.encode(key));
    let crm = Destination {
        sign: vec![Secret::new(secret.into_bytes(), "inline"), Secret::new(&b"other"[..], "inline")],
        ..destination("crm", &sink.url())
    };
    let bench = Bench::start(standing_clock(), vec![crm]);
    bench.accept("payload");
    let request = sink.received(1).await.remove(0);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    mac.update(format!("{id}.{timestamp}.payload").as_bytes());
    let expected = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    let signatures: Vec<_> = request.header("webhook-signature").split(' ').collect();
    assert_eq!((signatures.len(), signatures[0]), (2, expected.as_str()));
}

#[tokio::test]
async fn failed_delivery_is_tried_again_under_the_same_webhook_id() {
    let sink = Sink::start(|_, before| Reply::status(if before == 0 { 500 } else { 200 })).await;
    let crm = Destination { retry: vec![Duration::from_millis(5)], ..destination("crm", &sink.url()) };
    let bench = Bench::start(Arc::new(SystemClock), vec![crm]);
    let id = bench.accept("{}");
    let (entry, state) = first_attempt(&bench, id).await;
    assert_eq!(error_of(&entry), "answered 500 Internal Server Error");
    assert!(matches!(state, Some(DeliveryState::Waiting { .. })));
    let attempt = bench.journal.attempts(1).await.remove(0);
    assert_eq!((attempt.state, attempt.attempts), (None, 2));
    let received = sink.received(2).await;
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
}

#[tokio::test]
async fn delivery_is_a_dead_letter_when_the_schedule_ends() {
    let sink = Sink::start(|_, _| Reply::status(404)).await;
    let crm = Destination { retry: vec![Duration::from_millis(1); 2], ..destination("crm", &sink.url()) };
    let bench = Bench::start(Arc::new(SystemClock), vec![crm]);
    bench.accept("{}");
    let last = bench.journal.attempts(2).await.remove(1);
    let Some(DeliveryState::Dead { reason, .. }) = last.state else { panic!("{last:?}") };
    assert_eq!(reason, "gave up after 3 attempts: answered 404 Not Found");
    assert_eq!(last.attempts, 3);
}

#[tokio::test]
async fn destination_without_schedule_is_tried_once() {
    let sink = Sink::start(|_, _| Reply::status(500)).await;
    let bench = Bench::start(
        standing_clock(),
        vec![Destination { retry: vec![], ..destination("crm", &sink.url()) }],
    );
    let id = bench.accept("{}");
    let (_, state) = first_attempt(&bench, id).await;
    assert!(
        matches!(state, Some(DeliveryState::Dead { reason, .. }) if reason.starts_with("gave up after 1 attempt:"))
    );
}

#[tokio::test]
async fn retry_after_in_seconds_is_a_minimum() {
    let (entry, state) = answered(|| Reply::status(429).header("retry-after", "7200")).await;
    assert_eq!(wait_of(state).as_secs(), 7200);
    assert!(
        matches!(entry, TrailEntry::Attempt { next: Some(next), .. } if next.since(NOW).as_secs() == 7200)
    );
}

#[tokio::test]
async fn retry_after_as_a_date_is_a_minimum() {
    // Two hours after `NOW`.
    let (_, state) =
        answered(|| Reply::status(503).header("retry-after", "Wed, 15 Nov 2023 00:13:20 GMT")).await;
    assert_eq!(wait_of(state).as_secs(), 7200);
}

#[tokio::test]
async fn short_retry_after_does_not_shorten_the_schedule() {
    let (_, state) = answered(|| Reply::status(429).header("retry-after", "1.5")).await;
    assert!(is_hour_with_jitter(wait_of(state)));
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let (entry, state) = answered(|| Reply::status(302).header("location", "/elsewhere")).await;
    assert_eq!(error_of(&entry), "answered 302 Found: redirects are not followed");
    assert!(is_hour_with_jitter(wait_of(state)));
}

#[tokio::test]
async fn gone_receiver_gets_no_other_attempt() {
    let (entry, state) = answered(|| Reply::status(410)).await;
    assert!(matches!(entry, TrailEntry::Attempt { status: Some(410), outcome, .. } if outcome == "dead"));
    assert!(matches!(state, Some(DeliveryState::Dead { reason, .. }) if reason.contains("410 Gone")));
}

#[tokio::test]
async fn receiver_that_does_not_answer_in_time_has_failed() {
    let sink = Sink::start(|_, _| Reply::status(200).held()).await;
    let slow = Destination { timeout: Duration::from_millis(30), ..destination("slow", &sink.url()) };
    let bench = Bench::start(standing_clock(), vec![slow]);
    let id = bench.accept("{}");
    let (entry, state) = first_attempt(&bench, id).await;
    assert_eq!(error_of(&entry), "timed out after 30ms waiting for response headers");
    assert!(is_hour_with_jitter(wait_of(state)));
}

#[tokio::test]
async fn refused_connection_is_named() {
    let sink = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret-token", sink.local_addr().unwrap());
    drop(sink);
    let bench = Bench::start(standing_clock(), vec![destination("crm", &url)]);
    let id = bench.accept("{}");
    let (entry, _) = first_attempt(&bench, id).await;
    assert_eq!(error_of(&entry), "connection refused");
}

#[tokio::test]
async fn only_the_beginning_of_an_answer_is_kept() {
    let (entry, _) = answered(|| Reply::status(500).body(vec![b'x'; 100_000])).await;
    assert!(matches!(entry, TrailEntry::Attempt { answer: Some(text), .. } if text == "x".repeat(256)));
}

#[tokio::test]
async fn connection_is_used_again() {
    let sink = Sink::start(|_, _| Reply::status(200).body(vec![b'x'; 4096])).await;
    let bench = Bench::start(standing_clock(), vec![destination("crm", &sink.url())]);
    for _ in 0..5 {
        let id = bench.accept("{}");
        bench.journal.settlement(id).await;
    }
    assert_eq!(sink.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn hanging_destination_holds_up_nothing_but_itself() {
    let hanging = Sink::start(|_, _| Reply::status(200).held()).await;
    let healthy = Sink::start(|_, _| Reply::status(200)).await;
    let one_place = Destination { concurrency: 1, ..destination("hanging", &hanging.url()) };
    let bench = Bench::start(Arc::new(SystemClock), vec![one_place, destination("healthy", &healthy.url())]);
    for _ in 0..80 {
        bench.accept("{}");
    }

    healthy.received(80).await;
    hanging.received(1).await;
    // All but the one whose attempt hangs are settled: delivered to one, parked for the other.
    bench.journal.settlements(79).await;

    hanging.release.add_permits(80);
    hanging.received(80).await;
    bench.journal.attempts(79).await;
    assert_eq!(hanging.busiest.load(Ordering::SeqCst), 1);
    assert_eq!(bench.journal.waiting(), 0);
    let mut seen = HashMap::new();
    for request in hanging.received(80).await {
        *seen.entry(request.header("webhook-id").to_owned()).or_insert(0) += 1;
    }
    assert!(seen.len() == 80 && seen.values().all(|times| *times == 1), "{seen:?}");
}

/// As many bodies as fill the dispatcher's room twice.
#[tokio::test]
async fn hanging_destination_among_several_keeps_no_room_in_the_dispatcher() {
    let hanging = Sink::start(|_, _| Reply::status(200).held()).await;
    let healthy = Sink::start(|_, _| Reply::status(200)).await;
    let patient = |name, sink: &Sink| Destination {
        concurrency: 64,
        timeout: Duration::from_secs(60),
        ..destination(name, &sink.url())
    };
    let bench =
        Bench::start(standing_clock(), vec![patient("hanging", &hanging), patient("healthy", &healthy)]);
    let body = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    for _ in 0..64 {
        bench.journal.accept(Event { body: body.clone(), ..event("") });
    }
    healthy.received(64).await;
}

#[tokio::test]
async fn delivery_whose_attempt_panicked_is_attempted_again() {
    let sink = Sink::start(|_, before| Reply::status(if before == 0 { 500 } else { 200 })).await;
    let clock = standing_clock();
    let bench = Bench::start(clock.clone(), vec![destination("crm", &sink.url())]);
    let id = bench.accept("{}");
    bench.journal.settlement(id).await;
    bench.journal.panic_once();
    clock.advance(Duration::from_secs(7200));
    bench.lanes.wake_all();
    let panicked = bench.journal.attempts(1).await.remove(0);
    assert!(matches!(panicked.state, Some(DeliveryState::Waiting { due }) if due > clock.now()));
    assert!(matches!(&panicked.trail[..], [TrailEntry::Failed { reason, .. }] if reason.contains("bug")));
    clock.advance(Duration::from_secs(3600));
    bench.lanes.wake_all();
    assert_eq!(bench.journal.attempts(2).await.remove(1).state, None);
}

#[tokio::test]
async fn concurrency_of_a_destination_is_never_exceeded() {
    let sink = Sink::start(|_, _| Reply::status(200).held()).await;
    let crm = Destination { concurrency: 3, ..destination("crm", &sink.url()) };
    let bench = Bench::start(Arc::new(SystemClock), vec![crm]);
    for _ in 0..30 {
        bench.accept("{}");
    }
    for done in 0..10 {
        sink.received(3 * (done + 1)).await;
        sink.release.add_permits(3);
    }
    sink.received(30).await;
    assert_eq!(sink.busiest.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn new_config_counts_from_the_next_attempt_on() {
    let old = Sink::start(|_, _| Reply::status(500)).await;
    let new = Sink::start(|_, _| Reply::status(200)).await;
    let clock = standing_clock();
    let bench = Bench::start(clock.clone(), vec![destination("crm", &old.url())]);
    let id = bench.accept("{}");
    bench.journal.settlement(id).await;
    bench.lanes.apply(&config(vec![destination("crm", &new.url())])).unwrap();
    clock.advance(Duration::from_secs(7200));
    bench.lanes.wake_all();
    assert_eq!(bench.journal.attempts(1).await.remove(0).state, None);
    assert_eq!(new.received(1).await[0].header("webhook-id"), old.received(1).await[0].header("webhook-id"));
}

#[tokio::test]
async fn what_waits_for_a_removed_destination_becomes_a_dead_letter() {
    let sink = Sink::start(|_, _| Reply::status(500)).await;
    let clock = standing_clock();
    let bench = Bench::start(clock.clone(), vec![destination("crm", &sink.url())]);
    let id = bench.accept("{}");
    bench.journal.settlement(id).await;
    bench.lanes.apply(&config(vec![destination("other", &sink.url())])).unwrap();
    clock.advance(Duration::from_secs(7200));
    bench.lanes.wake_all();
    let attempt = bench.journal.attempts(1).await.remove(0);
    let Some(DeliveryState::Dead { reason, .. }) = attempt.state else { panic!("{attempt:?}") };
    assert_eq!(reason, "destination `crm` is not in the config: put it back and replay");
    assert_eq!(sink.received(1).await.len(), 1);
}

#[tokio::test]
async fn broken_secret_leaves_the_lanes_as_they_were() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let bench = Bench::start(standing_clock(), vec![destination("crm", &sink.url())]);
    let broken = Destination {
        sign: vec![Secret::new(&b"whsec_*"[..], "env CRM_SECRET")],
        ..destination("crm", "http://127.0.0.1:1/")
    };
    let error = bench.lanes.apply(&config(vec![broken])).unwrap_err();
    assert_eq!(error.to_string(), "destination `crm` cannot be signed for");
    bench.accept("{}");
    sink.received(1).await;
}

#[tokio::test]
async fn event_of_a_removed_route_is_a_dead_letter() {
    let bench = Bench::start(standing_clock(), vec![]);
    let id = bench.journal.accept(Event { route: "removed".into(), ..event("{}") });
    let settlement = bench.journal.settlement(id).await;
    let Ending::Dead { reason } = settlement.ending else { panic!("{settlement:?}") };
    assert_eq!(reason, "route `removed` is not in the config: put it back and replay");
    assert_eq!(settlement.trail, [TrailEntry::Failed { at: NOW, reason }]);
}

#[tokio::test]
async fn event_without_destination_is_dropped_with_the_reason() {
    let bench = Bench::start(standing_clock(), vec![]);
    let id = bench.accept("{}");
    let settlement = bench.journal.settlement(id).await;
    assert!(matches!(settlement.ending, Ending::Dropped { reason } if reason.starts_with("no destination")));
}

#[tokio::test]
async fn shutdown_finishes_what_has_begun_and_leaves_the_rest_due() {
    let sink = Sink::start(|_, _| Reply::status(200).held()).await;
    let crm = Destination { concurrency: 1, ..destination("crm", &sink.url()) };
    let bench = Bench::start(standing_clock(), vec![crm]);
    let ids = [bench.accept("{}"), bench.accept("{}"), bench.accept("{}")];
    sink.received(1).await;
    bench.shutdown.cancel();
    sink.release.add_permits(1);
    bench.running.await.unwrap();

    let (mut arrived, mut parked) = (0, 0);
    for settlement in ids.iter().filter_map(|id| bench.journal.settled(*id)) {
        let Ending::Delivered { unfinished } = settlement.ending else { panic!("{settlement:?}") };
        match unfinished.as_slice() {
            [] => arrived += 1,
            [delivery] => {
                assert_eq!((delivery.attempts, &delivery.state), (0, &DeliveryState::Waiting { due: NOW }));
                parked += 1;
            }
            more => panic!("{more:?}"),
        }
    }
    assert_eq!((arrived, parked), (1, 2));
    assert_eq!(sink.received(1).await.len(), 1);
}

#[tokio::test]
async fn closed_journal_ends_the_dispatcher() {
    let bench = Bench::start(standing_clock(), vec![]);
    bench.journal.close().await;
    bench.running.await.unwrap();
}

#[tokio::test]
async fn poisoned_journal_ends_the_dispatcher() {
    let bench = Bench::start(standing_clock(), vec![destination("crm", "http://127.0.0.1:1/")]);
    bench.journal.end(|| JournalError::Poisoned("EIO".to_owned()));
    tokio::time::timeout(Duration::from_secs(5), bench.running).await.unwrap().unwrap();
}

/// A delivery that waits for a destination that is not in the config.
fn orphan() -> Delivery {
    let event = event("{}");
    let message = crate::event::Message {
        headers: event.headers.clone(),
        body: event.body.clone(),
        destinations: None,
        key: None,
    };
    Delivery {
        key: crate::journal::DeliveryKey { event: event.id, destination: "ghost".into(), index: 0 },
        route: event.route.clone(),
        message,
        attempts: 0,
        batch: None,
        state: DeliveryState::Waiting { due: Timestamp::default() },
    }
}

#[tokio::test]
async fn replay_to_a_destination_that_is_not_in_the_config_is_a_dead_letter_again() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let bench = Bench::start(standing_clock(), vec![destination("crm", &sink.url())]);
    let id = bench.accept("{}");
    bench.journal.settlement(id).await;
    bench.journal.leave_waiting(orphan());
    bench.lanes.wake_all();
    let attempt = bench.journal.attempts(1).await.remove(0);
    assert!(matches!(attempt.state, Some(DeliveryState::Dead { reason, .. }) if reason.contains("`ghost`")));
}

#[tokio::test]
async fn giving_up_what_waits_for_a_lost_destination_holds_up_nothing() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let journal = Arc::new(testing::FakeJournal::default());
    journal.leave_waiting(orphan());
    journal.get_stuck("ghost");
    let (clock, metrics) = (standing_clock(), Arc::new(Metrics::new()));
    let config = config(vec![destination("crm", &sink.url())]);
    let lanes = Lanes::new(journal.clone(), clock.clone(), metrics.clone()).unwrap();
    lanes.apply(&config).unwrap();
    let dispatcher = Dispatcher::new(current(config), journal.clone(), lanes, clock, metrics);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(dispatcher.run(shutdown.clone()));
    let id = journal.accept(event("{}"));
    journal.settlement(id).await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), running).await.unwrap().unwrap();
}

#[tokio::test]
async fn destination_that_never_had_a_lane_is_a_dead_letter() {
    let journal = Arc::new(testing::FakeJournal::default());
    let (clock, metrics) = (standing_clock(), Arc::new(Metrics::new()));
    let lanes = Lanes::new(journal.clone(), clock.clone(), metrics.clone()).unwrap();
    let current = current(config(vec![destination("crm", "http://127.0.0.1:1/")]));
    let dispatcher = Dispatcher::new(current, journal.clone(), lanes, clock, metrics);
    tokio::spawn(dispatcher.run(CancellationToken::new()));
    let id = journal.accept(event("{}"));
    let settlement = journal.settlement(id).await;
    let Ending::Delivered { unfinished } = settlement.ending else { panic!("{settlement:?}") };
    assert!(matches!(&unfinished[0].state, DeliveryState::Dead { reason, .. } if reason.contains("`crm`")));
}

#[tokio::test]
async fn what_waits_for_a_destination_that_left_while_the_gateway_was_down_is_a_dead_letter() {
    let sink = Sink::start(|_, _| Reply::status(500)).await;
    let bench = Bench::start(standing_clock(), vec![destination("crm", &sink.url())]);
    let id = bench.accept("{}");
    bench.journal.settlement(id).await;
    bench.shutdown.cancel();
    bench.running.await.unwrap();

    let lanes = Lanes::new(bench.journal.clone(), standing_clock(), bench.metrics.clone()).unwrap();
    let current = current(config(vec![]));
    let dispatcher =
        Dispatcher::new(current, bench.journal.clone(), lanes, standing_clock(), bench.metrics.clone());
    tokio::spawn(dispatcher.run(CancellationToken::new()));
    let attempt = bench.journal.attempts(1).await.remove(0);
    assert!(matches!(attempt.state, Some(DeliveryState::Dead { reason, .. }) if reason.contains("`crm`")));
}

#[tokio::test]
async fn certificate_that_nobody_vouches_for_is_refused() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let bench = Bench::start(standing_clock(), vec![destination("crm", &url)]);
    let id = bench.accept("{}");
    let (entry, _) = first_attempt(&bench, id).await;
    assert!(error_of(&entry).starts_with("failed to connect: invalid peer certificate"), "{entry:?}");
}

fn retry(attempt: u32, after: Option<Duration>) -> Ending {
    after_failure(Failure::Retry { after, reason: "busy".to_owned() }, attempt, &Turns::new(), NOW)
}

#[test]
fn failed_pipeline_runs_again_until_its_schedule_ends() {
    for attempt in 1..=5 {
        assert!(matches!(retry(attempt, None), Ending::RetryAt { .. }), "attempt {attempt}");
    }
    assert!(matches!(retry(6, None), Ending::Dead { reason } if reason == "pipeline failed 6 times: busy"));
}

#[test]
fn event_that_can_never_be_handled_is_a_dead_letter_at_once() {
    let failure = Failure::DeadLetter { reason: "not json".to_owned() };
    assert!(
        matches!(after_failure(failure, 1, &Turns::new(), NOW), Ending::Dead { reason } if reason == "not json")
    );
}

proptest! {
    #[test]
    fn pipeline_is_never_run_sooner_than_it_asked(attempt in 1u32..=5, after in 0u64..86_400) {
        let after = Duration::from_secs(after);
        let Ending::RetryAt { due } = retry(attempt, Some(after)) else { panic!("no retry") };
        prop_assert!(due.since(NOW) >= after);
    }
}

#[test]
fn panicking_dispatch_is_tried_again() {
    let (journal, clock) = (testing::FakeJournal::default(), standing_clock());
    let id = EventId::generate();
    let dispatch = std::panic::AssertUnwindSafe(|| {
        let _lease = Lease::new(&journal, &*clock, id);
        panic!("a plugin host that is broken");
    });
    assert!(std::panic::catch_unwind(dispatch).is_err());
    assert!(matches!(journal.settled(id).unwrap().ending, Ending::RetryAt { due } if due > NOW));
}
