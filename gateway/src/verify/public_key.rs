//! Public keys: read from what providers hand out, used to prove signatures.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p521::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};
use ring::signature::{self as ring_signature, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;

use super::{
    der::{self, Spki, Validity},
    hmac::URL_SAFE,
};

/// A key that proves signatures and makes none. It has no secret to keep.
#[derive(Clone, Debug)]
pub(super) enum PublicKey {
    Ed25519(Vec<u8>),
    /// The uncompressed point, as for P-384.
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Box<VerifyingKey>),
    /// Big-endian, without leading zeros.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

/// How a signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublicAlgorithm {
    Ed25519,
    /// DER.
    EcdsaP256Sha256,
    /// `r` and `s` one after the other, as in JWS and HTTP Message Signatures; so the next two.
    EcdsaP256Sha256Fixed,
    EcdsaP384Sha384Fixed,
    EcdsaP521Sha512Fixed,
    RsaPkcs1Sha1,
    RsaPkcs1Sha256,
    RsaPkcs1Sha512,
    RsaPssSha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PublicKeyError {
    #[error("it is neither a public key nor a certificate in PEM")]
    Pem,
    #[error("it is not a public key in DER form")]
    Der,
    #[error("it is a certificate that cannot be read")]
    Certificate,
    #[error("it is not a JSON Web Key")]
    Jwk,
    #[error("it is a key of a kind that is not known: Ed25519, P-256, P-384, P-521 and RSA are")]
    Kind,
}

/// A JSON Web Key (RFC 7517), as far as it concerns public keys.
#[derive(Debug, Deserialize)]
pub(super) struct Jwk {
    pub(super) kid: Option<String>,
    #[serde(rename = "use")]
    pub(super) usage: Option<String>,
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

impl PublicKey {
    /// Reads a public key or a certificate in PEM; of a chain the first counts.
    pub(super) fn from_pem(pem: &[u8]) -> Result<(Self, Option<Validity>), PublicKeyError> {
        let (kind, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(pem).map_err(|_| PublicKeyError::Pem)?;
        match kind {
            SectionKind::PublicKey => Self::from_spki(&der).map(|key| (key, None)),
            SectionKind::Certificate => {
                let (spki, validity) = der::certificate(&der).ok_or(PublicKeyError::Certificate)?;
                Ok((Self::new(&spki)?, Some(validity)))
            }
            _ => Err(PublicKeyError::Pem),
        }
    }

    /// Reads a key in PEM, or in base64 of its DER form.
    pub(super) fn from_text(text: &[u8]) -> Result<(Self, Option<Validity>), PublicKeyError> {
        match STANDARD.decode(text.trim_ascii()) {
            Ok(der) => Self::from_spki(&der).map(|key| (key, None)),
            Err(_) => Self::from_pem(text),
        }
    }

    pub(super) fn from_spki(der: &[u8]) -> Result<Self, PublicKeyError> {
        Self::new(&Spki::read(der).ok_or(PublicKeyError::Der)?)
    }

    fn new(spki: &Spki<'_>) -> Result<Self, PublicKeyError> {
        match (spki.kind, spki.curve) {
            (ED25519, _) => Ok(Self::Ed25519(spki.key.to_vec())),
            (EC, Some(P256)) => Ok(Self::P256(spki.key.to_vec())),
            (EC, Some(P384)) => Ok(Self::P384(spki.key.to_vec())),
            (EC, Some(P521)) => Self::p521(spki.key).ok_or(PublicKeyError::Der),
            (RSA | RSA_PSS, _) => {
                let (modulus, exponent) = der::rsa(spki.key).ok_or(PublicKeyError::Der)?;
                Ok(Self::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
            }
            _ => Err(PublicKeyError::Kind),
        }
    }

    pub(super) fn from_jwk(jwk: &Jwk) -> Result<Self, PublicKeyError> {
        let bytes = |text: &Option<String>| {
            let text = text.as_deref().ok_or(PublicKeyError::Jwk)?;
            URL_SAFE.decode(text).map_err(|_| PublicKeyError::Jwk)
        };
        let point = |size| Ok([&[4][..], &exactly(size, bytes(&jwk.x)?)?, &exactly(size, bytes(&jwk.y)?)?].concat());
        match (&jwk.kty[..], jwk.crv.as_deref()) {
            ("EC", Some("P-256")) => point(32).map(Self::P256),
            ("EC", Some("P-384")) => point(48).map(Self::P384),
            ("EC", Some("P-521")) => Self::p521(&point(66)?).ok_or(PublicKeyError::Jwk),
            ("OKP", Some("Ed25519")) => exactly(32, bytes(&jwk.x)?).map(Self::Ed25519),
            ("RSA", _) => {
                let (modulus, exponent) = (bytes(&jwk.n)?, bytes(&jwk.e)?);
                let number = |bytes: Vec<u8>| der::without_zeros(&bytes).to_vec();
                Ok(Self::Rsa { modulus: number(modulus), exponent: number(exponent) })
            }
            _ => Err(PublicKeyError::Kind),
        }
    }

    fn p521(point: &[u8]) -> Option<Self> {
        VerifyingKey::from_sec1_bytes(point).ok().map(|key| Self::P521(Box::new(key)))
    }

    /// Whether the holder of the key signed the message so. A key of another kind did not.
    pub(super) fn verify(&self, algorithm: PublicAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use PublicAlgorithm as By;
        let point = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (self, algorithm) {
            (Self::Ed25519(key), By::Ed25519) => point(&ring_signature::ED25519, key),
            (Self::P256(key), By::EcdsaP256Sha256) => point(&ring_signature::ECDSA_P256_SHA256_ASN1, key),
            (Self::P256(key), By::EcdsaP256Sha256Fixed) => point(&ring_signature::ECDSA_P256_SHA256_FIXED, key),
            (Self::P384(key), By::EcdsaP384Sha384Fixed) => point(&ring_signature::ECDSA_P384_SHA384_FIXED, key),
            (Self::P521(key), By::EcdsaP521Sha512Fixed) => {
                Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            (Self::Rsa { modulus: n, exponent: e }, algorithm) => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }),
            _ => false,
        }
    }
}

fn rsa(algorithm: PublicAlgorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        PublicAlgorithm::RsaPkcs1Sha1 => Some(&ring_signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
        PublicAlgorithm::RsaPkcs1Sha256 => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
        PublicAlgorithm::RsaPkcs1Sha512 => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
        PublicAlgorithm::RsaPssSha512 => Some(&ring_signature::RSA_PSS_2048_8192_SHA512),
        PublicAlgorithm::Ed25519
        | PublicAlgorithm::EcdsaP256Sha256
        | PublicAlgorithm::EcdsaP256Sha256Fixed
        | PublicAlgorithm::EcdsaP384Sha384Fixed
        | PublicAlgorithm::EcdsaP521Sha512Fixed => None,
    }
}

fn exactly(size: usize, bytes: Vec<u8>) -> Result<Vec<u8>, PublicKeyError> {
    if bytes.len() == size { Ok(bytes) } else { Err(PublicKeyError::Jwk) }
}
