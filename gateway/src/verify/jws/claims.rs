//! What a proven token says (RFC 7519), and whether it may say so.

use serde_json::Value;
use subtle::ConstantTimeEq;

use super::object::{self, Object};
use crate::{
    clock::Timestamp,
    verify::{
        Refused, Witness,
        reader::Reader,
        scheme::{Derive, Encoding, JwsScheme, Required},
    },
};

/// The claims of one token, held against what the scheme demands.
pub(super) struct Claims<'a> {
    pub(super) scheme: &'a JwsScheme,
    pub(super) claims: &'a Object,
}

impl Claims<'_> {
    /// Without `now` no time is looked at.
    pub(super) fn check(
        &self,
        reader: &Reader<'_>,
        url: Option<&str>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<(), Refused> {
        self.require()?;
        for (name, values) in &self.scheme.claims {
            self.check_value(name, values, reader, witness)?;
        }
        self.check_url(url)?;
        self.check_body(&reader.request.body, witness)?;
        // Last, so that "stale" is only ever said of a request that was genuine once.
        now.map_or(Ok(()), |now| self.check_times(now))
    }

    fn require(&self) -> Result<(), Refused> {
        let missing = self.scheme.require_claims.iter().find(|name| self.claims.get(name).is_none());
        missing.map_or(Ok(()), |claim| Err(Refused::ClaimMissing { claim: claim.clone() }))
    }

    fn check_value(
        &self,
        name: &str,
        values: &[String],
        reader: &Reader<'_>,
        witness: &mut impl Witness,
    ) -> Result<(), Refused> {
        let wanted: Vec<_> = values.iter().flat_map(|value| reader.vars.expand(value)).collect();
        if wanted.is_empty() {
            witness.saw("claim", || format!("`{name}` is not checked: the route gives no value for it"));
            return Ok(());
        }
        let claim = || name.to_owned();
        let said = self.claims.get(name).ok_or_else(|| Refused::ClaimMissing { claim: claim() })?;
        let is_wanted = |value: &Value| object::text(value).is_some_and(|text| wanted.contains(&text));
        let fits = match said {
            // RFC 7519 §4.1.3: one of several audiences may be us.
            Value::Array(several) if name == "aud" => several.iter().any(is_wanted),
            one => is_wanted(one),
        };
        if !fits {
            return Err(Refused::ClaimInvalid { claim: claim() });
        }
        witness.saw("claim", || format!("`{name}` is as it must be"));
        Ok(())
    }

    fn check_url(&self, url: Option<&str>) -> Result<(), Refused> {
        let Some(binding) = &self.scheme.url_hash else { return Ok(()) };
        let url = url.ok_or_else(|| Refused::FieldMissing { field: "the route's `url`".to_owned() })?;
        let said = self.said(&binding.claim)?;
        match is_hash(said, binding.encoding, binding.hash, url.as_bytes()) {
            true => Ok(()),
            false => Err(Refused::UrlHashInvalid { field: format!("claim:{}", binding.claim) }),
        }
    }

    fn check_body(&self, body: &[u8], witness: &mut impl Witness) -> Result<(), Refused> {
        let Some(binding) = &self.scheme.body_hash else {
            witness.saw("body", || "nothing binds it to the token: only TLS protects it".to_owned());
            return Ok(());
        };
        let is_there = self.claims.get(&binding.claim).is_some();
        match (binding.required, body.is_empty(), is_there) {
            (Required::IfBody, true, true) => {
                return Err(Refused::ClaimInvalid { claim: binding.claim.clone() });
            }
            (Required::IfBody, true, false) => return Ok(()),
            (Required::Never, _, false) => {
                witness.saw("body", || "the token does not bind it: only TLS protects it".to_owned());
                return Ok(());
            }
            (Required::Always, ..) | (Required::IfBody, false, _) | (Required::Never, _, true) => {}
        }
        let said = self.said(&binding.claim)?;
        if !is_hash(said, binding.encoding, binding.hash, body) {
            return Err(Refused::BodyHashInvalid { field: format!("claim:{}", binding.claim) });
        }
        witness.saw("body", || format!("its hash is that of the claim `{}`", binding.claim));
        Ok(())
    }

    fn said(&self, claim: &str) -> Result<&str, Refused> {
        match self.claims.get(claim) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(Refused::ClaimInvalid { claim: claim.to_owned() }),
            None => Err(Refused::ClaimMissing { claim: claim.to_owned() }),
        }
    }

    fn check_times(&self, now: Timestamp) -> Result<(), Refused> {
        let (now, leeway) = (now.as_millis() as f64 / 1000.0, self.scheme.leeway as f64);
        if let Some(expires) = self.time("exp")?.filter(|expires| now > expires + leeway) {
            return Err(Refused::Expired { since: whole(now - expires) });
        }
        if let Some(begins) = self.time("nbf")?.filter(|begins| now < begins - leeway) {
            return Err(Refused::NotYetValid { ahead: whole(begins - now) });
        }
        let Some(tolerance) = self.scheme.max_age else { return Ok(()) };
        let missing = || Refused::ClaimMissing { claim: "iat".to_owned() };
        let age = now - self.time("iat")?.ok_or_else(missing)?;
        if age > tolerance as f64 {
            Err(Refused::TimestampStale { age: whole(age), tolerance })
        } else if -age > tolerance as f64 {
            Err(Refused::TimestampFuture { ahead: whole(-age), tolerance })
        } else {
            Ok(())
        }
    }

    /// In seconds since the epoch, perhaps with a fraction.
    fn time(&self, claim: &str) -> Result<Option<f64>, Refused> {
        let Some(value) = self.claims.get(claim) else { return Ok(None) };
        let malformed = || Refused::TimestampMalformed { field: format!("claim:{claim}") };
        value.as_f64().map(Some).ok_or_else(malformed)
    }
}

/// Compares in constant time, as far as the hash goes.
fn is_hash(said: &str, encoding: Encoding, hash: Derive, data: &[u8]) -> bool {
    encoding.decode(said).is_some_and(|said| said.ct_eq(&hash.digest(data)).into())
}

fn whole(seconds: f64) -> u64 {
    seconds as u64
}
