//! A JSON Web Signature (RFC 7515) and what must be true of its claims (RFC 7519).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Derive, Encoding, KeyField, KeySource};
use crate::verify::{source::Field, template::Template};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwsScheme {
    /// Where it is.
    pub from: Field,
    /// What stands before it, e.g. `Bearer `.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Whether it may come without the prefix.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prefix_optional: bool,
    /// The algorithms that count; any other, `none` above all, is refused whatever the header says.
    pub algs: Vec<JwsAlgorithm>,
    /// How the key is made of the secret, for HS256 and its kin.
    #[serde(default, skip_serializing_if = "KeyField::is_default")]
    pub key: KeyField,
    /// Where the provider publishes its public keys; used where the route gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeySource>,
    /// Claims that must have this value; `{var:NAME}` stands for any of the route's values of that name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Vec<String>>,
    /// Claims that must be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require_claims: Vec<String>,
    /// How old `iat` may be, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// How far our clocks may differ where `exp` and `nbf` are looked at, in seconds.
    #[serde(default)]
    pub leeway: u64,
    /// The claim that binds the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_hash: Option<BodyBinding>,
    /// The claim that binds the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_hash: Option<UrlBinding>,
    /// The payload is not in the token but made from the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached: Option<Detached>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum JwsAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS512,
    ES256,
    ES384,
    ES512,
}

/// The claim that binds the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyBinding {
    /// Its name.
    pub claim: String,
    /// Which hash it is.
    pub hash: Derive,
    /// How its bytes are written as text.
    pub encoding: Encoding,
    /// When it must be there.
    #[serde(default)]
    pub required: Required,
}

/// When a claim must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Required {
    #[default]
    Always,
    /// Exactly when there is a body.
    IfBody,
    /// Where it is missing nothing binds the body but TLS.
    Never,
}

/// The claim that binds the URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UrlBinding {
    /// Its name.
    pub claim: String,
    /// Which hash it is.
    pub hash: Derive,
    /// How its bytes are written as text.
    pub encoding: Encoding,
}

/// A payload made from the request: head, then a line for every header that is listed, then the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Detached {
    /// What it begins with.
    pub head: Template,
    /// The field of the token's header that lists the request's headers.
    pub headers_field: String,
}

impl JwsAlgorithm {
    /// Whether it is a keyed hash, so that whoever can check can also sign.
    pub fn is_keyed(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

impl JwsScheme {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.algs.is_empty() {
            return Err("`algs` is empty: it says which algorithms count".to_owned());
        }
        if self.algs.iter().any(|alg| alg.is_keyed()) && !self.algs.iter().all(|alg| alg.is_keyed()) {
            return Err(
                "`algs` mixes keyed hashes with signatures: a public key would pass for a secret".to_owned()
            );
        }
        Ok(())
    }
}
