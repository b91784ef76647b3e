//! Forgets finished events: those older than `retain`, and the oldest of all where `max_size` is reached. And
//! plugins' values whose time is up.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::{
    Shared,
    failure::Failure,
    kv,
    schema::PAGE_SIZE,
    stored::{self, state_number},
};
use crate::{clock::Timestamp, journal::EventState};

/// The outcomes looked at in one slice, and the most events deleted in it: a few milliseconds.
const SLICE: i64 = 256;
/// The slices that are deleted at once to stay below `max_size`.
const PURGE_SLICES: usize = 8;
/// Free pages are kept for what comes next, until they are as many as this and a quarter of the file.
const FREE_PAGES: i64 = 256;
/// Pages given back to the file system at a time.
const GIVE_BACK: i64 = 64;
/// How much may be written before the size is measured again.
const MEASURE_EVERY: u64 = 4 << 20;

pub(super) struct Retention {
    retain: Duration,
    max_size: u64,
    /// Where the sweep through the outcomes is; 0 between two sweeps.
    cursor: i64,
    /// The same for the sweep that makes room.
    purge_cursor: i64,
    /// Whether the last slice found work to do.
    busy: bool,
    /// The pages in use when last measured, in bytes, and what has been written since.
    used: u64,
    written: u64,
    is_measured: bool,
    /// Keys remembered since [`take_pace`](Self::take_pace).
    pace: usize,
}

/// An outcome on the way of the sweep.
struct Candidate {
    seq: i64,
    state: i64,
    received: Timestamp,
    finished: Timestamp,
}

impl Retention {
    pub(super) fn new(config: &crate::config::Journal) -> Self {
        Self {
            retain: config.retain,
            max_size: config.max_size,
            cursor: 0,
            purge_cursor: 0,
            busy: false,
            used: 0,
            written: 0,
            is_measured: false,
            pace: 0,
        }
    }

    /// Whether there is more to do right away.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Notes what a group has written.
    pub(super) fn wrote(&mut self, bytes: usize, keys: usize) {
        self.written += bytes as u64;
        self.pace += keys;
    }

    pub(super) fn take_pace(&mut self) -> usize {
        std::mem::take(&mut self.pace)
    }

    /// One slice: deletes what has been finished for longer than `retain` and values whose time is up, then gives
    /// back free pages.
    pub(super) fn run(&mut self, conn: &Connection, shared: &Shared, now: Timestamp) -> Result<(), Failure> {
        let deleted;
        (deleted, self.cursor) = sweep(conn, shared, self.cursor, now.saturating_sub(self.retain))?;
        let expired = kv::forget_expired(conn, now)?;
        self.busy = deleted > 0 || self.cursor > 0 || expired || give_back(conn)?;
        Ok(())
    }

    /// Keeps below `max_size` at the expense of the oldest history. Why that is not possible, if so.
    pub(super) fn make_room(
        &mut self,
        conn: &Connection,
        shared: &Shared,
    ) -> Result<Option<String>, Failure> {
        if self.is_measured && self.used + self.written < self.max_size && self.written < MEASURE_EVERY {
            return Ok(None);
        }
        self.purge_to_fit(conn, shared)?;
        let is_full = self.used >= self.max_size;
        Ok(is_full.then(|| format!("it has reached its max_size of {} bytes", self.max_size)))
    }

    fn purge_to_fit(&mut self, conn: &Connection, shared: &Shared) -> Result<(), Failure> {
        self.measure(conn)?;
        if self.used < self.max_size {
            return Ok(());
        }
        for _ in 0..PURGE_SLICES {
            let from = self.purge_cursor;
            // Never mind their age.
            let (deleted, next) = sweep(conn, shared, from, Timestamp::from_millis(u64::MAX))?;
            // What is left before the cursor waits: a million events of a dead destination, perhaps. As long as there
            // is history behind them they are not looked at again.
            self.purge_cursor = if next == 0 && deleted > 0 { from } else { next };
            if deleted > 0 {
                self.measure(conn)?;
            }
            if self.used < self.max_size || self.purge_cursor == 0 {
                break;
            }
        }
        Ok(())
    }

    fn measure(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let pages = pragma(conn, "page_count")? - pragma(conn, "freelist_count")?;
        self.used = pages.unsigned_abs() * u64::from(PAGE_SIZE);
        self.written = 0;
        self.is_measured = true;
        Ok(())
    }
}

/// Looks at the slice of outcomes from `cursor` on and deletes the events among them that finished by `cutoff`.
/// Returns how many, and where the next slice begins: 0 where the rest is too young or there is none.
fn sweep(
    conn: &Connection,
    shared: &Shared,
    cursor: i64,
    cutoff: Timestamp,
) -> Result<(usize, i64), Failure> {
    let candidates = candidates(conn, cursor)?;
    let is_last = (candidates.len() as i64) < SLICE || candidates.iter().any(|c| c.received > cutoff);
    let next = candidates.last().filter(|_| !is_last).map_or(0, |last| last.seq + 1);
    let waiting = state_number(EventState::Waiting);
    let expired: Vec<i64> =
        candidates.iter().filter(|c| c.state != waiting && c.finished <= cutoff).map(|c| c.seq).collect();
    if !expired.is_empty() {
        shared.status.add_dead_letters(-delete(conn, &expired)?);
    }
    Ok((expired.len(), next))
}

fn candidates(conn: &Connection, from: i64) -> rusqlite::Result<Vec<Candidate>> {
    let mut select = conn.prepare_cached(
        "SELECT seq, state, received, at FROM outcome WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
    )?;
    let rows = select.query_map(params![from, SLICE], |row| {
        let (received, finished) = (stored::timestamp(row, 2)?, stored::timestamp(row, 3)?);
        Ok(Candidate { seq: row.get(0)?, state: row.get(1)?, received, finished })
    })?;
    rows.collect()
}

/// Deletes these events with all that is known of them; how many dead letters went with them.
fn delete(conn: &Connection, seqs: &[i64]) -> rusqlite::Result<i64> {
    let transaction = conn.unchecked_transaction()?;
    let mut dead = 0;
    // Whole runs at a time: neighbours share pages.
    for run in seqs.chunk_by(|a, b| a + 1 == *b) {
        let range = params![run[0], run[run.len() - 1]];
        dead +=
            conn.prepare_cached("DELETE FROM delivery WHERE seq BETWEEN ?1 AND ?2")?.execute(range)? as i64;
        conn.prepare_cached("DELETE FROM event WHERE seq BETWEEN ?1 AND ?2")?.execute(range)?;
        conn.prepare_cached("DELETE FROM outcome WHERE seq BETWEEN ?1 AND ?2")?.execute(range)?;
    }
    transaction.commit()?;
    Ok(dead)
}

/// Gives some pages back to the file system where many are free; whether there are more.
fn give_back(conn: &Connection) -> rusqlite::Result<bool> {
    let (free, pages) = (pragma(conn, "freelist_count")?, pragma(conn, "page_count")?);
    if free < FREE_PAGES.max(pages / 4) {
        return Ok(false);
    }
    let mut vacuum = conn.prepare_cached(&format!("PRAGMA incremental_vacuum({GIVE_BACK})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}

fn pragma(conn: &Connection, name: &str) -> rusqlite::Result<i64> {
    conn.prepare_cached(&format!("PRAGMA {name}"))?.query_row([], |row| row.get(0))
}
