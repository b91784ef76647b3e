//! A hash or a signature over a text made from the request.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::KeySource;
use crate::verify::{
    parse::SignatureField,
    pointer::Pointer,
    source::{Field, TimestampSource},
    template::{Coverage, Template},
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureScheme {
    /// What the signature is made with.
    pub algorithm: AlgorithmField,
    /// Where the signature is and how it is written.
    pub signature: SignatureField,
    /// How the signature's bytes are written as text.
    #[serde(default)]
    pub encoding: Encoding,
    /// The text that is signed, e.g. `{timestamp}.{body}`; of several any may match.
    pub signed: Templates,
    /// How the key is made of the secret; by default it is the secret's bytes.
    #[serde(default, skip_serializing_if = "KeyField::is_default")]
    pub key: KeyField,
    /// Where the provider publishes its public keys; used where the route gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeySource>,
    /// Where the time of signing is and how far it may be from ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<TimestampField>,
    /// What else must be so, such as a version that is the known one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Requirement>,
    /// A hash of the body that the signed text covers instead of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_hash: Option<BodyHash>,
    /// How the provider may have written our URL.
    #[serde(default, skip_serializing_if = "UrlVariants::is_exact")]
    pub url_variants: UrlVariants,
    /// `false` says that the text does not cover the body, which then only TLS protects.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub signs_body: bool,
    /// The list whose every item carries a signature of its own; `*` in a pointer is the item's index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Pointer>,
}

/// One algorithm, or one for every value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AlgorithmField {
    One(Algorithm),
    ByField {
        /// The place whose value names the algorithm.
        from: Field,
        /// What the field's value stands for where it is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
        /// The algorithm that each value stands for; any other value is refused.
        map: BTreeMap<String, Algorithm>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Only for providers that offer nothing better.
    HmacMd5,
    HmacSha1,
    HmacSha256,
    HmacSha512,
    /// A plain hash; the secret is part of the text.
    HashMd5,
    HashSha1,
    HashSha256,
    Ed25519,
    /// DER.
    EcdsaP256Sha256,
    /// DER.
    EcdsaSecp256k1Sha256,
    RsaPkcs1Sha1,
    RsaPkcs1Sha256,
    RsaPkcs1Sha512,
    RsaPssSha512,
}

/// One template or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Templates {
    One(Template),
    Many(Vec<Template>),
}

/// How a signature's bytes are written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// In either case.
    #[default]
    Hex,
    /// With padding, in the one canonical form.
    Base64,
    /// The URL-safe alphabet, with or without padding.
    Base64url,
}

/// How the key is made of the secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyField {
    /// What the secret's text stands for.
    pub encoding: KeyEncoding,
    /// The first of these that the secret begins with is cut off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strip_prefix: Vec<String>,
    /// What is put behind the decoded secret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub suffix: String,
    /// The hash of the secret is the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derive: Option<Derive>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyEncoding {
    /// The secret's bytes as they are.
    #[default]
    Utf8,
    /// The secret's text in Unicode's normal form KD.
    Utf8Nfkd,
    Hex,
    Base64,
}

/// A hash, as part of a scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Derive {
    Sha1,
    Sha256,
    Sha512,
}

/// Where the time of signing is and how far it may be from ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimestampField {
    /// A place such as `header:NAME`, or `sig:NAME` for a field of the signature.
    pub from: TimestampSource,
    /// How it is written.
    #[serde(default)]
    pub unit: TimestampUnit,
    /// How old it may be, in seconds, or `"unlimited"`; 300 by default.
    #[serde(default)]
    pub past: Tolerance,
    /// How far ahead of our clock it may be; the same as `past` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub future: Option<Tolerance>,
    /// Whether a request without it is let in. Only where it is part of the signed text or of no use to a forger.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TimestampUnit {
    /// Seconds since the Unix epoch.
    #[default]
    S,
    /// Milliseconds since the Unix epoch.
    Ms,
    /// RFC 3339, with `Z` or an offset.
    Iso8601,
}

/// A number of seconds, or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Tolerance {
    Seconds(u64),
    Unlimited(Unlimited),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unlimited {
    Unlimited,
}

/// Something that must be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The place whose value is looked at.
    pub from: Field,
    /// The value must be one of these; `{var:NAME}` stands for the route's values of that name.
    pub one_of: Vec<String>,
    /// Whether a missing value is as good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A hash of the body that the signed text covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyHash {
    /// Where it is.
    pub from: Field,
    /// Which hash it is.
    pub hash: Derive,
    /// How its bytes are written as text.
    pub encoding: Encoding,
}

/// How the provider may have written our URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UrlVariants {
    /// As the route has it.
    #[default]
    Exact,
    /// With the port or without.
    Twilio,
}

impl SignatureScheme {
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_timestamp()?;
        self.check_headers()?;
        self.check_algorithm()?;
        if self.signed.iter().any(Template::signs) {
            return Err("`signed` uses `{sign:…}`, which only answers can".to_owned());
        }
        if self.signs_body && self.body_hash.is_none() && self.coverage() == Coverage::None {
            let what = "`signed` covers no `{body}`: anybody could change what it says";
            return Err(format!("{what}; if that is how the provider does it, write `signs_body = false`"));
        }
        Ok(())
    }

    fn check_timestamp(&self) -> Result<(), String> {
        if self.signed.iter().any(Template::uses_timestamp) && self.timestamp.is_none() {
            return Err("`signed` uses `{timestamp}`, so `timestamp` must say where it is".to_owned());
        }
        if let Some(TimestampField { from: TimestampSource::Signature(name), .. }) = &self.timestamp
            && !self.signature.parse.has_field(name)
        {
            return Err(format!("`sig:{name}` needs a signature of named fields: `parse = \"kv\"`"));
        }
        Ok(())
    }

    /// `{signed_headers}` are named by the signature's field `h`.
    fn check_headers(&self) -> Result<(), String> {
        if self.signed.iter().any(Template::uses_signed_headers) && !self.signature.parse.has_field("h") {
            return Err("`{signed_headers}` needs a signature of named fields: `parse = \"kv\"`".to_owned());
        }
        Ok(())
    }

    fn check_algorithm(&self) -> Result<(), String> {
        let all = || self.algorithm.all();
        if all().next().is_none() {
            return Err("`algorithm` has an empty `map`: it says which algorithms count".to_owned());
        }
        if all().any(Algorithm::is_asymmetric) && !all().all(Algorithm::is_asymmetric) {
            let what = "`algorithm` mixes keyed hashes with signatures";
            return Err(format!("{what}: a public key would pass for a secret"));
        }
        if all().any(Algorithm::is_plain) && !self.signed.iter().all(Template::uses_secret) {
            return Err("`signed` must hold `{secret}`: anybody can make a plain hash without one".to_owned());
        }
        if all().any(Algorithm::is_asymmetric) && self.signed.iter().any(Template::uses_secret) {
            return Err("`signed` uses `{secret}`, but the scheme has public keys only".to_owned());
        }
        Ok(())
    }

    /// The bodies that are covered whichever template matches.
    pub(in crate::verify) fn coverage(&self) -> Coverage {
        self.signed.iter().map(Template::coverage).min().unwrap_or(Coverage::None)
    }
}

fn yes() -> bool {
    true
}

impl AlgorithmField {
    /// Every algorithm that counts.
    pub fn all(&self) -> impl Iterator<Item = Algorithm> {
        let (one, map) = match self {
            Self::One(one) => (Some(*one), None),
            Self::ByField { map, .. } => (None, Some(map)),
        };
        one.into_iter().chain(map.into_iter().flat_map(BTreeMap::values).copied())
    }

    /// Whether public keys prove the signature.
    pub fn is_asymmetric(&self) -> bool {
        self.all().any(Algorithm::is_asymmetric)
    }
}

impl Algorithm {
    /// Whether it is a hash without a key.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::HashMd5 | Self::HashSha1 | Self::HashSha256)
    }

    /// Whether public keys prove the signature.
    pub fn is_asymmetric(self) -> bool {
        match self {
            Self::HmacMd5
            | Self::HmacSha1
            | Self::HmacSha256
            | Self::HmacSha512
            | Self::HashMd5
            | Self::HashSha1
            | Self::HashSha256 => false,
            Self::Ed25519
            | Self::EcdsaP256Sha256
            | Self::EcdsaSecp256k1Sha256
            | Self::RsaPkcs1Sha1
            | Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha512
            | Self::RsaPssSha512 => true,
        }
    }
}

impl Templates {
    pub fn iter(&self) -> impl Iterator<Item = &Template> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::Many(many) => many.iter(),
        }
    }
}

impl Default for Tolerance {
    /// Five minutes: what Standard Webhooks and most providers say.
    fn default() -> Self {
        Self::Seconds(300)
    }
}

impl KeyField {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl UrlVariants {
    fn is_exact(&self) -> bool {
        *self == Self::Exact
    }
}
