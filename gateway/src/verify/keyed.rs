//! What a `verify` plugin asks of a route's secrets, answered without letting them out.

use base64::engine::{
    DecodePaddingMode, Engine as _,
    general_purpose::{GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// An HMAC, and how a secret is made into its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    pub(crate) algorithm: Algorithm,
    pub(crate) encoding: KeyEncoding,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyEncoding {
    Text,
    Hex,
    Base64,
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Keyed {
    /// The first of the secrets by which `tag` is the whole HMAC of the message. As slow for a wrong tag as for a right
    /// one, wherever it differs.
    pub(crate) fn matching(self, secrets: &[Secret], message: &[u8], tag: &[u8]) -> Option<usize> {
        let is_by = |secret: &Secret| self.tag(secret, message).is_some_and(|made| made.ct_eq(tag).into());
        first(secrets, is_by)
    }

    /// The HMAC by the first secret; `None` where there is none, or it has not the encoding.
    pub(crate) fn sign(self, secrets: &[Secret], message: &[u8]) -> Option<Vec<u8>> {
        self.tag(secrets.first()?, message)
    }

    fn tag(self, secret: &Secret, message: &[u8]) -> Option<Vec<u8>> {
        let key = self.key(secret)?;
        match self.algorithm {
            Algorithm::Sha1 => tag::<Hmac<Sha1>>(&key, message),
            Algorithm::Sha256 => tag::<Hmac<Sha256>>(&key, message),
            Algorithm::Sha384 => tag::<Hmac<Sha384>>(&key, message),
            Algorithm::Sha512 => tag::<Hmac<Sha512>>(&key, message),
        }
    }

    /// An empty key would be everybody's.
    fn key(self, secret: &Secret) -> Option<Vec<u8>> {
        let secret = secret.expose();
        let key = match self.encoding {
            KeyEncoding::Text => secret.to_vec(),
            KeyEncoding::Hex => hex::decode(secret).ok()?,
            KeyEncoding::Base64 => BASE64.decode(usual_alphabet(secret)).ok()?,
        };
        (!key.is_empty()).then_some(key)
    }
}

/// Which of the secrets this is.
pub(crate) fn which_of(secrets: &[Secret], candidate: &[u8]) -> Option<usize> {
    first(secrets, |secret| !secret.expose().is_empty() & bool::from(secret.expose().ct_eq(candidate)))
}

/// The first that is so; the others are asked all the same.
fn first(secrets: &[Secret], mut is_so: impl FnMut(&Secret) -> bool) -> Option<usize> {
    let found = secrets.iter().enumerate().map(|(index, secret)| is_so(secret).then_some(index));
    found.fold(None, Option::or)
}

fn tag<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    mac.update(message);
    Some(mac.finalize().into_bytes().to_vec())
}

fn usual_alphabet(secret: &[u8]) -> Vec<u8> {
    let usual = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    secret.iter().map(usual).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: Keyed = Keyed { algorithm: Algorithm::Sha256, encoding: KeyEncoding::Text };

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new(text.as_bytes(), "inline")).collect()
    }

    /// RFC 4231, test case 2.
    #[test]
    fn hmac_is_that_of_the_standard() {
        let secrets = secrets(&["Jefe"]);
        let message = b"what do ya want for nothing?";
        let tag = SHA256.sign(&secrets, message).unwrap();
        assert_eq!(hex::encode(&tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(SHA256.matching(&secrets, message, &tag), Some(0));
        assert_eq!(SHA256.matching(&secrets, message, &tag[..31]), None);
        assert_eq!(SHA256.matching(&secrets, b"another", &tag), None);
        assert_eq!(SHA256.matching(&[], message, &tag), None);
    }

    #[test]
    fn every_secret_counts_but_an_empty_one() {
        let secrets = secrets(&["", "old", "new"]);
        assert_eq!((which_of(&secrets, b"old"), which_of(&secrets, b"new")), (Some(1), Some(2)));
        assert_eq!((which_of(&secrets, b""), which_of(&secrets, b"ol")), (None, None));
        assert_eq!(SHA256.sign(&secrets, b"x"), None);
    }

    #[test]
    fn keys_of_every_encoding_are_read() {
        let hex = Keyed { encoding: KeyEncoding::Hex, ..SHA256 };
        let base64 = Keyed { encoding: KeyEncoding::Base64, ..SHA256 };
        let tag = hex.sign(&secrets(&["ffff"]), b"x").unwrap();
        for same in ["//8=", "//8", "__8=", "__8"] {
            assert_eq!(base64.matching(&secrets(&[same]), b"x", &tag), Some(0), "{same}");
        }
        assert_eq!(base64.matching(&secrets(&["?"]), b"x", &tag), None);
    }
}
