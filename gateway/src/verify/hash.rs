//! Hashes of what was received, against what the sender says they are.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::{
    hmac::URL_SAFE,
    scheme::{Derive, Encoding},
};

/// Whether `text` is the hash of `data`. In constant time, as far as the hash goes.
pub(super) fn fits(hash: Derive, data: &[u8], text: &str, encoding: Encoding) -> bool {
    decode(encoding, text).is_some_and(|claimed| claimed.ct_eq(&digest(hash, data)).into())
}

pub(super) fn digest(hash: Derive, data: &[u8]) -> Vec<u8> {
    match hash {
        Derive::Sha1 => Sha1::digest(data).to_vec(),
        Derive::Sha256 => Sha256::digest(data).to_vec(),
        Derive::Sha512 => Sha512::digest(data).to_vec(),
    }
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Base64url => URL_SAFE.decode(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_in_its_own_encoding_only() {
        const HEX: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        const BASE64: &str = "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=";
        assert!(fits(Derive::Sha256, b"foo", HEX, Encoding::Hex));
        assert!(fits(Derive::Sha256, b"foo", BASE64, Encoding::Base64));
        assert!(!fits(Derive::Sha256, b"foo", BASE64, Encoding::Base64url));
        assert!(!fits(Derive::Sha256, b"foo ", HEX, Encoding::Hex));
        assert!(!fits(Derive::Sha512, b"foo", HEX, Encoding::Hex));
        assert!(!fits(Derive::Sha256, b"foo", &HEX[2..], Encoding::Hex));
    }
}
