//! The vectors of the families that send tokens and of HTTP Message Signatures, and what a token says of its event.

use std::io::Read as _;

use serde_json::Value;

use super::*;
use crate::verify::scheme::Family;

/// A row of the vectors, as far as `Vector` does not have it.
#[derive(Deserialize)]
struct Row {
    scheme: String,
    public_key_pem: Option<String>,
    jwks: Option<Value>,
    #[serde(flatten)]
    vector: Value,
}

fn rows() -> Vec<Row> {
    let packed = include_bytes!("../../../../tests/fixtures/providers/vectors.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

impl Row {
    fn outcome(&self) -> Option<(Vector, Result<(), &'static str>)> {
        let scheme = preset(&self.scheme)?.scheme.clone();
        if matches!(scheme.family, Family::Signature(_) | Family::None {}) {
            return None;
        }
        let vector: Vector = serde_json::from_value(self.vector.clone()).unwrap();
        let url = reqwest::Url::parse(&vector.url).unwrap();
        let secrets = vector.secrets().iter().map(|s| Secret::new(s.as_bytes(), "test")).collect();
        let mut settings = Settings::new(scheme, secrets);
        settings.url = Some(url.origin().ascii_serialization().parse().unwrap());
        settings
            .public_keys
            .extend(self.public_key_pem.as_ref().map(|pem| Secret::new(pem.as_bytes(), "test")));
        settings.jwks = self.jwks.as_ref().map(|jwks| jwks.to_string().into_bytes().into());
        let mut request = vector.request()?;
        request.query = url.query().map(str::to_owned);
        if let Some(host) = request.headers.get_all("host").iter().nth(1).cloned() {
            request.headers.insert("host", host);
        }
        let now = vector.now.map(|now| Timestamp::from_millis(now * 1000));
        let verifier = verifier(&config::Verify::Proof(Box::new(settings)));
        let outcome = ready(verifier.verify_before(request, now, &mut ()));
        let outcome = outcome.map(drop).map_err(|refused| refused.code());
        Some((vector, outcome))
    }
}

/// Which of our codes a reason may come out as.
fn code(reason: &str) -> &'static [&'static str] {
    match reason.split(':').next().unwrap_or_default() {
        "mismatch" => &["signature_invalid", "token_invalid"],
        "prefix" => &["signature_malformed", "token_invalid"],
        "missing-token" => &["token_missing"],
        "missing-body_hash" => &["claim_missing"],
        "body_hash" | "content-digest" => &["body_hash_invalid"],
        "claim" => &["claim_invalid"],
        "alg-not-allowed" => &["algorithm_unknown"],
        "stale" => &["timestamp_stale"],
        "empty-key" => &["no_active_secret"],
        "duplicate-header" => &["field_repeated"],
        other => panic!("no code for `{other}`"),
    }
}

#[test]
fn vectors_of_tokens_and_http_signatures_come_out_right() {
    let outcomes: Vec<_> = rows().iter().filter_map(Row::outcome).collect();
    assert_eq!(outcomes.len(), 43);
    for (vector, outcome) in outcomes {
        match (outcome, &vector.reason) {
            (Ok(()), _) => assert!(vector.valid, "{} must be refused", vector.id),
            (Err(found), Some(reason)) => assert!(code(reason).contains(&found), "{}: {found}", vector.id),
            (Err(found), None) => assert!(!vector.valid, "{} must be let in, not {found}", vector.id),
        }
    }
}

#[test]
fn a_tokens_claims_say_which_event_it_is() {
    // {"alg":"HS256"} and {"jti":"j1","n":5} under the secret `k`.
    let token = {
        use ::hmac::{Hmac, KeyInit as _, Mac as _};
        let encode = |bytes: &[u8]| scheme::Encoding::Base64url.encode(bytes).replace('=', "");
        let message = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(br#"{"jti":"j1","n":5}"#));
        let tag = Hmac::<sha2::Sha256>::new_from_slice(b"k").unwrap().chain_update(&message).finalize();
        format!("{message}.{}", encode(&tag.into_bytes()))
    };
    let scheme: scheme::Scheme = toml::from_str(
        "family = 'jws'\nfrom = 'header:X-Jwt'\nalgs = ['HS256']\nid = 'claim:jti'\ntype = ['claim:none', 'claim:n']",
    )
    .unwrap();
    let settings = Settings::new(scheme.into(), vec![Secret::new(&b"k"[..], "test")]);
    let verifier = verifier(&config::Verify::Proof(Box::new(settings)));
    let mut request = request();
    request.headers.insert("x-jwt", token.parse().unwrap());
    let genuine = ready(verifier.verify(request, Timestamp::default())).unwrap();
    assert_eq!(genuine.matched(), Some(0));
    let event = genuine.into_event(Bytes::new());
    assert_eq!((event.delivery_id.as_deref(), event.event_type.as_deref()), (Some("j1"), Some("5")));
}
