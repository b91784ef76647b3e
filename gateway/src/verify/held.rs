//! The keys that a route holds, made ready: what a signature is compared with.

use std::borrow::Cow;

use super::{
    Settings, Witness,
    hmac::{Key, Match, Tag},
    public_key::PublicKey,
    scheme::{Algorithm, Encoding, Parse, SignatureScheme},
};
use crate::{clock::Timestamp, config::Secret};

/// One key.
pub(super) struct Held {
    /// Its place among the route's secrets or public keys; none if the provider published it.
    index: Option<usize>,
    /// What the route gives, for its origin and the time that it counts.
    given: Option<Secret>,
    key: Kind,
}

enum Kind {
    /// Ready for each of the scheme's algorithms.
    Shared(Vec<(Algorithm, Key)>),
    Public(PublicKey),
}

/// What a signature is compared over.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) algorithm: Algorithm,
    /// The text, in pieces.
    pub(super) text: &'a [Cow<'a, [u8]>],
    /// What the request holds where its signatures are.
    pub(super) raw: &'a str,
    pub(super) parse: &'a Parse,
    pub(super) encoding: Encoding,
}

impl Held {
    /// The route's own keys, without those that cannot be used.
    pub(super) fn all(scheme: &SignatureScheme, settings: &Settings) -> Vec<Self> {
        let (given, read): (_, fn(&SignatureScheme, &[u8]) -> _) = match scheme.algorithm.is_asymmetric() {
            true => (&settings.public_keys, Kind::public),
            false => (&settings.secrets, Kind::shared),
        };
        let held = |(index, given): (usize, &Secret)| match read(scheme, given.expose()) {
            Ok(key) => Some(Self { index: Some(index), given: Some(given.clone()), key }),
            Err(error) => {
                // The config check refuses these; an empty one would let anybody in.
                tracing::error!(origin = given.origin(), error, "key cannot be used");
                None
            }
        };
        given.iter().enumerate().filter_map(held).collect()
    }

    /// One that the provider published.
    pub(super) fn published(key: PublicKey) -> Self {
        Self { index: None, given: None, key: Kind::Public(key) }
    }

    pub(super) fn index(&self) -> Option<usize> {
        self.index
    }

    pub(super) fn is_active_at(&self, now: Option<Timestamp>) -> bool {
        self.given.as_ref().is_none_or(|given| given.is_active_at(now))
    }

    /// The key itself, for texts that hold it. Whoever calls this must not let it out.
    pub(super) fn expose(&self) -> &[u8] {
        match &self.key {
            Kind::Shared(keys) => keys.first().map_or(b"", |(_, key)| key.expose()),
            Kind::Public(_) => b"",
        }
    }

    /// For a witness: which key it is, without showing it.
    pub(super) fn name(&self) -> String {
        let what = match &self.key {
            Kind::Shared(_) => "secret",
            Kind::Public(_) => "public key",
        };
        match (&self.index, &self.given) {
            (Some(index), Some(given)) => format!("{what} {} ({})", index + 1, given.origin()),
            _ => format!("published {what}"),
        }
    }

    /// What the key makes of a text; none for public keys and other algorithms.
    pub(super) fn tag(&self, algorithm: Algorithm, text: &[impl AsRef<[u8]>]) -> Option<Tag> {
        match &self.key {
            Kind::Shared(keys) => {
                keys.iter().find(|(own, _)| *own == algorithm).map(|(_, key)| key.tag(text))
            }
            Kind::Public(_) => None,
        }
    }

    /// The best that any of the signatures comes to.
    pub(super) fn compare(&self, signed: Signed<'_>, witness: &mut impl Witness) -> Match {
        let outcome = match &self.key {
            Kind::Shared(_) => self.compare_tag(signed, witness),
            Kind::Public(key) => compare_signature(key, signed),
        };
        witness.saw("key", || {
            let came_to = match outcome {
                Match::Yes => "matches",
                Match::No => "does not match",
                Match::Malformed => "finds no signature of its form",
            };
            format!("{} {came_to}", self.name())
        });
        outcome
    }

    fn compare_tag(&self, signed: Signed<'_>, witness: &mut impl Witness) -> Match {
        let Some(tag) = self.tag(signed.algorithm, signed.text) else { return Match::Malformed };
        let outcome = signed.best(|signature| tag.matches(signature, signed.encoding));
        if outcome != Match::Yes {
            witness.expected(|| signed.parse.write(&tag.encode(signed.encoding), None));
        }
        outcome
    }
}

fn compare_signature(key: &PublicKey, signed: Signed<'_>) -> Match {
    let text = match signed.text {
        [one] => Cow::Borrowed(&**one),
        pieces => Cow::Owned(pieces.concat()),
    };
    signed.best(|signature| match signed.encoding.decode(signature) {
        Some(bytes) if key.verify(signed.algorithm, &text, &bytes) => Match::Yes,
        Some(_) => Match::No,
        None => Match::Malformed,
    })
}

impl Signed<'_> {
    fn best(&self, compare: impl FnMut(&str) -> Match) -> Match {
        let mut best = Match::Malformed;
        for outcome in self.parse.signatures(self.raw).map(compare) {
            best = best.max(outcome);
            if best == Match::Yes {
                break;
            }
        }
        best
    }
}

impl Kind {
    fn shared(scheme: &SignatureScheme, secret: &[u8]) -> Result<Self, String> {
        let ready = |algorithm| Key::of(algorithm, &scheme.key, secret).map(|key| (algorithm, key));
        let keys = scheme.algorithm.all().map(ready).collect::<Result<_, _>>();
        keys.map(Self::Shared).map_err(|error| error.to_string())
    }

    fn public(scheme: &SignatureScheme, text: &[u8]) -> Result<Self, String> {
        PublicKey::from_text(&scheme.key, text).map(Self::Public).map_err(|error| error.to_string())
    }
}
