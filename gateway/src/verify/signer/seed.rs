//! Private keys for schemes with Ed25519.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::signature::Ed25519KeyPair;

use super::SignError;
use crate::verify::scheme::{Algorithm, AlgorithmField, Family, Scheme};

/// Tools differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// In bytes.
const SEED: usize = 32;

pub(super) fn is_needed(scheme: &Scheme) -> bool {
    match &scheme.family {
        Family::Signature(scheme) => scheme.algorithm == AlgorithmField::One(Algorithm::Ed25519),
        Family::Rfc9421(scheme) => scheme.algorithm == Algorithm::Ed25519,
        Family::Jws(_) | Family::Token(_) | Family::Basic(_) | Family::None {} => false,
    }
}

/// The key pair of a private key: 32 bytes, or 64 of which the second half is the public key; in hex, or in base64 behind
/// `whsk_` (Standard Webhooks).
pub(super) fn key_pair(secret: &[u8]) -> Result<Ed25519KeyPair, SignError> {
    let unusable =
        || SignError::Secret("an Ed25519 private key is 32 bytes, in hex or behind `whsk_`".to_owned());
    let bytes = match secret.strip_prefix(b"whsk_") {
        Some(text) => BASE64.decode(text).ok(),
        None => hex::decode(secret).ok(),
    };
    let bytes = bytes.ok_or_else(unusable)?;
    let pair = match bytes.split_at_checked(SEED) {
        Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
        Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
        None => return Err(unusable()),
    };
    pair.map_err(|_| unusable())
}
