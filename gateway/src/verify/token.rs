//! Checks a token: the secret itself, sent along.

use subtle::ConstantTimeEq;

use super::{
    Refused, Unverified, Witness,
    reader::Reader,
    scheme::{Field, Fields, TokenScheme},
};
use crate::{clock::Timestamp, config::Secret, route::percent_decode};

pub(super) struct TokenCheck {
    from: Fields,
    prefix: String,
    secrets: Vec<Secret>,
}

impl TokenCheck {
    pub(super) fn new(scheme: &TokenScheme, secrets: &[Secret]) -> Self {
        // An empty secret would let in an empty token.
        let secrets = secrets.iter().filter(|secret| !secret.expose().is_empty()).cloned().collect();
        Self { from: scheme.from.clone(), prefix: scheme.prefix.clone(), secrets }
    }

    pub(super) fn check(
        &self,
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        _witness: &mut impl Witness,
    ) -> Result<usize, Refused> {
        let mut sent = None;
        for field in self.from.iter() {
            sent = sent.or(reader.read(field)?);
        }
        let sent = sent.ok_or_else(|| Refused::TokenMissing { field: self.from.names() })?;
        let token = sent.strip_prefix(&self.prefix).ok_or(Refused::TokenInvalid)?;
        let active = self.secrets.iter().enumerate().filter(|(_, secret)| secret.is_active_at(now));
        let mut secrets = active.peekable();
        if secrets.peek().is_none() {
            return Err(Refused::NoActiveSecret);
        }
        let found = secrets.find(|(_, secret)| secret.expose().ct_eq(token.as_bytes()).into());
        found.map(|(index, _)| index).ok_or(Refused::TokenInvalid)
    }

    /// Takes the token out of the request, so that no plugin and no destination sees it.
    pub(super) fn remove_credentials(&self, request: &mut Unverified) {
        for field in self.from.iter() {
            Self::remove(field, request);
        }
    }

    fn remove(field: &Field, request: &mut Unverified) {
        match field {
            Field::Header(name) => drop(request.headers.remove(name)),
            Field::Form(_) | Field::Json(_) | Field::Var(_) | Field::Claim(_) => {}
            Field::Query(name) => {
                // As `Field::read` finds it: a name that is written with escapes is still the token's.
                let is_token =
                    |pair: &&str| percent_decode(pair.split('=').next().unwrap_or_default()) == *name;
                let query = request.query.take().unwrap_or_default();
                let rest: Vec<_> = query.split('&').filter(|pair| !is_token(pair)).collect();
                request.query = Some(rest.join("&")).filter(|query| !query.is_empty());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{tests::request, vars::Vars};

    fn check(from: &str, secrets: &[&str]) -> TokenCheck {
        let scheme =
            toml::from_str::<TokenScheme>(&format!("from = \"{from}\"\nprefix = \"Bearer \"")).unwrap();
        let secrets: Vec<_> = secrets.iter().map(|s| Secret::new(s.as_bytes(), "test")).collect();
        TokenCheck::new(&scheme, &secrets)
    }

    fn run(check: &TokenCheck, request: &Unverified, now: Timestamp) -> Result<(), Refused> {
        check.check(&Reader::new(request, &Vars::default()), Some(now), &mut ()).map(drop)
    }

    #[test]
    fn any_secret_in_force_is_enough() {
        let mut request = request();
        request.headers.insert("x-token", "Bearer new".parse().unwrap());
        let now = Timestamp::from_millis(1000);
        assert!(run(&check("header:X-Token", &["old", "new"]), &request, now).is_ok());
        let refused = run(&check("header:X-Token", &["old"]), &request, now).unwrap_err();
        assert!(matches!(refused, Refused::TokenInvalid));
    }

    #[test]
    fn an_empty_secret_lets_nobody_in() {
        let mut request = request();
        request.headers.insert("x-token", "Bearer ".parse().unwrap());
        let refused = run(&check("header:X-Token", &[""]), &request, Timestamp::default()).unwrap_err();
        assert!(matches!(refused, Refused::NoActiveSecret));
    }

    #[test]
    fn a_token_in_the_query_is_taken_out_of_it() {
        let mut request = request();
        for (query, left) in [("a=1&t=x&b=2", Some("a=1&b=2")), ("t=x", None), ("a=1&%74=x", Some("a=1"))] {
            request.query = Some(query.to_owned());
            check("query:t", &["x"]).remove_credentials(&mut request);
            assert_eq!(request.query.as_deref(), left);
        }
    }
}
