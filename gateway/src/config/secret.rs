//! Secrets: bytes that are never printed.

use std::{borrow::Cow, fmt, sync::Arc};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

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

    /// The key of a Standard Webhooks secret: what follows `whsec_` decoded from base64, or the bytes as they
    /// are without that prefix.
    ///
    /// # Errors
    /// If what follows `whsec_` is not base64, or nothing follows. A destination's secrets have been checked.
    pub fn signing_key(&self) -> Result<Cow<'_, [u8]>, InvalidKey> {
        let Some(encoded) = self.bytes.strip_prefix(b"whsec_") else { return Ok(Cow::Borrowed(&self.bytes)) };
        match BASE64.decode(encoded) {
            Ok(key) if !key.is_empty() => Ok(Cow::Owned(key)),
            _ => Err(InvalidKey),
        }
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The first moment that it counts, if it has not always.
    pub fn valid_from(&self) -> Option<Timestamp> {
        self.valid_from
    }

    /// The first moment that it no longer counts, if there is one.
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.valid_until
    }

    /// Whether it counts now; without a clock, always.
    pub fn is_active_at(&self, now: Option<Timestamp>) -> bool {
        now.is_none_or(|now| self.is_active(now))
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

/// A `whsec_` secret that is not base64. It does not say where: that would tell of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what follows `whsec_` is not base64")]
pub struct InvalidKey;

/// Providers differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> Result<Vec<u8>, InvalidKey> {
        Secret::new(secret.as_bytes(), "inline").signing_key().map(Cow::into_owned)
    }

    #[test]
    fn prefixed_secrets_are_base64_padded_or_not() {
        assert_eq!(key("whsec_YWJjZA=="), Ok(b"abcd".to_vec()));
        assert_eq!(key("whsec_YWJjZA"), Ok(b"abcd".to_vec()));
        assert_eq!(key("whsec_?"), Err(InvalidKey));
        assert_eq!(key("whsec_"), Err(InvalidKey));
    }

    #[test]
    fn other_secrets_are_taken_as_they_are() {
        assert_eq!(key("YWJjZA=="), Ok(b"YWJjZA==".to_vec()));
    }

    #[test]
    fn debug_does_not_show_the_bytes() {
        let secret = Secret::new(*b"hunter2", "env X");
        assert_eq!(format!("{secret:?}"), "Secret([REDACTED], env X)");
    }

    #[test]
    fn a_secret_counts_from_its_first_moment_until_before_its_last() {
        let at = Timestamp::from_millis;
        let secret = Secret::new(*b"x", "inline").valid_between(Some(at(10)), Some(at(20)));
        let active: Vec<_> = [9, 10, 19, 20].map(|millis| secret.is_active(at(millis))).to_vec();
        assert_eq!(active, [false, true, true, false]);
    }
}
