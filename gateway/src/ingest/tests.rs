use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

use super::{encoding::tests::gzip, *};
use crate::{
    clock::ManualClock,
    config::{Admin, Config, Rate, Server},
    dispatch::Turns,
    event::Event,
    generation::Generation,
    journal::{
        AckLevel, Caps, Claim, DeadFilter, DeadLetter, DeliveryAttempt, Due, EventFilter, EventRecord,
        EventSummary, Health, JournalError, Settlement,
    },
    pipeline::Pipeline,
    route::Router,
    verify::scheme::Respond,
    verify::{
        Caller, Handshakes, Learned, PublicCaller, Verifier,
        tests::{by_preset, signed},
    },
};

mod providers;
mod vector;

/// A route for POST that anybody may send to.
pub(crate) fn route(name: &str, path: &str) -> config::Route {
    config::Route {
        name: Arc::from(name),
        host: None,
        path: path.to_owned(),
        methods: vec![Method::POST],
        verify: config::Verify::None,
        respond: Respond::default(),
        dedupe: None,
        max_body: 1 << 20,
        rate: None,
        pipeline: Vec::new(),
        batch: None,
        deliver: Vec::new(),
    }
}

/// A journal in memory that can be told to fail or to wait.
pub(crate) struct FakeJournal {
    events: Mutex<Vec<Arc<Event>>>,
    failure: Mutex<Option<JournalError>>,
    /// An append needs one of these permits.
    pub(crate) gate: Semaphore,
    /// How many appends have begun.
    pub(crate) begun: AtomicUsize,
}

impl FakeJournal {
    pub(crate) fn events(&self) -> Vec<Arc<Event>> {
        self.events.lock().unwrap().clone()
    }

    fn fail_once(&self, failure: JournalError) {
        *self.failure.lock().unwrap() = Some(failure);
    }
}

#[async_trait]
impl Journal for FakeJournal {
    fn caps(&self) -> Caps {
        Caps { ack: AckLevel::LocalFsync, shared: false }
    }

    async fn append(&self, event: Arc<Event>, dedupe: Option<Duration>) -> Result<Appended, JournalError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let _permit = self.gate.acquire().await.unwrap();
        if let Some(failure) = self.failure.lock().unwrap().take() {
            return Err(failure);
        }
        let mut events = self.events.lock().unwrap();
        let same = |old: &&Arc<Event>| old.route == event.route && old.delivery_id == event.delivery_id;
        let known = events.iter().find(same).filter(|_| dedupe.is_some() && event.delivery_id.is_some());
        if let Some(first) = known {
            return Ok(Appended::Duplicate(first.id));
        }
        events.push(event);
        Ok(Appended::New)
    }

    async fn claim(&self, _: usize) -> Result<Vec<Claim>, JournalError> {
        Ok(Vec::new())
    }

    fn settle(&self, _: Settlement) {}

    async fn claim_due(&self, _: &str, _: Timestamp, _: usize) -> Result<Due, JournalError> {
        Ok(Due::default())
    }

    async fn waiting_destinations(&self) -> Result<Vec<Arc<str>>, JournalError> {
        Ok(Vec::new())
    }

    fn settle_delivery(&self, _: DeliveryAttempt) {}

    async fn events(&self, _: EventFilter) -> Result<Vec<EventSummary>, JournalError> {
        Ok(Vec::new())
    }

    async fn event(&self, _: EventId) -> Result<Option<EventRecord>, JournalError> {
        Ok(None)
    }

    async fn dead_letters(&self, _: DeadFilter) -> Result<Vec<DeadLetter>, JournalError> {
        Ok(Vec::new())
    }

    async fn replay_event(&self, _: EventId, _: Timestamp) -> Result<bool, JournalError> {
        Ok(false)
    }

    async fn replay_dead(&self, _: DeadFilter, _: Timestamp) -> Result<u64, JournalError> {
        Ok(0)
    }

    fn health(&self) -> Health {
        Health::default()
    }

    async fn close(&self) {}
}

/// Everything that ingest needs, in memory.
pub(crate) struct Bench {
    pub(crate) journal: Arc<FakeJournal>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) learned: Arc<Learned>,
    pub(crate) caller: Arc<dyn Caller>,
    pub(crate) clock: Arc<ManualClock>,
    routes: Vec<config::Route>,
    server: Server,
}

impl Bench {
    pub(crate) fn new(routes: Vec<config::Route>) -> Self {
        let server = Server {
            listen: ([127, 0, 0, 1], 0).into(),
            tls: None,
            max_connections: 100,
            max_headers: 4 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(10),
        };
        let journal = FakeJournal {
            events: Mutex::default(),
            failure: Mutex::default(),
            gate: Semaphore::new(100),
            begun: AtomicUsize::new(0),
        };
        Self {
            journal: Arc::new(journal),
            metrics: Arc::default(),
            learned: Arc::default(),
            caller: Arc::new(PublicCaller),
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000))),
            routes,
            server,
        }
    }

    /// One route that anybody may send to, at `/in`.
    pub(crate) fn open() -> Self {
        Self::new(vec![route("in", "/in")])
    }

    pub(crate) fn now(self, now: Timestamp) -> Self {
        Self { clock: Arc::new(ManualClock::at(now)), ..self }
    }

    pub(crate) fn server(mut self, change: impl FnOnce(&mut Server)) -> Self {
        change(&mut self.server);
        self
    }

    fn live(&self, config: &Arc<config::Route>) -> (Arc<str>, Arc<LiveRoute>) {
        let live = LiveRoute {
            config: config.clone(),
            verifier: Verifier::with_learned(&config.verify, &Arc::default(), self.learned.of(&config.name)),
            handshakes: Handshakes::new(&config.verify, &config.name, &self.learned, &self.caller),
            greeting_limiter: HandshakeLimiter::default(),
            answers: RouteAnswers::new(&config.respond),
            prover: None,
            pipeline: Pipeline::default(),
            batch: None,
            doorstep: Doorstep::new(),
            limiter: RouteLimiter::carry_over(config.rate, None),
            turns: Turns::new(),
            metrics: RouteMetrics::new(&self.metrics, &config.name),
            rotation: crate::ingest::Rotation::new(&config.name, &config.verify, &self.metrics, None),
        };
        (config.name.clone(), Arc::new(live))
    }

    pub(crate) fn ingest(&self) -> Arc<Ingest> {
        self.ingest_of(Arc::new(ArcSwap::from_pointee(self.generation())))
    }

    /// Goes by whatever generation is current.
    pub(crate) fn ingest_of(&self, current: Current) -> Arc<Ingest> {
        Arc::new(Ingest::new(current, self.journal.clone(), self.clock.clone(), self.metrics.clone()))
    }

    pub(crate) fn generation(&self) -> Generation {
        let routes: Vec<_> = self.routes.iter().cloned().map(Arc::new).collect();
        Generation {
            number: 1,
            router: Router::build(&routes).unwrap(),
            routes: routes.iter().map(|route| self.live(route)).collect::<HashMap<_, _>>(),
            config: Config {
                server: self.server.clone(),
                admin: Admin { listen: ([127, 0, 0, 1], 0).into(), token: None },
                journal: config::Journal {
                    path: "data".into(),
                    retain: Duration::from_secs(60),
                    max_size: 1 << 30,
                },
                plugins: BTreeMap::new(),
                destinations: BTreeMap::new(),
                routes,
                files: Vec::new(),
                places: config::Places::default(),
            },
        }
    }

    pub(crate) fn refused(&self, route: &str, reason: &'static str) -> u64 {
        self.metrics.refused.get_or_create(&RefusalLabels { route: route.into(), reason }).get()
    }
}

/// An answer, taken apart.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: serde_json::Value,
}

async fn ask(ingest: &Ingest, request: Request<Full<Bytes>>) -> Answer {
    let (head, body) = ingest.answer(request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body: serde_json::from_slice(&body).unwrap() }
}

fn post(path: &str, headers: &HeaderMap, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let body = body.into();
    let mut request = Request::post(path).header("content-length", body.len()).body(Full::new(body)).unwrap();
    request.headers_mut().extend(headers.clone());
    request
}

fn plain(path: &str) -> Request<Full<Bytes>> {
    post(path, &HeaderMap::new(), "{}")
}

fn by_github() -> Bench {
    let verify = by_preset("github", &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    let dedupe = Some(Duration::from_secs(60));
    Bench::new(vec![config::Route { verify, dedupe, ..route("in", "/in") }])
}

#[tokio::test]
async fn accepted_means_appended() {
    let bench = Bench::new(vec![route("in", "/in/{tenant}")]);
    let answer = ask(&bench.ingest(), plain("/in/a%20b?x=1")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let events = bench.journal.events();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(answer.body["id"], event.id.to_string());
    assert_eq!(answer.headers["x-request-id"], event.id.to_string());
    assert_eq!((event.path.as_str(), event.query.as_deref()), ("/in/a%20b", Some("x=1")));
    assert_eq!(event.params, [("tenant".to_owned(), "a b".to_owned())]);
    assert_eq!(bench.metrics.accepted.get_or_create(&label("in")).get(), 1);
}

fn label(route: &str) -> crate::telemetry::RouteLabel {
    crate::telemetry::RouteLabel { route: route.into() }
}

#[tokio::test]
async fn a_delivery_seen_before_is_answered_with_the_first_event() {
    let bench = by_github();
    let (ingest, request) = (bench.ingest(), signed("github", "{}"));
    let first = ask(&ingest, post("/in", &request.headers, "{}")).await;
    let second = ask(&ingest, post("/in", &request.headers, "{}")).await;
    assert_eq!((first.status, second.status), (StatusCode::ACCEPTED, StatusCode::OK));
    assert_eq!(second.body["id"], first.body["id"]);
    assert_eq!(second.body["duplicate"], true);
    assert_eq!(bench.journal.events().len(), 1);
    assert_eq!(bench.metrics.duplicates.get_or_create(&label("in")).get(), 1);
}

#[tokio::test]
async fn a_refused_request_burns_no_delivery_id() {
    let bench = by_github();
    let (ingest, request) = (bench.ingest(), signed("github", "{}"));
    let forged = ask(&ingest, post("/in", &request.headers, "[]")).await;
    assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
    assert_eq!(forged.body["code"], "signature_invalid");
    assert_eq!(bench.refused("in", "signature_invalid"), 1);

    bench.journal.fail_once(JournalError::Full("disk".to_owned()));
    let failed = ask(&ingest, post("/in", &request.headers, "{}")).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(failed.headers["retry-after"], "30");
    assert_eq!(bench.refused("in", "journal_full"), 1);

    assert_eq!(ask(&ingest, post("/in", &request.headers, "{}")).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_signature_is_over_the_bytes_as_sent_and_the_event_is_inflated() {
    let bench = by_github();
    let sent = gzip(b"{\"a\":1}");
    let mut request = signed("github", "");
    request.body = sent.clone().into();
    let scheme = &crate::verify::scheme::preset("github").unwrap().scheme;
    let signer = crate::verify::Signer::new(scheme, b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    signer.sign(&mut request, None).unwrap();
    request.headers.insert("content-encoding", HeaderValue::from_static("gzip"));
    let answer = ask(&bench.ingest(), post("/in", &request.headers, sent)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let event = &bench.journal.events()[0];
    assert_eq!(event.body, "{\"a\":1}");
    assert_eq!(event.headers.get("content-encoding"), None);
}

#[tokio::test]
async fn a_bomb_is_refused() {
    let bench = Bench::open();
    let mut headers = HeaderMap::new();
    headers.insert("content-encoding", HeaderValue::from_static("gzip"));
    let answer = ask(&bench.ingest(), post("/in", &headers, gzip(&vec![0; 8 << 20]))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(bench.journal.events().len(), 0);
}

#[tokio::test]
async fn requests_that_fit_no_route_are_refused() {
    let bench = Bench::open();
    let ingest = bench.ingest();
    let answer = ask(&ingest, plain("/out")).await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
    let get = Request::get("/in").body(Full::default()).unwrap();
    let answer = ask(&ingest, get).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers["allow"], "POST");
    assert_eq!(bench.refused("", "method_not_allowed"), 1);
}

#[tokio::test]
async fn requests_beyond_the_rate_are_told_when_to_come_back() {
    let rate = Some(Rate { events: NonZeroU32::MIN, per: Duration::from_secs(3600) });
    let bench = Bench::new(vec![config::Route { rate, ..route("in", "/in") }]);
    let ingest = bench.ingest();
    assert_eq!(ask(&ingest, plain("/in")).await.status, StatusCode::ACCEPTED);
    let answer = ask(&ingest, plain("/in")).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn forgers_do_not_use_up_the_rate_of_the_sender() {
    let rate = Some(Rate { events: NonZeroU32::MIN, per: Duration::from_secs(3600) });
    let verify = by_preset("github", &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    let bench = Bench::new(vec![config::Route { verify, rate, ..route("in", "/in") }]);
    let (ingest, genuine) = (bench.ingest(), signed("github", "{}"));
    for _ in 0..3 {
        assert_eq!(ask(&ingest, plain("/in")).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(ask(&ingest, post("/in", &genuine.headers, "{}")).await.status, StatusCode::ACCEPTED);
    let beyond = ask(&ingest, post("/in", &genuine.headers, "{}")).await;
    assert_eq!(beyond.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn unknown_encodings_and_missing_lengths_are_refused() {
    let ingest = Bench::open().ingest();
    let mut headers = HeaderMap::new();
    headers.insert("content-encoding", HeaderValue::from_static("br"));
    let answer = ask(&ingest, post("/in", &headers, "{}")).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.headers["accept-encoding"], "gzip, zstd");
    let request = Request::post("/in").body(Full::default()).unwrap();
    assert_eq!(ask(&ingest, request).await.status, StatusCode::LENGTH_REQUIRED);
}

#[tokio::test]
async fn over_http2_the_authority_becomes_the_host() {
    let bench = Bench::open();
    let mut request = plain("https://hooks.test/in");
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove("content-length");
    assert_eq!(ask(&bench.ingest(), request).await.status, StatusCode::ACCEPTED);
    assert_eq!(bench.journal.events()[0].headers.get("host").unwrap(), "hooks.test");
}

#[tokio::test]
async fn a_request_with_two_hosts_finds_no_route_of_either() {
    let host = |host: &str| Some(host.to_owned());
    let bench = Bench::new(vec![config::Route { host: host("hooks.test"), ..route("in", "/in") }]);
    let (ingest, mut request) = (bench.ingest(), plain("/in"));
    request.headers_mut().append("host", HeaderValue::from_static("hooks.test"));
    assert_eq!(ask(&ingest, request.clone()).await.status, StatusCode::ACCEPTED);
    request.headers_mut().append("host", HeaderValue::from_static("other.test"));
    assert_eq!(ask(&ingest, request).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_proven_of_the_host_is_the_one_that_found_the_route() {
    let bench = Bench::open();
    let mut request = plain("http://hooks.test/in");
    request.headers_mut().insert("host", HeaderValue::from_static("other.test"));
    assert_eq!(ask(&bench.ingest(), request).await.status, StatusCode::ACCEPTED);
    let hosts: Vec<_> = bench.journal.events()[0].headers.get_all("host").cloned().collect();
    assert_eq!(hosts, ["hooks.test"]);
}
