use std::{collections::BTreeSet, sync::atomic::Ordering};

use super::*;
use crate::{
    clock::{Clock, ManualClock, SystemClock},
    config::{self, Destination},
    dispatch::testing::{Bench, ROUTE, Received, Reply, Sink, destination},
    event::EventId,
    journal::{DeliveryAttempt, Ending, Settlement},
    lane::{
        batcher::Settings,
        testing::{Joining, SETTINGS, delivery, joined},
    },
    plugin::{
        Kind, Role,
        fixtures::{Rig, Wat},
    },
};

const BODIES: [&str; 8] = ["a", "b", "c", "d", "e", "poison", "f", "g"];

/// A dispatcher whose only route batches to `crm`.
fn start(clock: Arc<dyn Clock>, crm: Destination, settings: Settings, fold: Arc<Joining>) -> Bench {
    let bench = Bench::start(clock, vec![crm]);
    put_in_force(&bench, settings, fold);
    bench
}

fn put_in_force(bench: &Bench, settings: Settings, fold: Arc<Joining>) {
    let batcher = Batcher::new(settings, fold);
    bench.lanes.batch(HashMap::from([(ROUTE.into(), batcher)]));
}

fn joining() -> Arc<Joining> {
    Joining::new(|bodies| Ok(vec![joined(bodies)]))
}

/// A fold that can do nothing with what one of `BODIES` is.
fn choking(on: &'static str, error: fn() -> CallError) -> Arc<Joining> {
    Joining::new(move |bodies| match bodies.iter().any(|body| body == on) {
        true => Err(error()),
        false => Ok(vec![joined(bodies)]),
    })
}

fn of(events: usize) -> Settings {
    Settings { events, ..SETTINGS }
}

/// Attempted once.
fn once(sink: &Sink) -> Destination {
    Destination { retry: Vec::new(), ..destination("crm", &sink.url()) }
}

/// Attempted again after a moment.
fn again(sink: &Sink) -> Destination {
    Destination { retry: vec![Duration::from_millis(20)], ..destination("crm", &sink.url()) }
}

fn body(request: &Received) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

/// The members of a batch, in any order: the dispatcher begins events side by side.
fn members(request: &Received) -> BTreeSet<&str> {
    body(request).split(',').collect()
}

async fn settlements(bench: &Bench, ids: &[EventId]) -> Vec<Settlement> {
    let mut all = Vec::new();
    for id in ids {
        all.push(bench.journal.settlement(*id).await);
    }
    all
}

/// The only delivery that is left of an event.
fn left(settlement: &Settlement) -> Option<&Delivery> {
    match &settlement.ending {
        Ending::Delivered { unfinished } => unfinished.first(),
        other => panic!("{other:?}"),
    }
}

fn death(settlement: &Settlement) -> Option<&str> {
    match &left(settlement)?.state {
        DeliveryState::Dead { reason, .. } => Some(reason),
        DeliveryState::Waiting { .. } => None,
    }
}

async fn accept_all(bench: &Bench) -> Vec<Settlement> {
    let ids = BODIES.map(|body| bench.accept(body));
    settlements(bench, &ids).await
}

/// Every event arrived but the poisoned one, which is a dead letter for this reason.
fn assert_poison_is_alone(settled: &[Settlement], reason: &str) {
    for (settlement, body) in settled.iter().zip(BODIES) {
        assert_eq!(death(settlement), (body == "poison").then_some(reason), "{body}");
        assert_eq!(left(settlement).is_some(), body == "poison");
    }
}

#[tokio::test]
async fn full_window_arrives_as_one_message_and_ends_every_event() {
    let sink = Sink::start(|_, _| Reply::status(200).body("thanks")).await;
    let fold = joining();
    let bench = start(Arc::new(SystemClock), once(&sink), of(3), fold.clone());
    let ids = ["a", "b", "c"].map(|body| bench.accept(body));
    let settled = settlements(&bench, &ids).await;
    let received = sink.received(1).await;
    assert_eq!(members(&received[0]), BTreeSet::from(["a", "b", "c"]));
    assert!(received[0].header("webhook-id").starts_with("batch_"), "{received:?}");
    for settlement in &settled {
        assert!(left(settlement).is_none());
        let attempt = settlement.trail.last().unwrap();
        assert!(matches!(attempt, TrailEntry::Attempt { batch: Some(3), number: 1, answer: Some(_), .. }));
    }
    let told = settled.iter().filter(|settlement| settlement.trail.len() == 2).count();
    assert_eq!(told, 1, "the fold's own line is told once: {settled:?}");
    let window = fold.windows.lock().unwrap()[0].clone();
    assert_eq!((&*window.route, &*window.destination), (ROUTE, "crm"));
    let named: BTreeSet<_> = window.items.iter().map(|item| item.webhook_id.clone()).collect();
    assert_eq!(named, ids.iter().map(|id| format!("{id}_crm_0")).collect());
    let metrics = bench.metrics.encode();
    for line in [
        "sluice_batches_total{route=\"github\",destination=\"crm\",outcome=\"delivered\"} 1\n",
        "sluice_batch_size_sum{route=\"github\"} 3.0\n",
        "sluice_delivery_attempts_total{destination=\"crm\",outcome=\"delivered\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn window_that_does_not_fill_closes_in_time() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let settings = Settings { wait: Duration::from_millis(30), ..SETTINGS };
    let bench = start(Arc::new(SystemClock), once(&sink), settings, joining());
    let id = bench.accept("a");
    assert!(left(&bench.journal.settlement(id).await).is_none());
    assert_eq!(body(&sink.received(1).await[0]), "a");
}

#[tokio::test]
async fn batch_that_is_refused_for_good_splits_until_the_poison_is_alone() {
    let sink =
        Sink::start(|request, _| Reply::status(if body(request).contains("poison") { 422 } else { 200 }))
            .await;
    let bench = start(Arc::new(SystemClock), once(&sink), of(8), joining());
    let settled = accept_all(&bench).await;
    assert_poison_is_alone(&settled, "gave up after 4 attempts: answered 422 Unprocessable Entity");
    assert_eq!(sink.received(7).await.len(), 7, "8, and twice each 4, 2 and 1");
}

#[tokio::test]
async fn batch_that_nobody_takes_is_not_split() {
    let sink = Sink::start(|_, _| Reply::status(410)).await;
    let nobody = Destination { retry: Vec::new(), ..destination("crm", "http://127.0.0.1:1/") };
    for (crm, reason) in [(once(&sink), "410"), (nobody, "gave up after 1 attempt: connection refused")] {
        let fold = joining();
        let bench = start(Arc::new(SystemClock), crm, of(8), fold.clone());
        let settled = accept_all(&bench).await;
        assert!(settled.iter().all(|settlement| death(settlement).unwrap().contains(reason)), "{settled:?}");
        assert_eq!(fold.calls.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn item_that_cannot_be_folded_is_alone_in_the_end() {
    for error in [
        || CallError::Invalid("not json".to_owned()),
        || CallError::Trap { reason: "unreachable".to_owned(), frames: Vec::new() },
        || CallError::Other("whatever".to_owned()),
    ] {
        let sink = Sink::start(|_, _| Reply::status(200)).await;
        let bench = start(Arc::new(SystemClock), once(&sink), of(8), choking("poison", error));
        let settled = accept_all(&bench).await;
        assert_poison_is_alone(&settled, &format!("plugin `joining` {}", error()));
        let poisoned = &settled[5].trail;
        assert_eq!(poisoned.len(), 4, "{poisoned:?}");
        assert!(matches!(&poisoned[3], TrailEntry::Step { detail: Some(_), log, .. } if !log.is_empty()));
    }
}

#[tokio::test]
async fn fold_that_asks_for_time_gets_it_and_one_that_is_misconfigured_costs_no_attempt() {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let retry = || CallError::Retry { reason: "busy".to_owned(), after: Some(Duration::from_secs(7200)) };
    let config = || CallError::Config("no key".to_owned());
    for (error, wait, attempts) in [(retry as fn() -> CallError, 7200, 1), (config, 60, 0)] {
        let crm = destination("crm", "http://127.0.0.1:1/");
        let bench = start(Arc::new(ManualClock::at(now)), crm, of(8), choking("poison", error));
        for settlement in accept_all(&bench).await {
            let left = left(&settlement).unwrap();
            assert_eq!(left.state, DeliveryState::Waiting { due: now + Duration::from_secs(wait) });
            assert_eq!((left.attempts, left.batch.unwrap().members), (attempts, 8));
        }
    }
}

/// More than a lane fetches at once.
#[tokio::test]
async fn retry_is_the_same_batch_under_the_same_id() {
    let sink = Sink::start(|_, before| Reply::status(if before == 0 { 503 } else { 200 })).await;
    let bench = start(Arc::new(SystemClock), again(&sink), of(80), joining());
    for _ in 0..10 {
        BODIES.iter().for_each(|body| {
            bench.accept(body);
        });
    }
    let received = sink.received(2).await;
    assert_eq!(body(&received[0]), body(&received[1]));
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    let attempts = bench.journal.attempts(80).await;
    let arrived = |made: &DeliveryAttempt| made.state.is_none() && made.attempts == 2 && made.batch.is_none();
    assert!(attempts.iter().all(arrived), "{attempts:?}");
}

#[tokio::test]
async fn members_of_a_message_that_arrived_are_done_and_those_of_another_wait() {
    let fold = Joining::new(|bodies| {
        let folded = |is_in: fn(&str) -> bool| {
            let (items, bodies): (Vec<usize>, Vec<_>) = (0..)
                .zip(bodies)
                .filter(|(_, body)| is_in(body))
                .map(|(item, body)| (item, body.clone()))
                .unzip();
            (!items.is_empty()).then(|| Folded { items, ..joined(&bodies) })
        };
        Ok([folded(|body| body == "poison"), folded(|body| body < "c")].into_iter().flatten().collect())
    });
    let sink = Sink::start(|request, before| {
        Reply::status(match body(request) {
            "poison" if before < 2 => 503,
            _ => 200,
        })
    })
    .await;
    let bench = start(Arc::new(SystemClock), again(&sink), of(8), fold);
    let settled = accept_all(&bench).await;
    for (settlement, body) in settled.iter().zip(BODIES) {
        assert_eq!(left(settlement).map(|left| left.batch.unwrap().members), (body == "poison").then_some(1));
        let is_left_out = settlement.trail.iter().any(
            |entry| matches!(entry, TrailEntry::Step { detail: Some(detail), .. } if detail.contains("left out")),
        );
        assert_eq!(is_left_out, !["a", "b", "poison"].contains(&body), "{body}: {settlement:?}");
    }
    let received = sink.received(3).await;
    let ids: Vec<_> =
        received.iter().filter(|r| body(r) == "poison").map(|r| r.header("webhook-id")).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1], "of the message, whatever else was in the window");
}

#[tokio::test]
async fn what_is_in_a_window_at_shutdown_comes_back_together() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let bench = start(Arc::new(SystemClock), once(&sink), SETTINGS, joining());
    let ids = BODIES.map(|body| bench.accept(body));
    while bench.lanes.waiting_in_windows() < BODIES.len() {
        tokio::task::yield_now().await;
    }
    bench.shutdown.cancel();
    bench.running.await.unwrap();
    let tags: Vec<_> =
        ids.map(|id| left(&bench.journal.settled(id).unwrap()).unwrap().batch.unwrap()).into_iter().collect();
    assert!(tags.iter().all(|tag| tag.id == tags[0].id && tag.members == 8), "{tags:?}");
    assert_eq!(tags.iter().map(|tag| tag.place).collect::<BTreeSet<_>>(), (0..8).collect());
    assert_eq!(bench.journal.waiting(), 8);
}

#[tokio::test]
async fn members_whose_fellows_are_gone_go_as_they_are_and_singly_where_the_route_batches_no_more() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let bench = start(Arc::new(SystemClock), once(&sink), SETTINGS, joining());
    let tagged = |place| Delivery {
        batch: Some(BatchTag { id: [3; 16], members: 3, place }),
        ..delivery(&place.to_string())
    };
    bench.journal.leave_waiting(tagged(2));
    bench.journal.leave_waiting(tagged(0));
    bench.lanes.wake_all();
    assert_eq!(body(&sink.received(1).await[0]), "0,2");

    bench.journal.attempts(2).await;
    bench.lanes.batch(HashMap::new());
    let single = tagged(1);
    bench.journal.leave_waiting(single.clone());
    bench.lanes.wake_all();
    assert_eq!(sink.received(2).await[1].header("webhook-id"), single.key.webhook_id());
}

/// More than all windows may hold.
#[tokio::test]
async fn windows_that_hold_too_much_close_early() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let bench = start(Arc::new(SystemClock), once(&sink), of(100_000), joining());
    for _ in 0..5000 {
        bench.accept("x");
    }
    let received = sink.received(1).await;
    assert_eq!(body(&received[0]).split(',').count(), 2048, "half of what all lanes may hold");
    bench.journal.settlements(2048).await;
}

/// It is stopped for the batch, and for each part of it.
#[tokio::test]
async fn guest_that_never_comes_back_loses_its_own_events_and_no_other_s() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let rig = Rig::new();
    let spins = Wat { kind: Kind::Batch, call: "(loop $on (br $on)) (unreachable)", ..Wat::default() };
    let mut guest = rig.plugin("guest", &spins.module());
    guest.limits.time = Duration::from_millis(5);
    let plugin = rig.host.load(&guest, &serde_json::Value::Null, Role::Batch).unwrap();
    let bench = Bench::start(Arc::new(SystemClock), vec![once(&sink)]);
    let batcher = Batcher::new(of(8), plugin);
    bench.lanes.batch(HashMap::from([(ROUTE.into(), batcher)]));
    let stopped = "plugin `guest` was stopped: it ran for longer than 5ms, its limit";
    assert!(accept_all(&bench).await.iter().all(|settlement| death(settlement) == Some(stopped)));
    bench.lanes.batch(HashMap::new());
    let id = bench.accept("single");
    assert!(left(&bench.journal.settlement(id).await).is_none());
    assert_eq!(sink.received(1).await.len(), 1);
}

/// Of a batch that is split only the whole counts: one event that cannot be folded is no reason.
#[tokio::test]
async fn plugin_that_fails_batch_after_batch_is_quarantined_and_its_members_wait() {
    let sink = Sink::start(|_, _| Reply::status(200)).await;
    let rig = Rig::new();
    let traps = Wat { kind: Kind::Batch, call: "(unreachable)", ..Wat::default() };
    let mut plugin = rig.plugin("guest", &traps.module());
    plugin.quarantine = Some(config::Quarantine { failures: 2, ..config::Quarantine::default() });
    let batch = config::Batch {
        plugin: Arc::new(plugin),
        config: serde_json::Value::Null,
        events: 8,
        bytes: 1 << 20,
        wait: Duration::from_secs(60),
        by_key: false,
    };
    let batcher = Batcher::load(&ROUTE.into(), &batch, &rig.host, &rig.metrics, None).unwrap();
    let bench = Bench::start(Arc::new(SystemClock), vec![once(&sink)]);
    bench.lanes.batch(HashMap::from([(ROUTE.into(), batcher.clone())]));
    for _ in 0..2 {
        assert!(batcher.status().unwrap().quarantined.is_none());
        assert!(accept_all(&bench).await.iter().all(|settlement| death(settlement).is_some()));
    }
    assert!(batcher.status().unwrap().quarantined.is_some());
    // A window of eight is folded whole, in halves, in quarters and one by one.
    let counted = "sluice_plugin_outcomes_total{route=\"github\",plugin=\"guest\",outcome=\"trap\"} 30\n";
    assert!(rig.metrics.encode().contains(counted), "{}", rig.metrics.encode());
    for settlement in accept_all(&bench).await {
        let delivery = left(&settlement).unwrap();
        assert!(matches!(delivery.state, DeliveryState::Waiting { .. }) && delivery.attempts == 0);
    }
    let same = Batcher::load(&ROUTE.into(), &batch, &rig.host, &rig.metrics, Some(&batcher)).unwrap();
    assert!(same.status().unwrap().quarantined.is_some(), "a reload that changes nothing ends nothing");
    assert!(same.resume("guest") && !same.resume("guest"));
}

#[tokio::test]
async fn panic_in_a_fold_has_its_events_dispatched_again() {
    let fold = Joining::new(|_| panic!("a plugin host that is broken"));
    let bench = start(Arc::new(SystemClock), destination("crm", "http://127.0.0.1:1/"), of(2), fold);
    let ids = ["a", "b"].map(|body| bench.accept(body));
    for settlement in settlements(&bench, &ids).await {
        assert!(matches!(settlement.ending, Ending::RetryAt { .. }), "{settlement:?}");
    }
}

#[test]
fn ids_are_of_the_members_and_differ_by_order_and_number() {
    let id = |members: &[&str]| Ids::default().next(members.iter().map(ToString::to_string));
    assert_eq!(id(&["a", "b"]), id(&["a", "b"]));
    assert_ne!(id(&["a", "b"]), id(&["b", "a"]));
    assert_ne!(id(&["a", "b"]), id(&["ab"]));
    let mut ids = Ids::default();
    let both = [(); 2].map(|()| ids.next(["a".to_owned()].into_iter()));
    assert_ne!(both[0], both[1], "two messages of the same items");
}
