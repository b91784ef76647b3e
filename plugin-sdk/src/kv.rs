//! A small durable store, of this plugin on this route alone. Only where the config grants it:
//! `grants = { kv = "1MiB" }`.
//!
//! What is written is on disk when the call returns, and stays when the event is tried again: an event that runs twice
//! writes twice. The plugin can't use it in `configure`.
//!
//! ```
//! # use std::time::Duration;
//! # use sluice_plugin::{Decision, Error, Event, Filter};
//! use sluice_plugin::kv;
//!
//! /// Lets a sender have ten events a minute.
//! struct Throttle;
//!
//! impl Filter for Throttle {
//!     type Config = ();
//!     # fn configure((): ()) -> Result<Self, Error> { Ok(Self) }
//!
//!     fn filter(&self, event: &Event) -> Result<Decision, Error> {
//!         let sender = event.header_str("x-sender").unwrap_or_default();
//!         let seen = kv::add(&format!("seen/{sender}"), 1, Some(Duration::from_secs(60)))?;
//!         Ok(Decision::keep_if(seen <= 10, "one of too many"))
//!     }
//! }
//! # for n in 1..12 {
//! #     let decision = Throttle.filter(&Event::builder().build()).unwrap();
//! #     assert_eq!(decision == Decision::Keep, n <= 10);
//! # }
//! ```

use std::{fmt, time::Duration};

use crate::Error;

/// Why a value could not be read or changed; the text is the gateway's.
///
/// `?` makes of it an [`Error`]: [`Denied`](KvError::Denied) is the operator's to mend, [`Unavailable`](
/// KvError::Unavailable) is tried again, the others are up to the step's `on_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvError {
    /// The config grants no `kv`, or not here.
    Denied(String),
    /// The store has no room left for it: the grant says how much it may hold.
    Full(String),
    /// The key is empty or over 512 bytes, or the value over 64 KiB.
    TooLarge(String),
    /// [`add`] on a value that is no number, or beyond 64 bits.
    NotANumber(String),
    /// The journal does not take it now.
    Unavailable(String),
}

/// The value of a key, if there is one.
///
/// # Errors
/// [`KvError::Denied`], [`KvError::TooLarge`], [`KvError::Unavailable`].
pub fn get(key: &str) -> Result<Option<Vec<u8>>, KvError> {
    host::get(key)
}

/// Sets a value, to be there for `ttl` if that is given. Times are kept to the millisecond.
///
/// # Errors
/// All but [`KvError::NotANumber`].
pub fn set(key: &str, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), KvError> {
    host::set(key, value.as_ref(), ttl.map(millis))
}

/// Removes a value; whether there was one.
///
/// # Errors
/// [`KvError::Denied`], [`KvError::TooLarge`], [`KvError::Unavailable`].
pub fn delete(key: &str) -> Result<bool, KvError> {
    host::delete(key)
}

/// Adds to a number and returns what it is then, in one step: events that run at the same time all count.
///
/// What does not exist counts as 0 and lives for `ttl` if that is given; what exists keeps its time. A number is kept
/// as decimal text.
///
/// # Errors
/// All of [`KvError`].
pub fn add(key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, KvError> {
    host::add(key, by, ttl.map(millis))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Denied(why)
        | Self::Full(why)
        | Self::TooLarge(why)
        | Self::NotANumber(why)
        | Self::Unavailable(why)) = self;
        write!(f, "kv: {why}")
    }
}

impl std::error::Error for KvError {}

impl From<KvError> for Error {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Denied(_) => Self::config(error),
            KvError::Unavailable(_) => Self::retry(error),
            KvError::Full(_) | KvError::TooLarge(_) | KvError::NotANumber(_) => Self::other(error),
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::KvError;
    use crate::bindings::imports::sluice::plugin::kv;

    pub(super) fn get(key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Ok(kv::get(key)?)
    }

    pub(super) fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        Ok(kv::set(key, value, ttl_ms)?)
    }

    pub(super) fn delete(key: &str) -> Result<bool, KvError> {
        Ok(kv::delete(key)?)
    }

    pub(super) fn add(key: &str, by: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        Ok(kv::add(key, by, ttl_ms)?)
    }

    impl From<kv::KvError> for KvError {
        fn from(error: kv::KvError) -> Self {
            match error {
                kv::KvError::Denied(why) => Self::Denied(why),
                kv::KvError::Full(why) => Self::Full(why),
                kv::KvError::TooLarge(why) => Self::TooLarge(why),
                kv::KvError::NotANumber(why) => Self::NotANumber(why),
                kv::KvError::Unavailable(why) => Self::Unavailable(why),
            }
        }
    }
}

/// Without a host, the store is one in memory, of the test that runs on this thread.
#[cfg(not(target_arch = "wasm32"))]
mod host {
    use super::KvError;
    use crate::testing::with_store;

    pub(super) fn get(key: &str) -> Result<Option<Vec<u8>>, KvError> {
        with_store(|store| store.get(key))
    }

    pub(super) fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        with_store(|store| store.set(key, value, ttl_ms))
    }

    pub(super) fn delete(key: &str) -> Result<bool, KvError> {
        with_store(|store| store.delete(key))
    }

    pub(super) fn add(key: &str, by: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        with_store(|store| store.add(key, by, ttl_ms))
    }
}
