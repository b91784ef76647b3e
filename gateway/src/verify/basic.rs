//! Checks `authorization: Basic` (RFC 7617): the secret is `user:password`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use super::{Refused, Witness, reader::Reader, scheme::Field};
use crate::{clock::Timestamp, config::Secret};

pub(super) struct BasicCheck {
    /// Each with its index in the config.
    secrets: Vec<(usize, Secret)>,
}

impl BasicCheck {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        // Without a user and a password anybody would be let in who sends none.
        let usable = |(_, secret): &(usize, &Secret)| check_secret(secret.expose()).is_ok();
        let secrets = secrets.iter().enumerate().filter(usable);
        Self { secrets: secrets.map(|(index, secret)| (index, secret.clone())).collect() }
    }

    /// The index of the secret that was sent.
    pub(super) fn check(
        &self,
        reader: &Reader<'_>,
        now: Option<Timestamp>,
        witness: &mut impl Witness,
    ) -> Result<usize, Refused> {
        let field = Field::Header(AUTHORIZATION);
        let sent = reader.read(&field)?.ok_or_else(|| Refused::TokenMissing { field: field.to_string() })?;
        let malformed = || Refused::SignatureMalformed { field: field.to_string() };
        let (_, encoded) = sent
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .ok_or_else(malformed)?;
        let credentials = STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
        witness.saw("credentials", || format!("{} bytes of user and password in {field}", credentials.len()));
        let mut secrets = self.secrets.iter().filter(|(_, secret)| secret.is_active_at(now)).peekable();
        if secrets.peek().is_none() {
            return Err(Refused::NoActiveSecret);
        }
        let matched = secrets.find(|(_, secret)| secret.expose().ct_eq(&credentials).into());
        matched.map(|(index, _)| *index).ok_or(Refused::TokenInvalid)
    }
}

/// Whether a secret can be used.
///
/// # Errors
/// What is wrong with it, without showing it.
pub(super) fn check_secret(secret: &[u8]) -> Result<(), String> {
    match secret {
        [] => Err("the secret is empty".to_owned()),
        b":" => Err("the secret has neither user nor password".to_owned()),
        _ if !secret.contains(&b':') => Err("the secret is not `user:password`".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{tests::request, vars::Vars};

    fn run(secrets: &[&str], header: &str) -> Result<usize, &'static str> {
        let secrets: Vec<_> = secrets.iter().map(|s| Secret::new(s.as_bytes(), "test")).collect();
        let mut request = request();
        request.headers.insert(AUTHORIZATION, header.parse().unwrap());
        let vars = Vars::default();
        let check = BasicCheck::new(&secrets);
        check.check(&Reader::new(&request, &vars), None, &mut ()).map_err(|refused| refused.code())
    }

    #[test]
    fn the_scheme_is_named_in_any_case_and_the_password_may_hold_colons() {
        let encoded = STANDARD.encode("me:a:b");
        for scheme in ["Basic", "basic", "BASIC"] {
            assert_eq!(run(&["you:x", "me:a:b"], &format!("{scheme} {encoded}")), Ok(1));
        }
        assert_eq!(run(&["me:a:c"], &format!("Basic {encoded}")), Err("token_invalid"));
        assert_eq!(run(&["me:a:b"], &format!("Bearer {encoded}")), Err("signature_malformed"));
        assert_eq!(run(&["me:a:b"], "Basic me:a:b"), Err("signature_malformed"));
    }

    #[test]
    fn secrets_without_user_and_password_let_nobody_in() {
        for secret in ["", ":", "word"] {
            let header = format!("Basic {}", STANDARD.encode(secret));
            assert_eq!(run(&[secret], &header), Err("no_active_secret"));
        }
    }
}
