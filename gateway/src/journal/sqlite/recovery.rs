//! What an earlier run left behind: everything unfinished goes on.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::{
    Shared,
    failure::query_failed,
    feed::{LOAD_BYTES, LOAD_EVENTS, Plan, Ready},
    names::Names,
    stored::{self, StoredEvent},
};
use crate::{
    clock::Timestamp,
    journal::{Ending, JournalError, Settlement, TrailEntry},
};

/// Up to as many events are counted row by row; beyond it the narrow index is read instead.
const FEW: i64 = 10_000;
/// The events to be seen again that are read at a time.
const LOAD_AGAIN: usize = 64;

/// What the tables say at start.
pub(super) struct Recovered {
    pub(super) tail: i64,
    /// No event before this one is open.
    pub(super) open_from: i64,
    pub(super) open: i64,
    pub(super) waiting: i64,
    pub(super) dead_letters: i64,
    pub(super) next_again: Option<Timestamp>,
}

impl Recovered {
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
        let open_from = number("SELECT coalesce((SELECT value FROM meta WHERE key = 'open_from'), 1)")?;
        // Numbers of deleted events are not given again.
        let last = number(
            "SELECT max(coalesce((SELECT max(seq) FROM event), 0), coalesce((SELECT max(seq) FROM outcome), 0))",
        )?;
        let next_again =
            conn.query_row("SELECT min(due) FROM redo", [], |row| row.get::<_, Option<i64>>(0))?;
        Ok(Self {
            tail: last.max(open_from - 1),
            open_from,
            open: count_open(conn, open_from, last)?,
            waiting: number("SELECT count(*) FROM outcome WHERE state = 1 AND state <> 2")?,
            dead_letters: number("SELECT count(*) FROM delivery WHERE state = 1")?,
            next_again: next_again.map(|due| Timestamp::from_millis(due.unsigned_abs())),
        })
    }
}

/// Numbers are dense, so what is open is what has no outcome: a difference of two counts.
fn count_open(conn: &Connection, from: i64, last: i64) -> rusqlite::Result<i64> {
    let events = match last - from < FEW {
        true => "SELECT count(*) FROM event NOT INDEXED WHERE seq >= ?1",
        false => "SELECT count(*) FROM event INDEXED BY event_by_id WHERE seq >= ?1",
    };
    let events: i64 = conn.query_row(events, [from], |row| row.get(0))?;
    let outcomes: i64 =
        conn.query_row("SELECT count(*) FROM outcome WHERE seq >= ?1", [from], |row| row.get(0))?;
    Ok(events - outcomes)
}

/// Reads back what the feed holds only in the database. Blocks.
pub(super) fn load(shared: &Shared, now: Timestamp) -> Result<(), JournalError> {
    // Holding the connection makes this the only reader, as `Feed::plan` wants it.
    let conn = shared.dispatch_connection();
    let Plan { fresh, again } = shared.feed.plan(now);
    if let Some(in_hand) = again {
        let read = read_again(&conn, &shared.names, now, &in_hand).map_err(|error| {
            shared.feed.loaded_again(Vec::new(), Some(now)); // What could not be read is still due.
            query_failed(shared, error)
        });
        let Batch { ready, damaged, next } = read?;
        shared.feed.loaded_again(ready, next);
        damaged.into_iter().for_each(|event| bury(shared, event, true, now));
    }
    if let Some((from, to)) = fresh {
        let read = read_fresh(&conn, &shared.names, from, to).map_err(|error| query_failed(shared, error));
        let Batch { ready, damaged, next } = read?;
        shared.feed.loaded_fresh(ready, next);
        damaged.into_iter().for_each(|event| bury(shared, event, false, now));
    }
    Ok(())
}

/// Events read, those that could not be, and where the next read begins.
struct Batch<N> {
    ready: Vec<Ready>,
    damaged: Vec<StoredEvent>,
    next: N,
}

impl<N> Batch<N> {
    fn up_to(next: N) -> Self {
        Self { ready: Vec::new(), damaged: Vec::new(), next }
    }

    fn add(&mut self, stored: StoredEvent, attempt: u32) -> usize {
        let Some(event) = stored.event.clone() else {
            self.damaged.push(stored);
            return 0;
        };
        let size = event.body.len();
        self.ready.push(Ready { seq: stored.seq, event, attempt });
        size
    }
}

fn read_fresh(conn: &Connection, names: &Names, from: i64, to: i64) -> rusqlite::Result<Batch<i64>> {
    let sql = format!(
        "SELECT {} FROM event e WHERE e.seq BETWEEN ?1 AND ?2
         AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.seq = e.seq) ORDER BY e.seq",
        stored::EVENT
    );
    let mut select = conn.prepare_cached(&sql)?;
    let mut rows = select.query([from, to])?;
    let (mut batch, mut bytes) = (Batch::up_to(to + 1), 0);
    while let Some(row) = rows.next()? {
        let stored = stored::event(row, names)?;
        let seq = stored.seq;
        bytes += batch.add(stored, 1);
        if batch.ready.len() == LOAD_EVENTS || bytes >= LOAD_BYTES {
            batch.next = seq + 1;
            break;
        }
    }
    Ok(batch)
}

fn read_again(
    conn: &Connection,
    names: &Names,
    now: Timestamp,
    in_hand: &HashSet<i64>,
) -> rusqlite::Result<Batch<Option<Timestamp>>> {
    let mut select = conn.prepare_cached("SELECT seq, due, attempt FROM redo ORDER BY due")?;
    let mut rows = select.query([])?;
    let (mut batch, mut bytes) = (Batch::up_to(None), 0);
    while let Some(row) = rows.next()? {
        let (seq, due) = (row.get(0)?, stored::timestamp(row, 1)?);
        if in_hand.contains(&seq) {
            continue;
        }
        if due > now || batch.ready.len() == LOAD_AGAIN || bytes >= LOAD_BYTES {
            batch.next = Some(due);
            break;
        }
        let attempt = row.get(2)?;
        if let Some(stored) = read_event(conn, names, seq)? {
            bytes += batch.add(stored, attempt);
        }
    }
    Ok(batch)
}

fn read_event(conn: &Connection, names: &Names, seq: i64) -> rusqlite::Result<Option<StoredEvent>> {
    let sql = format!("SELECT {} FROM event e WHERE e.seq = ?1", stored::EVENT);
    conn.prepare_cached(&sql)?.query_row([seq], |row| stored::event(row, names)).optional()
}

/// Gives up an event whose bytes are damaged: it can never be dispatched. The others go on.
fn bury(shared: &Shared, event: StoredEvent, again: bool, now: Timestamp) {
    let StoredEvent { seq, id, route, received, .. } = event;
    let reason = "its copy in the journal is damaged".to_owned();
    tracing::error!(event = %id, %route, reason, "event given up");
    shared.feed.lease_unreadable(id, seq, route, received, again);
    let trail = vec![TrailEntry::Failed { at: now, reason: reason.clone() }];
    shared.settle(Settlement { event: id, trail, ending: Ending::Dead { reason } });
}
