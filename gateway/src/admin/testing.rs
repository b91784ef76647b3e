//! An admin listener over a journal in memory, for tests.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Admin, Control, router, serve};
use crate::{
    clock::{ManualClock, Timestamp},
    config::{self, Config, Secret},
    event::{Event, EventId, Headers, Message},
    generation::{Current, Generation},
    journal::{
        AckLevel, Appended, Caps, Claim, DeadFilter, DeadLetter, Delivery, DeliveryAttempt, DeliveryKey,
        DeliveryState, Due, EventFilter, EventRecord, EventState, EventSummary, Health, Journal,
        JournalError, Settlement, TrailEntry,
    },
    route::Router,
    telemetry::Metrics,
    verify::{Learned, Proof},
};

/// 2026-03-01T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_772_366_400_000);

/// The event that [`FakeJournal`] knows.
pub(crate) const EVENT: &str = "01930c2e-7b1a-7c3d-9a52-5d7f3f0d2c11";

/// An admin listener on a loopback port of its own; stops when dropped.
pub(crate) struct Bench {
    pub(crate) address: SocketAddr,
    pub(crate) journal: Arc<FakeJournal>,
    pub(crate) control: Arc<FakeControl>,
    pub(crate) current: Current,
    pub(crate) learned: Arc<Learned>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
}

impl Bench {
    pub(crate) async fn open() -> Self {
        Self::with_token(None).await
    }

    pub(crate) async fn with_token(token: Option<&str>) -> Self {
        let (journal, control) = (Arc::<FakeJournal>::default(), Arc::<FakeControl>::default());
        let current: Current = Arc::new(ArcSwap::from_pointee(generation(1, token)));
        let learned = Arc::<Learned>::default();
        let admin = Admin {
            journal: journal.clone(),
            metrics: Arc::new(Metrics::new()),
            current: current.clone(),
            clock: Arc::new(ManualClock::at(NOW)),
            learned: learned.clone(),
            control: control.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, router(admin), shutdown.clone()));
        Self { address, journal, control, current, learned, shutdown, served }
    }

    /// With a route whose provider hands us its secret.
    pub(crate) async fn with_learning_route(name: &str) -> Self {
        let bench = Self::open().await;
        let mut generation = generation(1, None);
        let verify = crate::verify::tests::by_preset("asana", &[]);
        let route = config::Route { verify, ..crate::ingest::tests::route(name, "/in") };
        generation.config.routes.push(Arc::new(route));
        bench.current.store(Arc::new(generation));
        bench
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn generation(number: u64, token: Option<&str>) -> Generation {
    let token = token.map(|token| Secret::new(token.as_bytes().to_vec(), "inline"));
    Generation { number, config: config(token), router: Router::default(), routes: HashMap::new() }
}

fn config(token: Option<Secret>) -> Config {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        server: config::Server {
            listen: loopback,
            tls: None,
            max_connections: 1,
            max_headers: 1024,
            header_timeout: Duration::from_secs(1),
            body_timeout: Duration::from_secs(1),
            grace: Duration::from_secs(1),
        },
        admin: config::Admin { listen: loopback, token },
        journal: config::Journal { path: PathBuf::new(), retain: Duration::from_secs(1), max_size: 1 },
        plugins: BTreeMap::new(),
        destinations: BTreeMap::new(),
        routes: Vec::new(),
        files: Vec::new(),
        places: config::Places::default(),
    }
}

/// Takes notes of what it is asked.
#[derive(Default)]
pub(crate) struct FakeControl {
    pub(crate) wakes: AtomicUsize,
    pub(crate) reload_error: Mutex<Option<String>>,
    pub(crate) unready: Mutex<Option<String>>,
}

impl FakeControl {
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Control for FakeControl {
    async fn reload(&self) -> Result<u64, String> {
        self.reload_error.lock().unwrap().clone().map_or(Ok(7), Err)
    }

    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
    }

    fn readiness(&self) -> Result<(), String> {
        self.unready.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

/// Knows one event with one dead letter, and keeps the filters that it was asked with.
#[derive(Default)]
pub(crate) struct FakeJournal {
    pub(crate) health: Mutex<Health>,
    pub(crate) broken: Mutex<bool>,
    pub(crate) body: Mutex<Bytes>,
    pub(crate) events_asked: Mutex<Vec<EventFilter>>,
    pub(crate) dead_asked: Mutex<Vec<DeadFilter>>,
    pub(crate) replayed_events: Mutex<Vec<EventId>>,
    pub(crate) replayed_dead: Mutex<Vec<DeadFilter>>,
}

impl FakeJournal {
    fn check(&self) -> Result<(), JournalError> {
        if *self.broken.lock().unwrap() {
            return Err(JournalError::Query("disk I/O error".into()));
        }
        Ok(())
    }

    fn event(&self) -> Arc<Event> {
        let mut headers = Headers::default();
        headers.append(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
        headers.append(HeaderName::from_static("x-odd"), HeaderValue::from_bytes(b"caf\xe9").unwrap());
        Arc::new(Event {
            id: EVENT.parse().unwrap(),
            route: "github".into(),
            received_at: NOW,
            method: Method::POST,
            path: "/github/acme".into(),
            query: Some("x=1".into()),
            params: vec![("org".into(), "acme".into())],
            headers,
            body: self.body.lock().unwrap().clone(),
            event_type: Some("issues".into()),
            delivery_id: Some("72d3162e".into()),
            passed: None,
            proof: Proof::for_tests(),
        })
    }
}

#[async_trait]
impl Journal for FakeJournal {
    fn caps(&self) -> Caps {
        Caps { ack: AckLevel::LocalFsync, shared: false }
    }

    async fn append(&self, _: Arc<Event>, _: Option<Duration>) -> Result<Appended, JournalError> {
        Err(JournalError::Closed)
    }

    async fn claim(&self, _: usize) -> Result<Vec<Claim>, JournalError> {
        Err(JournalError::Closed)
    }

    fn settle(&self, _: Settlement) {}

    async fn claim_due(&self, _: &str, _: Timestamp, _: usize) -> Result<Due, JournalError> {
        Err(JournalError::Closed)
    }

    async fn waiting_destinations(&self) -> Result<Vec<Arc<str>>, JournalError> {
        Err(JournalError::Closed)
    }

    fn settle_delivery(&self, _: DeliveryAttempt) {}

    async fn events(&self, filter: EventFilter) -> Result<Vec<EventSummary>, JournalError> {
        self.check()?;
        self.events_asked.lock().unwrap().push(filter);
        Ok(vec![EventSummary {
            id: EVENT.parse().unwrap(),
            route: "github".into(),
            received_at: NOW,
            state: EventState::Dead,
            event_type: Some("issues".into()),
            delivery_id: Some("72d3162e".into()),
        }])
    }

    async fn event(&self, id: EventId) -> Result<Option<EventRecord>, JournalError> {
        self.check()?;
        let event = self.event();
        Ok((event.id == id).then(|| EventRecord {
            unfinished: vec![dead_delivery(event.id)],
            event,
            state: EventState::Dead,
            reason: None,
            trail: trail(),
        }))
    }

    async fn dead_letters(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, JournalError> {
        self.check()?;
        self.dead_asked.lock().unwrap().push(filter);
        Ok(vec![DeadLetter {
            event: EVENT.parse().unwrap(),
            route: "github".into(),
            destination: Some("tracker".into()),
            index: Some(0),
            received_at: NOW,
            died_at: NOW + Duration::from_secs(5),
            attempts: 2,
            reason: "schedule ended: 503".into(),
        }])
    }

    async fn replay_event(&self, id: EventId, _: Timestamp) -> Result<bool, JournalError> {
        self.check()?;
        let known = id == EVENT.parse().unwrap();
        if known {
            self.replayed_events.lock().unwrap().push(id);
        }
        Ok(known)
    }

    async fn replay_dead(&self, filter: DeadFilter, _: Timestamp) -> Result<u64, JournalError> {
        self.check()?;
        let found = if filter.route.as_deref() == Some("nothing") { 0 } else { 4 };
        self.replayed_dead.lock().unwrap().push(filter);
        Ok(found)
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap().clone()
    }

    async fn close(&self) {}
}

/// Kept by the filter, delivered to nobody in two attempts.
pub(crate) fn trail() -> Vec<TrailEntry> {
    let attempt = |after: u64, number, outcome: &str, next| TrailEntry::Attempt {
        at: NOW + Duration::from_millis(after),
        destination: "tracker".into(),
        index: 0,
        number,
        millis: 12,
        outcome: outcome.into(),
        status: Some(503),
        error: None,
        answer: Some("busy\u{1b}[2J".into()),
        next,
        batch: None,
    };
    vec![
        TrailEntry::Step {
            at: NOW + Duration::from_millis(2),
            plugin: "issue-filter".into(),
            canary: false,
            micros: 38,
            outcome: "keep".into(),
            detail: None,
            log: vec!["info: opened".into()],
        },
        attempt(10, 1, "retry", Some(NOW + Duration::from_secs(5))),
        attempt(5000, 2, "dead", None),
    ]
}

fn dead_delivery(event: EventId) -> Delivery {
    Delivery {
        key: DeliveryKey { event, destination: "tracker".into(), index: 0 },
        route: "github".into(),
        message: Message {
            headers: Headers::default(),
            body: Bytes::from_static(b"{\"title\":\"Broken\"}"),
            destinations: None,
            key: None,
        },
        attempts: 2,
        batch: None,
        state: DeliveryState::Dead { at: NOW + Duration::from_secs(5), reason: "schedule ended: 503".into() },
    }
}
