//! Checks a JSON Web Signature (RFC 7515): its algorithm first, its signature, and then what it claims.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderName;
use sha2::{Sha256, Sha384, Sha512};

use self::{claims::Claims, token::Token};
use super::{
    Keyring, Refused, Settings, Witness,
    hmac::decode_key,
    public_key::Curve,
    public_keys::{MadeWith, PublicKeys, Signed},
    reader::Reader,
    scheme::{Algorithm, Detached, Field, JwsAlgorithm, JwsScheme},
    settings::PublicUrl,
    template::Context,
};
use crate::{clock::Timestamp, config::Secret};

pub(super) use self::object::Object;

mod claims;
mod object;
mod token;

pub(super) struct JwsCheck {
    scheme: JwsScheme,
    /// Each with its index in the config and the key made of it.
    secrets: Vec<(usize, Secret, Vec<u8>)>,
    keys: PublicKeys,
    url: Option<PublicUrl>,
}

/// What a token proves.
pub(super) struct Proven {
    /// The index of the secret or public key in the config.
    pub(super) matched: Option<usize>,
    pub(super) claims: Object,
}

impl JwsCheck {
    pub(super) fn new(scheme: &JwsScheme, settings: &Settings, keyring: &Arc<Keyring>) -> Self {
        let secrets = settings.secrets.iter().enumerate().filter_map(|(index, secret)| {
            let key = decode_key(&scheme.key, secret.expose()).ok()?;
            (!key.is_empty()).then(|| (index, secret.clone(), key))
        });
        let secrets = secrets.collect();
        let keys = PublicKeys::new(settings, scheme.keys.as_ref(), keyring);
        Self { scheme: scheme.clone(), secrets, keys, url: settings.url.clone() }
    }

    /// Waits only for keys that have to be fetched.
    ///
    /// # Errors
    /// Which check failed.
    pub(super) async fn check(
        &self,
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<Proven, Refused> {
        let missing = || Refused::TokenMissing { field: self.scheme.from.to_string() };
        let sent = reader.read(&self.scheme.from)?.filter(|text| !text.is_empty()).ok_or_else(missing)?;
        let token = Token::read(self.without_prefix(&sent)?).ok_or_else(|| self.malformed())?;
        let algorithm = self.algorithm(&token)?;
        witness.saw("token", || format!("{} bytes, signed with {algorithm:?}", sent.len()));
        let message = match &self.scheme.detached {
            Some(detached) if token.is_detached() => token.signed_with(&payload(detached, &token, reader)?),
            Some(_) => return Err(self.malformed()),
            None => token.signed(),
        };
        let matched = self.prove(algorithm, &token, &message, reader, now, witness).await?;
        witness.saw("signature", || "matches".to_owned());
        if self.scheme.detached.is_some() {
            return Ok(Proven { matched, claims: Object::default() });
        }
        let claims = token.claims().ok_or_else(|| self.malformed())?;
        let url = self.url.as_ref().map(|url| url.of(&reader.request.path, reader.request.query.as_deref()));
        Claims { scheme: &self.scheme, claims: &claims }.check(reader, url.as_deref(), now, witness)?;
        Ok(Proven { matched, claims })
    }

    fn without_prefix<'t>(&self, text: &'t str) -> Result<&'t str, Refused> {
        match text.strip_prefix(&self.scheme.prefix) {
            Some(token) => Ok(token),
            None if self.scheme.prefix_optional => Ok(text),
            None => Err(self.malformed()),
        }
    }

    fn malformed(&self) -> Refused {
        Refused::SignatureMalformed { field: self.scheme.from.to_string() }
    }

    /// The token's algorithm, which must be one that counts; `none` is no algorithm to us. What the token holds
    /// critical (RFC 7515 §4.1.11) we do not know.
    fn algorithm(&self, token: &Token<'_>) -> Result<JwsAlgorithm, Refused> {
        let algorithm = token.algorithm().filter(|algorithm| self.scheme.algs.contains(algorithm));
        let algorithm =
            algorithm.ok_or_else(|| Refused::AlgorithmUnknown { field: self.scheme.from.to_string() })?;
        if token.header.get("crit").is_some() { Err(self.malformed()) } else { Ok(algorithm) }
    }

    async fn prove(
        &self,
        algorithm: JwsAlgorithm,
        token: &Token<'_>,
        message: &[u8],
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<Option<usize>, Refused> {
        let Some(made_with) = public(algorithm) else {
            return self.prove_keyed(algorithm, message, &token.signature, now).map(Some);
        };
        let key_id = token.header.str("kid");
        let signed = Signed { made_with, key_id, message, signature: &token.signature };
        self.keys.prove(signed, reader, now, witness).await
    }

    fn prove_keyed(
        &self,
        algorithm: JwsAlgorithm,
        message: &[u8],
        signature: &[u8],
        now: Option<Timestamp>,
    ) -> Result<usize, Refused> {
        let mut secrets = self.secrets.iter().filter(|(_, secret, _)| secret.is_active_at(now)).peekable();
        if secrets.peek().is_none() {
            return Err(Refused::NoActiveSecret);
        }
        let matched = secrets.find(|(.., key)| match algorithm {
            JwsAlgorithm::HS256 => is_tag::<Hmac<Sha256>>(key, message, signature),
            JwsAlgorithm::HS384 => is_tag::<Hmac<Sha384>>(key, message, signature),
            JwsAlgorithm::HS512 => is_tag::<Hmac<Sha512>>(key, message, signature),
            JwsAlgorithm::RS256
            | JwsAlgorithm::RS512
            | JwsAlgorithm::ES256
            | JwsAlgorithm::ES384
            | JwsAlgorithm::ES512 => false,
        });
        matched.map(|(index, ..)| *index).ok_or(Refused::SignatureInvalid)
    }
}

/// Whether a secret can be used.
///
/// # Errors
/// What is wrong with it, without showing it.
pub(super) fn check_secret(scheme: &JwsScheme, secret: &[u8]) -> Result<(), String> {
    match decode_key(&scheme.key, secret) {
        Ok(key) if key.is_empty() => Err("the secret is empty".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The algorithms that public keys prove.
fn public(algorithm: JwsAlgorithm) -> Option<MadeWith> {
    match algorithm {
        JwsAlgorithm::HS256 | JwsAlgorithm::HS384 | JwsAlgorithm::HS512 => None,
        JwsAlgorithm::RS256 => Some(MadeWith::Algorithm(Algorithm::RsaPkcs1Sha256)),
        JwsAlgorithm::RS512 => Some(MadeWith::Algorithm(Algorithm::RsaPkcs1Sha512)),
        JwsAlgorithm::ES256 => Some(MadeWith::Ecdsa(Curve::P256)),
        JwsAlgorithm::ES384 => Some(MadeWith::Ecdsa(Curve::P384)),
        JwsAlgorithm::ES512 => Some(MadeWith::Ecdsa(Curve::P521)),
    }
}

/// Compares in constant time.
pub(super) fn is_tag<M: Mac + KeyInit>(key: &[u8], message: &[u8], tag: &[u8]) -> bool {
    let mac = <M as KeyInit>::new_from_slice(key);
    mac.is_ok_and(|mac| mac.chain_update(message).verify_slice(tag).is_ok())
}

/// The head, a line for every header that the token lists, and the body.
fn payload(detached: &Detached, token: &Token<'_>, reader: &Reader<'_>) -> Result<Vec<u8>, Refused> {
    let mut payload = detached.head.render(reader, Context::default())?.concat();
    let listed = token.header.str(&detached.headers_field).unwrap_or_default();
    for name in listed.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let missing = || Refused::FieldMissing { field: format!("header:{name}") };
        let header = Field::Header(name.parse::<HeaderName>().map_err(|_| missing())?);
        let value = reader.read(&header)?.ok_or_else(missing)?;
        payload.extend([name, ": ", &value, "\n"].concat().into_bytes());
    }
    payload.extend_from_slice(&reader.request.body);
    Ok(payload)
}

#[cfg(test)]
mod tests;
