use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn appended_event_survives_a_crash_unchanged() {
    let mut bench = Bench::new();
    let event = bench.event(1);
    bench.accept(&event).await;
    bench.crash();
    let claims = bench.claim(1).await;
    assert_same_event(&claims[0].event, &event);
    assert_eq!(claims[0].attempt, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn same_delivery_is_answered_with_the_first_event() {
    let mut bench = Bench::new();
    let first = bench.event(1);
    bench.accept(&first).await;
    let second = bench.journal().append(bench.event(1), DAY).await.unwrap();
    assert_eq!(second, Appended::Duplicate(first.id));
    bench.crash();
    let third = bench.journal().append(bench.event(1), DAY).await.unwrap();
    assert_eq!(third, Appended::Duplicate(first.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn same_delivery_id_on_another_route_is_another_delivery() {
    let bench = Bench::new();
    bench.accept(&event("a", 1, bench.now())).await;
    bench.accept(&event("b", 1, bench.now())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_window_duplicates_are_new() {
    let bench = Bench::new();
    for _ in 0..2 {
        assert_eq!(bench.journal().append(bench.event(1), None).await.unwrap(), Appended::New);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_copies_exactly_one_is_new() {
    let bench = Bench::new();
    let copies: Vec<_> = (0..100).map(|_| bench.event(1)).collect();
    let racing = copies.iter().cloned().map(|copy| {
        let journal = bench.journal().clone();
        tokio::spawn(async move { (copy.id, journal.append(copy, DAY).await.unwrap()) })
    });
    let racing: Vec<_> = racing.collect();
    let (mut new, mut firsts) = (Vec::new(), Vec::new());
    for copy in racing {
        match copy.await.unwrap() {
            (id, Appended::New) => new.push(id),
            (_, Appended::Duplicate(first)) => firsts.push(first),
        }
    }
    assert_eq!(new.len(), 1);
    assert_eq!(firsts, vec![new[0]; 99]);
    assert_eq!(bench.journal().health().depth, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_id_is_forgotten_after_its_window() {
    let bench = Bench::new();
    bench.accept(&bench.event(1)).await;
    bench.clock.advance(24 * HOUR - Duration::from_millis(1));
    let again = bench.journal().append(bench.event(1), DAY).await.unwrap();
    assert!(matches!(again, Appended::Duplicate(_)));
    bench.clock.advance(Duration::from_millis(1));
    bench.accept(&bench.event(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_share_their_fsyncs() {
    let bench = Bench::new();
    let before = log_frames(&bench);
    let appends: Vec<_> = (0..200)
        .map(|number| {
            let (journal, event) = (bench.journal().clone(), bench.event(number));
            tokio::spawn(async move { journal.append(event, DAY).await.unwrap() })
        })
        .collect();
    for append in appends {
        assert_eq!(append.await.unwrap(), Appended::New);
    }
    // A group of one event writes at least three pages: the event, its index, what was seen.
    assert!(log_frames(&bench) - before < 200, "every append had a group of its own");
    assert_eq!(bench.claim(200).await.len(), 200);
}

fn log_frames(bench: &Bench) -> u64 {
    let log = std::fs::metadata(bench.config.path.join("journal.db-wal")).map_or(0, |meta| meta.len());
    log / u64::from(super::super::schema::PAGE_SIZE)
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_journal_accepts_nothing_and_keeps_everything() {
    let mut bench = Bench::new();
    let events = bench.accept_many(3).await;
    bench.claim(3).await;
    bench.settle(events[0].id, Ending::Delivered { unfinished: Vec::new() });
    bench.journal().close().await;
    assert!(matches!(bench.journal().append(bench.event(9), DAY).await, Err(JournalError::Closed)));
    assert!(matches!(within(bench.journal().claim(1)).await, Err(JournalError::Closed)));
    bench.crash();
    assert_eq!(ids(&bench.claim(2).await), [events[1].id, events[2].id]);
    assert_eq!(bench.state(events[0].id).await, EventState::Delivered);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_deliveries_is_merged_and_still_finds_them() {
    use crate::journal::sqlite::{dedupe, schema};
    let directory = tempfile::tempdir().unwrap();
    let conn = schema::open(&directory.path().join("journal.db")).unwrap();
    let now = Timestamp::from_millis(1000);
    let mut memory = dedupe::Memory::load(&conn, now).unwrap();
    memory.set_seal_at(100);
    let keys: Vec<_> = (0..250).map(|n| dedupe::key("r", &n.to_string())).collect();
    let mut known = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        // Every third one is short-lived.
        let expires = if n % 3 == 0 { now + Duration::from_secs(1) } else { now + HOUR };
        let entry = (*key, dedupe::Known { id: EventId::generate(), expires });
        memory.remember(entry.0, entry.1);
        let row = dedupe::Memory::write(&conn, &[entry]).unwrap();
        memory.wrote(row, &[entry]);
        known.push(entry.1);
        memory.tidy(&conn, now, 10).unwrap();
        memory.tidied(n % 5 != 0); // Now and then as if it had been rolled back.
    }
    let merged: i64 = conn.query_row("SELECT count(*) FROM dedupe", [], |row| row.get(0)).unwrap();
    assert!(merged >= 200, "{merged} merged");
    let later = now + Duration::from_secs(2);
    for memory in [memory, dedupe::Memory::load(&conn, now).unwrap()] {
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(memory.find(&conn, key, now).unwrap(), Some(known[n].id), "key {n}");
            let expected = (n % 3 != 0).then_some(known[n].id);
            assert_eq!(memory.find(&conn, key, later).unwrap(), expected, "key {n} later");
        }
    }
}
