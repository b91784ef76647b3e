//! HTTP Message Signatures (RFC 9421).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Algorithm;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSignatureScheme {
    /// The algorithm that counts, whatever the signature's own parameters say. A keyed hash's secret is base64.
    pub algorithm: Algorithm,
    /// Components that the signature must cover, e.g. `@method` or `content-digest`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// How old `created` may be, in seconds; 300 by default.
    #[serde(default = "max_age")]
    pub max_age: u64,
}

impl HttpSignatureScheme {
    pub(super) fn check(&self) -> Result<(), String> {
        match self.algorithm {
            Algorithm::HmacSha256
            | Algorithm::Ed25519
            | Algorithm::EcdsaP256Sha256
            | Algorithm::RsaPssSha512
            | Algorithm::RsaPkcs1Sha256 => Ok(()),
            other => Err(format!("RFC 9421 knows no signatures with {other:?}")),
        }
    }
}

fn max_age() -> u64 {
    300
}
