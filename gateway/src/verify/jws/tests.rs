use std::collections::BTreeMap;

use p521::ecdsa::{Signature, SigningKey, signature::Signer as _};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    },
};
use serde_json::{Value, json};

use super::*;
use crate::verify::{
    Unverified, Vars,
    scheme::{Encoding, Family, Scheme, preset},
    tests::{ready, request},
};

const KEY: &str = "a secret";

/// A token's text, without its signature.
fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| Encoding::Base64url.encode(json.to_string().as_bytes()).replace('=', "");
    format!("{}.{}", part(header), part(claims))
}

fn with(message: String, signature: &[u8]) -> String {
    format!("{message}.{}", Encoding::Base64url.encode(signature))
}

fn hs256(header: &Value, claims: &Value) -> String {
    let message = unsigned(header, claims);
    let mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap().chain_update(&message);
    with(message, &mac.finalize().into_bytes())
}

fn settings(scheme: &str) -> Settings {
    let scheme: Scheme = toml::from_str(&format!("family = 'jws'\nfrom = 'header:X-Jwt'\n{scheme}")).unwrap();
    Settings::new(scheme.into(), vec![Secret::new(KEY.as_bytes(), "test")])
}

fn run(settings: &Settings, request: &Unverified, now: u64) -> Result<Proven, &'static str> {
    let Family::Jws(scheme) = &settings.scheme.family else { panic!("no JWS") };
    let check = JwsCheck::new(scheme, settings, &Arc::default());
    let now = Some(Timestamp::from_millis(now * 1000));
    let reader = Reader::new(request, &settings.vars);
    ready(check.check(&reader, now, &mut ())).map_err(|refused| refused.code())
}

fn carrying(token: &str) -> Unverified {
    let mut request = request();
    request.headers.insert("x-jwt", token.parse().unwrap());
    request
}

/// What comes of a token of these claims at second 1000.
#[track_caller]
fn check(scheme: &str, claims: &Value, expected: Result<(), &'static str>) {
    let token = hs256(&json!({ "alg": "HS256" }), claims);
    let settings = settings(&format!("algs = ['HS256']\n{scheme}"));
    assert_eq!(run(&settings, &carrying(&token), 1000).map(drop), expected, "{claims}");
}

#[test]
fn the_algorithm_must_be_one_that_counts() {
    let settings = settings("algs = ['HS256']");
    let claims = json!({});
    let good = hs256(&json!({ "alg": "HS256" }), &claims);
    assert_eq!(run(&settings, &carrying(&good), 0).unwrap().matched, Some(0));
    for alg in ["none", "None", "HS384", "RS256", "hs256", ""] {
        let token = hs256(&json!({ "alg": alg }), &claims);
        assert_eq!(run(&settings, &carrying(&token), 0).err(), Some("algorithm_unknown"), "{alg}");
    }
    let unsigned = format!("{}.", unsigned(&json!({ "alg": "none" }), &claims));
    assert_eq!(run(&settings, &carrying(&unsigned), 0).err(), Some("algorithm_unknown"));
    let empty = format!("{}.", self::unsigned(&json!({ "alg": "HS256" }), &claims));
    assert_eq!(run(&settings, &carrying(&empty), 0).err(), Some("signature_invalid"));
}

#[test]
fn what_a_token_holds_critical_is_refused() {
    let token = hs256(&json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), &json!({}));
    let refused = run(&settings("algs = ['HS256']"), &carrying(&token), 0).err();
    assert_eq!(refused, Some("signature_malformed"));
}

#[test]
fn any_secret_in_force_will_do_and_an_empty_one_never() {
    let token = hs256(&json!({ "alg": "HS256" }), &json!({}));
    let mut settings = settings("algs = ['HS256']");
    let old = Secret::new(&b"old"[..], "test");
    let ended = Secret::new(KEY.as_bytes(), "test").valid_between(None, Some(Timestamp::from_millis(1)));
    settings.secrets = vec![Secret::new(&b""[..], "test"), old.clone(), Secret::new(KEY.as_bytes(), "test")];
    assert_eq!(run(&settings, &carrying(&token), 1).unwrap().matched, Some(2));
    settings.secrets = vec![old, ended];
    assert_eq!(run(&settings, &carrying(&token), 1).err(), Some("signature_invalid"));
    settings.secrets = vec![Secret::new(&b""[..], "test")];
    assert_eq!(run(&settings, &carrying(&token), 1).err(), Some("no_active_secret"));
}

#[test]
fn the_prefix_is_cut_off() {
    let token = hs256(&json!({ "alg": "HS256" }), &json!({}));
    let strict = settings("algs = ['HS256']\nprefix = 'Bearer '");
    let lax = settings("algs = ['HS256']\nprefix = 'Bearer '\nprefix_optional = true");
    let prefixed = carrying(&format!("Bearer {token}"));
    assert!(run(&strict, &prefixed, 0).is_ok() && run(&lax, &prefixed, 0).is_ok());
    assert_eq!(run(&strict, &carrying(&token), 0).err(), Some("signature_malformed"));
    assert!(run(&lax, &carrying(&token), 0).is_ok());
    assert_eq!(run(&lax, &request(), 0).err(), Some("token_missing"));
}

#[test]
fn claims_are_compared_by_their_text() {
    let scheme = "claims = { iss = ['a', 'b'], n = ['5'], ok = ['true'] }";
    check(scheme, &json!({ "iss": "b", "n": 5, "ok": true }), Ok(()));
    check(scheme, &json!({ "iss": "c", "n": 5, "ok": true }), Err("claim_invalid"));
    check(scheme, &json!({ "iss": "a", "n": 5.5, "ok": true }), Err("claim_invalid"));
    check(scheme, &json!({ "iss": "a", "n": 5, "ok": null }), Err("claim_invalid"));
    check(scheme, &json!({ "iss": ["a"], "n": 5, "ok": true }), Err("claim_invalid"));
    check(scheme, &json!({ "n": 5, "ok": true }), Err("claim_missing"));
}

#[test]
fn one_of_several_audiences_may_be_us() {
    let scheme = "claims = { aud = ['us'] }";
    check(scheme, &json!({ "aud": "us" }), Ok(()));
    check(scheme, &json!({ "aud": ["them", "us"] }), Ok(()));
    check(scheme, &json!({ "aud": ["them"] }), Err("claim_invalid"));
    check(scheme, &json!({ "aud": [] }), Err("claim_invalid"));
}

#[test]
fn a_claim_on_a_value_that_the_route_does_not_give_is_told_and_not_checked() {
    #[derive(Default)]
    struct Told(Vec<String>);
    impl Witness for Told {
        fn saw(&mut self, _: &'static str, detail: impl FnOnce() -> String) {
            self.0.push(detail());
        }
        fn expected(&mut self, _: impl FnOnce() -> String) {}
    }
    let mut settings = settings("algs = ['HS256']\nclaims = { iss = ['{var:key}'] }");
    let request = carrying(&hs256(&json!({ "alg": "HS256" }), &json!({ "iss": "a" })));
    let Family::Jws(scheme) = &settings.scheme.family else { panic!("no JWS") };
    let (check, mut told) = (JwsCheck::new(scheme, &settings, &Arc::default()), Told::default());
    assert!(ready(check.check(&Reader::new(&request, &settings.vars), None, &mut told)).is_ok());
    assert!(told.0.contains(&"`iss` is not checked: the route gives no value for it".to_owned()));
    assert!(told.0.iter().all(|line| !line.contains(KEY)));

    let vars = |values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Vars::new(BTreeMap::from([("key".to_owned(), values)]))
    };
    settings.vars = vars(&["b", "a"]);
    assert!(run(&settings, &request, 0).is_ok());
    settings.vars = vars(&["b"]);
    assert_eq!(run(&settings, &request, 0).err(), Some("claim_invalid"));
}

#[test]
fn times_are_judged_with_leeway() {
    check("leeway = 5", &json!({ "exp": 995 }), Ok(()));
    check("leeway = 5", &json!({ "exp": 994.9 }), Err("expired"));
    check("leeway = 5", &json!({ "nbf": 1005 }), Ok(()));
    check("leeway = 5", &json!({ "nbf": 1006 }), Err("not_yet_valid"));
    check("", &json!({ "exp": "2000" }), Err("timestamp_malformed"));
    check("max_age = 300", &json!({ "iat": 700 }), Ok(()));
    check("max_age = 300", &json!({ "iat": 699 }), Err("timestamp_stale"));
    check("max_age = 300", &json!({ "iat": 1301 }), Err("timestamp_future"));
    check("max_age = 300", &json!({}), Err("claim_missing"));
    check("require_claims = ['exp']", &json!({ "iat": 1000 }), Err("claim_missing"));
}

#[test]
fn without_a_clock_no_time_is_judged() {
    let settings = settings("algs = ['HS256']\nmax_age = 1");
    let Family::Jws(scheme) = &settings.scheme.family else { panic!("no JWS") };
    let request = carrying(&hs256(&json!({ "alg": "HS256" }), &json!({ "exp": 0 })));
    let check = JwsCheck::new(scheme, &settings, &Arc::default());
    assert!(ready(check.check(&Reader::new(&request, &settings.vars), None, &mut ())).is_ok());
}

#[test]
fn the_body_is_bound_as_the_scheme_says() {
    // Of `{}`, the body of every request here.
    let right = json!({ "h": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" });
    let binding = |required: &str| {
        format!("body_hash = {{ claim = 'h', hash = 'sha256', encoding = 'hex', required = '{required}' }}")
    };
    for required in ["always", "if-body", "never"] {
        check(&binding(required), &right, Ok(()));
        check(&binding(required), &json!({ "h": "00" }), Err("body_hash_invalid"));
        check(&binding(required), &json!({ "h": 5 }), Err("claim_invalid"));
    }
    check(&binding("always"), &json!({}), Err("claim_missing"));
    check(&binding("if-body"), &json!({}), Err("claim_missing"));
    check(&binding("never"), &json!({}), Ok(()));

    let settings = settings(&format!("algs = ['HS256']\n{}", binding("if-body")));
    let mut empty = carrying(&hs256(&json!({ "alg": "HS256" }), &right));
    empty.body.clear();
    assert_eq!(run(&settings, &empty, 0).err(), Some("claim_invalid"));
}

#[test]
fn the_url_is_ours_as_the_config_says_it() {
    let scheme = "algs = ['HS256']\nurl_hash = { claim = 'u', hash = 'sha256', encoding = 'hex' }";
    let hash = crate::verify::scheme::Derive::Sha256.digest(b"https://hooks.test/in?a=1");
    let mut request = carrying(&hs256(&json!({ "alg": "HS256" }), &json!({ "u": hex::encode(hash) })));
    request.query = Some("a=1".to_owned());
    let mut settings = settings(scheme);
    assert_eq!(run(&settings, &request, 0).err(), Some("field_missing"));
    settings.url = Some("https://hooks.test".parse().unwrap());
    assert!(run(&settings, &request, 0).is_ok());
    request.query = Some("a=2".to_owned());
    assert_eq!(run(&settings, &request, 0).err(), Some("url_hash_invalid"));
}

fn signed_by_ring(algorithm: &'static EcdsaSigningAlgorithm, pkcs8: &[u8], message: String) -> String {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8, &random).unwrap();
    let signature = pair.sign(&random, message.as_bytes()).unwrap();
    with(message, signature.as_ref())
}

#[test]
fn each_curve_goes_with_its_own_algorithm_only() {
    let made = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384]
        .map(|algorithm| rcgen::KeyPair::generate_for(algorithm).unwrap());
    let mut settings = settings("algs = ['ES256', 'ES384']");
    settings.public_keys =
        made.iter().map(|pair| Secret::new(pair.public_key_pem().into_bytes(), "test")).collect();
    let message = |alg: &str| unsigned(&json!({ "alg": alg }), &json!({}));
    let (p256, p384) = (made[0].serialize_der(), made[1].serialize_der());
    let es256 = signed_by_ring(&ECDSA_P256_SHA256_FIXED_SIGNING, &p256, message("ES256"));
    assert_eq!(run(&settings, &carrying(&es256), 0).unwrap().matched, Some(0));
    let es384 = signed_by_ring(&ECDSA_P384_SHA384_FIXED_SIGNING, &p384, message("ES384"));
    assert_eq!(run(&settings, &carrying(&es384), 0).unwrap().matched, Some(1));
    let mixed = signed_by_ring(&ECDSA_P256_SHA256_FIXED_SIGNING, &p256, message("ES384"));
    assert_eq!(run(&settings, &carrying(&mixed), 0).err(), Some("signature_invalid"));
    settings.public_keys.clear();
    assert_eq!(run(&settings, &carrying(&es256), 0).err(), Some("no_active_secret"));
}

#[test]
fn published_keys_do_not_stand_in_for_given_ones_that_do_not_count_now() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let source = "keys = { url = 'https://keys.test/jwks', hosts = ['keys.test'], document = 'jwks' }";
    let mut settings = settings(&format!("algs = ['ES256']\n{source}"));
    let message = unsigned(&json!({ "alg": "ES256" }), &json!({}));
    let token = signed_by_ring(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der(), message);
    let later = Some(Timestamp::from_millis(u64::from(u32::MAX)));
    let key = Secret::new(pair.public_key_pem().into_bytes(), "test").valid_between(later, None);
    settings.public_keys = vec![key];
    assert_eq!(run(&settings, &carrying(&token), 0).err(), Some("no_active_secret"));
    settings.public_keys.clear();
    assert_eq!(run(&settings, &carrying(&token), 0).err(), Some("key_unavailable"));
}

#[test]
fn truelayers_detached_payload_is_made_from_the_request() {
    let key = SigningKey::from_slice(&[1; 66]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let coordinate = |bytes: &[u8]| Encoding::Base64url.encode(bytes);
    let (x, y) = (coordinate(&point.as_bytes()[1..67]), coordinate(&point.as_bytes()[67..]));
    let jwks = json!({ "keys": [{ "kty": "EC", "crv": "P-521", "kid": "k", "x": x, "y": y }] });

    let header =
        json!({ "alg": "ES512", "kid": "k", "tl_version": "2", "tl_headers": "X-Tl-Webhook-Timestamp" });
    let header = Encoding::Base64url.encode(header.to_string().as_bytes()).replace('=', "");
    let payload = Encoding::Base64url.encode(b"POST /in\nX-Tl-Webhook-Timestamp: 17\n{}").replace('=', "");
    let signature: Signature = key.sign(format!("{header}.{payload}").as_bytes());
    let token = with(format!("{header}."), &signature.to_bytes());

    let mut settings = Settings::new(preset("truelayer").unwrap().scheme.clone(), Vec::new());
    settings.jwks = Some(jwks.to_string().into_bytes().into());
    let mut request = request();
    request.headers.insert("tl-signature", token.parse().unwrap());
    assert_eq!(run(&settings, &request, 0).err(), Some("field_missing"));
    request.headers.insert("x-tl-webhook-timestamp", "17".parse().unwrap());
    assert!(run(&settings, &request, 0).is_ok());
    request.headers.insert("x-tl-webhook-timestamp", "18".parse().unwrap());
    assert_eq!(run(&settings, &request, 0).err(), Some("signature_invalid"));
    let attached = with(format!("{header}.{payload}"), &signature.to_bytes());
    request.headers.insert("tl-signature", attached.parse().unwrap());
    assert_eq!(run(&settings, &request, 0).err(), Some("signature_malformed"));
}

fn google(vars: &[(&str, &str)]) -> Settings {
    let fixture: Value =
        serde_json::from_str(include_str!("../../../../tests/fixtures/providers/rsa.json")).unwrap();
    let mut settings = Settings::new(preset("google-pubsub").unwrap().scheme.clone(), Vec::new());
    settings.jwks = Some(fixture["jwks"].to_string().into_bytes().into());
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]));
    settings.vars = Vars::new(vars.collect());
    settings
}

fn from_google(token: &str) -> Unverified {
    let fixture: Value =
        serde_json::from_str(include_str!("../../../../tests/fixtures/providers/rsa.json")).unwrap();
    let mut request = request();
    let value = format!("Bearer {}", fixture[token].as_str().unwrap());
    request.headers.insert("authorization", value.parse().unwrap());
    request
}

#[test]
fn a_push_of_google_is_proven_by_its_key_set() {
    const MAIL: &str = "push@project.iam.gserviceaccount.com";
    let settings = google(&[("audience", "https://hooks.test/in"), ("email", MAIL)]);
    let now = 1_700_000_100;
    assert_eq!(
        run(&settings, &from_google("rs256"), now).unwrap().claims.text("email").as_deref(),
        Some(MAIL)
    );
    assert_eq!(run(&settings, &from_google("rs512"), now).err(), Some("algorithm_unknown"));
    assert_eq!(run(&settings, &from_google("rs256"), now + 4000).err(), Some("expired"));
    let other = google(&[("audience", "https://other.test/in"), ("email", MAIL)]);
    assert_eq!(run(&other, &from_google("rs256"), now).err(), Some("claim_invalid"));

    let mut unknown = google(&[]);
    unknown.jwks = Some(br#"{"keys":[]}"#[..].into());
    assert_eq!(run(&unknown, &from_google("rs256"), now).err(), Some("key_unknown"));
    unknown.jwks = None;
    assert_eq!(run(&unknown, &from_google("rs256"), now).err(), Some("key_unavailable"));
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let token = hs256(&json!({ "alg": "HS256" }), &json!({ "iss": "a" }));
    let settings = settings("algs = ['HS256']");
    for at in 0..token.len() {
        for bit in 0..7 {
            let mut flipped = token.clone().into_bytes();
            flipped[at] ^= 1 << bit;
            let Ok(value) = http::HeaderValue::from_bytes(&flipped) else { continue };
            let mut request = request();
            request.headers.insert("x-jwt", value);
            assert!(run(&settings, &request, 0).is_err(), "byte {at}, bit {bit}");
        }
    }
}
