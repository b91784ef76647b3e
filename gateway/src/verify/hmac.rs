//! Keyed hashes: keys made ready at load, tags compared in constant time.

use base64::engine::{
    DecodePaddingMode, Engine as _,
    general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::scheme::{Algorithm, AlgorithmField, Encoding, KeyEncoding, KeyField, SignatureScheme};

const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest tag: that of SHA-512.
const MAX_TAG: usize = 64;

/// A secret that has been hashed into the algorithm's initial state: a request only clones it.
#[derive(Clone)]
pub(super) enum Key {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the secret is empty")]
    Empty,
    #[error("the secret is not {encoding}{}", .after.as_ref().map(|p| format!(" after `{p}`")).unwrap_or_default())]
    Encoding { encoding: &'static str, after: Option<String> },
}

impl Key {
    pub(super) fn new(scheme: &SignatureScheme, secret: &[u8]) -> Result<Self, KeyError> {
        let bytes = decode_key(&scheme.key, secret)?;
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        const ANY_LENGTH: &str = "HMAC takes keys of any length";
        Ok(match scheme.algorithm {
            AlgorithmField::One(Algorithm::HmacSha1) => {
                Self::Sha1(Hmac::new_from_slice(&bytes).expect(ANY_LENGTH))
            }
            AlgorithmField::One(Algorithm::HmacSha512) => {
                Self::Sha512(Hmac::new_from_slice(&bytes).expect(ANY_LENGTH))
            }
            _ => Self::Sha256(Hmac::new_from_slice(&bytes).expect(ANY_LENGTH)),
        })
    }

    /// The tag of the pieces, one after the other.
    pub(super) fn tag(&self, pieces: &[impl AsRef<[u8]>]) -> Tag {
        match self {
            Self::Sha1(mac) => finish(mac.clone(), pieces),
            Self::Sha256(mac) => finish(mac.clone(), pieces),
            Self::Sha512(mac) => finish(mac.clone(), pieces),
        }
    }
}

pub(super) fn decode_key(field: &KeyField, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
    let prefix = field.strip_prefix.iter().find(|prefix| secret.starts_with(prefix.as_bytes()));
    let text = &secret[prefix.map_or(0, String::len)..];
    let not = |encoding| KeyError::Encoding { encoding, after: prefix.cloned() };
    match field.encoding {
        KeyEncoding::Utf8 | KeyEncoding::Utf8Nfkd => Ok(text.to_vec()),
        KeyEncoding::Hex => hex::decode(text).map_err(|_| not("hex")),
        KeyEncoding::Base64 => STANDARD.decode(text).map_err(|_| not("base64")),
    }
}

fn finish(mut mac: impl Mac, pieces: &[impl AsRef<[u8]>]) -> Tag {
    for piece in pieces {
        mac.update(piece.as_ref());
    }
    let output = mac.finalize().into_bytes();
    let mut bytes = [0; MAX_TAG];
    bytes[..output.len()].copy_from_slice(&output);
    Tag { bytes, len: output.len() }
}

/// What a key makes of a text.
pub(super) struct Tag {
    bytes: [u8; MAX_TAG],
    len: usize,
}

/// What a signature's text turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// It does not even stand for a tag of this length.
    Malformed,
}

impl Tag {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Compares with a signature's text, in constant time as far as the tag goes.
    pub(super) fn matches(&self, signature: &str, encoding: Encoding) -> Match {
        // Room for a tag and what a decoder may write beyond it before it knows the length.
        let mut buffer = [0; MAX_TAG + 8];
        match decode(signature.trim(), encoding, &mut buffer) {
            Some(len) if len == self.len => {
                if self.as_bytes().ct_eq(&buffer[..len]).into() {
                    Match::Yes
                } else {
                    Match::No
                }
            }
            _ => Match::Malformed,
        }
    }

    pub(super) fn encode(&self, encoding: Encoding) -> String {
        match encoding {
            Encoding::Hex => hex::encode(self.as_bytes()),
            Encoding::Base64 => STANDARD.encode(self.as_bytes()),
            Encoding::Base64url => URL_SAFE.encode(self.as_bytes()),
        }
    }
}

/// Decodes into `buffer`; `None` if it is malformed or does not fit.
fn decode(text: &str, encoding: Encoding, buffer: &mut [u8]) -> Option<usize> {
    match encoding {
        Encoding::Hex => {
            let len = text.len() / 2;
            hex::decode_to_slice(text, buffer.get_mut(..len)?).ok().map(|()| len)
        }
        Encoding::Base64 => STANDARD.decode_slice(text, buffer).ok(),
        Encoding::Base64url => URL_SAFE.decode_slice(text, buffer).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::scheme::{Family, preset};

    fn scheme(name: &str) -> SignatureScheme {
        match &preset(name).unwrap().scheme.family {
            Family::Signature(scheme) => (**scheme).clone(),
            _ => panic!("{name} has no signature"),
        }
    }

    /// RFC 2202, RFC 4231: test case 2.
    #[test]
    fn published_tags_are_reproduced() {
        for (algorithm, expected) in [
            (Algorithm::HmacSha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Algorithm::HmacSha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                Algorithm::HmacSha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let key = Key::new(
                &SignatureScheme { algorithm: AlgorithmField::One(algorithm), ..scheme("github") },
                b"Jefe",
            )
            .unwrap();
            let tag = key.tag(&["what do ya want ", "for nothing?"]);
            assert_eq!(tag.encode(Encoding::Hex), expected);
            assert_eq!(tag.matches(expected, Encoding::Hex), Match::Yes);
            let flipped = format!("{}0", &expected[..expected.len() - 1]);
            assert_eq!(tag.matches(&flipped, Encoding::Hex), Match::No);
        }
    }

    #[test]
    fn text_of_another_length_is_malformed() {
        let tag = Key::new(&scheme("github"), b"k").unwrap().tag(&["x"]);
        let hex = tag.encode(Encoding::Hex);
        for text in ["", "0", "zz", &hex[2..], &format!("{hex}00"), &"00".repeat(1000)] {
            assert_eq!(tag.matches(text, Encoding::Hex), Match::Malformed, "{text}");
        }
        assert_eq!(tag.matches(&"A".repeat(5000), Encoding::Base64), Match::Malformed);
    }

    #[test]
    fn url_safe_base64_needs_no_padding() {
        let tag = Key::new(&scheme("github"), b"k").unwrap().tag(&["x"]);
        let text = tag.encode(Encoding::Base64url);
        assert_eq!(tag.matches(&text, Encoding::Base64url), Match::Yes);
        assert_eq!(tag.matches(text.trim_end_matches('='), Encoding::Base64url), Match::Yes);
    }

    #[test]
    fn the_error_names_encoding_and_prefix() {
        let error = Key::new(&scheme("svix"), b"whsec_*").err().unwrap();
        assert_eq!(error.to_string(), "the secret is not base64 after `whsec_`");
        assert_eq!(Key::new(&scheme("svix"), b"whsec_").err(), Some(KeyError::Empty));
    }
}
