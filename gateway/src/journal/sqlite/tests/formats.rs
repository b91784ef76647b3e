use rusqlite::Connection;

use super::*;

/// A bench whose journal is of the first format, not opened yet.
fn old_bench() -> Bench {
    let mut bench = Bench::new();
    bench.journal = None;
    std::fs::remove_dir_all(&bench.config.path).unwrap();
    std::fs::create_dir(&bench.config.path).unwrap();
    let conn = Connection::open(bench.config.path.join("journal.db")).unwrap();
    conn.execute_batch(include_str!("format-1.sql")).unwrap();
    bench
}

/// The format in the file's header, which is what other versions look at.
fn header_format(bench: &Bench) -> u8 {
    std::fs::read(bench.config.path.join("journal.db")).unwrap()[63]
}

async fn states(bench: &Bench) -> Vec<EventState> {
    let events = bench.journal().events(Default::default()).await.unwrap();
    events.iter().rev().map(|event| event.state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn first_format_is_brought_up_to_date_and_everything_goes_on() {
    let mut bench = old_bench();
    bench.clock.advance(Duration::from_millis(1_795_376_840_000 - bench.now().as_millis()));
    assert_eq!(header_format(&bench), 1);
    bench.journal = Some(bench.open().unwrap());
    assert_eq!(header_format(&bench), 2);
    assert_eq!(states(&bench).await, [EventState::Delivered, EventState::Waiting, EventState::Dead]);
    let due = bench.journal().claim_due("crm", bench.now() + 24 * HOUR, 10).await.unwrap();
    assert_eq!(due.deliveries[0].message.body, r#"{"text":"waits"}"#);
    let known = bench.journal().append(event("github", 1, bench.now()), DAY).await.unwrap();
    assert!(matches!(known, Appended::Duplicate(_)), "{known:?}");
    kv::assert_keeps_values(&mut bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_before_the_header_is_written_does_no_harm() {
    let mut bench = old_bench();
    let database = bench.config.path.join("journal.db");
    let conn = Connection::open(&database).unwrap();
    // What a crash leaves that comes after the commit: the new format in the log alone.
    conn.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;").unwrap();
    super::super::schema::add_values(&conn).unwrap();
    assert_eq!(header_format(&bench), 1);
    bench.journal = Some(bench.open().unwrap());
    drop(conn);
    assert_eq!(states(&bench).await.len(), 3);
    kv::assert_keeps_values(&mut bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_in_the_middle_leaves_the_first_format() {
    let mut bench = old_bench();
    let conn = Connection::open(bench.config.path.join("journal.db")).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; PRAGMA user_version = 2;").unwrap();
    drop(conn);
    bench.journal = Some(bench.open().unwrap());
    kv::assert_keeps_values(&mut bench).await;
}
