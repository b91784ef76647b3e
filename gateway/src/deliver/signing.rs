//! Signs what is delivered, as Standard Webhooks v1 says: HMAC-SHA256 over `id.timestamp.body`.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::Sha256;

use crate::{clock::Timestamp, config::Secret};

/// Written with padding; read with or without, because both are about.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `v1,`, 32 bytes in base64, and the space before the next.
const SIGNATURE_LEN: usize = 3 + 44 + 1;

/// A destination's signing secrets, with the keyed HMAC states made once.
pub struct Signer {
    keys: Vec<Key>,
}

struct Key {
    mac: Hmac<Sha256>,
    secret: Secret,
}

impl Signer {
    /// A secret is `whsec_` and base64, or else the raw bytes of the key.
    pub fn new(secrets: &[Secret]) -> Result<Self, SigningError> {
        let keys = secrets.iter().map(Key::new).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// The value of `webhook-signature`: one signature for every secret that is active at `now`, in the order of
    /// the config, separated by spaces. `None` if no secret is active.
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8], now: Timestamp) -> Option<HeaderValue> {
        let mut signatures = String::with_capacity(self.keys.len() * SIGNATURE_LEN);
        for key in self.keys.iter().filter(|key| key.secret.is_active(now)) {
            if !signatures.is_empty() {
                signatures.push(' ');
            }
            signatures.push_str("v1,");
            BASE64.encode_string(key.mac(id, timestamp, body), &mut signatures);
        }
        // Base64, commas and spaces always make a header value.
        HeaderValue::try_from(signatures).ok().filter(|value| !value.is_empty())
    }
}

impl Key {
    fn new(secret: &Secret) -> Result<Self, SigningError> {
        let invalid = || SigningError::InvalidKey { origin: secret.origin().to_owned() };
        let key = match secret.expose().strip_prefix(b"whsec_") {
            Some(encoded) => BASE64
                .decode(encoded)
                .map_err(|source| SigningError::NotBase64 { origin: secret.origin().to_owned(), source })?,
            None => secret.expose().to_vec(),
        };
        if key.is_empty() {
            return Err(invalid());
        }
        let mac = Hmac::new_from_slice(&key).map_err(|_| invalid())?;
        Ok(Self { mac, secret: secret.clone() })
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> impl AsRef<[u8]> + use<> {
        let mut mac = self.mac.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize().into_bytes()
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    #[error("signing secret ({origin}) is not base64 after `whsec_`: copy it whole, or leave the prefix out")]
    NotBase64 { origin: String, source: base64::DecodeError },
    #[error("signing secret ({origin}) is empty: give it at least 24 random bytes")]
    InvalidKey { origin: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_614_265_330_000);

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes(), "inline")
    }

    fn signed(secrets: &[Secret], id: &str, timestamp: &str, body: &str) -> String {
        let signer = Signer::new(secrets).unwrap();
        signer.sign(id, timestamp, body.as_bytes(), NOW).unwrap().to_str().unwrap().to_owned()
    }

    /// From `standard-webhooks:libraries/python/tests/test_webhooks.py`.
    #[test]
    fn published_vector_of_standard_webhooks_is_reproduced() {
        let signature = signed(
            &[secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    /// From `standard-webhooks:libraries/rust/src/lib.rs`.
    #[test]
    fn published_vector_of_the_rust_library_is_reproduced() {
        let signature = signed(
            &[secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")],
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            "1649367553",
            r#"{"email":"test@example.com","username":"test_user"}"#,
        );
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn secret_without_prefix_is_the_key_itself() {
        let raw = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = signed(
            &[Secret::new(raw, "inline")],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_active_secret_signs_in_order() {
        let expired = secret("old").valid_between(None, Some(NOW));
        let (a, b) = (secret("first"), secret("second"));
        let both = signed(&[a.clone(), expired, b.clone()], "id", "1", "body");
        let expected = format!("{} {}", signed(&[a], "id", "1", "body"), signed(&[b], "id", "1", "body"));
        assert_eq!(both, expected);
    }

    #[test]
    fn without_an_active_secret_there_is_no_signature() {
        let later = secret("later").valid_between(Some(NOW + std::time::Duration::from_secs(1)), None);
        assert!(Signer::new(&[later]).unwrap().sign("id", "1", b"body", NOW).is_none());
    }

    #[test]
    fn broken_secrets_are_refused_without_being_shown() {
        let error = Signer::new(&[secret("whsec_not*base64")]).err().unwrap();
        assert!(matches!(error, SigningError::NotBase64 { .. }));
        assert!(!error.to_string().contains("not*base64"));
        assert!(matches!(Signer::new(&[secret("whsec_")]), Err(SigningError::InvalidKey { .. })));
    }
}
