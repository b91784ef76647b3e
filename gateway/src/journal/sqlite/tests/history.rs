use super::*;
use crate::journal::{DeadFilter, EventFilter};

/// One event in every state, the open one last, on two routes.
async fn one_of_each(bench: &Bench) -> Vec<Arc<Event>> {
    let events: Vec<_> =
        (0..5).map(|n| event(if n % 2 == 0 { "even" } else { "odd" }, n, bench.now())).collect();
    let endings = [
        Ending::Delivered { unfinished: Vec::new() },
        Ending::Dropped { reason: "no".into() },
        Ending::Dead { reason: "bad".into() },
        Ending::RetryAt { due: bench.now() + HOUR },
    ];
    for event in &events {
        bench.accept(event).await;
    }
    bench.claim(5).await;
    for (event, ending) in events.iter().zip(endings) {
        bench.settle(event.id, ending);
    }
    events
}

async fn list(bench: &Bench, filter: EventFilter) -> Vec<EventId> {
    bench.journal().events(filter).await.unwrap().iter().map(|event| event.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_newest_first() {
    let bench = Bench::new();
    let mut expected: Vec<_> = one_of_each(&bench).await.iter().map(|event| event.id).collect();
    expected.reverse();
    assert_eq!(list(&bench, EventFilter::default()).await, expected);
    assert_eq!(list(&bench, EventFilter { limit: 2, ..EventFilter::default() }).await, expected[..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_on_behind_its_last_event() {
    let bench = Bench::new();
    let events = one_of_each(&bench).await;
    let behind = |state, before: EventId| {
        list(&bench, EventFilter { state, before: Some(before), ..EventFilter::default() })
    };
    assert_eq!(behind(None, events[2].id).await, [events[1].id, events[0].id]);
    assert!(behind(None, EventId::generate()).await.is_empty());
    for (event, state) in events.iter().zip([EventState::Delivered, EventState::Dropped, EventState::Dead]) {
        assert_eq!(behind(Some(state), events[3].id).await, [event.id]);
        assert!(behind(Some(state), event.id).await.is_empty());
    }
    assert!(behind(Some(EventState::Open), events[4].id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_state() {
    use EventState::{Dead, Delivered, Dropped, Open, Waiting};
    let bench = Bench::new();
    let events = one_of_each(&bench).await;
    for (event, state) in events.iter().zip([Delivered, Dropped, Dead, Waiting, Open]) {
        let found = bench
            .journal()
            .events(EventFilter { state: Some(state), ..EventFilter::default() })
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{state:?}");
        assert_eq!((found[0].id, found[0].state), (event.id, state));
        assert_eq!(found[0].delivery_id, event.delivery_id);
        assert_eq!(found[0].event_type.as_deref(), Some("push"));
        let route = Some("neither".to_owned());
        assert!(
            list(&bench, EventFilter { state: Some(state), route, ..EventFilter::default() })
                .await
                .is_empty()
        );
        let route = Some(event.route.to_string());
        let filter = EventFilter { state: Some(state), route, ..EventFilter::default() };
        assert_eq!(list(&bench, filter).await, [event.id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_route_and_time() {
    let bench = Bench::new();
    let early = one_of_each(&bench).await;
    bench.clock.advance(HOUR);
    let late = event("even", 9, bench.now());
    bench.accept(&late).await;
    let since = EventFilter { since: Some(late.received_at), ..EventFilter::default() };
    assert_eq!(list(&bench, since).await, [late.id]);
    let route = EventFilter { route: Some("even".into()), ..EventFilter::default() };
    assert_eq!(list(&bench, route).await, [late.id, early[4].id, early[2].id, early[0].id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_found_by_every_filter() {
    let bench = Bench::new();
    let first = bench.leave_unfinished(1, &[("a", bench.dead()), ("b", bench.dead())]).await;
    bench.clock.advance(HOUR);
    let second = bench.leave_unfinished(2, &[("a", bench.dead())]).await;
    let all = DeadFilter::default();
    let check = async |filter: DeadFilter, expected: &[EventId]| {
        let found = bench.journal().dead_letters(filter.clone()).await.unwrap();
        let found: Vec<_> = found.iter().map(|letter| letter.event).collect();
        assert_eq!(found, expected, "{filter:?}");
    };
    check(all.clone(), &[second.id, first.id, first.id]).await;
    check(DeadFilter { limit: 1, ..all.clone() }, &[second.id]).await;
    check(DeadFilter { event: Some(first.id), ..all.clone() }, &[first.id, first.id]).await;
    check(DeadFilter { destination: Some("a".into()), ..all.clone() }, &[second.id, first.id]).await;
    check(DeadFilter { destination: Some("c".into()), ..all.clone() }, &[]).await;
    check(DeadFilter { route: Some("r".into()), ..all.clone() }, &[second.id, first.id, first.id]).await;
    check(DeadFilter { route: Some("s".into()), ..all.clone() }, &[]).await;
    check(DeadFilter { since: Some(bench.now()), ..all.clone() }, &[second.id]).await;
    check(DeadFilter { until: Some(bench.now().saturating_sub(HOUR)), ..all }, &[first.id, first.id]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn record_shows_what_is_unfinished() {
    let bench = Bench::new();
    let event = bench.leave_unfinished(1, &[("a", bench.waiting(HOUR)), ("b", bench.dead())]).await;
    let record = bench.journal().event(event.id).await.unwrap().unwrap();
    let expected = [delivery(&event, "a", bench.waiting(HOUR)), delivery(&event, "b", bench.dead())];
    assert_eq!(format!("{:?}", record.unfinished), format!("{expected:?}"));
    assert!(bench.journal().event(EventId::generate()).await.unwrap().is_none());
}
