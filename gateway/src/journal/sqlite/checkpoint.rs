//! Moves the write-ahead log into the database file beside the writer, so that no group waits for it.
//!
//! A thread of its own copies most of the log while the writer goes on. What was written meanwhile is little; the
//! writer copies that itself, after which the log begins anew at its start. So it stays bounded even when there is
//! never a quiet moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rusqlite::Connection;

use super::{Shared, failure::Failure, schema};

/// The frames (pages) in the log that call for a checkpoint: 32 MiB.
const FRAMES: i64 = (32 << 20) / schema::PAGE_SIZE as i64;
/// The log is looked at after so many groups.
const LOOK_EVERY: u32 = 16;

pub(super) struct Checkpoints {
    wanted: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Set by the thread when it has copied what it found.
    copied: Arc<AtomicBool>,
    shared: Arc<Shared>,
    groups: u32,
    is_asked: bool,
}

impl Checkpoints {
    pub(super) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let (wanted, requests) = sync_channel(1);
        let copied = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new().name("journal-checkpoint".into()).spawn({
            let (shared, copied) = (shared.clone(), copied.clone());
            move || serve(&requests, &shared, &copied)
        })?;
        let (wanted, thread, shared) = (Some(wanted), Some(thread), shared.clone());
        Ok(Self { wanted, thread, copied, shared, groups: 0, is_asked: false })
    }

    /// Has the log copied once it is long. Called after every group.
    pub(super) fn look(&mut self, conn: &Connection) {
        if self.copied.swap(false, SeqCst) {
            self.is_asked = false;
            self.run_now(conn);
        }
        self.groups += 1;
        if self.is_asked || !self.groups.is_multiple_of(LOOK_EVERY) {
            return;
        }
        if let Ok((log, copied)) = frames(conn, "NOOP")
            && log - copied >= FRAMES
        {
            self.is_asked = self.wanted.as_ref().is_some_and(|wanted| wanted.try_send(()).is_ok());
        }
    }

    /// Copies what can be copied now.
    pub(super) fn run_now(&self, conn: &Connection) {
        if let Err(error) = frames(conn, "PASSIVE") {
            failed(&self.shared, error);
        }
    }

    /// The last one: leaves no log behind.
    pub(super) fn finish(mut self, conn: &Connection) {
        self.stop();
        if self.shared.status.is_sound()
            && let Err(error) = frames(conn, "TRUNCATE")
        {
            tracing::warn!(%error, "the journal's log stays behind; the next start takes it in");
        }
    }

    fn stop(&mut self) {
        self.wanted = None;
        if let Some(thread) = self.thread.take() {
            // A panic over there has been logged; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(requests: &Receiver<()>, shared: &Shared, copied: &AtomicBool) {
    let conn = match schema::connect(&shared.database, schema::Cache::Reader) {
        Ok(conn) => conn,
        Err(error) => return failed(shared, error),
    };
    for () in requests {
        if let Err(error) = frames(&conn, "PASSIVE") {
            failed(shared, error);
        }
        copied.store(true, SeqCst);
    }
}

/// Runs a checkpoint: the frames in the log, and how many of them are in the database file.
fn frames(conn: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    conn.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
        .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// No room to grow the file passes; the log keeps what it has. Anything else does not: after a failed fsync nobody
/// knows what the file holds.
fn failed(shared: &Shared, error: rusqlite::Error) {
    match error.into() {
        Failure::Full(why) => drop(shared.status.full(&why)),
        Failure::Fatal(why) => drop(shared.poison(&format!("checkpoint failed: {why}"))),
    }
}
