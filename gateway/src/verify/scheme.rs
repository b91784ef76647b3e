//! A scheme as data: where a provider puts its proof and what it is made of. `presets.toml` holds the known
//! ones; a config can write out its own. Reading one checks it, so nothing is parsed per request.

use std::{collections::BTreeMap, sync::Arc, sync::LazyLock};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::hmac::Key;
pub use super::{
    parse::{Parse, SignatureField},
    source::{Detail, Details, Field, Fields, TimestampSource},
    template::Template,
};

/// How a provider proves that a request is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "family", rename_all = "kebab-case")]
pub enum Scheme {
    /// A keyed hash over the request.
    Signature(SignatureScheme),
    /// The secret itself, sent along.
    Token(TokenScheme),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureScheme {
    /// What the signature is made with.
    pub algorithm: Algorithm,
    /// Where the signature is and how it is written.
    pub signature: SignatureField,
    /// How the signature's bytes are written as text.
    #[serde(default)]
    pub encoding: Encoding,
    /// The text that is signed, e.g. `{timestamp}.{body}`.
    pub signed: Template,
    /// How the key is made of the secret; by default it is the secret's bytes.
    #[serde(default, skip_serializing_if = "KeyField::is_default")]
    pub key: KeyField,
    /// Where the time of signing is and how far it may be from ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<TimestampField>,
    /// Where the delivery id is; of several the first that is present counts.
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub id: Details,
    /// Where the event type is; of several the first that is present counts.
    #[serde(default, rename = "type", skip_serializing_if = "Details::is_empty")]
    pub event_type: Details,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenScheme {
    /// Where the token is.
    pub from: Field,
    /// What stands before it, e.g. `Bearer `.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Where the delivery id is; of several the first that is present counts.
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub id: Details,
    /// Where the event type is; of several the first that is present counts.
    #[serde(default, rename = "type", skip_serializing_if = "Details::is_empty")]
    pub event_type: Details,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    HmacSha1,
    HmacSha256,
    HmacSha512,
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
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyEncoding {
    /// The secret's bytes as they are.
    #[default]
    Utf8,
    Hex,
    Base64,
}

/// Where the time of signing is and how far it may be from ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimestampField {
    /// `header:NAME`, `query:NAME`, or `sig:NAME` for a field of the signature.
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

/// The presets, read once.
static PRESETS: LazyLock<BTreeMap<String, Arc<Scheme>>> = LazyLock::new(|| {
    toml::from_str(include_str!("presets.toml")).expect("presets.toml is part of the binary and tested")
});

/// The scheme of a known provider.
pub fn preset(name: &str) -> Option<Arc<Scheme>> {
    PRESETS.get(name).cloned()
}

/// The names that [`preset`] knows, in alphabetical order.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.keys().map(String::as_str)
}

impl Scheme {
    /// Whether a secret can be used with this scheme.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn check_secret(&self, secret: &[u8]) -> Result<(), String> {
        match self {
            Self::Signature(scheme) => Key::new(scheme, secret).map(drop).map_err(|e| e.to_string()),
            Self::Token(_) if secret.is_empty() => Err("the secret is empty".to_owned()),
            Self::Token(_) => Ok(()),
        }
    }
}

/// Reads the fields one by one, then checks what only shows in their combination.
impl<'de> Deserialize<'de> for Scheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(tag = "family", rename_all = "kebab-case")]
        enum Unchecked {
            Signature(SignatureScheme),
            Token(TokenScheme),
        }

        Ok(match Unchecked::deserialize(deserializer)? {
            Unchecked::Signature(scheme) => {
                scheme.check().map_err(serde::de::Error::custom)?;
                Self::Signature(scheme)
            }
            Unchecked::Token(scheme) => Self::Token(scheme),
        })
    }
}

impl SignatureScheme {
    fn check(&self) -> Result<(), String> {
        if self.signed.uses_timestamp() && self.timestamp.is_none() {
            return Err("`signed` uses `{timestamp}`, so `timestamp` must say where it is".to_owned());
        }
        if let Some(TimestampField { from: TimestampSource::Signature(name), .. }) = &self.timestamp
            && !self.signature.parse.has_field(name)
        {
            return Err(format!("`sig:{name}` needs a signature of named fields: `parse = \"kv\"`"));
        }
        Ok(())
    }
}

impl Default for Tolerance {
    /// Five minutes: what Standard Webhooks and most providers say.
    fn default() -> Self {
        Self::Seconds(300)
    }
}

impl KeyField {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Scheme, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn every_shipped_preset_is_read() {
        let names: Vec<_> = preset_names().collect();
        assert_eq!(names, ["github", "gitlab", "shopify", "slack", "standard-webhooks", "stripe", "svix"]);
        assert!(preset("acme").is_none());
    }

    #[test]
    fn schemes_survive_being_written_out() {
        for name in preset_names() {
            let scheme = preset(name).unwrap();
            let json = serde_json::to_string(&*scheme).unwrap();
            assert_eq!(serde_json::from_str::<Scheme>(&json).unwrap(), *scheme, "{name}");
        }
    }

    #[test]
    fn the_schema_describes_every_key_and_allows_no_other() {
        let schema = schemars::schema_for!(Scheme).to_value();
        let defs = schema["$defs"].as_object().unwrap().values();
        let mut objects = 0;
        for object in schema["oneOf"].as_array().unwrap().iter().chain(defs) {
            let Some(keys) = object["properties"].as_object() else { continue };
            assert_eq!(object["additionalProperties"], false, "{object}");
            for (key, value) in keys {
                assert!(key == "family" || value["description"].is_string(), "{key} is not described");
            }
            objects += 1;
        }
        assert_eq!(objects, 5);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = read("family = \"token\"\nfrom = \"header:X-T\"\nprefiks = \"Bearer \"").unwrap_err();
        assert!(error.contains("unknown field `prefiks`"), "{error}");
    }

    #[test]
    fn mistakes_that_show_only_together_are_refused() {
        let text = r#"
            family = "signature"
            algorithm = "hmac-sha256"
            signature = { from = "header:X-Sig" }
            signed = "{timestamp}.{body}"
        "#;
        assert!(read(text).unwrap_err().contains("`timestamp` must say where"));
        let text = format!("{text}\ntimestamp = {{ from = \"sig:t\" }}");
        assert!(read(&text).unwrap_err().contains("`sig:t` needs a signature of named fields"));
    }

    #[test]
    fn unusable_secrets_are_named_without_being_shown() {
        let standard = preset("standard-webhooks").unwrap();
        let error = standard.check_secret(b"whsec_***").unwrap_err();
        assert!(error.contains("base64"), "{error}");
        assert!(!error.contains("***"), "{error}");
        assert!(standard.check_secret(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
        for name in preset_names() {
            assert!(preset(name).unwrap().check_secret(b"").is_err(), "{name}");
        }
    }

    #[test]
    fn a_tolerance_is_seconds_or_unlimited() {
        let field = |text: &str| toml::from_str::<TimestampField>(text).map(|f| f.past);
        let from = "from = \"header:X-T\"\n";
        assert_eq!(field(from).unwrap(), Tolerance::Seconds(300));
        assert_eq!(field(&format!("{from}past = 5")).unwrap(), Tolerance::Seconds(5));
        let unlimited = field(&format!("{from}past = \"unlimited\"")).unwrap();
        assert_eq!(unlimited, Tolerance::Unlimited(Unlimited::Unlimited));
        assert!(field(&format!("{from}past = \"long\"")).is_err());
    }
}
