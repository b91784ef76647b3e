//! Hashes that only holders of the secret can make: keys made ready at load, tags compared in constant time.

use base64::engine::{Engine as _, general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac, digest::Output};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use super::scheme::{Algorithm, Encoding, KeyEncoding, KeyField, SignatureScheme};

/// The longest tag: that of SHA-512.
const MAX_TAG: usize = 64;

/// A secret made ready for one algorithm.
#[derive(Clone)]
pub(super) struct Key {
    bytes: Vec<u8>,
    state: State,
}

/// The algorithm's state with the key taken in: a request only clones it.
#[derive(Clone)]
enum State {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
    /// Plain hashes, whose text holds the key.
    PlainMd5,
    PlainSha1,
    PlainSha256,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the secret is empty")]
    Empty,
    #[error("the secret is not {encoding}{}", .after.as_ref().map(|p| format!(" after `{p}`")).unwrap_or_default())]
    Encoding { encoding: &'static str, after: Option<String> },
    #[error("the scheme has public keys, which go under `public_keys`")]
    NotShared,
}

impl Key {
    /// Ready for the scheme's algorithm; of several, for the first that has a shared key.
    ///
    /// # Errors
    /// If the secret does not have the scheme's form.
    pub(super) fn new(scheme: &SignatureScheme, secret: &[u8]) -> Result<Self, KeyError> {
        let algorithm = scheme.algorithm.all().find(|algorithm| !algorithm.is_asymmetric());
        Self::of(algorithm.ok_or(KeyError::NotShared)?, &scheme.key, secret)
    }

    /// Ready for one algorithm.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn of(algorithm: Algorithm, field: &KeyField, secret: &[u8]) -> Result<Self, KeyError> {
        let bytes = decode_key(field, secret)?;
        let state = State::new(algorithm, &bytes).ok_or(KeyError::NotShared)?;
        Ok(Self { bytes, state })
    }

    /// The key itself, for texts that hold it. Whoever calls this must not let it out.
    pub(super) fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// The tag of the pieces, one after the other.
    pub(super) fn tag(&self, pieces: &[impl AsRef<[u8]>]) -> Tag {
        match &self.state {
            State::Md5(mac) => keyed(mac.clone(), pieces),
            State::Sha1(mac) => keyed(mac.clone(), pieces),
            State::Sha256(mac) => keyed(mac.clone(), pieces),
            State::Sha512(mac) => keyed(mac.clone(), pieces),
            State::PlainMd5 => plain::<Md5>(pieces),
            State::PlainSha1 => plain::<Sha1>(pieces),
            State::PlainSha256 => plain::<Sha256>(pieces),
        }
    }
}

impl State {
    fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        const ANY_LENGTH: &str = "HMAC takes keys of any length";
        Some(match algorithm {
            Algorithm::HmacMd5 => Self::Md5(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::HmacSha1 => Self::Sha1(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::HmacSha256 => Self::Sha256(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::HmacSha512 => Self::Sha512(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            Algorithm::HashMd5 => Self::PlainMd5,
            Algorithm::HashSha1 => Self::PlainSha1,
            Algorithm::HashSha256 => Self::PlainSha256,
            Algorithm::Ed25519
            | Algorithm::EcdsaP256Sha256
            | Algorithm::EcdsaSecp256k1Sha256
            | Algorithm::RsaPkcs1Sha1
            | Algorithm::RsaPkcs1Sha256
            | Algorithm::RsaPkcs1Sha512
            | Algorithm::RsaPssSha512 => return None,
        })
    }
}

/// The key's bytes: the secret decoded, with what the scheme adds, hashed where it says so. Never empty.
///
/// # Errors
/// If the secret does not have the scheme's form; the error does not show it.
pub(super) fn decode_key(field: &KeyField, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut bytes = decode_secret(field, secret)?;
    if bytes.is_empty() {
        return Err(KeyError::Empty);
    }
    bytes.extend_from_slice(field.suffix.as_bytes());
    Ok(match field.derive {
        Some(hash) => hash.digest(&bytes),
        None => bytes,
    })
}

/// The secret decoded, before anything is added to it.
pub(super) fn decode_secret(field: &KeyField, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
    let prefix = field.strip_prefix.iter().find(|prefix| secret.starts_with(prefix.as_bytes()));
    let text = &secret[prefix.map_or(0, String::len)..];
    let not = |encoding| KeyError::Encoding { encoding, after: prefix.cloned() };
    match field.encoding {
        KeyEncoding::Utf8 => Ok(text.to_vec()),
        KeyEncoding::Utf8Nfkd => {
            let text = std::str::from_utf8(text).map_err(|_| not("UTF-8"))?;
            Ok(text.nfkd().collect::<String>().into_bytes())
        }
        KeyEncoding::Hex => hex::decode(text).map_err(|_| not("hex")),
        KeyEncoding::Base64 => STANDARD.decode(text).map_err(|_| not("base64")),
    }
}

fn keyed<M: Mac>(mut mac: M, pieces: &[impl AsRef<[u8]>]) -> Tag {
    for piece in pieces {
        mac.update(piece.as_ref());
    }
    Tag::new(&mac.finalize().into_bytes())
}

fn plain<D: Digest>(pieces: &[impl AsRef<[u8]>]) -> Tag {
    let mut hash = D::new();
    for piece in pieces {
        hash.update(piece.as_ref());
    }
    let output: Output<D> = hash.finalize();
    Tag::new(&output)
}

/// What a key makes of a text.
pub(super) struct Tag {
    bytes: [u8; MAX_TAG],
    len: usize,
}

/// What a signature's text turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    /// It does not even stand for a signature of this algorithm.
    Malformed,
    No,
    Yes,
}

impl Tag {
    fn new(output: &[u8]) -> Self {
        let mut bytes = [0; MAX_TAG];
        bytes[..output.len()].copy_from_slice(output);
        Self { bytes, len: output.len() }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Compares with a signature's text, in constant time as far as the tag goes.
    pub(super) fn matches(&self, signature: &str, encoding: Encoding) -> Match {
        // Room for a tag and what a decoder may write beyond it before it knows the length.
        let mut buffer = [0; MAX_TAG + 8];
        match encoding.decode_into(signature, &mut buffer) {
            Some(len) if len == self.len => match self.as_bytes().ct_eq(&buffer[..len]).into() {
                true => Match::Yes,
                false => Match::No,
            },
            _ => Match::Malformed,
        }
    }

    pub(super) fn encode(&self, encoding: Encoding) -> String {
        encoding.encode(self.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::scheme::{Derive, Family, preset};

    fn scheme(name: &str) -> SignatureScheme {
        match &preset(name).unwrap().scheme.family {
            Family::Signature(scheme) => (**scheme).clone(),
            _ => panic!("{name} has no signature"),
        }
    }

    fn github(secret: &[u8]) -> Key {
        Key::new(&scheme("github"), secret).unwrap()
    }

    /// RFC 2202, RFC 4231: test case 2.
    #[test]
    fn published_tags_are_reproduced() {
        for (algorithm, expected) in [
            (Algorithm::HmacMd5, "750c783e6ab0b503eaa86e310a5db738"),
            (Algorithm::HmacSha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Algorithm::HmacSha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                Algorithm::HmacSha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let key = Key::of(algorithm, &KeyField::default(), b"Jefe").unwrap();
            let tag = key.tag(&["what do ya want ", "for nothing?"]);
            assert_eq!(tag.encode(Encoding::Hex), expected);
            assert_eq!(tag.matches(expected, Encoding::Hex), Match::Yes);
            let flipped = format!("{}0", &expected[..expected.len() - 1]);
            assert_eq!(tag.matches(&flipped, Encoding::Hex), Match::No);
        }
    }

    /// RFC 1321 A.5, FIPS 180-4: "abc".
    #[test]
    fn plain_hashes_are_reproduced() {
        for (algorithm, expected) in [
            (Algorithm::HashMd5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::HashSha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::HashSha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            let key = Key::of(algorithm, &KeyField::default(), b"k").unwrap();
            assert_eq!(key.tag(&["a", "bc"]).encode(Encoding::Hex), expected);
        }
    }

    #[test]
    fn the_key_is_made_as_the_scheme_says() {
        let decode = |field: KeyField, secret: &str| decode_key(&field, secret.as_bytes()).map(hex::encode);
        let field = KeyField::default;
        let with = |encoding| KeyField { encoding, ..field() };
        assert_eq!(decode(with(KeyEncoding::Hex), "0aFF").unwrap(), "0aff");
        assert_eq!(decode(with(KeyEncoding::Base64), "Cv8=").unwrap(), "0aff");
        assert_eq!(decode(with(KeyEncoding::Utf8), "é").unwrap(), "c3a9");
        assert_eq!(decode(with(KeyEncoding::Utf8Nfkd), "é").unwrap(), "65cc81");
        assert_eq!(decode(KeyField { suffix: "&".to_owned(), ..field() }, "a").unwrap(), "6126");
        let derived = decode(KeyField { derive: Some(Derive::Sha1), ..field() }, "abc").unwrap();
        assert_eq!(derived, "a9993e364706816aba3e25717850c26c9cd0d89d");
        for field in [field(), KeyField { suffix: "&".to_owned(), derive: Some(Derive::Sha256), ..field() }] {
            assert_eq!(decode(field, ""), Err(KeyError::Empty));
        }
    }

    #[test]
    fn text_of_another_length_is_malformed() {
        let tag = github(b"k").tag(&["x"]);
        let hex = tag.encode(Encoding::Hex);
        for text in ["", "0", "zz", &hex[2..], &format!("{hex}00"), &"00".repeat(1000)] {
            assert_eq!(tag.matches(text, Encoding::Hex), Match::Malformed, "{text}");
        }
        assert_eq!(tag.matches(&"A".repeat(5000), Encoding::Base64), Match::Malformed);
    }

    #[test]
    fn url_safe_base64_needs_no_padding() {
        let tag = github(b"k").tag(&["x"]);
        let text = tag.encode(Encoding::Base64url);
        assert_eq!(tag.matches(&text, Encoding::Base64url), Match::Yes);
        assert_eq!(tag.matches(text.trim_end_matches('='), Encoding::Base64url), Match::Yes);
    }

    #[test]
    fn the_error_names_encoding_and_prefix() {
        let error = Key::new(&scheme("svix"), b"whsec_*").err().unwrap();
        assert_eq!(error.to_string(), "the secret is not base64 after `whsec_`");
        assert_eq!(Key::new(&scheme("svix"), b"whsec_").err(), Some(KeyError::Empty));
        assert_eq!(Key::new(&scheme("discord"), b"k").err(), Some(KeyError::NotShared));
    }
}
