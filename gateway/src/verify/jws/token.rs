//! The compact form (RFC 7515 §7.1): header, payload and signature, in base64url, with dots between.

use super::object::Object;
use crate::verify::scheme::{Encoding, JwsAlgorithm};

/// A longer one is refused: those of providers have a few hundred bytes.
const MAX_LEN: usize = 16 << 10;

pub(super) struct Token<'t> {
    pub(super) header: Object,
    /// As they were sent.
    encoded_header: &'t str,
    encoded_payload: &'t str,
    pub(super) signature: Vec<u8>,
}

impl<'t> Token<'t> {
    /// `None` if it is not in this form, or its header not an object with every key once.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let mut parts = text.splitn(4, '.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if text.len() > MAX_LEN || parts.next().is_some() {
            return None;
        }
        Some(Self {
            header: serde_json::from_slice(&decode(header)?).ok()?,
            encoded_header: header,
            encoded_payload: payload,
            signature: decode(signature)?,
        })
    }

    /// The header's algorithm, if it is one that we know.
    pub(super) fn algorithm(&self) -> Option<JwsAlgorithm> {
        serde_json::from_value(self.header.get("alg")?.clone()).ok()
    }

    /// What is signed, where the payload is in the token.
    pub(super) fn signed(&self) -> Vec<u8> {
        [self.encoded_header, ".", self.encoded_payload].concat().into_bytes()
    }

    /// What is signed, where the payload is not in the token.
    pub(super) fn signed_with(&self, payload: &[u8]) -> Vec<u8> {
        let payload = Encoding::Base64url.encode(payload);
        [self.encoded_header, ".", payload.trim_end_matches('=')].concat().into_bytes()
    }

    pub(super) fn is_detached(&self) -> bool {
        self.encoded_payload.is_empty()
    }

    /// The payload, if it is an object with every key once.
    pub(super) fn claims(&self) -> Option<Object> {
        serde_json::from_slice(&decode(self.encoded_payload)?).ok()
    }
}

/// Without the blanks that the encoding allows around a signature of a list.
fn decode(text: &str) -> Option<Vec<u8>> {
    Encoding::Base64url.decode(text).filter(|_| !text.contains([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_parts_of_base64url_are_a_token() {
        assert!(Token::read("e30.e30.AA").is_some());
        assert!(Token::read("e30..AA").unwrap().is_detached());
        let long = format!("e30.{}.AA", "A".repeat(MAX_LEN));
        for text in ["", "e30", "e30.e30", "e30.e30.AA.AA", "e30.e30.A+", "W10.e30.AA", " e30.e30.AA", &long]
        {
            assert!(Token::read(text).is_none(), "{text}");
        }
    }
}
