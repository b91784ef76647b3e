//! Refuses a damaged database: better no gateway than one that works on half a journal.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::schema;
use crate::journal::JournalError;

/// Up to this size the whole file is checked at every start (about 100 ms). Beyond it the tables that decide what
/// is still to be done are, and bodies are left to the checksum of each row, verified whenever one is read.
const CHECKED_WHOLE: u64 = 64 << 20;
/// Everything but `event`, whose rows carry checksums, and `outcome`, `dedupe` and `kv`, which are large and decide
/// nothing that a run-time check would not find. `kv_space` goes with `kv`.
const NARROW: [&str; 5] = ["meta", "name", "delivery", "redo", "seen"];

/// Checks what can be checked within a second, whatever the size.
pub(super) fn check(conn: &Connection, path: &Path) -> Result<(), JournalError> {
    // Brings the file up to date with its log, so that its length can be compared with what it says.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|e| schema::refuse(path, e))?;
    let pages = pragma(conn, path, "page_count")?;
    let page_size = pragma(conn, path, "page_size")?;
    let len =
        fs::metadata(path).map_err(|source| JournalError::Open { path: path.to_owned(), source })?.len();
    if len < pages * page_size {
        let detail = format!("it is cut short: {len} bytes of {}", pages * page_size);
        return Err(damaged(path, &detail));
    }
    if len <= CHECKED_WHOLE {
        return quick_check(conn, path, "PRAGMA quick_check(1)");
    }
    NARROW.iter().try_for_each(|table| quick_check(conn, path, &format!("PRAGMA quick_check({table})")))
}

/// The error that refuses `path`, with what the operator can do about it.
pub(super) fn damaged(path: &Path, what: &str) -> JournalError {
    let file = path.display();
    let detail = format!(
        "{what}\nhint: keep a copy of the directory, then restore a backup, or save what can be read with \
         `sqlite3 {file} .recover | sqlite3 recovered.db` and put recovered.db in its place"
    );
    JournalError::Damaged { path: path.to_owned(), detail }
}

fn pragma(conn: &Connection, path: &Path, name: &str) -> Result<u64, JournalError> {
    let value: i64 =
        conn.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| schema::refuse(path, e))?;
    Ok(value.unsigned_abs())
}

fn quick_check(conn: &Connection, path: &Path, sql: &str) -> Result<(), JournalError> {
    let verdict: String = conn.query_row(sql, [], |row| row.get(0)).map_err(|e| schema::refuse(path, e))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        problem => Err(damaged(path, problem)),
    }
}
