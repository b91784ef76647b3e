//! JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037), as far as they are public.

use serde::Deserialize;

use super::{der, public_key::PublicKey, scheme::Encoding};

#[derive(Debug, Deserialize)]
pub(super) struct Jwk {
    #[serde(rename = "kid")]
    pub(super) id: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    /// Whether it is there to prove signatures.
    pub(super) fn signs(&self) -> bool {
        self.usage.as_deref().is_none_or(|usage| usage == "sig")
    }

    /// `None` if it is of a kind that we do not know, or lacks something.
    pub(super) fn key(&self) -> Option<PublicKey> {
        match (&self.kty[..], self.crv.as_deref()) {
            ("EC", Some("P-256")) => self.point(32).map(PublicKey::P256),
            ("EC", Some("P-384")) => self.point(48).map(PublicKey::P384),
            ("EC", Some("P-521")) => PublicKey::p521(&self.point(66)?),
            ("OKP", Some("Ed25519")) => sized(32, &self.x).map(PublicKey::Ed25519),
            ("RSA", _) => Some(PublicKey::Rsa(der::rsa(&bytes(&self.n)?, &bytes(&self.e)?))),
            _ => None,
        }
    }

    /// Uncompressed (SEC 1, 2.3.3).
    fn point(&self, size: usize) -> Option<Vec<u8>> {
        Some([&[4][..], &sized(size, &self.x)?, &sized(size, &self.y)?].concat())
    }
}

fn sized(size: usize, text: &Option<String>) -> Option<Vec<u8>> {
    bytes(text).filter(|bytes| bytes.len() == size)
}

fn bytes(text: &Option<String>) -> Option<Vec<u8>> {
    Encoding::Base64url.decode(text.as_deref()?)
}
