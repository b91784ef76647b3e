//! Plain hashes, where a scheme has one.

use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};

use super::scheme::Derive;

impl Derive {
    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}
