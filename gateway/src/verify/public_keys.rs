//! The public keys that count on a route: those that it gives, or else those that the provider publishes.

use std::sync::Arc;

use super::{
    Keyring, Refused, Settings, Witness,
    keyring::PublishedKey,
    public_key::{Curve, PublicKey},
    reader::Reader,
    scheme::{Algorithm, KeyField, KeySource},
};
use crate::{clock::Timestamp, config::Secret};

pub(super) struct PublicKeys {
    /// Each with its index in the config.
    given: Vec<(usize, Secret, PublicKey)>,
    /// The route's key set, if it gives one.
    set: Option<Vec<PublishedKey>>,
    source: Option<KeySource>,
    keyring: Arc<Keyring>,
}

/// How a signature was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MadeWith {
    Algorithm(Algorithm),
    /// ECDSA on this curve, with `r` and `s` one after the other instead of in DER.
    Ecdsa(Curve),
}

/// A signature to be proven.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) made_with: MadeWith,
    pub(super) key_id: Option<&'a str>,
    pub(super) message: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl PublicKeys {
    /// Keys that cannot be read are left out, with a line in the log: `sluice check` names them.
    pub(super) fn new(settings: &Settings, source: Option<&KeySource>, keyring: &Arc<Keyring>) -> Self {
        let given = settings.public_keys.iter().enumerate().filter_map(|(index, text)| {
            match PublicKey::from_text(&KeyField::default(), text.expose()) {
                Ok(key) => Some((index, text.clone(), key)),
                Err(error) => {
                    tracing::error!(origin = text.origin(), %error, "public key cannot be used");
                    None
                }
            }
        });
        let set = settings.jwks.as_ref().map(|json| {
            PublishedKey::from_jwks(json).unwrap_or_else(|error| {
                tracing::error!(%error, "the route's JSON Web Key Set cannot be used");
                Vec::new()
            })
        });
        let given: Vec<_> = given.collect();
        Self { given, set, source: source.cloned(), keyring: keyring.clone() }
    }

    /// Proves a signature; the index of the public key that did, where the config lists it.
    ///
    /// # Errors
    /// [`Refused::SignatureInvalid`]; what stands in the way of finding a key.
    pub(super) async fn prove(
        &self,
        signed: Signed<'_>,
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<Option<usize>, Refused> {
        // Keys that the route gives and that have run out do not let others in.
        if self.set.is_none() && self.given.is_empty() {
            return self.prove_published(signed, reader, now, witness).await;
        }
        witness.saw("keys", || "those that the route gives".to_owned());
        self.prove_given(signed, now)
    }

    fn prove_given(&self, signed: Signed<'_>, now: Option<Timestamp>) -> Result<Option<usize>, Refused> {
        let mut given = self.given.iter().filter(|(_, text, _)| text.is_active_at(now)).peekable();
        let set = self.set.as_deref().unwrap_or_default();
        let mut fitting = set.iter().filter(|key| key.answers_to(signed.key_id)).peekable();
        match (given.peek(), fitting.peek()) {
            (None, None) if self.set.is_none() => return Err(Refused::NoActiveSecret),
            (None, None) => return Err(Refused::key_unknown(signed.key_id)),
            _ => {}
        }
        if let Some((index, ..)) = given.find(|(_, _, key)| signed.is_by(key)) {
            return Ok(Some(*index));
        }
        match fitting.any(|key| signed.is_by(&key.key)) {
            true => Ok(None),
            false => Err(Refused::SignatureInvalid),
        }
    }

    async fn prove_published(
        &self,
        signed: Signed<'_>,
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<Option<usize>, Refused> {
        let source = self.source.as_ref().ok_or(Refused::NoActiveSecret)?;
        let keys = self.keyring.keys(source, reader, signed.key_id, now).await?;
        witness.saw("keys", || format!("{} that the provider publishes", keys.len()));
        match keys.iter().any(|key| signed.is_by(&key.key)) {
            true => Ok(None),
            false => Err(Refused::SignatureInvalid),
        }
    }
}

impl Signed<'_> {
    fn is_by(&self, key: &PublicKey) -> bool {
        match self.made_with {
            MadeWith::Algorithm(algorithm) => key.verify(algorithm, self.message, self.signature),
            MadeWith::Ecdsa(curve) => key.verify_fixed(curve, self.message, self.signature),
        }
    }
}
