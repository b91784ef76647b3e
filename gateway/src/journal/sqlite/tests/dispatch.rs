use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn events_are_claimed_once_and_in_the_order_of_acceptance() {
    let bench = Bench::new();
    let events = bench.accept_many(10).await;
    let claims = bench.claim(10).await;
    assert_eq!(ids(&claims), events.iter().map(|event| event.id).collect::<Vec<_>>());
    assert!(bench.has_no_claim().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn claim_waits_for_an_event() {
    let bench = Bench::new();
    let waiting = tokio::spawn({
        let journal = bench.journal().clone();
        async move { within(journal.claim(1)).await.unwrap() }
    });
    let event = bench.event(1);
    bench.accept(&event).await;
    assert_eq!(waiting.await.unwrap()[0].event.id, event.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn dispatcher_that_falls_behind_misses_nothing() {
    let bench = Bench::new();
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let mut accepted = Vec::new();
    for number in 0..60 {
        // Far more than may wait in memory: the rest is read back.
        let event = Event { body: body.clone(), ..(*bench.event(number)).clone() };
        accepted.push(event.id);
        bench.accept(&Arc::new(event)).await;
    }
    let mut claims = bench.claim(20).await;
    for number in 60..80 {
        let event = bench.event(number);
        accepted.push(event.id);
        bench.accept(&event).await;
    }
    claims.extend(bench.claim(60).await);
    assert_eq!(ids(&claims), accepted);
    assert!(bench.has_no_claim().await);
    let event = bench.event(80);
    bench.accept(&event).await;
    assert_eq!(bench.claim(1).await[0].event.id, event.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_claims_never_share_an_event() {
    let bench = Bench::new();
    let claimers: Vec<_> = (0..8)
        .map(|_| {
            let journal = bench.journal().clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while let Ok(Ok(claims)) =
                    tokio::time::timeout(Duration::from_millis(500), journal.claim(3)).await
                {
                    mine.extend(ids(&claims));
                    for id in ids(&claims) {
                        let ending = Ending::Delivered { unfinished: Vec::new() };
                        journal.settle(Settlement { event: id, trail: Vec::new(), ending });
                    }
                }
                mine
            })
        })
        .collect();
    let mut expected: Vec<_> = bench.accept_many(300).await.iter().map(|event| event.id).collect();
    let mut claimed = Vec::new();
    for claimer in claimers {
        claimed.extend(claimer.await.unwrap());
    }
    claimed.sort();
    expected.sort();
    assert_eq!(claimed, expected);
    until(async || bench.journal().health().depth == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsettled_event_is_handed_out_again_after_a_crash() {
    let mut bench = Bench::new();
    let events = bench.accept_many(3).await;
    bench.claim(3).await;
    bench.settle(events[1].id, Ending::Delivered { unfinished: Vec::new() });
    assert_eq!(bench.state(events[1].id).await, EventState::Delivered);
    bench.crash();
    assert_eq!(bench.journal().health().depth, 2);
    assert_eq!(ids(&bench.claim(2).await), [events[0].id, events[2].id]);
    assert!(bench.has_no_claim().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn retried_event_comes_back_when_it_is_due() {
    let mut bench = Bench::new();
    let event = bench.event(1);
    bench.accept(&event).await;
    bench.claim(1).await;
    bench.settle(event.id, Ending::RetryAt { due: bench.now() + HOUR });
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    assert!(bench.has_no_claim().await);
    bench.clock.advance(HOUR);
    assert_eq!(bench.claim(1).await[0].attempt, 2);
    bench.settle(event.id, Ending::RetryAt { due: bench.now() + HOUR });
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    bench.clock.advance(HOUR);
    bench.crash();
    let third = bench.claim(1).await;
    assert_eq!((third[0].event.id, third[0].attempt), (event.id, 3));
    bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    let record = bench.journal().event(event.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.trail.len()), (EventState::Delivered, 3));
    assert_eq!(bench.journal().health().depth, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_put_back_keeps_its_attempt_and_its_trail() {
    let mut bench = Bench::new();
    let event = bench.event(1);
    bench.accept(&event).await;
    for _ in 0..2 {
        assert_eq!(bench.claim(1).await[0].attempt, 1);
        bench.put_back(event.id, HOUR);
        assert_eq!(bench.state(event.id).await, EventState::Waiting);
        assert!(bench.has_no_claim().await);
        bench.clock.advance(HOUR);
    }
    assert_eq!(bench.claim(1).await[0].attempt, 1);
    bench.settle(event.id, Ending::RetryAt { due: bench.now() });
    assert_eq!(bench.claim(1).await[0].attempt, 2);
    bench.put_back(event.id, HOUR);
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    bench.crash();
    assert_eq!(bench.journal().health().depth, 1);
    assert!(bench.has_no_claim().await);
    bench.clock.advance(HOUR);
    assert_eq!(bench.claim(1).await[0].attempt, 2);
    bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    let record = bench.journal().event(event.id).await.unwrap().unwrap();
    assert_eq!((record.state, record.trail.len()), (EventState::Delivered, 2));
    assert_eq!(bench.journal().health().depth, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_leave_places_for_fresh_events() {
    let bench = Bench::new();
    for event in bench.accept_many(10).await {
        bench.claim(1).await;
        bench.settle(event.id, Ending::RetryAt { due: bench.now() });
    }
    bench.journal().events(Default::default()).await.unwrap();
    let fresh = bench.event(10);
    bench.accept(&fresh).await;
    let claims = within(bench.journal().claim(4)).await.unwrap();
    assert!(ids(&claims).contains(&fresh.id), "{:?}", ids(&claims));
    assert!(claims.iter().any(|claim| claim.attempt == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_event_keeps_its_reason_and_trail() {
    let bench = Bench::new();
    let event = bench.event(1);
    bench.accept(&event).await;
    bench.claim(1).await;
    bench.settle(event.id, Ending::Dropped { reason: "not opened".into() });
    let record = bench.journal().event(event.id).await.unwrap().unwrap();
    assert_eq!(record.state, EventState::Dropped);
    assert_eq!(record.reason.as_deref(), Some("not opened"));
    assert_eq!(record.trail, [step(bench.now())]);
    assert_same_event(&record.event, &event);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_settlement_is_ignored() {
    let bench = Bench::new();
    let event = bench.event(1);
    bench.accept(&event).await;
    bench.claim(1).await;
    bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    bench.settle(event.id, Ending::Dropped { reason: "late".into() });
    assert_eq!(bench.state(event.id).await, EventState::Delivered);
    bench.settle(event.id, Ending::Dropped { reason: "later".into() });
    assert_eq!(bench.state(event.id).await, EventState::Delivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_counts_what_is_unfinished_and_knows_the_oldest() {
    let bench = Bench::new();
    let first = bench.now();
    let events = bench.accept_many(2).await;
    assert_eq!(bench.journal().health().oldest, Some(first));
    assert_eq!(bench.journal().health().depth, 2);
    bench.clock.advance(HOUR);
    bench.claim(2).await;
    bench.settle(events[0].id, Ending::Dropped { reason: String::new() });
    bench.settle(events[1].id, Ending::RetryAt { due: bench.now() });
    until(async || bench.journal().health().depth == 1).await;
    until(async || bench.journal().health().disk_bytes > 0).await;
    assert_eq!(bench.journal().health().oldest, Some(first));
    bench.claim(1).await;
    bench.settle(events[1].id, Ending::Dropped { reason: String::new() });
    until(async || bench.journal().health().depth == 0).await;
    assert_eq!(bench.journal().health().oldest, None);
}

/// Its settlement may have been written, and not been published yet.
#[tokio::test(flavor = "multi_thread")]
async fn event_in_hand_is_not_read_again_before_its_lease_ends() {
    let bench = Bench::new();
    bench.accept(&bench.event(1)).await;
    bench.claim(1).await;
    let feed = &bench.journal().shared.feed;
    feed.publish_again(bench.now());
    assert!(feed.plan(bench.now()).again.unwrap().contains(&1));
}
