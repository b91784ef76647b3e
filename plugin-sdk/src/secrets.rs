//! The route's secrets, for a verifier. They never leave the gateway: a plugin asks what it wants to know of them.
//!
//! Each question is asked of every secret that is valid now, so keys can be rotated without the plugin's help.
//!
//! ```
//! # use sluice_plugin::{Error, Judgement, Request, Verify};
//! use sluice_plugin::secrets::{self, Algorithm, KeyEncoding};
//!
//! # struct Signed;
//! # impl Verify for Signed {
//! # type Config = ();
//! # fn configure((): ()) -> Result<Self, Error> { Ok(Self) }
//! fn verify(&self, request: &Request) -> Result<Judgement, Error> {
//!     let tag = request.header("x-tag").unwrap_or_default();
//!     let genuine = secrets::hmac_matches(Algorithm::Sha256, KeyEncoding::Text, &request.body(), &tag);
//!     Ok(Judgement::accept_if(genuine, "x-tag is not the body's HMAC"))
//! }
//! # }
//! ```

/// The hash that an HMAC is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC-SHA1: sound for this, for providers that have nothing newer.
    Sha1,
    /// HMAC-SHA256: what most providers use.
    Sha256,
    /// HMAC-SHA384.
    Sha384,
    /// HMAC-SHA512.
    Sha512,
}

/// How a secret is made into the bytes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyEncoding {
    /// Its bytes as they are.
    Text,
    /// Hex digits.
    Hex,
    /// Base64, of the usual or the URL-safe alphabet, with or without padding.
    Base64,
}

/// How many of the route's secrets are valid now.
pub fn count() -> u32 {
    host::count()
}

/// Whether `tag` is the whole HMAC of `message` by any of the secrets, compared in constant time.
pub fn hmac_matches(algorithm: Algorithm, key: KeyEncoding, message: &[u8], tag: &[u8]) -> bool {
    host::hmac_matches(algorithm, key, message, tag)
}

/// Whether this is one of the secrets, compared in constant time.
pub fn equals(candidate: &[u8]) -> bool {
    host::equals(candidate)
}

/// The HMAC by the first secret that is valid: for answers to handshakes. `None` where no secret is, or where it has
/// no such encoding.
pub fn hmac(algorithm: Algorithm, key: KeyEncoding, message: &[u8]) -> Option<Vec<u8>> {
    host::hmac(algorithm, key, message)
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::{Algorithm, KeyEncoding};
    use crate::bindings::imports::sluice::plugin::secrets;

    pub(super) use secrets::{count, equals};

    pub(super) fn hmac_matches(algorithm: Algorithm, key: KeyEncoding, message: &[u8], tag: &[u8]) -> bool {
        secrets::hmac_matches(algorithm.into(), key.into(), message, tag)
    }

    pub(super) fn hmac(algorithm: Algorithm, key: KeyEncoding, message: &[u8]) -> Option<Vec<u8>> {
        secrets::hmac(algorithm.into(), key.into(), message)
    }

    impl From<Algorithm> for secrets::Algorithm {
        fn from(algorithm: Algorithm) -> Self {
            match algorithm {
                Algorithm::Sha1 => Self::HmacSha1,
                Algorithm::Sha256 => Self::HmacSha256,
                Algorithm::Sha384 => Self::HmacSha384,
                Algorithm::Sha512 => Self::HmacSha512,
            }
        }
    }

    impl From<KeyEncoding> for secrets::KeyEncoding {
        fn from(encoding: KeyEncoding) -> Self {
            match encoding {
                KeyEncoding::Text => Self::Text,
                KeyEncoding::Hex => Self::Hex,
                KeyEncoding::Base64 => Self::Base64,
            }
        }
    }
}

/// Without a host, the secrets are those that the test that runs on this thread has set.
#[cfg(not(target_arch = "wasm32"))]
mod host {
    use hmac::{Hmac, KeyInit, Mac};

    use super::{Algorithm, KeyEncoding};
    use crate::testing::with_secrets;

    pub(super) fn count() -> u32 {
        with_secrets(|secrets| secrets.len() as u32)
    }

    pub(super) fn hmac_matches(algorithm: Algorithm, key: KeyEncoding, message: &[u8], tag: &[u8]) -> bool {
        with_secrets(|secrets| {
            let mut tags = secrets.iter().filter_map(|secret| sign(algorithm, key, secret, message));
            tags.any(|one| one == tag)
        })
    }

    pub(super) fn equals(candidate: &[u8]) -> bool {
        with_secrets(|secrets| secrets.iter().any(|secret| secret.as_bytes() == candidate))
    }

    pub(super) fn hmac(algorithm: Algorithm, key: KeyEncoding, message: &[u8]) -> Option<Vec<u8>> {
        with_secrets(|secrets| sign(algorithm, key, secrets.first()?, message))
    }

    fn sign(algorithm: Algorithm, key: KeyEncoding, secret: &str, message: &[u8]) -> Option<Vec<u8>> {
        let key = decode(key, secret)?;
        match algorithm {
            Algorithm::Sha1 => by::<Hmac<sha1::Sha1>>(&key, message),
            Algorithm::Sha256 => by::<Hmac<sha2::Sha256>>(&key, message),
            Algorithm::Sha384 => by::<Hmac<sha2::Sha384>>(&key, message),
            Algorithm::Sha512 => by::<Hmac<sha2::Sha512>>(&key, message),
        }
    }

    fn by<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
        mac.update(message);
        Some(mac.finalize().into_bytes().to_vec())
    }

    fn decode(encoding: KeyEncoding, secret: &str) -> Option<Vec<u8>> {
        use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
        match encoding {
            KeyEncoding::Text => Some(secret.as_bytes().to_vec()),
            KeyEncoding::Hex => hex::decode(secret).ok(),
            KeyEncoding::Base64 => {
                let usual = secret.trim_end_matches('=').replace('-', "+").replace('_', "/");
                STANDARD_NO_PAD.decode(usual).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// RFC 4231, test case 2.
    #[test]
    fn hmac_is_that_of_the_standard() {
        testing::set_secrets(["Jefe"]);
        let message = b"what do ya want for nothing?";
        let tag = hmac(Algorithm::Sha256, KeyEncoding::Text, message).unwrap();
        assert_eq!(hex::encode(&tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(hmac_matches(Algorithm::Sha256, KeyEncoding::Text, message, &tag));
        assert!(!hmac_matches(Algorithm::Sha256, KeyEncoding::Text, message, &tag[..31]));
    }

    #[test]
    fn every_secret_is_asked() {
        testing::set_secrets(["old", "new"]);
        assert_eq!(count(), 2);
        assert!(equals(b"new") && equals(b"old") && !equals(b"other"));
    }

    #[test]
    fn keys_of_every_encoding_are_read() {
        testing::set_secrets(["__8=", "ffff"]);
        let by_base64 = hmac(Algorithm::Sha1, KeyEncoding::Base64, b"x").unwrap();
        assert!(hmac_matches(Algorithm::Sha1, KeyEncoding::Hex, b"x", &by_base64));
    }
}
