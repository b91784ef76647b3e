//! Secrets: bytes that are never printed.

use std::{fmt, sync::Arc};

use crate::clock::Timestamp;

/// A secret's bytes, where they came from, and when they count.
#[derive(Clone)]
pub struct Secret {
    bytes: Arc<[u8]>,
    /// Where it came from, fit for a log: `env GITHUB_SECRET`, `file /run/secrets/x`, `inline`.
    origin: Arc<str>,
    valid_from: Option<Timestamp>,
    valid_until: Option<Timestamp>,
}

impl Secret {
    pub fn new(bytes: impl Into<Arc<[u8]>>, origin: impl Into<Arc<str>>) -> Self {
        Self { bytes: bytes.into(), origin: origin.into(), valid_from: None, valid_until: None }
    }

    pub fn valid_between(mut self, from: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        (self.valid_from, self.valid_until) = (from, until);
        self
    }

    /// The bytes themselves. Whoever calls this must not let them out.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn is_active(&self, now: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= now) && self.valid_until.is_none_or(|until| now < until)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret([REDACTED], {})", self.origin)
    }
}
