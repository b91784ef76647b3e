//! A sender's public key, however it is written, and what it proves.

use base64::engine::{Engine as _, general_purpose::STANDARD};
use p521::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::{
    hmac::decode_secret,
    scheme::{Algorithm, KeyEncoding, KeyField},
};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// Bytes of an Ed25519 key; libraries that speak of a "secret key" put the seed, of the same length, before it.
const ED25519_LEN: usize = 32;
/// Bytes of an uncompressed point on P-256: `04`, x, y.
const P256_LEN: usize = 65;
const P384_LEN: usize = 97;

/// A public key of a kind that we can check signatures with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Ed25519(Vec<u8>),
    /// The point, uncompressed (SEC 1, 2.3.3).
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Box<VerifyingKey>),
    Secp256k1(Box<k256::ecdsa::VerifyingKey>),
    /// `RSAPublicKey` in DER (RFC 8017, A.1.1).
    Rsa(Vec<u8>),
}

/// The curves of ECDSA, each with a hash of its own (RFC 7518 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

/// Why a text is no public key that we can use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PublicKeyError {
    #[error("the public key is not {encoding}, and not PEM either")]
    Encoding { encoding: &'static str },
    #[error(
        "the PEM has no `BEGIN PUBLIC KEY`, `BEGIN RSA PUBLIC KEY` or `BEGIN CERTIFICATE` with its `END`"
    )]
    Pem,
    #[error("the PEM holds a private key; only the public one belongs here")]
    Private,
    #[error("the certificate cannot be read")]
    Certificate,
    #[error("neither the bytes of an Ed25519 or P-256 key nor a SubjectPublicKeyInfo in DER")]
    Malformed,
    #[error(
        "keys of kind {kind} are not supported; Ed25519, ECDSA on P-256, P-384, P-521 and secp256k1, and RSA are"
    )]
    Kind { kind: String },
}

impl PublicKey {
    /// Reads PEM, or else the scheme's own form: a raw key or a SubjectPublicKeyInfo, in hex or base64.
    ///
    /// # Errors
    /// What the text is not.
    pub(super) fn from_text(field: &KeyField, text: &[u8]) -> Result<Self, PublicKeyError> {
        if let Ok(pem) = std::str::from_utf8(text)
            && pem.contains("-----BEGIN")
        {
            return Self::from_pem(pem);
        }
        // No key is plain text: where the scheme says nothing it is base64.
        let (encoding, name) = match field.encoding {
            KeyEncoding::Hex => (KeyEncoding::Hex, "hex"),
            KeyEncoding::Utf8 | KeyEncoding::Utf8Nfkd | KeyEncoding::Base64 => {
                (KeyEncoding::Base64, "base64")
            }
        };
        let field = KeyField { encoding, ..field.clone() };
        let bytes = decode_secret(&field, text.trim_ascii())
            .map_err(|_| PublicKeyError::Encoding { encoding: name })?;
        Self::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, PublicKeyError> {
        match bytes.len() {
            ED25519_LEN => Ok(Self::Ed25519(bytes.to_vec())),
            len if len == 2 * ED25519_LEN => Ok(Self::Ed25519(bytes[ED25519_LEN..].to_vec())),
            P256_LEN if bytes[0] == 4 => Ok(Self::P256(bytes.to_vec())),
            _ => Self::from_spki(bytes),
        }
    }

    /// Reads the first key or certificate of a PEM text (RFC 7468). A certificate's dates and issuer are not
    /// looked at: whoever gives it vouches for it.
    ///
    /// # Errors
    /// What the text is not.
    pub(super) fn from_pem(text: &str) -> Result<Self, PublicKeyError> {
        let (label, der) = first_section(text).ok_or(PublicKeyError::Pem)?;
        match label {
            "PUBLIC KEY" => Self::from_spki(&der),
            "RSA PUBLIC KEY" => Ok(Self::Rsa(der)),
            "CERTIFICATE" => Self::from_certificate(&der),
            label if label.ends_with("PRIVATE KEY") => Err(PublicKeyError::Private),
            _ => Err(PublicKeyError::Pem),
        }
    }

    /// Takes the key out of a certificate in DER, as [`from_pem`](Self::from_pem) does.
    ///
    /// # Errors
    /// If it is no certificate, or its key is of another kind.
    pub(super) fn from_certificate(der: &[u8]) -> Result<Self, PublicKeyError> {
        let der = CertificateDer::from_slice(der);
        let certificate = ParsedCertificate::try_from(&der).map_err(|_| PublicKeyError::Certificate)?;
        Self::from_spki(&certificate.subject_public_key_info())
    }

    /// Reads a SubjectPublicKeyInfo in DER (RFC 5280, 4.1).
    ///
    /// # Errors
    /// If it is none, or the key is of another kind.
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, PublicKeyError> {
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| PublicKeyError::Malformed)?;
        let key = info.subject_public_key.as_bytes().ok_or(PublicKeyError::Malformed)?.to_vec();
        let kind = info.algorithm.oid;
        match info.algorithm.parameters_oid() {
            Ok(curve) if kind == EC && curve == P256 && key.len() == P256_LEN => Ok(Self::P256(key)),
            Ok(curve) if kind == EC && curve == P384 && key.len() == P384_LEN => Ok(Self::P384(key)),
            Ok(curve) if kind == EC && curve == P521 => Self::p521(&key).ok_or(PublicKeyError::Malformed),
            Ok(curve) if kind == EC && curve == SECP256K1 => Self::secp256k1(&key),
            Ok(curve) if kind == EC => Err(PublicKeyError::Kind { kind: curve.to_string() }),
            _ if kind == ED25519 && key.len() == ED25519_LEN => Ok(Self::Ed25519(key)),
            _ if kind == RSA || kind == RSA_PSS => Ok(Self::Rsa(key)),
            _ => Err(PublicKeyError::Kind { kind: kind.to_string() }),
        }
    }

    /// Takes an uncompressed point on P-521.
    pub(super) fn p521(point: &[u8]) -> Option<Self> {
        VerifyingKey::from_sec1_bytes(point).ok().map(|key| Self::P521(Box::new(key)))
    }

    fn secp256k1(point: &[u8]) -> Result<Self, PublicKeyError> {
        let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(point);
        key.map(|key| Self::Secp256k1(Box::new(key))).map_err(|_| PublicKeyError::Malformed)
    }

    /// Whether the signature is this key's over the message. A key of another kind proves nothing.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if let (Self::Secp256k1(key), Algorithm::EcdsaSecp256k1Sha256) = (self, algorithm) {
            // The other half of the values of `s`, which Bitcoin forbids, is as good here.
            let signature = k256::ecdsa::Signature::from_der(signature);
            return signature.is_ok_and(|signature| key.verify(message, &signature.normalize_s()).is_ok());
        }
        let (Self::Ed25519(bytes) | Self::P256(bytes) | Self::Rsa(bytes)) = self else { return false };
        let how = self.how(algorithm);
        how.is_some_and(|how| UnparsedPublicKey::new(how, bytes).verify(message, signature).is_ok())
    }

    /// As [`verify`](Self::verify), for ECDSA signatures that are `r` and `s` one after the other, as in JSON Web
    /// Signatures and HTTP Message Signatures.
    pub(super) fn verify_fixed(&self, curve: Curve, message: &[u8], sent: &[u8]) -> bool {
        let on = |how, point: &[u8]| UnparsedPublicKey::new(how, point).verify(message, sent).is_ok();
        match (self, curve) {
            (Self::P256(point), Curve::P256) => on(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Self::P384(point), Curve::P384) => on(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Self::P521(key), Curve::P521) => {
                Signature::from_slice(sent).is_ok_and(|signature| key.verify(message, &signature).is_ok())
            }
            _ => false,
        }
    }

    /// SHA-1 and keys of 1024 bits are let through for RSA since providers still use them.
    fn how(&self, algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (self, algorithm) {
            (Self::Ed25519(_), Algorithm::Ed25519) => &signature::ED25519,
            (Self::P256(_), Algorithm::EcdsaP256Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Self::Rsa(_), Algorithm::RsaPkcs1Sha1) => {
                &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
            }
            (Self::Rsa(_), Algorithm::RsaPkcs1Sha256) => {
                &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
            }
            (Self::Rsa(_), Algorithm::RsaPkcs1Sha512) => {
                &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
            }
            (Self::Rsa(_), Algorithm::RsaPssSha512) => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }
}

/// The label and the bytes of the first section.
fn first_section(pem: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (base64, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let base64: String = base64.split_whitespace().collect();
    Some((label, STANDARD.decode(base64).ok()?))
}

#[cfg(test)]
mod tests {
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
    };

    use super::*;

    fn ed25519() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn base64() -> KeyField {
        KeyField { encoding: KeyEncoding::Base64, ..KeyField::default() }
    }

    #[test]
    fn a_raw_key_is_read_with_the_seed_before_it_or_without() {
        let pair = ed25519();
        let public = pair.public_key().as_ref();
        let whole = [&[7; 32], public].concat();
        for bytes in [public, &whole] {
            let key = PublicKey::from_text(&base64(), STANDARD.encode(bytes).as_bytes()).unwrap();
            assert_eq!(key, PublicKey::Ed25519(public.to_vec()));
            assert!(key.verify(Algorithm::Ed25519, b"text", pair.sign(b"text").as_ref()));
            assert!(!key.verify(Algorithm::Ed25519, b"test", pair.sign(b"text").as_ref()));
        }
    }

    #[test]
    fn keys_and_certificates_in_pem_are_the_same_key() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["sns.test".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&pair).unwrap();
        let key = PublicKey::from_pem(&pair.public_key_pem()).unwrap();
        assert_eq!(key, PublicKey::P256(pair.public_key_raw().to_vec()));
        assert_eq!(PublicKey::from_pem(&format!("junk\n{}", certificate.pem())), Ok(key.clone()));
        let raw = STANDARD.encode(pair.public_key_raw());
        assert_eq!(PublicKey::from_text(&KeyField::default(), raw.as_bytes()), Ok(key.clone()));

        let (random, pkcs8) = (SystemRandom::new(), pair.serialize_der());
        let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random).unwrap();
        let signature = signer.sign(&random, b"text").unwrap();
        assert!(key.verify(Algorithm::EcdsaP256Sha256, b"text", signature.as_ref()));
        assert!(!key.verify(Algorithm::RsaPkcs1Sha256, b"text", signature.as_ref()));
    }

    /// Key and signatures are OpenSSL's: one with `s` in the lower half of its values, one in the upper.
    #[test]
    fn signatures_on_secp256k1_count_in_both_forms() {
        let key = PublicKey::from_pem(
            "-----BEGIN PUBLIC KEY-----\n\
             MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEOoUEUJfljkUDp4USMfat2fZr0yJZdbTJ\n\
             HhWvBDD2J5i4wIQ67NmhbngX8kyLQagsO1gb74dAMK2iFQzewhPPMQ==\n\
             -----END PUBLIC KEY-----\n",
        )
        .unwrap();
        let text = br#"{"event":{"id":"1"}}"#;
        for signature in [
            "MEQCIBmGQCJkRoVRMysI9k2ZBVivERIPbx52eau+UjsJlhT5AiArdkaJ7bdPZ26rjby0wF8Jl6Ty71btQgEirdqDRY1sXw==",
            "MEUCIDnUcH1t9rcedkEJsFF8BmEq3l9dRbg01AtGYLHhSciZAiEAwKOdiBzhPTd47vloUH7X4Ok8+kiBzx/jwakF3F1dMAc=",
        ] {
            let signature = STANDARD.decode(signature).unwrap();
            assert!(key.verify(Algorithm::EcdsaSecp256k1Sha256, text, &signature));
            assert!(!key.verify(Algorithm::EcdsaSecp256k1Sha256, b"{}", &signature));
            assert!(!key.verify(Algorithm::EcdsaP256Sha256, text, &signature));
        }
    }

    #[test]
    fn what_is_no_public_key_is_named() {
        let private = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (text, expected) in [
            (private.as_str(), PublicKeyError::Private),
            ("-----BEGIN PUBLIC KEY-----\nAA==", PublicKeyError::Pem),
            ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", PublicKeyError::Certificate),
            ("AA==", PublicKeyError::Malformed),
            ("?", PublicKeyError::Encoding { encoding: "base64" }),
            ("", PublicKeyError::Malformed),
        ] {
            assert_eq!(PublicKey::from_text(&base64(), text.as_bytes()), Err(expected), "{text}");
        }
    }
}
