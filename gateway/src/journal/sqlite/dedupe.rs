//! The memory of delivery ids: which event a delivery came in as, for as long as the route's window says.
//!
//! Keys are hashes, so an index over them is written at random places: with groups of a few dozen events each
//! insert would dirty a page of its own, 8 KiB for 40 bytes. So it has two levels. New keys are appended to
//! `seen`, one row for each group, and held in a map. Once the map is large it is sealed, sorted, and merged
//! slice by slice into `dedupe`, many keys to a page; what has expired there goes in the same sweep. An
//! installation with fewer than [`SEAL_AT`] deliveries within its window never gets that far.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::{clock::Timestamp, event::EventId};

/// The keys held in the map before it is sealed: about 5 MiB.
const SEAL_AT: usize = 100_000;
/// The fewest keys merged at a time.
const SLICE: usize = 64;
/// One key in a row of `seen`: the key, the event's id, when it expires.
const ENTRY: usize = 16 + 16 + 8;

/// 128 bits of SHA-256 over the route and the delivery id: no two are ever the same by accident.
pub(super) type Key = [u8; 16];

pub(super) fn key(route: &str, delivery_id: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update((route.len() as u64).to_le_bytes());
    hash.update(route);
    hash.update(delivery_id);
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: EventId,
    pub(super) expires: Timestamp,
}

pub(super) struct Memory {
    active: HashMap<Key, Known, BuildHasherDefault<KeyHasher>>,
    /// The rows of `seen` that hold what is in `active`, and when the last key of each expires.
    rows: VecDeque<(i64, Timestamp)>,
    sealed: Option<Sealed>,
    /// Whether `dedupe` may hold anything.
    merged: bool,
    seal_at: usize,
}

/// Keys on their way into `dedupe`.
struct Sealed {
    /// Sorted.
    entries: Vec<(Key, Known)>,
    next: usize,
    /// The last row of `seen` that holds any of them.
    last_row: i64,
}

impl Memory {
    pub(super) fn load(conn: &Connection, now: Timestamp) -> rusqlite::Result<Self> {
        let merged = conn.query_row("SELECT EXISTS (SELECT 1 FROM dedupe)", [], |row| row.get(0))?;
        let mut memory = Self {
            active: HashMap::default(),
            rows: VecDeque::new(),
            sealed: None,
            merged,
            seal_at: SEAL_AT,
        };
        let mut statement = conn.prepare("SELECT id, entries FROM seen ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            memory.restore(row.get(0)?, row.get_ref(1)?.as_blob()?, now);
        }
        Ok(memory)
    }

    /// The event that this delivery came in as, if it is still remembered.
    pub(super) fn find(
        &self,
        conn: &Connection,
        key: &Key,
        now: Timestamp,
    ) -> rusqlite::Result<Option<EventId>> {
        let known = match self.active.get(key).copied().or_else(|| self.find_sealed(key)) {
            Some(known) => Some(known),
            None if self.merged => find_merged(conn, key)?,
            None => None,
        };
        Ok(known.filter(|known| known.expires > now).map(|known| known.id))
    }

    /// Remembers a delivery. It is durable only once [`write`](Self::write) has put it in a row.
    pub(super) fn remember(&mut self, key: Key, known: Known) {
        self.active.insert(key, known);
    }

    /// Takes back what [`remember`](Self::remember) did, after a rollback.
    pub(super) fn forget<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) {
        for key in keys {
            self.active.remove(key);
        }
    }

    /// Writes a group's keys, within its transaction; the row's number goes to [`wrote`](Self::wrote) after it.
    pub(super) fn write(conn: &Connection, entries: &[(Key, Known)]) -> rusqlite::Result<i64> {
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY);
        for (key, known) in entries {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(known.id.as_bytes());
            bytes.extend_from_slice(&known.expires.as_millis().to_le_bytes());
        }
        conn.prepare_cached("INSERT INTO seen (entries) VALUES (?1)")?.execute([bytes])?;
        Ok(conn.last_insert_rowid())
    }

    pub(super) fn wrote(&mut self, row: i64, entries: &[(Key, Known)]) {
        let expires = entries.iter().map(|(_, known)| known.expires).max().unwrap_or_default();
        self.rows.push_back((row, expires));
    }

    /// Whether [`tidy`](Self::tidy) has something to do.
    pub(super) fn is_untidy(&self, now: Timestamp) -> bool {
        self.sealed.is_some()
            || self.active.len() >= self.seal_at
            || self.rows.front().is_some_and(|(_, expires)| *expires <= now)
    }

    #[cfg(test)]
    pub(super) fn set_seal_at(&mut self, keys: usize) {
        self.seal_at = keys;
    }

    /// Does one slice of the upkeep, within a transaction. `pace` is how many keys have come since the last.
    pub(super) fn tidy(&mut self, conn: &Connection, now: Timestamp, pace: usize) -> rusqlite::Result<()> {
        self.drop_expired_rows(conn, now)?;
        if self.sealed.is_none() && self.active.len() >= self.seal_at {
            self.seal(now);
        }
        let Some(sealed) = &mut self.sealed else { return Ok(()) };
        self.merged = true;
        sealed.merge(conn, now, SLICE.max(2 * pace))?;
        if sealed.is_merged() {
            conn.prepare_cached("DELETE FROM seen WHERE id <= ?1")?.execute([sealed.last_row])?;
        }
        Ok(())
    }

    /// Notes how the transaction of [`tidy`](Self::tidy) ended.
    pub(super) fn tidied(&mut self, committed: bool) {
        match &mut self.sealed {
            // Merging the same key again changes nothing.
            Some(sealed) if !committed => sealed.next = 0,
            Some(sealed) if sealed.is_merged() => self.sealed = None,
            _ => {}
        }
    }

    /// Drops the oldest rows of which every key has expired.
    fn drop_expired_rows(&mut self, conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let expired = self.rows.iter().take(256).take_while(|(_, expires)| *expires <= now).count();
        let Some((last, _)) = self.rows.drain(..expired).next_back() else { return Ok(()) };
        if self.sealed.is_none() {
            conn.prepare_cached("DELETE FROM seen WHERE id <= ?1")?.execute([last])?;
        }
        Ok(())
    }

    /// Moves what has not expired out of the map, unless that alone made room.
    fn seal(&mut self, now: Timestamp) {
        self.active.retain(|_, known| known.expires > now);
        if self.active.len() < self.seal_at / 2 {
            return;
        }
        let mut entries: Vec<_> = self.active.drain().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        let last_row = self.rows.drain(..).next_back().map_or(0, |(row, _)| row);
        self.sealed = Some(Sealed { entries, next: 0, last_row });
    }

    fn find_sealed(&self, key: &Key) -> Option<Known> {
        let entries = &self.sealed.as_ref()?.entries;
        let at = entries.binary_search_by_key(key, |(key, _)| *key).ok()?;
        Some(entries[at].1)
    }

    /// Takes in one row of `seen`, at start.
    fn restore(&mut self, row: i64, entries: &[u8], now: Timestamp) {
        let entries: Vec<_> = entries.chunks_exact(ENTRY).map(decode).collect();
        self.wrote(row, &entries);
        self.active.extend(entries.into_iter().filter(|(_, known)| known.expires > now));
    }
}

impl Sealed {
    fn is_merged(&self) -> bool {
        self.next == self.entries.len()
    }

    /// Merges the next `count` keys and drops what has expired between them.
    fn merge(&mut self, conn: &Connection, now: Timestamp, count: usize) -> rusqlite::Result<()> {
        let end = self.entries.len().min(self.next + count);
        let slice = &self.entries[self.next..end];
        let mut insert = conn.prepare_cached(
            "INSERT INTO dedupe (key, id, expires) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET id = excluded.id, expires = excluded.expires",
        )?;
        for (key, known) in slice {
            insert.execute(params![key, known.id.as_bytes(), millis(known.expires)])?;
        }
        let from = self.next.checked_sub(1).map_or([0; 16], |last| self.entries[last].0);
        let to = if end == self.entries.len() { [0xff; 16] } else { self.entries[end - 1].0 };
        conn.prepare_cached("DELETE FROM dedupe WHERE key >= ?1 AND key <= ?2 AND expires <= ?3")?
            .execute(params![from, to, millis(now)])?;
        self.next = end;
        Ok(())
    }
}

fn find_merged(conn: &Connection, key: &Key) -> rusqlite::Result<Option<Known>> {
    let mut statement = conn.prepare_cached("SELECT id, expires FROM dedupe WHERE key = ?1")?;
    let known = statement.query_row([key], |row| {
        let expires: i64 = row.get(1)?;
        Ok(Known {
            id: EventId::from_bytes(row.get(0)?),
            expires: Timestamp::from_millis(expires.unsigned_abs()),
        })
    });
    known.optional()
}

fn decode(entry: &[u8]) -> (Key, Known) {
    let mut key = [0; 16];
    let mut id = [0; 16];
    let mut expires = [0; 8];
    key.copy_from_slice(&entry[..16]);
    id.copy_from_slice(&entry[16..32]);
    expires.copy_from_slice(&entry[32..]);
    let expires = Timestamp::from_millis(u64::from_le_bytes(expires));
    (key, Known { id: EventId::from_bytes(id), expires })
}

fn millis(at: Timestamp) -> i64 {
    at.as_millis().min(i64::MAX as u64) as i64
}

/// When a delivery accepted at `received` is forgotten.
pub(super) fn expiry(received: Timestamp, window: Duration) -> Timestamp {
    received + window
}

/// The keys are hashes already.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}
