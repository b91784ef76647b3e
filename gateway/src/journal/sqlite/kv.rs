//! Plugins' values: how a change is made inside a group, how one is read, and how old ones go.
//!
//! What a space holds is a column of its row, kept by triggers: no write sums it up, and it cannot drift.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    group::Group,
    op::{Answer, Reply},
    stored::millis,
};
use crate::{
    clock::Timestamp,
    journal::{KvError, KvKey, KvSpace, KvValue},
};

/// The values deleted at a time once their time is up: a few milliseconds.
const SLICE: i64 = 256;
/// The longest text of a number, `-9223372036854775808`.
const NUMBER_MAX: usize = 20;

/// A change that somebody waits for.
pub(super) struct KvOp {
    pub(super) space: KvSpace,
    pub(super) key: KvKey,
    pub(super) change: Change,
    pub(super) now: Timestamp,
    /// What it came to: the number after an addition, and how many values a deletion removed.
    pub(super) reply: Reply<Result<i64, KvError>>,
    /// The value's share of what may be queued, given back when the operation is done.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

pub(super) enum Change {
    Set { value: KvValue, ttl: Option<Duration> },
    Delete,
    Add { by: i64, ttl: Option<Duration> },
}

impl KvOp {
    /// Whether it may make the database larger.
    pub(super) fn grows(&self) -> bool {
        !matches!(self.change, Change::Delete)
    }

    /// The bytes of its key and value.
    pub(super) fn size(&self) -> usize {
        self.key.as_str().len() + self.change.size()
    }

    fn expires(&self, ttl: Option<Duration>) -> Option<i64> {
        ttl.map(|ttl| i64::try_from((self.now + ttl).as_millis()).unwrap_or(i64::MAX))
    }
}

impl Change {
    /// The bytes of the value that it writes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Set { value, .. } => value.as_bytes().len(),
            Self::Delete => 0,
            Self::Add { .. } => NUMBER_MAX,
        }
    }
}

/// The value of `key` that is there at `now`.
pub(super) fn read(
    conn: &Connection,
    space: &KvSpace,
    key: &KvKey,
    now: Timestamp,
) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut select = conn.prepare_cached(
        "SELECT value FROM kv_space JOIN kv ON kv.space = kv_space.id
         WHERE plugin = ?1 AND route = ?2 AND key = ?3 AND (expires IS NULL OR expires > ?4)",
    )?;
    let KvSpace { plugin, route, .. } = space;
    select.query_row(params![plugin, route, key.as_str(), millis(now)], |row| row.get(0)).optional()
}

/// Deletes a slice of the values whose time is up; whether there were any.
pub(super) fn forget_expired(conn: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    let mut delete = conn.prepare_cached(
        "DELETE FROM kv WHERE id IN (SELECT id FROM kv WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
    )?;
    Ok(delete.execute(params![millis(now), SLICE])? > 0)
}

/// A value that is there.
struct Held {
    /// Of its key and itself, in bytes.
    size: u64,
    /// Itself where it is short enough to be a number.
    short: Option<Vec<u8>>,
    expires: Option<i64>,
}

impl Held {
    fn number(&self) -> Result<i64, KvError> {
        let text = self.short.as_deref().and_then(|bytes| str::from_utf8(bytes).ok());
        text.and_then(|text| text.parse().ok()).ok_or_else(|| {
            KvError::NotANumber("the value is no number of 64 bits as decimal text: `set` one first".into())
        })
    }
}

/// Whether a change was made: an error of SQLite ends the group, a refusal only the change.
type Made<T> = rusqlite::Result<Result<T, KvError>>;

impl Group<'_, '_> {
    pub(super) fn change_value(&mut self, op: &KvOp) -> rusqlite::Result<Answer> {
        if op.reply.is_closed() {
            return Ok(Answer::Nothing); // The guest was stopped.
        }
        let made = match &op.change {
            Change::Set { value, ttl } => self.set_value(op, value.as_bytes(), op.expires(*ttl))?.map(|()| 0),
            Change::Delete => Ok(self.delete_value(op)?),
            Change::Add { by, ttl } => self.add_to_value(op, *by, op.expires(*ttl))?,
        };
        Ok(Answer::Changed(made))
    }

    fn set_value(&self, op: &KvOp, value: &[u8], expires: Option<i64>) -> Made<()> {
        let space = self.intern_space(&op.space)?;
        let held = self.held(space, op)?;
        self.put_value(space, op, held.as_ref(), value, expires)
    }

    fn add_to_value(&self, op: &KvOp, by: i64, expires: Option<i64>) -> Made<i64> {
        let space = self.intern_space(&op.space)?;
        let held = self.held(space, op)?;
        let sum = held.as_ref().map_or(Ok(0), Held::number).and_then(|number| {
            let beyond = || KvError::NotANumber(format!("{number} and {by} make a sum beyond 64 bits"));
            number.checked_add(by).ok_or_else(beyond)
        });
        let sum = match sum {
            Ok(sum) => sum,
            Err(refused) => return Ok(Err(refused)),
        };
        let expires = held.as_ref().map_or(expires, |held| held.expires);
        let put = self.put_value(space, op, held.as_ref(), sum.to_string().as_bytes(), expires)?;
        Ok(put.map(|()| sum))
    }

    fn delete_value(&self, op: &KvOp) -> rusqlite::Result<i64> {
        let Some(space) = self.find_space(&op.space)? else { return Ok(0) };
        if self.held(space, op)?.is_none() {
            return Ok(0);
        }
        self.remove_value(space, &op.key).map(|()| 1)
    }

    fn put_value(
        &self,
        space: i64,
        op: &KvOp,
        held: Option<&Held>,
        value: &[u8],
        expires: Option<i64>,
    ) -> Made<()> {
        let (old, new) = (held.map_or(0, |held| held.size), (op.key.as_str().len() + value.len()) as u64);
        if new > old
            && let Some(refused) = self.lacks_room(space, op, new - old)?
        {
            return Ok(Err(refused));
        }
        let mut put = self.conn.prepare_cached(
            "INSERT INTO kv (space, key, value, expires) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, expires = excluded.expires",
        )?;
        put.execute(params![space, op.key.as_str(), value, expires])?;
        Ok(Ok(()))
    }

    /// Why the space cannot hold so many bytes more; first deletes what need not be there.
    fn lacks_room(&self, space: i64, op: &KvOp, more: u64) -> rusqlite::Result<Option<KvError>> {
        let max = op.space.max_bytes;
        loop {
            let wanted = self.space_bytes(space)?.saturating_add(more);
            if wanted <= max {
                return Ok(None);
            }
            if !self.forget_expired_of(space, op.now)? {
                return Ok(Some(KvError::Full { wanted, max }));
            }
        }
    }

    fn space_bytes(&self, space: i64) -> rusqlite::Result<u64> {
        let mut select = self.conn.prepare_cached("SELECT bytes FROM kv_space WHERE id = ?1")?;
        select.query_row([space], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    }

    fn forget_expired_of(&self, space: i64, now: Timestamp) -> rusqlite::Result<bool> {
        let mut delete = self.conn.prepare_cached(
            "DELETE FROM kv WHERE id IN (SELECT id FROM kv WHERE expires <= ?1 AND space = ?2 LIMIT ?3)",
        )?;
        Ok(delete.execute(params![millis(now), space, SLICE])? > 0)
    }

    /// The value that is there; one whose time is up is removed on the way.
    fn held(&self, space: i64, op: &KvOp) -> rusqlite::Result<Option<Held>> {
        let mut select = self.conn.prepare_cached(
            "SELECT length(CAST(key AS BLOB)) + length(value), iif(length(value) <= ?3, value, NULL), expires
             FROM kv WHERE space = ?1 AND key = ?2",
        )?;
        let row = select.query_row(params![space, op.key.as_str(), NUMBER_MAX as i64], |row| {
            let size = row.get::<_, i64>(0)?.unsigned_abs();
            Ok(Held { size, short: row.get(1)?, expires: row.get(2)? })
        });
        match row.optional()? {
            Some(held) if held.expires.is_some_and(|expires| expires <= millis(op.now)) => {
                self.remove_value(space, &op.key).map(|()| None)
            }
            held => Ok(held),
        }
    }

    fn remove_value(&self, space: i64, key: &KvKey) -> rusqlite::Result<()> {
        let mut delete = self.conn.prepare_cached("DELETE FROM kv WHERE space = ?1 AND key = ?2")?;
        delete.execute(params![space, key.as_str()]).map(drop)
    }

    /// The number of a space, given now if it had none.
    fn intern_space(&self, space: &KvSpace) -> rusqlite::Result<i64> {
        if let Some(number) = self.find_space(space)? {
            return Ok(number);
        }
        let mut insert =
            self.conn.prepare_cached("INSERT INTO kv_space (plugin, route, bytes) VALUES (?1, ?2, 0)")?;
        insert.insert(params![space.plugin, space.route])
    }

    fn find_space(&self, space: &KvSpace) -> rusqlite::Result<Option<i64>> {
        let mut select =
            self.conn.prepare_cached("SELECT id FROM kv_space WHERE plugin = ?1 AND route = ?2")?;
        select.query_row(params![space.plugin, space.route], |row| row.get(0)).optional()
    }
}
