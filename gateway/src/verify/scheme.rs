//! A scheme as data: where a provider puts its proof, what it is made of, what it asks before and expects after.
//! `presets.toml` holds the known ones; a config can write out its own. Reading one checks it, so nothing is
//! parsed per request.

use std::collections::BTreeMap;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};

pub use self::{
    handshake::{Answer, Condition, Confirm, Demand, Handshake, Learn},
    http_signature::HttpSignatureScheme,
    jws::{BodyBinding, Detached, JwsAlgorithm, JwsScheme, Required, UrlBinding},
    keys::{KeyDocument, KeySource},
    respond::Respond,
    signature::{
        Algorithm, AlgorithmField, BodyHash, Derive, Encoding, KeyEncoding, KeyField, Requirement,
        SignatureScheme, Templates, TimestampField, TimestampUnit, Tolerance, Unlimited, UrlVariants,
    },
    token::{BasicScheme, TokenScheme},
};
use super::{hmac::Key, public_key::PublicKey};
pub use super::{
    parse::{Parse, SignatureField},
    preset::{Preset, preset, preset_names, presets},
    source::{Field, Fields, TimestampSource},
    template::Template,
};

mod handshake;

mod http_signature;

mod jws;

mod keys;

mod respond;

mod signature;

mod token;

/// All that Sluice knows about one way of sending webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scheme {
    #[serde(flatten)]
    pub family: Family,
    #[serde(flatten)]
    pub common: Common,
}

/// How a provider proves that a request is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "family", rename_all = "kebab-case")]
pub enum Family {
    /// A hash or a signature over a text made from the request.
    Signature(Box<SignatureScheme>),
    /// A JSON Web Signature, which may bind the body by a hash in its claims.
    Jws(Box<JwsScheme>),
    /// The secret itself, sent along.
    Token(TokenScheme),
    /// `authorization: Basic`, user and password.
    Basic(BasicScheme),
    /// HTTP Message Signatures (RFC 9421).
    Rfc9421(HttpSignatureScheme),
    /// Nothing at all: the provider does not prove its requests.
    None {},
}

/// What a scheme says beside how the proof is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Common {
    /// Where the delivery id is; of several the first that is present counts.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub id: Fields,
    /// Where the event type is; of several the first that is present counts.
    #[serde(rename = "type", skip_serializing_if = "Fields::is_empty")]
    pub event_type: Fields,
    /// Requests that are answered at once instead of becoming events; the first that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub handshake: Vec<Handshake>,
    /// What the provider wants to be answered.
    #[serde(skip_serializing_if = "Respond::is_default")]
    pub respond: Respond,
    /// Values that the scheme needs beside secrets, each with what it is; a route gives them as `vars`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, Var>,
}

/// A value that a scheme needs beside secrets, such as PayPal's webhook id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Var {
    /// What it is and where the operator finds it.
    pub about: String,
    /// Whether requests can be proven without it.
    #[serde(default)]
    pub optional: bool,
    /// What it is where the route does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default: Vec<String>,
}

/// What an operator has to give a route for its requests to be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    Secrets,
    /// Secrets, which the provider may also hand us itself.
    LearnedSecrets,
    PublicKeys,
    /// Nothing, since the provider publishes its keys; public keys given take their place.
    PublishedKeys,
}

/// Reads the keys of the family and those of all, then checks what only shows in their combination.
impl<'de> Deserialize<'de> for Scheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = BTreeMap::<String, serde_json::Value>::deserialize(deserializer)?;
        let common = COMMON_KEYS.iter().filter_map(|key| all.remove_entry(*key)).collect();
        let read = || {
            let scheme = Self { family: from_json(all.into_iter().collect())?, common: from_json(common)? };
            scheme.check().map(|()| scheme)
        };
        read().map_err(serde::de::Error::custom)
    }
}

const COMMON_KEYS: [&str; 5] = ["id", "type", "handshake", "respond", "vars"];

fn from_json<T: serde::de::DeserializeOwned>(
    table: serde_json::Map<String, serde_json::Value>,
) -> Result<T, String> {
    T::deserialize(serde_json::Value::Object(table)).map_err(|error| error.to_string())
}

/// Each family's keys, with those of all beside them.
impl JsonSchema for Scheme {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scheme".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let common = generator.root_schema_for::<Common>().to_value();
        let mut family = Family::json_schema(generator);
        let branches = family.get_mut("oneOf").and_then(serde_json::Value::as_array_mut);
        for branch in branches.into_iter().flatten() {
            branch["additionalProperties"] = false.into();
            for (key, value) in common["properties"].as_object().into_iter().flatten() {
                branch["properties"][key] = value.clone();
            }
        }
        family
    }
}

impl Scheme {
    /// Whether a secret can be used with this scheme.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn check_secret(&self, secret: &[u8]) -> Result<(), String> {
        match &self.family {
            Family::Signature(scheme) => Key::new(scheme, secret).map(drop).map_err(|e| e.to_string()),
            Family::Jws(scheme) => super::jws::check_secret(scheme, secret),
            Family::Basic(_) => super::basic::check_secret(secret),
            Family::Rfc9421(_) => super::http_signature::check_secret(secret),
            Family::Token(_) if secret.is_empty() => Err("the secret is empty".to_owned()),
            Family::Token(_) => Ok(()),
            Family::None {} => Err("the provider proves nothing, so no secret is of use".to_owned()),
        }
    }

    /// Whether a public key can be used with this scheme.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_public_key(&self, text: &[u8]) -> Result<(), String> {
        match &self.family {
            Family::Signature(scheme) => {
                PublicKey::from_text(&scheme.key, text).map(drop).map_err(|e| e.to_string())
            }
            Family::Jws(_) | Family::Rfc9421(_) => {
                PublicKey::from_text(&KeyField::default(), text).map(drop).map_err(|e| e.to_string())
            }
            Family::Token(_) | Family::Basic(_) | Family::None {} => Ok(()),
        }
    }

    /// What proves a request.
    pub fn needs(&self) -> Needs {
        match &self.family {
            Family::Signature(scheme) if scheme.algorithm.is_asymmetric() => {
                if scheme.keys.is_some() {
                    Needs::PublishedKeys
                } else {
                    Needs::PublicKeys
                }
            }
            Family::Jws(scheme) if scheme.algs.iter().all(|alg| !alg.is_keyed()) => {
                if scheme.keys.is_some() {
                    Needs::PublishedKeys
                } else {
                    Needs::PublicKeys
                }
            }
            Family::Rfc9421(scheme) if scheme.algorithm.is_asymmetric() => Needs::PublicKeys,
            Family::Signature(_)
            | Family::Jws(_)
            | Family::Token(_)
            | Family::Basic(_)
            | Family::Rfc9421(_) => {
                if self.common.handshake.iter().any(|handshake| handshake.learn.is_some()) {
                    Needs::LearnedSecrets
                } else {
                    Needs::Secrets
                }
            }
            Family::None {} => Needs::Nothing,
        }
    }

    /// Whether whoever has the secret can sign: see [`Signer`](super::Signer).
    pub fn can_be_signed(&self) -> bool {
        super::signer::can_sign(self).is_ok()
    }

    /// Whether our own URL is part of what is signed, so that the config has to say it.
    pub fn signs_url(&self) -> bool {
        match &self.family {
            Family::Signature(scheme) => scheme.signed.iter().any(Template::uses_url),
            Family::Jws(scheme) => scheme.url_hash.is_some(),
            Family::Token(_) | Family::Basic(_) | Family::Rfc9421(_) | Family::None {} => false,
        }
    }

    /// The methods that handshakes come with, whatever the route's own are.
    pub fn handshake_methods(&self) -> impl Iterator<Item = Method> {
        self.common.handshake.iter().map(Handshake::http_method)
    }

    fn check(&self) -> Result<(), String> {
        self.common.respond.check().map_err(|why| format!("`respond`: {why}"))?;
        self.common.handshake.iter().try_for_each(|handshake| handshake.check(&self.family))?;
        match &self.family {
            Family::Signature(scheme) => scheme.check(),
            Family::Jws(scheme) => scheme.check(),
            Family::Rfc9421(scheme) => scheme.check(),
            Family::Token(_) | Family::Basic(_) | Family::None {} => Ok(()),
        }
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
        assert!(preset_names().count() >= 240, "the README speaks of 240");
        assert!(preset("acme").is_none());
    }

    #[test]
    fn schemes_survive_being_written_out() {
        for name in preset_names() {
            let scheme = &preset(name).unwrap().scheme;
            let json = serde_json::to_string(&**scheme).unwrap();
            assert_eq!(serde_json::from_str::<Scheme>(&json).unwrap(), **scheme, "{name}");
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
        assert!(objects >= 20, "{objects}");
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
        let text = text.replace("sig:t", "header:X-T").replace("{timestamp}", "{signed_headers}");
        assert!(read(&text).unwrap_err().contains("`{signed_headers}` needs a signature of named fields"));
    }

    #[test]
    fn algorithms_and_texts_that_prove_nothing_are_refused() {
        let scheme = |algorithm: &str, signed: &str| {
            read(&format!(
                "family = \"signature\"\nalgorithm = {algorithm}\nsignature = {{ from = \"header:X\" }}\n\
                 signed = \"{signed}\""
            ))
            .map(drop)
        };
        let by_field = |map: &str| format!("{{ from = \"header:X-Alg\", map = {{ {map} }} }}");
        for (algorithm, signed, problem) in [
            ("\"hash-sha256\"".to_owned(), "{body}", "must hold `{secret}`"),
            ("\"ed25519\"".to_owned(), "{body}{secret}", "public keys only"),
            (by_field("a = \"hmac-sha256\", b = \"ed25519\""), "{body}", "would pass for a secret"),
            (by_field(""), "{body}", "empty `map`"),
            ("\"hmac-sha256\"".to_owned(), "{body}{sign:query:a}", "only answers can"),
            ("\"hmac-sha256\"".to_owned(), "{url}", "covers no `{body}`"),
        ] {
            let error = scheme(&algorithm, signed).unwrap_err();
            assert!(error.contains(problem), "{algorithm} {signed}: {error}");
        }
        assert_eq!(scheme("\"hash-sha256\"", "{secret}{body}"), Ok(()));
        assert_eq!(scheme(&by_field("a = \"hmac-sha256\", b = \"hmac-sha1\""), "{body}"), Ok(()));
    }

    #[test]
    fn unusable_secrets_are_named_without_being_shown() {
        let standard = &preset("standard-webhooks").unwrap().scheme;
        let error = standard.check_secret(b"whsec_***").unwrap_err();
        assert!(error.contains("base64"), "{error}");
        assert!(!error.contains("***"), "{error}");
        assert!(standard.check_secret(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
        for name in preset_names() {
            assert!(preset(name).unwrap().scheme.check_secret(b"").is_err(), "{name}");
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
