use super::*;
use crate::journal::DeadFilter;

#[tokio::test(flavor = "multi_thread")]
async fn replayed_event_is_dispatched_from_its_first_attempt() {
    let mut bench = Bench::new();
    let event = bench.event(1);
    bench.accept(&event).await;
    bench.claim(1).await;
    bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    assert!(bench.journal().replay_event(event.id, bench.now()).await.unwrap());
    assert_eq!(bench.journal().health().depth, 1);
    bench.crash();
    let claims = bench.claim(1).await;
    assert_eq!((claims[0].event.id, claims[0].attempt), (event.id, 1));
    bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    let record = bench.journal().event(event.id).await.unwrap().unwrap();
    assert_eq!(record.state, EventState::Delivered);
    assert_eq!(record.trail[1], TrailEntry::Replayed { at: bench.now() });
    assert_eq!(bench.journal().health().depth, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_event_is_not_replayed() {
    let bench = Bench::new();
    assert!(!bench.journal().replay_event(EventId::generate(), bench.now()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn event_in_hand_is_not_run_twice_at_once() {
    let bench = Bench::new();
    let event = bench.event(1);
    bench.accept(&event).await;
    assert!(bench.journal().replay_event(event.id, bench.now()).await.unwrap());
    bench.claim(1).await;
    assert!(bench.journal().replay_event(event.id, bench.now()).await.unwrap());
    assert!(bench.has_no_claim().await);
    bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    assert_eq!(bench.state(event.id).await, EventState::Delivered);
    assert!(bench.has_no_claim().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_discards_what_was_left_of_the_earlier_dispatch() {
    let bench = Bench::new();
    let event = bench.leave_unfinished(1, &[("a", bench.waiting(Duration::ZERO)), ("b", bench.dead())]).await;
    let in_hand = bench.due("a").await.deliveries;
    assert!(bench.journal().replay_event(event.id, bench.now()).await.unwrap());
    assert_eq!(bench.journal().health().dead_letters, 0);
    bench.attempted(&in_hand[0], Some(bench.dead()));
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    bench.claim(1).await;
    bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    let record = bench.journal().event(event.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.unfinished.len()), (EventState::Delivered, 0));
    let health = bench.journal().health();
    assert_eq!((health.depth, health.dead_letters), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_of_an_event_whose_delivery_is_in_hand_hides_no_other() {
    let bench = Bench::new();
    let event = bench.leave_unfinished(1, &[("a", bench.waiting(Duration::ZERO))]).await;
    bench.leave_unfinished(2, &[("a", bench.waiting(HOUR))]).await;
    assert_eq!(bench.due("a").await.deliveries.len(), 1);
    assert!(bench.journal().replay_event(event.id, bench.now()).await.unwrap());
    assert_eq!(bench.due("a").await.next, Some(bench.now() + HOUR));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_delivery_is_replayed_with_a_full_schedule() {
    let bench = Bench::new();
    let event = bench.leave_unfinished(1, &[("a", bench.dead())]).await;
    assert_eq!(bench.state(event.id).await, EventState::Dead);
    let filter = DeadFilter { destination: Some("a".into()), ..DeadFilter::default() };
    assert_eq!(bench.journal().replay_dead(filter.clone(), bench.now()).await.unwrap(), 1);
    let due = bench.due("a").await.deliveries;
    assert_eq!((due[0].attempts, &due[0].state), (0, &bench.waiting(Duration::ZERO)));
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    assert_eq!(bench.journal().replay_dead(filter, bench.now()).await.unwrap(), 0);
    bench.attempted(&due[0], None);
    assert_eq!(bench.state(event.id).await, EventState::Delivered);
    let health = bench.journal().health();
    assert_eq!((health.depth, health.dead_letters), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn event_whose_pipeline_failed_is_dispatched_again() {
    let bench = Bench::new();
    let event = bench.event(1);
    bench.accept(&event).await;
    bench.claim(1).await;
    bench.settle(event.id, Ending::Dead { reason: "trap".into() });
    let letters = bench.journal().dead_letters(Default::default()).await.unwrap();
    assert_eq!((letters[0].destination.as_deref(), letters[0].attempts), (None, 1));
    assert_eq!(letters[0].reason, "trap");
    assert_eq!(bench.journal().replay_dead(DeadFilter::default(), bench.now()).await.unwrap(), 1);
    assert_eq!(bench.claim(1).await[0].attempt, 1);
    assert!(bench.journal().dead_letters(Default::default()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_replayed_by_filter_and_in_any_number() {
    let bench = Bench::new();
    let events = bench.accept_many(1200).await;
    bench.claim(1200).await;
    for (number, event) in events.iter().enumerate() {
        let to = if number % 4 == 0 { "a" } else { "b" };
        let unfinished = vec![delivery(event, to, bench.dead())];
        bench.settle(event.id, Ending::Delivered { unfinished });
    }
    until(async || bench.journal().health().dead_letters == 1200).await;
    let to_a = DeadFilter { destination: Some("a".into()), limit: 100, ..DeadFilter::default() };
    assert_eq!(bench.journal().replay_dead(to_a, bench.now()).await.unwrap(), 100);
    let one = DeadFilter { event: Some(events[1].id), ..DeadFilter::default() };
    assert_eq!(bench.journal().replay_dead(one, bench.now()).await.unwrap(), 1);
    let later = DeadFilter { since: Some(bench.now() + HOUR), ..DeadFilter::default() };
    assert_eq!(bench.journal().replay_dead(later, bench.now()).await.unwrap(), 0);
    assert_eq!(bench.journal().replay_dead(DeadFilter::default(), bench.now()).await.unwrap(), 1099);
    assert_eq!(bench.journal().health().dead_letters, 0);
    assert_eq!(bench.journal().health().depth, 1200);
}
