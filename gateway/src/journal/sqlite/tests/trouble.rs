use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::Command,
    task::Poll,
};

use super::*;

fn database(bench: &Bench) -> PathBuf {
    bench.config.path.join("journal.db")
}

/// Closes the journal, lets `harm` at its file, and says why it does not open again.
async fn refusal(bench: &mut Bench, harm: impl FnOnce(&Path)) -> JournalError {
    bench.journal().close().await;
    bench.journal = None;
    harm(&database(bench));
    bench.open().err().expect("a damaged journal should be refused")
}

fn assert_damaged(error: &JournalError) {
    assert!(matches!(error, JournalError::Damaged { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("journal.db") && text.contains(".recover"), "{text}");
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

const PAGE: u64 = super::super::schema::PAGE_SIZE as u64;

#[tokio::test(flavor = "multi_thread")]
async fn directory_in_use_is_refused() {
    let bench = Bench::new();
    let error = bench.open().err().unwrap();
    assert!(matches!(error, JournalError::Locked { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused() {
    let mut bench = Bench::new();
    let error = refusal(&mut bench, |path| fs::write(path, vec![b'x'; 100_000]).unwrap()).await;
    assert_damaged(&error);
}

#[tokio::test(flavor = "multi_thread")]
async fn database_of_another_program_is_refused() {
    let mut bench = Bench::new();
    let error = refusal(&mut bench, |path| overwrite(path, 68, b"abcd")).await;
    assert_damaged(&error);
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_format_is_refused() {
    let mut bench = Bench::new();
    let error = refusal(&mut bench, |path| overwrite(path, 60, &99_i32.to_be_bytes())).await;
    assert!(matches!(error, JournalError::Format { found: 99, supported: 2, .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_database_is_refused() {
    let mut bench = Bench::new();
    bench.accept_many(50).await;
    let error = refusal(&mut bench, |path| {
        let len = fs::metadata(path).unwrap().len();
        fs::File::options().write(true).open(path).unwrap().set_len(len - PAGE).unwrap();
    });
    assert_damaged(&error.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_database_with_a_log_is_refused() {
    let bench = Bench::new();
    bench.accept_many(5).await;
    // A copy of the files as they are while the journal is in use.
    let copy = bench.directory.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(bench.config.path.join("journal.db-wal"), copy.join("journal.db-wal")).unwrap();
    fs::File::create(copy.join("journal.db")).unwrap();
    let config = config::Journal { path: copy, ..bench.config.clone() };
    let error = SqliteJournal::open(&config, bench.clock.clone()).err().unwrap();
    assert_damaged(&error);
}

#[tokio::test(flavor = "multi_thread")]
async fn scrambled_page_is_refused() {
    let mut bench = Bench::new();
    bench.accept_many(50).await;
    let error = refusal(&mut bench, |path| {
        let pages = fs::metadata(path).unwrap().len() / PAGE;
        // The header of every page but the first.
        (1..pages).for_each(|page| overwrite(path, page * PAGE, &[0xa5; 64]));
    });
    assert_damaged(&error.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_with_a_flipped_byte_is_given_up_and_the_others_go_on() {
    let mut bench = Bench::new();
    let events = bench.accept_many(3).await;
    bench.journal().close().await;
    bench.journal = None;
    let mut bytes = Vec::new();
    fs::File::open(database(&bench)).unwrap().read_to_end(&mut bytes).unwrap();
    let at = bytes.windows(6).position(|window| window == b"body 1").unwrap();
    overwrite(&database(&bench), at as u64, b"B");
    bench.journal = Some(bench.open().unwrap());
    assert_eq!(ids(&bench.claim(2).await), [events[0].id, events[2].id]);
    until(async || bench.journal().health().dead_letters == 1).await;
    let letters = bench.journal().dead_letters(Default::default()).await.unwrap();
    assert_eq!(letters[0].event, events[1].id);
    assert!(letters[0].reason.contains("damaged"), "{}", letters[0].reason);
    assert!(matches!(bench.journal().event(events[1].id).await, Err(JournalError::Query(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_found_while_running_stops_the_journal() {
    let bench = Bench::new();
    let body = Bytes::from(vec![b'x'; 64 << 10]);
    for number in 0..40 {
        bench.accept(&Arc::new(Event { body: body.clone(), ..(*bench.event(number)).clone() })).await;
    }
    bench.journal().shared.dispatch_connection().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let pages = fs::metadata(database(&bench)).unwrap().len() / PAGE;
    (2..pages).for_each(|page| overwrite(&database(&bench), page * PAGE, &[0xa5; 64]));
    let filter = crate::journal::EventFilter::default();
    let asked = bench.journal().events(filter).await;
    assert!(matches!(asked, Err(JournalError::Poisoned(_))), "{asked:?}");
    let appended = bench.journal().append(bench.event(99), DAY).await;
    assert!(matches!(appended, Err(JournalError::Poisoned(_))), "{appended:?}");
    assert!(bench.journal().health().failure.unwrap().contains("damaged"));
    assert!(matches!(within(bench.journal().claim(1)).await, Err(JournalError::Poisoned(_))));
}

/// Makes every look at the history fail, as an error of the disk would.
fn break_history(bench: &Bench) {
    let broken = "ALTER TABLE outcome RENAME TO elsewhere";
    bench.journal().shared.dispatch_connection().execute_batch(broken).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_while_making_room_stops_the_journal() {
    let bench = Bench::with(|config| config.max_size = 1);
    break_history(&bench);
    let appended = bench.journal().append(bench.event(1), DAY).await;
    assert!(matches!(appended, Err(JournalError::Poisoned(_))), "{appended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_an_event_hears_of_a_failure_during_upkeep() {
    let bench = Bench::new();
    let mut claim = bench.journal().claim(1);
    let waits = std::future::poll_fn(|cx| Poll::Ready(claim.as_mut().poll(cx).is_pending())).await;
    assert!(waits);
    break_history(&bench);
    assert!(matches!(within(claim).await, Err(JournalError::Poisoned(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_delivery_is_handed_out_while_settlements_pile_up() {
    let bench = Bench::new();
    let event = bench.leave_unfinished(1, &[("a", bench.waiting(Duration::ZERO))]).await;
    assert_eq!(bench.state(event.id).await, EventState::Waiting);
    bench.journal().shared.feed.pause(true);
    let due = bench.due("a").await;
    assert!(due.deliveries.is_empty() && due.next > Some(bench.now()), "{due:?}");
    bench.journal().shared.feed.pause(false);
    assert_eq!(bench.due("a").await.deliveries.len(), 1);
}

/// A small file system of its own, unmounted when dropped.
pub(super) struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, with a notice, where mounting is not allowed.
    pub(super) fn mount(mib: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(directory.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        println!("left out: needs to mount a tmpfs, which only root may do");
        None
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_refuses_appends_keeps_settlements_and_resumes_by_itself() {
    let Some(disk) = SmallDisk::mount(48) else { return };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 20 << 20]).unwrap();
    let mut bench = Bench::with(|config| config.path = disk.0.path().join("data"));
    let body = Bytes::from(vec![b'x'; 512 << 10]);
    let mut accepted = Vec::new();
    let refused = loop {
        let event = Arc::new(Event { body: body.clone(), ..(*bench.event(accepted.len())).clone() });
        match bench.journal().append(event.clone(), DAY).await {
            Ok(_) => accepted.push(event.id),
            Err(error) => break error,
        }
        assert!(accepted.len() < 200, "the disk is never full");
    };
    assert!(matches!(refused, JournalError::Full(_)), "{refused:?}");
    assert!(bench.journal().health().failure.unwrap().contains("full"));
    // What is in hand can still be settled.
    bench.claim(accepted.len()).await;
    bench.settle(accepted[0], Ending::Delivered { unfinished: Vec::new() });
    until(async || bench.state(accepted[0]).await == EventState::Delivered).await;
    // The refused delivery burned nothing.
    fs::remove_file(&ballast).unwrap();
    let again = bench.event(accepted.len());
    until(async || bench.journal().append(again.clone(), DAY).await.is_ok()).await;
    assert_eq!(bench.journal().health().failure, None);
    bench.crash();
    let mut left = accepted[1..].to_vec();
    left.push(again.id);
    assert_eq!(ids(&bench.claim(left.len()).await), left);
    bench.journal = None;
}
