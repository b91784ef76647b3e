//! Checks HTTP Message Signatures (RFC 9421), and the `content-digest` (RFC 9530) by which they cover a body.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::Hmac;
use sfv::{Dictionary, InnerList, ListEntry, Parser};
use sha2::Sha256;

use self::base::Base;
use super::{
    Keyring, Refused, Settings, Witness, jws,
    public_key::Curve,
    public_keys::{MadeWith, PublicKeys, Signed},
    reader::Reader,
    scheme::{Algorithm, HttpSignatureScheme},
    settings::PublicUrl,
};
use crate::{clock::Timestamp, config::Secret};

mod base;
mod digest;

/// How many of the signatures of one request are looked at.
const MAX_SIGNATURES: usize = 8;

pub(super) struct HttpSignatureCheck {
    scheme: HttpSignatureScheme,
    /// Each with its index in the config and the key made of it.
    secrets: Vec<(usize, Secret, Vec<u8>)>,
    keys: PublicKeys,
    url: Option<PublicUrl>,
}

/// One signature, and what it says it covers.
struct Labelled<'s> {
    covered: &'s InnerList,
    signature: &'s [u8],
}

impl HttpSignatureCheck {
    pub(super) fn new(scheme: &HttpSignatureScheme, settings: &Settings, keyring: &Arc<Keyring>) -> Self {
        let secrets = settings.secrets.iter().enumerate().filter_map(|(index, secret)| {
            decode_key(secret.expose()).ok().map(|key| (index, secret.clone(), key))
        });
        let (secrets, keys) = (secrets.collect(), PublicKeys::new(settings, None, keyring));
        Self { scheme: scheme.clone(), secrets, keys, url: settings.url.clone() }
    }

    /// One signature that is right is enough: others may be for others. The index of the secret or public key in the
    /// config.
    ///
    /// # Errors
    /// What is wrong with the last of them.
    pub(super) async fn check(
        &self,
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<Option<usize>, Refused> {
        let covered = dictionary(reader, "signature-input")?;
        let signatures = dictionary(reader, "signature")?;
        let mut refused = Refused::SignatureMalformed { field: "header:signature".to_owned() };
        for (label, covered) in covered.iter().take(MAX_SIGNATURES) {
            let Some((_, ListEntry::Item(signature))) = signatures.iter().find(|(name, _)| *name == label)
            else {
                continue;
            };
            let (ListEntry::InnerList(covered), Some(signature)) =
                (covered, signature.bare_item.as_byte_sequence())
            else {
                continue;
            };
            witness.saw("label", || label.as_str().to_owned());
            match self.check_one(&Labelled { covered, signature }, reader, now, witness).await {
                Ok(matched) => return Ok(matched),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    async fn check_one(
        &self,
        labelled: &Labelled<'_>,
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<Option<usize>, Refused> {
        if labelled.parameter("alg").is_some_and(|said| said != Some(name(self.scheme.algorithm))) {
            return Err(Refused::AlgorithmUnknown { field: "header:signature-input".to_owned() });
        }
        self.check_coverage(labelled, reader)?;
        let base = Base { reader, url: self.url.as_ref() }.of(labelled.covered)?;
        witness.saw("signature base", || String::from_utf8_lossy(&base).into_owned());
        let matched = self.prove(labelled, &base, reader, now, witness).await?;
        witness.saw("signature", || "matches".to_owned());
        let digested = digest::check(reader)?;
        if !(digested && labelled.covers("content-digest")) {
            witness.saw("body", || "the signature does not cover it: only TLS protects it".to_owned());
        }
        // Last, so that "stale" is only ever said of a request that was genuine once.
        now.map_or(Ok(()), |now| self.check_times(labelled, now))?;
        Ok(matched)
    }

    /// A request without a body needs no digest of it.
    fn check_coverage(&self, labelled: &Labelled<'_>, reader: &Reader<'_>) -> Result<(), Refused> {
        let has_digest = reader.request.headers.contains_key(digest::CONTENT_DIGEST);
        let has_body = !reader.request.body.is_empty() || has_digest;
        let is_needed = |component: &&String| has_body || *component != digest::CONTENT_DIGEST;
        let mut needed = self.scheme.components.iter().filter(is_needed);
        match needed.find(|component| !labelled.covers(component)) {
            None => Ok(()),
            Some(component) => Err(Refused::ComponentMissing { component: component.clone() }),
        }
    }

    async fn prove(
        &self,
        labelled: &Labelled<'_>,
        message: &[u8],
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<Option<usize>, Refused> {
        let signature = labelled.signature;
        if let Some(made_with) = public(self.scheme.algorithm) {
            let key_id = labelled.parameter("keyid").flatten();
            return self
                .keys
                .prove(Signed { made_with, key_id, message, signature }, reader, now, witness)
                .await;
        }
        let mut secrets = self.secrets.iter().filter(|(_, secret, _)| secret.is_active_at(now)).peekable();
        if secrets.peek().is_none() {
            return Err(Refused::NoActiveSecret);
        }
        let matched = secrets.find(|(.., key)| jws::is_tag::<Hmac<Sha256>>(key, message, signature));
        matched.map(|(index, ..)| Some(*index)).ok_or(Refused::SignatureInvalid)
    }

    fn check_times(&self, labelled: &Labelled<'_>, now: Timestamp) -> Result<(), Refused> {
        if let Some(expires) = labelled.time("expires")?.filter(|expires| *expires < now) {
            return Err(Refused::Expired { since: now.since(expires).as_secs() });
        }
        let missing = || Refused::TimestampMissing { field: "`created` of the signature".to_owned() };
        let created = labelled.time("created")?.ok_or_else(missing)?;
        let (age, ahead) = (now.since(created).as_millis(), created.since(now).as_millis());
        let tolerance = self.scheme.max_age;
        let limit = u128::from(tolerance) * 1000;
        if age > limit {
            Err(Refused::TimestampStale { age: now.since(created).as_secs(), tolerance })
        } else if ahead > limit {
            Err(Refused::TimestampFuture { ahead: created.since(now).as_secs(), tolerance })
        } else {
            Ok(())
        }
    }
}

impl Labelled<'_> {
    fn covers(&self, component: &str) -> bool {
        let is_it =
            |item: &sfv::Item| item.bare_item.as_string().is_some_and(|name| name.as_str() == component);
        // With a parameter it is only part of the component.
        self.covered.items.iter().any(|item| item.params.is_empty() && is_it(item))
    }

    /// The parameter as text, if it is there; `Some(None)` where it is something else.
    fn parameter(&self, name: &str) -> Option<Option<&str>> {
        let value = self.covered.params.iter().find(|(key, _)| key.as_str() == name);
        value.map(|(_, value)| value.as_string().map(sfv::StringRef::as_str))
    }

    fn time(&self, name: &str) -> Result<Option<Timestamp>, Refused> {
        let value = self.covered.params.iter().find(|(key, _)| key.as_str() == name);
        let Some((_, value)) = value else { return Ok(None) };
        let seconds = value.as_integer().and_then(|seconds| u64::try_from(seconds).ok());
        let malformed = || Refused::TimestampMalformed { field: format!("`{name}` of the signature") };
        seconds.map(|seconds| Some(Timestamp::from_millis(seconds * 1000))).ok_or_else(malformed)
    }
}

/// A header field that is a dictionary (RFC 9651), perhaps on several lines.
fn dictionary(reader: &Reader<'_>, name: &'static str) -> Result<Dictionary, Refused> {
    let field = || format!("header:{name}");
    let joined = base::joined(&reader.request.headers, name)
        .ok_or_else(|| Refused::SignatureMissing { field: field() })?;
    Parser::new(&joined).parse().map_err(|_| Refused::SignatureMalformed { field: field() })
}

/// Whether a secret can be used.
///
/// # Errors
/// What is wrong with it, without showing it.
pub(super) fn check_secret(secret: &[u8]) -> Result<(), String> {
    decode_key(secret).map(drop).map_err(str::to_owned)
}

fn decode_key(secret: &[u8]) -> Result<Vec<u8>, &'static str> {
    match STANDARD.decode(secret) {
        Ok(key) if key.is_empty() => Err("the secret is empty"),
        Ok(key) => Ok(key),
        Err(_) => Err("the secret is not base64"),
    }
}

/// How a signature was made that public keys prove.
fn public(algorithm: Algorithm) -> Option<MadeWith> {
    match algorithm {
        Algorithm::EcdsaP256Sha256 => Some(MadeWith::Ecdsa(Curve::P256)),
        other => other.is_asymmetric().then_some(MadeWith::Algorithm(other)),
    }
}

/// The algorithm's name in RFC 9421 §6.2.2; empty for those that have none there.
pub(super) fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacSha256 => "hmac-sha256",
        Algorithm::Ed25519 => "ed25519",
        Algorithm::EcdsaP256Sha256 => "ecdsa-p256-sha256",
        Algorithm::RsaPssSha512 => "rsa-pss-sha512",
        Algorithm::RsaPkcs1Sha256 => "rsa-v1_5-sha256",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
