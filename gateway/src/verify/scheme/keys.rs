//! Where a provider publishes its public keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verify::source::Field;

/// Where a provider publishes its public keys. Nothing is ever fetched but over HTTPS from the hosts named here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    /// The URL, where it is always the same; `{id}` stands for the key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where the request names the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Field>,
    /// The hosts that may be asked; `*` stands for part of one label, `*.` at the beginning for any labels.
    pub hosts: Vec<String>,
    /// What is found there.
    pub document: KeyDocument,
    /// Where the request names the key's id, where its signature does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Field>,
}

/// What is found at a key's URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyDocument {
    /// A JSON Web Key Set (RFC 7517).
    Jwks,
    /// A certificate in PEM; of a chain the first counts.
    Certificate,
    /// GitHub's list: `public_keys` with `key_identifier` and `key` in PEM.
    GithubKeys,
    /// A key in PEM, or in base64 of its DER form, at this JSON pointer.
    Json { key: String },
}
