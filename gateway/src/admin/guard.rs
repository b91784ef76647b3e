//! Who may use the admin listener.
//!
//! With a token, whoever holds it. Without one the listener is on loopback, and whoever is on the machine may use
//! it, except for the web pages open in a browser there: a page cannot forge its `host` (so a name that an
//! attacker points at 127.0.0.1 is refused) nor leave `origin` out of a POST.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq;

use super::{Admin, refusal::Refusal};
use crate::{clock::Timestamp, config::Secret};

pub(super) async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    match admit(&admin, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn admit(admin: &Admin, request: &Request) -> Result<(), Refusal> {
    let generation = admin.current.load();
    let config = &generation.config.admin;
    match &config.token {
        Some(token) => bearer_is(token, request.headers(), admin.clock.now()),
        None if config.is_loopback() => not_from_a_web_page(request),
        // A checked config cannot say this.
        None => Err(Refusal::TokenRequired),
    }
}

fn bearer_is(token: &Secret, headers: &HeaderMap, now: Timestamp) -> Result<(), Refusal> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    match given {
        Some(given) if token.is_active(now) && bool::from(given.ct_eq(token.expose())) => Ok(()),
        Some(_) | None => Err(Refusal::TokenRequired),
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

fn not_from_a_web_page(request: &Request) -> Result<(), Refusal> {
    let host = request.headers().get(header::HOST).map_or(&b""[..], |host| host.as_bytes());
    if !is_local_name(host) {
        return Err(Refusal::ForeignHost { host: String::from_utf8_lossy(host).into_owned() });
    }
    if request.method() == Method::POST && request.headers().contains_key(header::ORIGIN) {
        return Err(Refusal::FromWebPage);
    }
    Ok(())
}

fn is_local_name(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else { return false };
    let name = authority.host();
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || literal.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_local_names() {
        for host in ["127.0.0.1", "127.0.0.1:9090", "[::1]:9090", "10.1.2.3", "localhost", "LocalHost:9090"] {
            assert!(is_local_name(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn other_names_are_not_local() {
        for host in ["", "evil.example", "localhost.evil.example:9090", "127.0.0.1.evil.example", "a b"] {
            assert!(!is_local_name(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn bearer_scheme_is_read_in_any_case() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bearer"), None);
    }

    #[test]
    fn token_outside_its_time_is_refused() {
        let token =
            Secret::new(*b"open sesame", "inline").valid_between(None, Some(Timestamp::from_millis(10)));
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer open sesame".parse().unwrap());
        assert!(bearer_is(&token, &headers, Timestamp::from_millis(9)).is_ok());
        assert!(bearer_is(&token, &headers, Timestamp::from_millis(10)).is_err());
    }

    #[test]
    fn empty_token_opens_nothing() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer ".parse().unwrap());
        let token = Secret::new(*b"open sesame", "inline");
        assert!(bearer_is(&token, &headers, Timestamp::from_millis(9)).is_err());
    }
}
