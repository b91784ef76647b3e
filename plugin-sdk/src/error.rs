//! Why a plugin could not do its work.

use std::{fmt, time::Duration};

/// Why a plugin could not do its work; each kind says what the gateway is to do about the event.
///
/// `?` on a [`serde_json::Error`] makes [`Error::invalid`]: an event that can't be read today can't be read
/// tomorrow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// This event can never be handled: it becomes a dead letter.
    Invalid(String),
    /// It may work later.
    Retry {
        /// Why it did not work now.
        reason: String,
        /// How long to wait at least; the gateway decides where there is none.
        after: Option<Duration>,
    },
    /// The plugin's configuration is wrong; the operator must act.
    Config(String),
    /// Anything else: the step's `on_error` decides.
    Other(String),
}

impl Error {
    /// This event can never be handled: it becomes a dead letter.
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
