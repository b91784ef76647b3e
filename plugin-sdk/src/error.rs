//! Why a plugin could not do its work.

use std::{fmt, time::Duration};

/// Why a plugin could not do its work; each case says what the gateway is to do about what it was called with.
///
/// `?` on a [`serde_json::Error`] makes [`Error::invalid`]: what can't be read today can't be read tomorrow. A panic
/// counts as [`Error::other`], and so does a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// It can never be handled: an event becomes a dead letter, a batch is split, a request is refused.
    Invalid(String),
    /// It may work later: the event or the batch is tried again, and a request's sender is told to do so.
    Retry {
        /// Why it did not work now.
        reason: String,
        /// How long to wait at least; the gateway decides where there is none.
        after: Option<Duration>,
    },
    /// The plugin's configuration is wrong: in `configure` the reload is refused, in a call the events wait until the
    /// operator has acted.
    Config(String),
    /// Anything else: the step's `on_error` decides, a batch is split, a request's sender is told to try again.
    Other(String),
}

impl Error {
    /// It can never be handled: an event becomes a dead letter, a batch is split, a request is refused.
    pub fn invalid(reason: impl fmt::Display) -> Self {
        Self::Invalid(reason.to_string())
    }

    /// It may work later; the gateway decides when.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self::Retry { reason: reason.to_string(), after: None }
    }

    /// It may work after a while. The wait is kept to the millisecond, up to 49 days.
    pub fn retry_after(after: Duration, reason: impl fmt::Display) -> Self {
        Self::Retry { reason: reason.to_string(), after: Some(after) }
    }

    /// The plugin's configuration is wrong; the operator must act.
    pub fn config(reason: impl fmt::Display) -> Self {
        Self::Config(reason.to_string())
    }

    /// Anything else: the step's `on_error` decides.
    pub fn other(reason: impl fmt::Display) -> Self {
        Self::Other(reason.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason)
            | Self::Retry { reason, .. }
            | Self::Config(reason)
            | Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::invalid(error)
    }
}

impl From<std::str::Utf8Error> for Error {
    fn from(error: std::str::Utf8Error) -> Self {
        Self::invalid(error)
    }
}
