//! What plugins keep: small values by key, those of each plugin on each route apart from all others.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::JournalError;
use crate::clock::Timestamp;

/// The longest key, in bytes.
pub const KEY_MAX: usize = 512;
/// The largest value, in bytes.
pub const VALUE_MAX: usize = 64 * 1024;

/// The durable store of plugins' values. An engine of the journal keeps it beside the events.
///
/// A change is durable when it returns, and every later read sees it. If a caller stops waiting, its change may or
/// may not be made. A value whose time is up at the `now` of a call is not there for it.
#[async_trait]
pub trait KvStore: Send + Sync + 'static {
    /// # Errors
    /// [`KvError::Unavailable`] alone.
    async fn get(&self, space: &KvSpace, key: &KvKey, now: Timestamp) -> Result<Option<Bytes>, KvError>;

    /// Sets a value, to be there for `ttl` from `now`, or until it is deleted.
    ///
    /// # Errors
    /// [`KvError::Full`] where the space would hold more than it may, and more than it does;
    /// [`KvError::Unavailable`].
    async fn set(
        &self,
        space: &KvSpace,
        key: &KvKey,
        value: KvValue,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), KvError>;

    /// Removes a value; whether there was one. Tried even where the journal is full.
    ///
    /// # Errors
    /// [`KvError::Unavailable`] alone.
    async fn delete(&self, space: &KvSpace, key: &KvKey, now: Timestamp) -> Result<bool, KvError>;

    /// Adds to a number, kept as decimal text, and returns what it is then; of two that race, both count. What does
    /// not exist counts as 0 and gets `ttl`; what exists keeps its time.
    ///
    /// # Errors
    /// [`KvError::NotANumber`], and those of [`set`](Self::set).
    async fn add(
        &self,
        space: &KvSpace,
        key: &KvKey,
        by: i64,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<i64, KvError>;
}

/// Whose values they are, and how much they may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvSpace {
    /// The plugin's name in the config.
    pub plugin: Arc<str>,
    /// The route's name.
    pub route: Arc<str>,
    /// How many bytes its keys and values may have together. Where they have more, since the config once allowed
    /// it, values may still shrink.
    pub max_bytes: u64,
}

/// A key of 1 to [`KEY_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KvKey(String);

impl KvKey {
    /// # Errors
    /// [`KvError::TooLarge`] where it is empty or too long.
    pub fn new(text: impl Into<String>) -> Result<Self, KvError> {
        let text = text.into();
        match text.len() {
            0 => Err(KvError::TooLarge("the key is empty; it needs a byte at least".into())),
            1..=KEY_MAX => Ok(Self(text)),
            len => Err(KvError::TooLarge(format!("the key has {len} bytes, {KEY_MAX} are allowed"))),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value of at most [`VALUE_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvValue(Bytes);

impl KvValue {
    /// # Errors
    /// [`KvError::TooLarge`].
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, KvError> {
        let bytes = bytes.into();
        match bytes.len() {
            ..=VALUE_MAX => Ok(Self(bytes)),
            len => Err(KvError::TooLarge(format!("the value has {len} bytes, {VALUE_MAX} are allowed"))),
        }
    }

    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Why a value could not be read or changed. Speaks to the plugin's author; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    #[error("{0}")]
    TooLarge(String),
    #[error(
        "the store would hold {wanted} bytes, the config grants {max}: delete values, give them a time, or grant more"
    )]
    Full { wanted: u64, max: u64 },
    #[error("{0}")]
    NotANumber(String),
    /// The journal does not take it, or cannot read it, now.
    #[error(transparent)]
    Unavailable(#[from] JournalError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_byte_and_at_most_as_many_as_allowed() {
        assert!(matches!(KvKey::new(""), Err(KvError::TooLarge(_))));
        assert!(KvKey::new("k".repeat(KEY_MAX)).is_ok());
        let error = KvKey::new("k".repeat(KEY_MAX + 1)).unwrap_err();
        assert_eq!(error.to_string(), "the key has 513 bytes, 512 are allowed");
    }

    #[test]
    fn values_may_be_empty_but_not_too_large() {
        assert!(KvValue::new(Bytes::new()).is_ok());
        assert!(KvValue::new(vec![0; VALUE_MAX]).is_ok());
        assert!(matches!(KvValue::new(vec![0; VALUE_MAX + 1]), Err(KvError::TooLarge(_))));
    }
}
