use std::{
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use sluice_tests::{
    gateway::Setup,
    sink::{Reply, Sink},
    wait,
};

use crate::common::{RELAY, hook, relay};

#[tokio::test]
async fn second_process_on_the_same_journal_is_refused() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let said = gateway.setup().start_refused(1).await;
    assert!(said.contains("in use") && said.contains("journal"), "{said}");
    gateway.accept(hook(1)).await;
    sink.wait_received("/in", 1).await;
}

#[tokio::test]
async fn damaged_journal_is_refused_with_what_to_do_next() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    for number in 0..50 {
        gateway.accept(hook(number)).await;
    }
    sink.wait_received("/in", 50).await;
    let (_, setup) = gateway.stop().await;
    let database = database(&setup.path("journal"));
    damage(&database);
    let before = fs::read(&database).unwrap();
    let said = setup.start_refused(1).await;
    assert!(said.contains("damaged") && said.contains("hint"), "{said}");
    assert!(said.contains("journal"), "{said}");
    assert!(fs::read(&database).unwrap() == before, "the damaged file was changed");
}

#[tokio::test]
async fn restart_resumes_what_was_waiting() {
    let sink = Sink::start().await;
    sink.answer("/in", Reply::status(500));
    let gateway = relay(&sink).await;
    let id = gateway.accept(hook(1)).await;
    gateway.admin().wait_state(&id, "waiting").await;
    let (status, setup) = gateway.stop().await;
    assert!(status.success(), "{status}");
    sink.answer("/in", Reply::status(200));
    let gateway = setup.start().await;
    gateway.admin().wait_state(&id, "delivered").await;
}

#[tokio::test]
async fn duplicates_are_known_after_a_crash() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let webhook = hook(1);
    let id = gateway.accept(webhook.clone()).await;
    let gateway = gateway.crash_and_restart().await;
    assert_eq!(gateway.send(webhook).await.expect(200).id(), id);
}

#[tokio::test]
async fn history_survives_a_crash() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let id = gateway.accept(hook(1)).await;
    gateway.admin().wait_state(&id, "delivered").await;
    let gateway = gateway.crash_and_restart().await;
    // The completion rides in a later commit: when the crash came first, the event is delivered again.
    gateway.admin().wait_state(&id, "delivered").await;
    let received = sink.received("/in");
    assert!(received.iter().all(|request| request.webhook_id() == received[0].webhook_id()));
}

#[tokio::test]
async fn journal_that_cannot_be_made_is_refused_by_name() {
    let config = format!("[journal]\npath = \"$DIR/conf/sluice.toml\"\n{RELAY}")
        .replace("$SINK", "http://127.0.0.1:9");
    let said = Setup::new().config(&config).start_refused(1).await;
    assert!(said.contains("sluice.toml"), "{said}");
}

/// Nothing is taken in that may not be kept; the process stays up to say so.
#[tokio::test]
async fn journal_damaged_while_running_takes_no_more_events_and_says_so() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    for number in 0..50 {
        gateway.accept(hook(number)).await;
    }
    sink.wait_received("/in", 50).await;
    let database = database(&gateway.setup().path("journal"));
    damage(&database.with_extension("db-wal"));
    damage(&database);
    // The page caches may hold what was read before: sooner or later somebody looks at the disk.
    wait::wait_until("damage noticed", async || {
        gateway.admin().get("/events").await;
        gateway.admin().get("/readyz").await.status == 503
    })
    .await;
    let refused = gateway.send(hook(99)).await.expect(503);
    assert!(!refused.header("retry-after").is_empty());
    assert!(gateway.admin().get("/readyz").await.text().contains("journal"));
    assert_eq!(gateway.admin().get("/healthz").await.status, 200);
}

/// The largest SQLite file of a directory.
fn database(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let databases = files.filter(|path| {
        path.is_file() && fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
    });
    databases.max_by_key(|path| fs::metadata(path).unwrap().len()).expect("a database")
}

/// Overwrites everything behind the header, so that no page is what it was.
fn damage(database: &Path) {
    let length = fs::metadata(database).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(database).unwrap();
    file.seek(SeekFrom::Start(100)).unwrap();
    file.write_all(&vec![0xaa; length as usize - 100]).unwrap();
}
