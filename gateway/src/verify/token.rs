//! Checks a token: the secret itself, sent along.

use subtle::ConstantTimeEq;

use super::{
    Refused, Unverified, Witness,
    reader::{Reader, decode},
    scheme::{Field, TokenScheme},
};
use crate::{clock::Timestamp, config::Secret};

pub(super) struct TokenCheck {
    scheme: TokenScheme,
    /// Each with its index in the config.
    secrets: Vec<(usize, Secret)>,
}

impl TokenCheck {
    pub(super) fn new(scheme: &TokenScheme, secrets: &[Secret]) -> Self {
        // An empty secret would let in an empty token.
        let secrets = secrets.iter().enumerate().filter(|(_, secret)| !secret.expose().is_empty());
        let secrets = secrets.map(|(index, secret)| (index, secret.clone())).collect();
        Self { scheme: scheme.clone(), secrets }
    }

    /// The index of the secret that was sent.
    pub(super) fn check(
        &self,
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<usize, Refused> {
        let Some(list) = &self.scheme.each else { return self.check_item(reader, None, now, witness) };
        let items = reader.json().and_then(|json| list.value(json, None)?.as_array()).map_or(0, Vec::len);
        witness.saw("items", || format!("{items} in json:{list}, each with a token of its own"));
        let mut matched = Err(Refused::TokenMissing { field: self.scheme.from.names() });
        for item in 0..items {
            let index = self.check_item(reader, Some(item), now, witness)?;
            matched = matched.or(Ok(index));
        }
        matched
    }

    fn check_item(
        &self,
        reader: &Reader<'_>,
        item: Option<usize>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<usize, Refused> {
        let mut sent = None;
        for field in self.scheme.from.iter() {
            sent = sent.or(reader.read_of(field, item)?);
        }
        let sent = sent.ok_or_else(|| Refused::TokenMissing { field: self.scheme.from.names() })?;
        witness.saw("token", || format!("{} bytes in {}", sent.len(), self.scheme.from.names()));
        let token = match sent.strip_prefix(&self.scheme.prefix) {
            Some(token) => token,
            None if self.scheme.prefix_optional => &sent,
            None => return Err(Refused::TokenInvalid),
        };
        let mut secrets = self.secrets.iter().filter(|(_, secret)| secret.is_active_at(now)).peekable();
        if secrets.peek().is_none() {
            return Err(Refused::NoActiveSecret);
        }
        let matched = secrets.find(|(_, secret)| secret.expose().ct_eq(token.as_bytes()).into());
        matched.map(|(index, _)| *index).ok_or(Refused::TokenInvalid)
    }

    /// Takes the token out of the request, so that no plugin and no destination sees it.
    pub(super) fn remove_credentials(&self, request: &mut Unverified) {
        for field in self.scheme.from.iter() {
            Self::remove(field, request);
        }
    }

    fn remove(field: &Field, request: &mut Unverified) {
        match field {
            Field::Header(name) => drop(request.headers.remove(name)),
            Field::Form(_) | Field::Json(_) | Field::Var(_) | Field::Claim(_) => {}
            Field::Query(name) => {
                // As the reader finds it: a name that is written with escapes is still the token's.
                let is_token = |pair: &&str| decode(pair.split('=').next().unwrap_or_default()) == *name;
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

    fn check(scheme: &str, secrets: &[&str]) -> TokenCheck {
        let secrets: Vec<_> = secrets.iter().map(|s| Secret::new(s.as_bytes(), "test")).collect();
        TokenCheck::new(&toml::from_str(scheme).unwrap(), &secrets)
    }

    const BEARER: &str = "from = 'header:X-Token'\nprefix = 'Bearer '";

    fn run(check: &TokenCheck, request: &Unverified, now: Timestamp) -> Result<usize, Refused> {
        check.check(&Reader::new(request, &Vars::default()), Some(now), &mut ())
    }

    #[test]
    fn any_secret_in_force_is_enough() {
        let mut request = request();
        request.headers.insert("x-token", "Bearer new".parse().unwrap());
        let now = Timestamp::from_millis(1000);
        assert_eq!(run(&check(BEARER, &["", "old", "new"]), &request, now).unwrap(), 2);
        let refused = run(&check(BEARER, &["old"]), &request, now).unwrap_err();
        assert!(matches!(refused, Refused::TokenInvalid));
    }

    #[test]
    fn the_prefix_may_be_left_out_only_where_the_scheme_says_so() {
        let mut request = request();
        request.headers.insert("x-token", "a".parse().unwrap());
        let refused = run(&check(BEARER, &["a"]), &request, Timestamp::default()).unwrap_err();
        assert!(matches!(refused, Refused::TokenInvalid));
        let optional = format!("{BEARER}\nprefix_optional = true");
        assert!(run(&check(&optional, &["a"]), &request, Timestamp::default()).is_ok());
    }

    #[test]
    fn any_place_will_do() {
        let two = check("from = ['query:code', 'header:x-key']", &["k"]);
        let mut request = request();
        assert!(matches!(run(&two, &request, Timestamp::default()), Err(Refused::TokenMissing { .. })));
        request.headers.insert("x-key", "k".parse().unwrap());
        assert!(run(&two, &request, Timestamp::default()).is_ok());
        request.headers.remove("x-key");
        request.query = Some("code=k".to_owned());
        assert!(run(&two, &request, Timestamp::default()).is_ok());
    }

    #[test]
    fn every_item_of_the_list_must_carry_the_token() {
        let each = check("from = 'json:/value/*/state'\neach = '/value'", &["a", "b"]);
        for (body, expected) in [
            (r#"{"value":[{"state":"b"},{"state":"a"}]}"#, Ok(1)),
            (r#"{"value":[{"state":"a"},{"state":"x"}]}"#, Err("token_invalid")),
            (r#"{"value":[{"state":"a"},{}]}"#, Err("token_missing")),
            (r#"{"value":[]}"#, Err("token_missing")),
            (r#"{"value":{"0":{"state":"a"}}}"#, Err("token_missing")),
            ("[", Err("token_missing")),
        ] {
            let mut request = request();
            request.body = body.into();
            let outcome = run(&each, &request, Timestamp::default()).map_err(|refused| refused.code());
            assert_eq!(outcome, expected, "{body}");
        }
    }

    #[test]
    fn an_empty_secret_lets_nobody_in() {
        let mut request = request();
        request.headers.insert("x-token", "Bearer ".parse().unwrap());
        let refused = run(&check(BEARER, &[""]), &request, Timestamp::default()).unwrap_err();
        assert!(matches!(refused, Refused::NoActiveSecret));
    }

    #[test]
    fn a_token_is_taken_out_however_its_name_is_written() {
        let mut request = request();
        for query in ["my+token=x", "my%20token=x"] {
            request.query = Some(query.to_owned());
            let check = check("from = 'query:my token'", &["x"]);
            check.remove_credentials(&mut request);
            assert_eq!(request.query, None, "{query}");
        }
    }

    #[test]
    fn a_token_in_the_query_is_taken_out_of_it() {
        let mut request = request();
        for (query, left) in [("a=1&t=x&b=2", Some("a=1&b=2")), ("t=x", None), ("a=1&%74=x", Some("a=1"))] {
            request.query = Some(query.to_owned());
            check("from = 'query:t'", &["x"]).remove_credentials(&mut request);
            assert_eq!(request.query.as_deref(), left);
        }
    }
}
