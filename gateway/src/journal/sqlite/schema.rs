//! The database file: its tables, its settings, and what is checked before it is trusted.

use std::{fs, io::Read, path::Path};

use rusqlite::{Connection, OpenFlags};

use super::integrity;
use crate::journal::JournalError;

/// Marks the file as a journal of Sluice (`slce`), in SQLite's `application_id`.
pub(super) const APPLICATION_ID: i32 = 0x736c_6365;
/// The layout below, in SQLite's `user_version`. A newer one is refused.
pub(super) const FORMAT: i64 = 2;
/// The first layout, without [`VALUES`]: it is brought up to date when it is opened.
const FORMAT_WITHOUT_VALUES: i64 = 1;
/// A group dirties the last page of every tree it appends to, and writes each of them whole. Side by side with
/// 32 KiB, accepting alone, 8 KiB pages took half the memory and no more CPU for events of 1 and of 10 KiB.
pub(super) const PAGE_SIZE: u32 = 8 * 1024;

/// What one event costs on the happy path: a row in `event` (with its narrow index) and a share of a row in
/// `seen` before the answer, a row in `outcome` later. The other tables hold only what did not arrive.
///
/// - `event` is written once and never changed; `seq` is the order of acceptance. Its index covers lists and
///   look-ups by id, so neither reads a body.
/// - `outcome` begins to exist with the first settlement: an event without one is open.
/// - `delivery` holds messages that have not arrived. A NULL body is the event's own. Destination 0 is the
///   pipeline itself: such a row is an event that died before it had messages. `at` is when it is due
///   (waiting) or died (dead).
/// - `redo` lists the events that the pipeline is to see again.
/// - `seen` and `dedupe` are the two levels of the memory of delivery ids, see [`super::dedupe`].
/// - `name` interns names of routes and destinations.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL, route INTEGER NOT NULL, received INTEGER NOT NULL,
    crc INTEGER NOT NULL, head BLOB NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX event_by_id ON event (id, route, received);
CREATE TABLE outcome (
    seq INTEGER PRIMARY KEY, state INTEGER NOT NULL, route INTEGER NOT NULL, received INTEGER NOT NULL,
    at INTEGER NOT NULL, reason TEXT, trail TEXT NOT NULL
) STRICT;
CREATE INDEX outcome_not_delivered ON outcome (state) WHERE state <> 2;
CREATE TABLE delivery (
    id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, destination INTEGER NOT NULL, idx INTEGER NOT NULL,
    event BLOB NOT NULL, route INTEGER NOT NULL, received INTEGER NOT NULL, state INTEGER NOT NULL,
    at INTEGER NOT NULL, attempts INTEGER NOT NULL, reason TEXT,
    crc INTEGER NOT NULL, head BLOB NOT NULL, body BLOB,
    UNIQUE (seq, destination, idx)
) STRICT;
CREATE INDEX delivery_due ON delivery (destination, at) WHERE state = 0;
CREATE INDEX delivery_dead ON delivery (at) WHERE state = 1;
CREATE TABLE redo (seq INTEGER PRIMARY KEY, due INTEGER NOT NULL, attempt INTEGER NOT NULL) STRICT;
CREATE INDEX redo_due ON redo (due);
CREATE TABLE seen (id INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT;
CREATE TABLE dedupe (key BLOB PRIMARY KEY, id BLOB NOT NULL, expires INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
";

/// What plugins keep. `kv_space` has a row for each plugin on each route; its `bytes` are those of its keys and values.
/// The index is for what is to go.
const VALUES: &str = "
CREATE TABLE kv_space (
    id INTEGER PRIMARY KEY, plugin TEXT NOT NULL, route TEXT NOT NULL, bytes INTEGER NOT NULL,
    UNIQUE (plugin, route)
) STRICT;
CREATE TABLE kv (
    id INTEGER PRIMARY KEY, space INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, expires INTEGER,
    UNIQUE (space, key)
) STRICT;
CREATE INDEX kv_expires ON kv (expires, space) WHERE expires IS NOT NULL;
CREATE TRIGGER kv_added AFTER INSERT ON kv BEGIN
    UPDATE kv_space SET bytes = bytes + length(CAST(new.key AS BLOB)) + length(new.value) WHERE id = new.space;
END;
CREATE TRIGGER kv_changed AFTER UPDATE OF value ON kv BEGIN
    UPDATE kv_space SET bytes = bytes + length(new.value) - length(old.value) WHERE id = new.space;
END;
CREATE TRIGGER kv_removed AFTER DELETE ON kv BEGIN
    UPDATE kv_space SET bytes = bytes - length(CAST(old.key AS BLOB)) - length(old.value) WHERE id = old.space;
END;
";

/// How large one connection's page cache may grow, in KiB.
#[derive(Clone, Copy)]
pub(super) enum Cache {
    /// Holds a whole group of 4 MiB with the indexes it touches.
    Writer = 16 * 1024,
    Reader = 4 * 1024,
}

/// Opens the database at `path`, or makes a new one, and hands it out only if it can be trusted.
pub(super) fn open(path: &Path) -> Result<Connection, JournalError> {
    let exists = inspect_header(path)?;
    let conn = connect(path, Cache::Writer).map_err(|e| refuse(path, e))?;
    // A crash while a database was being laid out leaves a header that SQLite takes back. One while it was brought up
    // to date leaves the new format in the log, and the old one in the header.
    let format = if exists { format(&conn).map_err(|e| refuse(path, e))? } else { 0 };
    match format {
        0 => create(&conn).map_err(|e| refuse(path, e))?,
        ..=FORMAT => integrity::check(&conn, path)?,
        newer => return Err(unreadable(path, newer)),
    }
    configure_writer(&conn).map_err(|e| refuse(path, e))?;
    if format == FORMAT_WITHOUT_VALUES {
        bring_up_to_date(&conn).map_err(|e| refuse(path, e))?;
    }
    Ok(conn)
}

/// Opens one more connection to a database that [`open`] has accepted.
pub(super) fn connect(path: &Path, cache: Cache) -> rusqlite::Result<Connection> {
    // Each connection is only ever used by one thread at a time, so SQLite's own mutexes are left out.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.execute_batch(&format!(
        "PRAGMA busy_timeout = 5000; PRAGMA cache_size = -{}; PRAGMA cell_size_check = ON;
         PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
        cache as u32
    ))?;
    Ok(conn)
}

/// Lays out a new database in one transaction, still with a rollback journal: a crash leaves either nothing or
/// all of it.
fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_SIZE}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA synchronous = FULL;
         BEGIN EXCLUSIVE; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};
         {TABLES} {VALUES} COMMIT;"
    ))
}

/// Brings a database of the first format up to date in one transaction: a crash leaves it as it was or as it is to
/// be. From then on older versions refuse it, which they tell by the header: so the log goes into the file.
fn bring_up_to_date(conn: &Connection) -> rusqlite::Result<()> {
    add_values(conn)?;
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

pub(super) fn add_values(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("BEGIN IMMEDIATE; PRAGMA user_version = {FORMAT}; {VALUES} COMMIT;"))
}

fn format(conn: &Connection) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn configure_writer(conn: &Connection) -> rusqlite::Result<()> {
    // Checkpoints are ours (see `checkpoint`): SQLite's own would stall the writer for the whole log at once.
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 67108864;",
    )
}

/// Reads the file's own header before SQLite touches anything. `false`: there is no database yet.
fn inspect_header(path: &Path) -> Result<bool, JournalError> {
    let io_error = |source| JournalError::Open { path: path.to_owned(), source };
    let Some(header) = read_header(path).map_err(io_error)? else {
        return match has_log(path) {
            false => Ok(false),
            true => Err(integrity::damaged(path, "it is empty, but its write-ahead log is not")),
        };
    };
    let Some((application, format)) = parse_header(&header) else {
        return Err(integrity::damaged(path, "it is not an SQLite database"));
    };
    if application != APPLICATION_ID {
        return Err(integrity::damaged(path, "it is a database of another program"));
    }
    if !(FORMAT_WITHOUT_VALUES..=FORMAT).contains(&format) {
        return Err(unreadable(path, format));
    }
    Ok(true)
}

fn unreadable(path: &Path, found: i64) -> JournalError {
    JournalError::Format { path: path.to_owned(), found, supported: FORMAT }
}

/// The first 100 bytes, fewer where the file is shorter; `None` where there is no file or nothing in it.
fn read_header(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut header = Vec::with_capacity(100);
    file.take(100).read_to_end(&mut header)?;
    Ok((!header.is_empty()).then_some(header))
}

/// The application id and the format, from their places in SQLite's header; `None` if it is no such header.
fn parse_header(header: &[u8]) -> Option<(i32, i64)> {
    header.starts_with(b"SQLite format 3\0").then_some(())?;
    let format = i32::from_be_bytes(header.get(60..64)?.try_into().ok()?);
    let application = i32::from_be_bytes(header.get(68..72)?.try_into().ok()?);
    (header.len() == 100).then_some((application, format.into()))
}

fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    fs::metadata(log).is_ok_and(|meta| meta.len() > 0)
}

/// An error while opening: damage where SQLite says so, else that it cannot be opened.
pub(super) fn refuse(path: &Path, error: rusqlite::Error) -> JournalError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => integrity::damaged(path, &error.to_string()),
        _ => JournalError::Open { path: path.to_owned(), source: std::io::Error::other(error) },
    }
}
