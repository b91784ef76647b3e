use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::config::Secret;
use scheme::preset;

mod flips;
mod incomparable;

/// A request with nothing special about it.
pub(crate) fn request() -> Unverified {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("hooks.test"));
    headers.insert("x-a", HeaderValue::from_static("1"));
    Unverified {
        id: EventId::generate(),
        route: "in".into(),
        received_at: Timestamp::from_millis(1_700_000_000_000),
        method: Method::POST,
        path: "/in".to_owned(),
        query: None,
        params: Vec::new(),
        headers,
        body: Bytes::from_static(b"{}"),
    }
}

pub(crate) fn by_preset(name: &str, secrets: &[&str]) -> config::Verify {
    proof(name, secrets.iter().map(|s| Secret::new(s.as_bytes(), "test")).collect())
}

fn proof(name: &str, secrets: Vec<Secret>) -> config::Verify {
    config::Verify::Proof(Box::new(Settings::new(preset(name).unwrap().scheme.clone(), secrets)))
}

/// What a future comes to that has nothing to wait for.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

fn verifier(config: &config::Verify) -> Verifier {
    Verifier::new(config, &Arc::default())
}

/// Presets that differ in where things are and how they are written.
const SIGNED: [&str; 7] = ["github", "gitlab", "shopify", "slack", "standard-webhooks", "stripe", "svix"];

/// A row of the vectors.
#[derive(Deserialize)]
struct Vector {
    id: String,
    scheme: String,
    secret: Option<String>,
    secrets: Option<Vec<String>>,
    public_key: Option<String>,
    public_key_pem: Option<String>,
    jwks: Option<serde_json::Value>,
    #[serde(default)]
    vars: BTreeMap<String, String>,
    method: String,
    url: String,
    headers: BTreeMap<String, Values>,
    body: Option<String>,
    body_base64: Option<String>,
    body_repeat: Option<(String, usize)>,
    now: Option<u64>,
    valid: bool,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl Vector {
    fn all() -> Vec<Self> {
        let packed = include_bytes!("../../../tests/fixtures/providers/vectors.json.gz");
        serde_json::from_reader(flate2::read::GzDecoder::new(&packed[..])).unwrap()
    }

    fn request(&self) -> Option<Unverified> {
        let (mut request, url) = (request(), self.target());
        request.method = self.method.parse().unwrap();
        request.headers.clear();
        request.headers.insert("host", HeaderValue::from_str(self.origin().1).unwrap());
        request.path = url.split('?').next().unwrap_or_default().to_owned();
        request.query = url.split_once('?').map(|(_, query)| query.to_owned());
        for (name, values) in &self.headers {
            let values = match values {
                Values::One(value) => std::slice::from_ref(value),
                Values::Many(values) => values,
            };
            for value in values {
                // What hyper does not let through never gets here; it also cuts the blanks around a value.
                let value = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes()).ok()?;
                request.headers.append(name.parse::<HeaderName>().unwrap(), value);
            }
        }
        request.body = match (&self.body, &self.body_base64, &self.body_repeat) {
            (_, Some(base64), _) => STANDARD.decode(base64).unwrap().into(),
            (_, _, Some((text, times))) => text.repeat(*times).into(),
            (body, _, _) => body.clone().unwrap_or_default().into(),
        };
        Some(request)
    }

    /// The URL's scheme and authority.
    fn origin(&self) -> (&str, &str) {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        (scheme, &rest[..rest.find(['/', '?']).unwrap_or(rest.len())])
    }

    /// Path and query.
    fn target(&self) -> &str {
        let (scheme, authority) = self.origin();
        &self.url[scheme.len() + 3 + authority.len()..]
    }

    fn settings(&self) -> Settings {
        let given = |text: &String| Secret::new(text.as_bytes(), "test");
        let several = self.secrets.iter().flatten();
        let secrets = self.secret.iter().chain(several).map(given).collect();
        let (scheme, authority) = self.origin();
        Settings {
            public_keys: self.public_key.iter().chain(&self.public_key_pem).map(given).collect(),
            jwks: self.jwks.as_ref().map(|jwks| jwks.to_string().into_bytes().into()),
            vars: Vars::new(
                self.vars.iter().map(|(name, value)| (name.clone(), vec![value.clone()])).collect(),
            ),
            url: Some(format!("{scheme}://{authority}").parse().unwrap()),
            ..Settings::new(preset(&self.scheme).unwrap().scheme.clone(), secrets)
        }
    }

    fn outcome(&self) -> Result<(), &'static str> {
        let now = self.now.map(|now| Timestamp::from_millis(now * 1000));
        let request = self.request().ok_or("not_http")?;
        let verifier = verifier(&config::Verify::Proof(Box::new(self.settings())));
        ready(verifier.verify_before(request, now, &mut ())).map(drop).map_err(|refused| refused.code())
    }

    /// What is wrong with the outcome, if anything.
    fn fault(&self) -> Option<String> {
        let outcome = self.outcome();
        let is_right = match (outcome, self.reason.as_deref()) {
            (Ok(()), _) => self.valid,
            (Err(code), Some(reason)) => !self.valid && codes(reason).contains(&code),
            (Err(_), None) => !self.valid,
        };
        (!is_right).then(|| format!("{}: {outcome:?}, not {:?}", self.id, self.reason))
    }
}

/// Which of our codes a reason of the vectors may come out as.
fn codes(reason: &str) -> &'static [&'static str] {
    match reason.split(':').next().unwrap_or_default() {
        "mismatch" => &["signature_invalid", "signature_malformed", "token_invalid", "body_not_covered"],
        "prefix" => &["signature_malformed", "token_invalid"],
        "no-known-version" | "no-signature-field" => &["signature_malformed"],
        "missing-signature" => &["signature_missing"],
        "missing-token" => &["token_missing"],
        "missing-timestamp" => &["timestamp_missing"],
        "bad-timestamp" => &["timestamp_malformed"],
        "stale" => &["timestamp_stale"],
        "future" => &["timestamp_future"],
        "missing" | "header-not-delivered" => &["field_missing"],
        "duplicate-header" | "duplicate-timestamp-field" => &["field_repeated"],
        "empty-key" | "bad-base64" | "bad-hex" => &["no_active_secret"],
        "require" | "require-host" => &["requirement_failed"],
        "unknown-algorithm" => &["algorithm_unknown"],
        "body-hash" | "body_hash" | "content-digest" => &["body_hash_invalid"],
        "missing-body_hash" => &["claim_missing"],
        "claim" => &["claim_invalid"],
        "alg-not-allowed" => &["algorithm_unknown"],
        other => panic!("no code for `{other}`"),
    }
}

#[test]
fn every_published_vector_comes_out_right() {
    let vectors = Vector::all();
    let faults: Vec<_> = vectors.iter().filter_map(Vector::fault).collect();
    assert_eq!(vectors.len(), 909);
    assert!(faults.is_empty(), "{} of {} are wrong:\n{}", faults.len(), vectors.len(), faults.join("\n"));
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request signed with `SECRET`.
pub(crate) fn signed(name: &str, body: &str) -> Unverified {
    let mut request = request();
    request.body = Bytes::copy_from_slice(body.as_bytes());
    sign(name, &mut request);
    request
}

fn sign(name: &str, request: &mut Unverified) {
    let scheme = &preset(name).unwrap().scheme;
    Signer::new(scheme, SECRET.as_bytes()).unwrap().sign(request, Some("push")).unwrap();
}

fn event(name: &str, request: Unverified) -> Event {
    let (now, body) = (request.received_at, request.body.clone());
    ready(verifier(&by_preset(name, &[SECRET])).verify(request, now))
        .unwrap()
        .genuine()
        .unwrap()
        .into_event(body)
}

#[test]
fn what_a_signer_signs_is_let_in() {
    for name in SIGNED {
        let event = event(name, signed(name, "{\"id\":\"e1\",\"event_id\":\"e1\",\"type\":\"push\"}"));
        assert!(event.delivery_id.is_some(), "{name}");
        assert_eq!(event.event_type.as_deref(), Some("push"), "{name}");
    }
}

#[test]
fn every_secret_in_force_counts_and_no_other() {
    let moment = Timestamp::from_millis;
    let secret = |text: &str| Secret::new(text.as_bytes(), "test");
    let config = proof(
        "github",
        vec![secret("other"), secret(SECRET).valid_between(Some(moment(1000)), Some(moment(2000)))],
    );
    let verifier = verifier(&config);
    let code =
        |now| ready(verifier.verify(signed("github", "{}"), moment(now))).map(drop).map_err(|e| e.code());
    assert_eq!(code(999), Err("signature_invalid"));
    assert_eq!(code(1000), Ok(()));
    assert_eq!(code(1999), Ok(()));
    assert_eq!(code(2000), Err("signature_invalid"));
    let genuine = ready(verifier.verify(signed("github", "{}"), moment(1000))).map_err(|e| e.code());
    let matched = genuine.map(|judged| judged.genuine().and_then(|genuine| genuine.matched()));
    assert_eq!(matched, Ok(Some(1)));
}

#[test]
fn without_a_secret_in_force_it_is_our_fault() {
    let secret = Secret::new(SECRET.as_bytes(), "test").valid_between(None, Some(Timestamp::from_millis(1)));
    let config = proof("github", vec![secret]);
    let now = Timestamp::from_millis(1);
    let refused = ready(verifier(&config).verify(signed("github", "{}"), now)).map(drop).unwrap_err();
    assert!(matches!(refused, Refused::NoActiveSecret));
}

#[test]
fn credentials_and_connection_headers_are_not_passed_on() {
    let mut request = signed("gitlab", "{}");
    for (name, value) in [
        ("authorization", "Bearer x"),
        ("proxy-authorization", "Basic x"),
        ("cookie", "a=b"),
        ("connection", "keep-alive, X-Hop"),
        ("keep-alive", "timeout=5"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("content-length", "2"),
        ("content-encoding", "gzip"),
        ("content-type", "application/json"),
    ] {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    let event = event("gitlab", request);
    let mut names: Vec<_> = event.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "host", "idempotency-key", "x-a", "x-gitlab-event"]);
}

#[test]
fn ids_and_types_come_from_where_the_scheme_says() {
    let stripe = event("stripe", signed("stripe", r#"{"id":"evt_1","type":"charge.failed"}"#));
    assert_eq!(stripe.delivery_id.as_deref(), Some("evt_1"));
    assert_eq!(stripe.event_type.as_deref(), Some("charge.failed"));

    let slack = event("slack", signed("slack", r#"{"type":"event_callback","event":{"type":"message"}}"#));
    assert_eq!(slack.delivery_id, None);
    assert_eq!(slack.event_type.as_deref(), Some("message"));

    let mut gitlab = signed("gitlab", "{}");
    gitlab.headers.remove("idempotency-key");
    gitlab.headers.insert("x-gitlab-event-uuid", HeaderValue::from_static("u1"));
    // Shared by webhooks that another webhook sets off.
    assert_eq!(event("gitlab", gitlab).delivery_id, None);
}

#[test]
fn ids_beyond_all_measure_are_left_out() {
    let body = format!(r#"{{"id":"{}","type":""}}"#, "x".repeat(MAX_DETAIL + 1));
    let event = event("stripe", signed("stripe", &body));
    assert_eq!((event.delivery_id, event.event_type), (None, None));
}

#[test]
fn json_may_be_a_part_of_a_form() {
    let hash = "233978e5a3f24201c199630cf6e07e4a7cc637939eb4a3de275a706d206c1953";
    let json = format!(r#"{{"event":{{"event_time":"1","event_type":"sent","event_hash":"{hash}"}}}}"#);
    let mut request = request();
    request.headers.insert("content-type", HeaderValue::from_static("multipart/form-data; boundary=x"));
    request.body =
        format!("--x\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{json}\r\n--x--\r\n").into();
    let event = event("dropbox-sign", request);
    assert_eq!(event.event_type.as_deref(), Some("sent"));
}

#[test]
fn an_open_route_lets_anybody_in() {
    let event = ready(verifier(&config::Verify::None).verify(request(), Timestamp::default()))
        .unwrap()
        .genuine()
        .unwrap()
        .into_event(Bytes::new());
    assert_eq!((event.delivery_id, event.event_type), (None, None));
}

#[test]
fn a_route_that_a_plugin_proves_lets_nobody_in_without_it() {
    let plugin = Arc::new(config::Plugin::new("prover", "prover.wasm".into()));
    let proof = config::PluginProof { plugin, config: Default::default(), secrets: Vec::new(), url: None };
    let verifier = verifier(&config::Verify::Plugin(Box::new(proof)));
    let refused = ready(verifier.verify(request(), Timestamp::default())).err().unwrap();
    assert_eq!(refused.code(), "plugin_unavailable");
    assert!(refused.to_string().starts_with("plugin `prover` proves the route's requests, "), "{refused}");
}

#[test]
fn no_refusal_shows_the_secret() {
    for name in SIGNED {
        let mut request = signed(name, "{}");
        request.body = Bytes::from_static(b"[]");
        request.headers.insert("x-gitlab-token", HeaderValue::from_static("wrong"));
        let now = request.received_at;
        let verifier = verifier(&by_preset(name, &[SECRET]));
        let refused = ready(verifier.verify(request, now)).map(drop).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("MfKQ9r8"), "{name}: {refused:?}");
    }
}

fn any_preset() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&SIGNED[..])
}

proptest! {
    #[test]
    fn arbitrary_header_values_are_refused_without_panic(name in any_preset(), value: Vec<u8>) {
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        for header in ["x-hub-signature-256", "stripe-signature", "x-slack-request-timestamp",
                       "webhook-signature", "svix-timestamp", "x-shopify-hmac-sha256", "x-gitlab-token"] {
            let mut request = signed(name, "{}");
            let Some(old) = request.headers.insert(header, value.clone()) else { continue };
            prop_assume!(old != value);
            let now = request.received_at;
            prop_assert!(ready(verifier(&by_preset(name, &[SECRET])).verify(request, now)).is_err());
        }
    }
}

mod claims;
