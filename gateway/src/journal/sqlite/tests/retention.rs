use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn finished_events_are_forgotten_after_retain_and_others_are_not() {
    let bench = Bench::new();
    let events = bench.accept_many(4).await;
    bench.claim(3).await;
    bench.settle(events[0].id, Ending::Delivered { unfinished: Vec::new() });
    bench.settle(events[1].id, Ending::Dead { reason: "bad".into() });
    let waiting = vec![delivery(&events[2], "a", bench.waiting(1000 * HOUR))];
    bench.settle(events[2].id, Ending::Delivered { unfinished: waiting });
    assert_eq!(bench.state(events[0].id).await, EventState::Delivered);
    bench.clock.advance(72 * HOUR);
    for gone in &events[..2] {
        until(async || bench.journal().event(gone.id).await.unwrap().is_none()).await;
    }
    assert_eq!(bench.journal().health().dead_letters, 0);
    assert_eq!(bench.state(events[2].id).await, EventState::Waiting);
    assert_eq!(bench.state(events[3].id).await, EventState::Open);
    assert_eq!(bench.journal().health().depth, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_is_known_though_its_event_is_forgotten() {
    let bench = Bench::with(|config| config.retain = HOUR);
    let event = bench.event(1);
    bench.accept(&event).await;
    bench.claim(1).await;
    bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    assert_eq!(bench.state(event.id).await, EventState::Delivered);
    bench.clock.advance(2 * HOUR);
    until(async || bench.journal().event(event.id).await.unwrap().is_none()).await;
    let again = bench.journal().append(bench.event(1), DAY).await.unwrap();
    assert_eq!(again, Appended::Duplicate(event.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_journal_forgets_its_oldest_history_before_it_refuses() {
    let bench = Bench::with(|config| config.max_size = 8 << 20);
    let body = Bytes::from(vec![b'x'; 256 << 10]);
    let mut first = None;
    for number in 0..100 {
        let event = Arc::new(Event { body: body.clone(), ..(*bench.event(number)).clone() });
        first.get_or_insert(event.id);
        bench.accept(&event).await;
        bench.claim(1).await;
        bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    }
    assert!(bench.journal().event(first.unwrap()).await.unwrap().is_none());
    let size = std::fs::metadata(bench.config.path.join("journal.db")).unwrap().len();
    assert!(size < 16 << 20, "{size} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_at_max_size_with_unfinished_events_refuses_and_resumes() {
    let bench = Bench::with(|config| config.max_size = 4 << 20);
    let body = Bytes::from(vec![b'x'; 512 << 10]);
    let mut accepted = 0;
    let refused = loop {
        let event = Arc::new(Event { body: body.clone(), ..(*bench.event(accepted)).clone() });
        match bench.journal().append(event, DAY).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 50, "the limit was not kept");
    };
    assert!(matches!(refused, JournalError::Full(_)), "{refused}");
    assert!(bench.journal().health().failure.unwrap().contains("max_size"));
    for claim in bench.claim(accepted).await {
        bench.settle(claim.event.id, Ending::Delivered { unfinished: Vec::new() });
    }
    until(async || bench.journal().append(bench.event(1000), None).await.is_ok()).await;
    assert_eq!(bench.journal().health().failure, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_waiting_events_do_not_keep_a_full_journal_from_forgetting_its_history() {
    let bench = Bench::with(|config| config.max_size = 8 << 20);
    // More than one look at the history covers.
    let waiting: Vec<_> = (0..2500).map(|number| bench.event(number)).collect();
    let appends = waiting.iter().map(|event| bench.journal().append(event.clone(), None));
    assert!(futures_util::future::join_all(appends).await.iter().all(Result::is_ok));
    bench.claim(2500).await;
    for event in &waiting {
        let unfinished = vec![delivery(event, "a", bench.waiting(1000 * HOUR))];
        bench.settle(event.id, Ending::Delivered { unfinished });
    }
    let body = Bytes::from(vec![b'x'; 256 << 10]);
    let mut times_full = 0;
    for number in 2500..2580 {
        let event = Arc::new(Event { body: body.clone(), ..(*bench.event(number)).clone() });
        if bench.journal().append(event.clone(), None).await.is_err() {
            times_full += 1;
            until(async || bench.journal().append(event.clone(), None).await.is_ok()).await;
        }
        bench.claim(1).await;
        bench.settle(event.id, Ending::Delivered { unfinished: Vec::new() });
    }
    // Only until it has once looked past those that wait.
    assert!(times_full <= 1, "full {times_full} times, with history to forget");
}
