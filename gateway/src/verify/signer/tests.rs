use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, header::CONTENT_TYPE};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::{
    config::{self, Secret},
    verify::{
        Settings, Verifier,
        scheme::{KeyEncoding, Preset, presets},
        tests::{ready, request},
    },
};

/// Each fits some schemes.
const SECRETS: [&str; 4] = [
    "user:password",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "44782def547aaa06c910c439",
];

const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

/// What a preset's events are tried with: an object, a form, and nothing.
const BODIES: [(&str, &str); 3] = [
    ("application/json", r#"{"id":"e1","type":"push"}"#),
    ("application/x-www-form-urlencoded", "b=2&a=x%20y&a=z"),
    ("application/json", "{}"),
];

fn secret(preset: &Preset) -> &'static str {
    let fits = |secret: &&str| Signer::new(&preset.scheme, secret.as_bytes()).is_ok();
    [SEED].into_iter().chain(SECRETS).rev().find(fits).unwrap_or_else(|| panic!("{}", preset.name))
}

/// A route's settings that go with what the signer is given.
fn settings(preset: &Preset, secret: &str) -> Settings {
    let known = &preset.scheme.common.vars;
    let value = |default: &[String]| if default.is_empty() { vec!["v".to_owned()] } else { default.to_vec() };
    let vars = Vars::new(known.iter().map(|(name, var)| (name.clone(), value(&var.default))).collect());
    let url = Some("https://hooks.test".parse().unwrap());
    let mut settings = Settings { vars, url, ..Settings::new(preset.scheme.clone(), Vec::new()) };
    match seed::is_needed(&preset.scheme) {
        true => settings.public_keys = vec![Secret::new(public_key(&preset.scheme).into_bytes(), "test")],
        false => settings.secrets = vec![Secret::new(secret.as_bytes(), "test")],
    }
    settings
}

/// The public half of `SEED`, as the scheme wants it.
fn public_key(scheme: &Scheme) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(&hex::decode(SEED).unwrap()).unwrap();
    let bytes = pair.public_key().as_ref();
    let Family::Signature(scheme) = &scheme.family else { return pem(bytes) };
    let prefix = scheme.key.strip_prefix.first().map_or("", String::as_str);
    match scheme.key.encoding {
        KeyEncoding::Hex => format!("{prefix}{}", hex::encode(bytes)),
        _ => format!("{prefix}{}", STANDARD.encode(bytes)),
    }
}

/// RFC 8410, section 4.
fn pem(public: &[u8]) -> String {
    let der = [&hex::decode("302a300506032b6570032100").unwrap(), public].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn signed(
    preset: &Preset,
    secret: &str,
    (kind, body): (&'static str, &'static str),
) -> Result<Unverified, SignError> {
    let settings = settings(preset, secret);
    let mut request = request();
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    request.query = Some("b=1&a=%20".to_owned());
    request.body = body.into();
    let signer =
        Signer::new(&preset.scheme, secret.as_bytes())?.with_vars(settings.vars).with_url(settings.url);
    signer.sign(&mut request, Some("push")).map(|()| request)
}

fn outcome(preset: &Preset, request: Unverified) -> Result<(), Refused> {
    let settings = settings(preset, secret(preset));
    let verifier = Verifier::new(&config::Verify::Proof(Box::new(settings)), &std::sync::Arc::default());
    let now = request.received_at;
    ready(verifier.verify(request, now)).map(drop)
}

#[test]
fn what_a_signer_signs_is_let_in_by_every_preset_that_can_be_signed() {
    let signable: Vec<_> = presets().filter(|preset| preset.scheme.can_be_signed()).collect();
    assert!(signable.len() > 110, "{}", signable.len());
    let mut wrong = Vec::new();
    for preset in signable {
        let mut let_in = 0;
        for body in BODIES {
            let request = match signed(preset, secret(preset), body) {
                Ok(request) => request,
                Err(SignError::NotJson { .. } | SignError::NotAForm { .. } | SignError::Incomplete(_)) => {
                    continue;
                }
                Err(error) => panic!("{}: {error:?}", preset.name),
            };
            match outcome(preset, request) {
                Ok(()) => let_in += 1,
                Err(refused) => wrong.push(format!("{} with {body:?}: {refused}", preset.name)),
            }
        }
        if let_in == 0 {
            wrong.push(format!("{} with any body", preset.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_only_the_provider_can_sign_is_told_with_the_reason() {
    for (name, why) in [
        ("paypal", "publishes"),
        ("sendgrid", "ECDSA"),
        ("plaid", "ECDSA"),
        ("google-pubsub", "publishes"),
        ("strava", "proves nothing"),
        ("rfc9421-rsa-pss-sha512", "RSA"),
    ] {
        let scheme = &crate::verify::scheme::preset(name).unwrap().scheme;
        let error = Signer::new(scheme, b"s").err().unwrap().to_string();
        assert!(error.contains(why) && !scheme.can_be_signed(), "{name}: {error}");
    }
}

#[test]
fn a_private_key_is_read_in_each_of_its_forms() {
    let seed = hex::decode(SEED).unwrap();
    let public = seed::key_pair(SEED.as_bytes()).unwrap().public_key().as_ref().to_vec();
    let both = STANDARD.encode([&seed[..], &public].concat());
    for text in [format!("whsk_{both}"), format!("whsk_{}", STANDARD.encode(&seed))] {
        assert_eq!(seed::key_pair(text.as_bytes()).unwrap().public_key().as_ref(), public, "{text}");
    }
    for text in ["", "whsk_", "00", "whsk_*", &SEED[2..]] {
        assert!(seed::key_pair(text.as_bytes()).is_err(), "{text}");
    }
}
