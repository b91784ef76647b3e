use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{self, Secret},
    ingest::tests::{Bench, route},
    telemetry::HandshakeLabels,
    verify::{
        Caller, Settings, Signer, Vars,
        scheme::{Scheme, preset},
        tests::request,
    },
};

const SECRET: &str = "a-secret-that-only-tests-know";

/// An entry of `handshakes.json`.
#[derive(Deserialize)]
struct Fixture {
    id: String,
    request: Asked,
    response: Expected,
    secret: Option<String>,
}

#[derive(Clone, Deserialize)]
struct Asked {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: String,
    #[serde(default = "yes")]
    says_length: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Expected {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

fn fixtures() -> Vec<Fixture> {
    let json = include_str!("../../../../tests/fixtures/providers/handshakes.json");
    serde_json::from_str(json).unwrap()
}

/// The preset of an entry, and whether its requests carry a proof.
fn preset_of(id: &str) -> (&'static str, bool) {
    match id {
        "x-crc" => ("x-twitter", false),
        "smartcar" => ("smartcar", false),
        "braintree-bad" => ("braintree", false),
        "slack" => ("slack", true),
        "meta-bad" => ("meta", false),
        "twitch" => ("twitch", true),
        "cloudevents" => ("cloudevents", false),
        "msgraph" => ("microsoft-graph", false),
        "dropbox" => ("dropbox", false),
        "asana" => ("asana", false),
        "monday" => ("monday", false),
        "zoom-shape" => ("zoom", false),
        "nylas" => ("nylas", false),
        "strava" => ("strava", false),
        "discord-events-ping" => ("discord", true),
        "xero-itr" => ("xero", true),
        "trello" => ("trello", false),
        "mandrill" => ("mandrill", false),
        "line-verify" => ("line", true),
        "fitbit" => ("fitbit", false),
        "adyen-ack" => ("adyen-payments", true),
        other => panic!("no preset for `{other}`"),
    }
}

/// The preset's scheme. Where its proof is not a keyed hash that [`Signer`] can put into a header, GitHub's proof takes
/// its place: what is looked at here is what comes after it.
fn scheme(name: &str) -> Arc<Scheme> {
    let scheme = preset(name).unwrap().scheme.clone();
    match name {
        "discord" | "adyen-payments" | "aws-sns" => {
            let family = preset("github").unwrap().scheme.family.clone();
            Arc::new(Scheme { family, common: scheme.common.clone() })
        }
        _ => scheme,
    }
}

/// A route below `/in`, with the given values over the scheme's own.
fn route_of(scheme: &Arc<Scheme>, secrets: &[&str], vars: &[(&str, &str)]) -> config::Route {
    let secrets = secrets.iter().map(|secret| Secret::new(secret.as_bytes(), "test")).collect();
    let mut values: BTreeMap<_, _> =
        scheme.common.vars.iter().map(|(name, var)| (name.clone(), var.default.clone())).collect();
    values.extend(vars.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])));
    let mut settings = Settings::new(scheme.clone(), secrets);
    settings.vars = Vars::new(values);
    let respond = scheme.common.respond.clone();
    config::Route { verify: config::Verify::Proof(Box::new(settings)), respond, ..route("in", "/in/*") }
}

fn bench(name: &str, secrets: &[&str], vars: &[(&str, &str)]) -> Bench {
    Bench::new(vec![route_of(&scheme(name), secrets, vars)])
}

/// As an entry's route is configured.
fn bench_of(fixture: &Fixture) -> Bench {
    let (name, _) = preset_of(&fixture.id);
    let secret = fixture.secret.as_deref().unwrap_or(SECRET);
    let has_secrets = !matches!(name, "asana" | "cloudevents" | "strava");
    let (vars, secrets) = ([("verify_token", secret)], [secret]);
    bench(name, if has_secrets { &secrets } else { &[] }, if name == "strava" { &vars } else { &[] })
}

impl Asked {
    fn get(path_and_query: &str) -> Self {
        Self::new("GET", path_and_query, "")
    }

    fn post(body: &str) -> Self {
        Self::new("POST", "/in/x", body)
    }

    fn new(method: &str, path_and_query: &str, body: &str) -> Self {
        let url = format!("https://gateway.test{path_and_query}");
        Self {
            method: method.to_owned(),
            url,
            headers: BTreeMap::new(),
            body: body.to_owned(),
            says_length: true,
        }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    fn signed(&self, scheme: &Scheme, secret: &str) -> Self {
        let mut request = request();
        request.headers = HeaderMap::new();
        for (name, value) in &self.headers {
            request.headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        request.body = self.body.clone().into();
        Signer::new(scheme, secret.as_bytes()).unwrap().sign(&mut request, None).unwrap();
        let text = |(name, value): (&HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        Self { headers: request.headers.iter().map(text).collect(), ..self.clone() }
    }

    async fn of(&self, ingest: &Ingest) -> Answer {
        let url = Url::parse(&self.url).unwrap();
        let target = url.query().map_or(url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let mut request = Request::builder().method(self.method.as_str()).uri(target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if self.says_length {
            request = request.header("content-length", self.body.len());
        }
        let (head, body) = ingest
            .answer(request.body(Full::new(Bytes::from(self.body.clone()))).unwrap())
            .await
            .into_parts();
        assert!(head.headers.contains_key("x-request-id"));
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.into()).unwrap() }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    /// Status and body.
    fn brief(&self) -> (u16, &str) {
        (self.status.as_u16(), &self.body)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn check(&self, fixture: &Fixture) {
        let Fixture { id, response, .. } = fixture;
        assert_eq!(self.status.as_u16(), response.status, "{id}");
        for (name, value) in &response.headers {
            // A media type's parameters are the answer's own business.
            assert_eq!(self.header(name).split(';').next(), Some(value.as_str()), "{id}: {name}");
        }
        match serde_json::from_str::<Value>(&response.body) {
            Ok(Value::Object(mut expected)) => {
                let mut answered = self.json();
                if id == "zoom-shape" {
                    let signature = answered["encryptedToken"].take();
                    assert_eq!(signature.as_str().map(str::len), Some(64), "{signature}");
                    expected["encryptedToken"] = Value::Null;
                }
                assert_eq!(answered, Value::Object(expected), "{id}");
            }
            _ => assert_eq!(self.body, response.body, "{id}"),
        }
    }
}

fn handshakes(bench: &Bench, outcome: &'static str) -> u64 {
    bench.metrics.handshakes.get_or_create(&HandshakeLabels { route: "in".into(), outcome }).get()
}

#[tokio::test]
async fn every_known_handshake_is_answered_as_its_provider_expects() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 21);
    for fixture in fixtures {
        let (name, is_proven) = preset_of(&fixture.id);
        let (bench, scheme) = (bench_of(&fixture), scheme(name));
        let asked = match is_proven {
            true => fixture.request.signed(&scheme, SECRET),
            false => fixture.request.clone(),
        };
        asked.of(&bench.ingest()).await.check(&fixture);
        let is_event = fixture.id == "adyen-ack";
        assert_eq!(bench.journal.events().len(), usize::from(is_event), "{}", fixture.id);
    }
}

#[tokio::test]
async fn a_handshake_that_is_to_be_proven_is_refused_without_proof() {
    for fixture in fixtures().iter().filter(|fixture| preset_of(&fixture.id).1) {
        let bench = bench_of(fixture);
        let answer = fixture.request.of(&bench.ingest()).await;
        assert_eq!(answer.status, 401, "{}", fixture.id);
        let forged = fixture.request.signed(&scheme(preset_of(&fixture.id).0), "another secret");
        assert_eq!(forged.of(&bench.ingest()).await.status, 401, "{}", fixture.id);
        assert_eq!(bench.journal.events().len(), 0);
    }
}

#[tokio::test]
async fn what_fits_no_handshake_is_what_it_was_before() {
    let bench = bench("meta", &[SECRET], &[]);
    let ingest = bench.ingest();
    for asked in [
        Asked::get("/in/x"),
        Asked::get("/in/x?hub.mode=unsubscribe&hub.challenge=1"),
        Asked::get("/in/x?hub.mode=subscribe&hub.challenge=1&hub.challenge=2"),
    ] {
        let answer = asked.of(&ingest).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST"), "{}", asked.url);
    }
    assert_eq!(Asked::new("HEAD", "/in/x", "").of(&ingest).await.brief(), (405, ""));
    let asked = Asked::post("{}");
    let signed = asked.signed(&scheme("meta"), SECRET);
    assert_eq!(signed.of(&ingest).await.status, 200);
    assert_eq!(bench.journal.events().len(), 1);
}

#[tokio::test]
async fn a_body_beyond_all_handshakes_is_an_event() {
    let bench = bench("slack", &[SECRET], &[]);
    let (verification, rest) = ("{\"type\":\"url_verification\",\"challenge\":\"x\"", "x".repeat(64 << 10));
    let asked = |body: String| Asked::post(&body).signed(&scheme("slack"), SECRET);
    assert_eq!(asked(format!("{verification}}}")).of(&bench.ingest()).await.brief(), (200, "x"));
    let large = asked(format!("{verification},\"y\":\"{rest}\"}}"));
    assert_eq!(large.of(&bench.ingest()).await.brief(), (200, ""));
    assert_eq!(bench.journal.events().len(), 1);
}

#[tokio::test]
async fn a_question_needs_no_word_on_the_length_of_its_body() {
    let ingest = bench("microsoft-graph", &[SECRET], &[]).ingest();
    let asked = Asked { says_length: false, ..Asked::new("POST", "/in/x?validationToken=a%20b", "") };
    assert_eq!(asked.of(&ingest).await.brief(), (200, "a b"));
}

#[tokio::test]
async fn a_challenge_is_answered_to_the_one_who_knows_the_token() {
    let ask = async |bench: &Bench, token: &str| {
        let asked =
            Asked::get(&format!("/in/x?hub.mode=subscribe&hub.challenge=42&hub.verify_token={token}"));
        let answer = asked.of(&bench.ingest()).await;
        (answer.status.as_u16(), answer.body)
    };
    let with_var = bench("meta", &[SECRET], &[("verify_token", "typed-in")]);
    assert_eq!(ask(&with_var, "typed-in").await, (200, "42".to_owned()));
    assert_eq!(ask(&with_var, SECRET).await, (403, String::new()), "the variable takes the secrets' place");
    let without = bench("meta", &[SECRET], &[]);
    assert_eq!(ask(&without, SECRET).await, (200, "42".to_owned()));
    for wrong in ["", "typed-in", "a-secret-that-only-tests-kno"] {
        assert_eq!(ask(&without, wrong).await, (403, String::new()), "{wrong}");
    }
    assert_eq!(handshakes(&without, "refused"), 3);
    assert_eq!(without.refused("in", "handshake_refused"), 3);
}

#[tokio::test]
async fn nobody_gets_other_text_signed_than_a_challenge() {
    let bench = bench("x-twitter", &[SECRET], &[]);
    for wrong in ["", "a%20b", "{}", "a%0d%0ab", &"x".repeat(129)] {
        let asked = Asked::get(&format!("/in/x?crc_token={wrong}"));
        assert_eq!(asked.of(&bench.ingest()).await.brief(), (403, ""), "{wrong}");
    }
}

#[tokio::test]
async fn signing_for_strangers_is_bounded() {
    let bench = bench("x-twitter", &[SECRET], &[]);
    let (ingest, mut answers) = (bench.ingest(), Vec::new());
    for _ in 0..11 {
        answers.push(Asked::get("/in/x?crc_token=abc").of(&ingest).await);
    }
    assert!(answers[..10].iter().all(|answer| answer.status == 200));
    assert_eq!((answers[10].status.as_u16(), answers[10].header("retry-after")), (429, "1"));
}

#[tokio::test]
async fn signing_for_strangers_counts_for_the_routes_rate() {
    let rate = Some(Rate { events: NonZeroU32::MIN, per: Duration::from_secs(3600) });
    let route = config::Route { rate, ..route_of(&scheme("x-twitter"), &[SECRET], &[]) };
    let ingest = Bench::new(vec![route]).ingest();
    let asked = Asked::get("/in/x?crc_token=abc");
    assert_eq!(asked.of(&ingest).await.status, 200);
    assert_eq!(asked.of(&ingest).await.status, 429);
}

#[tokio::test]
async fn without_a_secret_in_force_there_is_nothing_to_sign_with() {
    let bench = bench("x-twitter", &[], &[]);
    let answer = Asked::get("/in/x?crc_token=abc").of(&bench.ingest()).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "30"));
    assert_eq!(handshakes(&bench, "failed"), 1);
}

#[tokio::test]
async fn echoes_are_plain_text_and_can_split_nothing() {
    let bench = bench("dropbox", &[SECRET], &[]);
    let answer = Asked::get("/in/x?challenge=%3Cscript%3E%0d%0aX-A:%201").of(&bench.ingest()).await;
    assert_eq!(answer.brief(), (200, "<script>\r\nX-A: 1"));
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let long = Asked::get(&format!("/in/x?challenge={}", "x".repeat(4097)));
    let strict = bench.server(|server| server.max_headers = 1 << 20);
    assert_eq!(long.of(&strict.ingest()).await.brief(), (400, ""));

    let text = "family = \"token\"\nfrom = \"header:X-T\"\n[[handshake]]\nabout = \"a test\"\nmethod = \"GET\"\n\
                when = [{ from = \"query:c\" }]\nanswer = { headers = { x-echo = \"{query:c}\" } }";
    let scheme: Arc<Scheme> = Arc::new(toml::from_str(text).unwrap());
    let ingest = Bench::new(vec![route_of(&scheme, &[SECRET], &[])]).ingest();
    assert_eq!(Asked::get("/in/x?c=plain").of(&ingest).await.header("x-echo"), "plain");
    for split in ["a%0d%0aset-cookie:%20b", "a%0ab", "a%00b", "%C3%A9%0A"] {
        let answer = Asked::get(&format!("/in/x?c={split}")).of(&ingest).await;
        assert_eq!((answer.brief(), answer.header("set-cookie")), ((400, ""), ""), "{split}");
    }
}

#[tokio::test]
async fn only_listed_origins_get_leave_to_send() {
    let bench = bench("cloudevents", &[], &[("origins", "good.example")]);
    let ask = async |origin: &str| {
        let asked = Asked::new("OPTIONS", "/in/x", "").header("WebHook-Request-Origin", origin);
        asked.of(&bench.ingest()).await
    };
    assert_eq!(ask("good.example").await.header("webhook-allowed-origin"), "good.example");
    let refused = ask("evil.example").await;
    assert_eq!((refused.brief(), refused.header("webhook-allowed-origin")), ((403, ""), ""));
}

fn asana(secret: &str) -> Asked {
    Asked::post("{}").header("X-Hook-Secret", secret)
}

const FIRST: &str = "b537207f20cbfa02357cf448134da559";
const SECOND: &str = "c537207f20cbfa02357cf448134da559";

#[tokio::test]
async fn a_learned_secret_counts_at_once() {
    let (bench, scheme) = (bench("asana", &[], &[]), scheme("asana"));
    let ingest = bench.ingest();
    let event = |secret| Asked::post("{}").signed(&scheme, secret);
    assert_eq!(event(FIRST).of(&ingest).await.status, 503, "the sender is to try again");
    assert_eq!(asana(FIRST).of(&ingest).await.header("x-hook-secret"), FIRST);
    assert_eq!(event(FIRST).of(&ingest).await.status, 200);
    assert_eq!(event(SECOND).of(&ingest).await.status, 401);
    bench.learned.forget("in").unwrap();
    assert_eq!(event(FIRST).of(&ingest).await.status, 503);
}

#[tokio::test]
async fn another_secret_is_learned_only_while_one_is_expected() {
    let (bench, scheme) = (bench("asana", &[], &[]), scheme("asana"));
    let ingest = bench.ingest();
    assert_eq!(asana(FIRST).of(&ingest).await.status, 200);
    let refused = asana(SECOND).of(&ingest).await;
    assert_eq!((refused.brief(), refused.header("x-hook-secret")), ((403, ""), ""));
    assert_eq!(bench.refused("in", "secret_unexpected"), 1);

    bench.learned.expect("in", crate::clock::Clock::now(&*bench.clock) + Duration::from_secs(600));
    bench.clock.advance(Duration::from_secs(599));
    assert_eq!(asana(SECOND).of(&ingest).await.status, 200);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(asana("d537207f20cbfa02357cf448134da559").of(&ingest).await.status, 403);
    for secret in [FIRST, SECOND] {
        let event = Asked::post("{}").signed(&scheme, secret);
        assert_eq!(event.of(&ingest).await.status, 200, "{secret}");
    }
}

#[tokio::test]
async fn a_route_that_was_given_a_secret_learns_none() {
    let bench = bench("asana", &[SECRET], &[]);
    assert_eq!(asana(FIRST).of(&bench.ingest()).await.status, 403);
    let short = asana("short").of(&bench.ingest()).await;
    assert_eq!(short.brief(), (403, ""));
}

#[tokio::test]
async fn notion_hands_over_its_token_in_the_body() {
    let (bench, scheme) = (bench("notion", &[], &[]), scheme("notion"));
    let ingest = bench.ingest();
    let body = json!({ "verification_token": format!("secret_{FIRST}") }).to_string();
    assert_eq!(Asked::post(&body).of(&ingest).await.brief(), (200, ""));
    let event = Asked::post("{\"id\":\"1\"}");
    assert_eq!(event.signed(&scheme, &format!("secret_{FIRST}")).of(&ingest).await.status, 202);
}

/// Notes what it is to call, and answers as it is told.
struct FakeCaller {
    called: Mutex<Vec<String>>,
    answer: Result<(), String>,
}

#[async_trait]
impl Caller for FakeCaller {
    async fn call(&self, url: Url) -> Result<(), String> {
        self.called.lock().unwrap().push(url.to_string());
        self.answer.clone()
    }
}

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:orders";

/// The status, and what was called.
async fn confirm(topic: &str, url: &str, answer: Result<(), &str>) -> (u16, Vec<String>) {
    let caller = Arc::new(FakeCaller { called: Mutex::default(), answer: answer.map_err(str::to_owned) });
    let mut bench = bench("aws-sns", &[SECRET], &[("topics", TOPIC)]);
    bench.caller = caller.clone();
    let body =
        json!({ "Type": "SubscriptionConfirmation", "TopicArn": topic, "SubscribeURL": url }).to_string();
    let asked = Asked::post(&body).signed(&scheme("aws-sns"), SECRET);
    let status = asked.of(&bench.ingest()).await.status.as_u16();
    assert_eq!(bench.journal.events().len(), 0);
    let called = caller.called.lock().unwrap().clone();
    (status, called)
}

#[tokio::test]
async fn a_subscription_to_a_listed_topic_is_confirmed() {
    let url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=x";
    assert_eq!(confirm(TOPIC, url, Ok(())).await, (200, vec![url.to_owned()]));
    assert_eq!(confirm(TOPIC, url, Err("answered 500")).await, (503, vec![url.to_owned()]));
    assert_eq!(confirm("arn:aws:sns:us-east-1:1:other", url, Ok(())).await, (403, vec![]));
    for foreign in ["https://evil.test/", "http://sns.us-east-1.amazonaws.com/", "https://169.254.169.254/"] {
        assert_eq!(confirm(TOPIC, foreign, Ok(())).await, (403, vec![]), "{foreign}");
    }
}

#[tokio::test]
async fn a_refusal_has_the_status_that_the_provider_looks_for() {
    let bench = bench("gocardless", &[SECRET], &[]);
    let asked = Asked::post("{}");
    assert_eq!(asked.of(&bench.ingest()).await.status, 498);
    let fitbit = self::bench("fitbit", &[SECRET], &[]);
    assert_eq!(asked.of(&fitbit.ingest()).await.status, 404);
    let wrong = Asked::get("/in/x?verify=wrong").of(&fitbit.ingest()).await;
    assert_eq!(wrong.brief(), (404, ""));
}

#[test]
fn no_handshake_asks_with_a_method_of_its_own_making() {
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST];
    for preset in crate::verify::scheme::presets() {
        assert!(preset.scheme.handshake_methods().all(|method| known.contains(&method)), "{}", preset.name);
    }
}

/// Braintree's own test values: the key is the SHA-1 of the private key.
#[tokio::test]
async fn braintree_is_answered_with_the_public_key_and_a_signature() {
    let bench =
        bench("braintree", &["integration_private_key"], &[("public_key_id", "integration_public_key")]);
    let answer = Asked::get("/in/x?bt_challenge=20f9f8ed05f77439fe955c977e4c8a53").of(&bench.ingest()).await;
    assert_eq!(answer.brief(), (200, "integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4"));
}
