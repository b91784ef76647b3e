use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn waiting_delivery_is_handed_out_when_due_as_it_was() {
    let mut bench = Bench::new();
    let event = bench.leave_unfinished(1, &[("a", bench.waiting(HOUR))]).await;
    let due = bench.due("a").await;
    assert!(due.deliveries.is_empty());
    assert_eq!(due.next, Some(bench.now() + HOUR));
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    bench.crash();
    bench.clock.advance(HOUR);
    let due = bench.due("a").await;
    assert_eq!(due.next, None);
    let expected = delivery(&event, "a", DeliveryState::Waiting { due: bench.now() });
    assert_eq!(format!("{:?}", due.deliveries), format!("{:?}", [expected]));
    assert!(bench.has_no_claim().await, "its dispatch was settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_that_something_waits_for_are_known_after_a_crash() {
    let mut bench = Bench::new();
    let dead = DeliveryState::Dead { at: bench.now(), reason: "given up".into() };
    let event = bench.leave_unfinished(1, &[("a", bench.waiting(HOUR)), ("b", dead)]).await;
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    bench.crash();
    assert_eq!(bench.journal().waiting_destinations().await.unwrap(), ["a".into()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_in_hand_is_not_handed_out_again() {
    let bench = Bench::new();
    bench.leave_unfinished(1, &[("a", bench.waiting(HOUR))]).await;
    bench.leave_unfinished(2, &[("a", bench.waiting(2 * HOUR))]).await;
    bench.clock.advance(HOUR);
    let first = bench.due("a").await;
    assert_eq!((first.deliveries.len(), first.next), (1, Some(bench.now() + HOUR)));
    let second = bench.due("a").await;
    assert_eq!((second.deliveries.len(), second.next), (0, Some(bench.now() + HOUR)));
    bench.attempted(&first.deliveries[0], Some(bench.waiting(Duration::ZERO)));
    let third = bench.due("a").await;
    assert_eq!(third.deliveries[0].key, first.deliveries[0].key);
    assert_eq!(third.deliveries[0].attempts, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_that_a_delivery_waits_for_outlives_a_crash_and_is_forgotten_with_its_end() {
    let mut bench = Bench::new();
    bench.leave_unfinished(1, &[("a", bench.waiting(HOUR))]).await;
    bench.clock.advance(HOUR);
    let first = bench.due("a").await.deliveries.remove(0);
    assert_eq!(first.batch, None);
    let batch = Some(BatchTag { id: [9; 16], members: 2, place: 1 });
    bench.attempted_in(batch, &first, Some(bench.waiting(HOUR)));
    bench.state(first.key.event).await;
    bench.crash();
    bench.clock.advance(HOUR);
    let second = bench.due("a").await.deliveries.remove(0);
    assert_eq!((second.batch, &second.message), (batch, &first.message));
    bench.attempted(&second, Some(bench.waiting(HOUR)));
    bench.clock.advance(HOUR);
    assert_eq!(bench.due("a").await.deliveries[0].batch, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn longest_due_goes_first_and_the_rest_is_announced() {
    let bench = Bench::new();
    let late = bench.leave_unfinished(1, &[("a", bench.waiting(2 * HOUR))]).await;
    let early = bench.leave_unfinished(2, &[("a", bench.waiting(HOUR))]).await;
    bench.clock.advance(3 * HOUR);
    let due = bench.journal().claim_due("a", bench.now(), 1).await.unwrap();
    assert_eq!(due.deliveries[0].key.event, early.id);
    assert_eq!(due.next, Some(bench.now().saturating_sub(HOUR)));
    assert_eq!(bench.due("a").await.deliveries[0].key.event, late.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_is_delivered_when_its_last_delivery_is() {
    let bench = Bench::new();
    let event = bench.leave_unfinished(1, &[("a", bench.waiting(HOUR)), ("b", bench.waiting(HOUR))]).await;
    bench.clock.advance(HOUR);
    let a = bench.due("a").await.deliveries;
    bench.attempted(&a[0], None);
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    let b = bench.due("b").await.deliveries;
    bench.attempted(&b[0], None);
    let record = bench.journal().event(event.id).await.unwrap().unwrap();
    assert_eq!(record.state, EventState::Delivered);
    assert_eq!(record.trail.len(), 3);
    assert!(record.unfinished.is_empty());
    assert_eq!(bench.journal().health().depth, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_is_dead_when_one_delivery_is_and_none_waits() {
    let bench = Bench::new();
    let event = bench.leave_unfinished(1, &[("a", bench.waiting(HOUR)), ("b", bench.dead())]).await;
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    assert_eq!(bench.journal().health().dead_letters, 1);
    bench.clock.advance(HOUR);
    let a = bench.due("a").await.deliveries;
    bench.attempted(&a[0], None);
    assert_eq!(bench.state(event.id).await, EventState::Dead);
    assert_eq!(bench.journal().health().depth, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn given_up_delivery_becomes_a_dead_letter() {
    let bench = Bench::new();
    let event = bench.leave_unfinished(1, &[("a", bench.waiting(HOUR))]).await;
    bench.clock.advance(HOUR);
    let a = bench.due("a").await.deliveries;
    bench.attempted(&a[0], Some(bench.dead()));
    let letters = bench.journal().dead_letters(Default::default()).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].event, event.id);
    assert_eq!(letters[0].destination.as_deref(), Some("a"));
    assert_eq!((letters[0].index, letters[0].attempts), (Some(0), 2));
    assert_eq!((letters[0].died_at, letters[0].reason.as_str()), (bench.now(), "gone"));
    assert_eq!(bench.state(event.id).await, EventState::Dead);
}

#[tokio::test(flavor = "multi_thread")]
async fn transformed_message_survives_a_crash() {
    let mut bench = Bench::new();
    let event = bench.event(1);
    bench.accept(&event).await;
    bench.claim(1).await;
    let mut other = delivery(&event, "a", bench.waiting(Duration::ZERO));
    other.message.body = Bytes::from_static(b"something else");
    other.message.destinations = Some(vec!["a".into()]);
    other.key.index = 7;
    let unfinished = vec![other.clone()];
    bench.settle(event.id, Ending::Delivered { unfinished });
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    bench.crash();
    let due = bench.due("a").await.deliveries;
    assert_eq!(format!("{due:?}"), format!("{:?}", [other]));
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_attempted_before_a_crash_is_due_again() {
    let mut bench = Bench::new();
    bench.leave_unfinished(1, &[("a", bench.waiting(Duration::ZERO))]).await;
    assert_eq!(bench.due("a").await.deliveries.len(), 1);
    bench.crash();
    assert_eq!(bench.due("a").await.deliveries.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_destination_has_nothing_due() {
    let bench = Bench::new();
    let due = bench.due("nobody").await;
    assert!(due.deliveries.is_empty() && due.next.is_none());
}
