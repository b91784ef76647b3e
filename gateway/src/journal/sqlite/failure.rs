//! What a failed statement means for the journal.

use rusqlite::{Error, ErrorCode, ffi};

use super::Shared;
use crate::journal::JournalError;

/// How a write failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no room; nothing was written, and it may work later.
    Full(String),
    /// What is on disk is no longer known: never tried again.
    Fatal(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full("no space left on the disk".into()),
            // The shared-memory index could not grow. Its file is not the data's, and nothing was written yet.
            _ if extended(&error) == Some(ffi::SQLITE_IOERR_SHMSIZE) => {
                Self::Full("no space left on the disk for the log's index".into())
            }
            _ => Self::Fatal(error.to_string()),
        }
    }
}

/// Turns a failed read into an error; damage poisons the journal.
pub(super) fn query_failed(shared: &Shared, error: Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            shared.poison(&format!("the database is damaged: {error}")).into()
        }
        _ => JournalError::Query(Box::new(error)),
    }
}

fn extended(error: &Error) -> Option<i32> {
    match error {
        Error::SqliteFailure(failure, _) => Some(failure.extended_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> Failure {
        Error::SqliteFailure(ffi::Error::new(code), None).into()
    }

    #[test]
    fn full_disk_passes() {
        assert!(matches!(failure(ffi::SQLITE_FULL), Failure::Full(_)));
        assert!(matches!(failure(ffi::SQLITE_IOERR_SHMSIZE), Failure::Full(_)));
    }

    #[test]
    fn failed_fsync_does_not_pass() {
        for code in
            [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_CORRUPT, ffi::SQLITE_READONLY]
        {
            assert!(matches!(failure(code), Failure::Fatal(_)), "{code}");
        }
    }
}
