//! What tests of dispatch and delivery stand on: a journal in memory, and a receiver that does as it is told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
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
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, Turns};
use crate::{
    clock::{Clock, Timestamp},
    config::{self, Admin, Config, Destination, OnError, Server, Verify},
    event::{Event, EventId, Headers},
    generation::{Current, Generation, LiveRoute, Supplies},
    ingest::{Doorstep, HandshakeLimiter, RouteAnswers, RouteMetrics},
    journal::*,
    lane::Lanes,
    pipeline::Pipeline,
    plugin::fixtures::Rig,
    route::Router,
    telemetry::Metrics,
    verify::scheme::Respond,
    verify::{Handshakes, Proof, Verifier},
};

pub(crate) const ROUTE: &str = "github";

/// Waits until `look` finds something; it is asked again whenever `changed` is told. Fails after ten seconds.
pub(crate) async fn until<T>(changed: &Notify, mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            let mut next = std::pin::pin!(changed.notified());
            next.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            next.await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("what was waited for never came")
}

#[derive(Default)]
pub(crate) struct FakeJournal {
    state: Mutex<Kept>,
    changed: Notify,
}

#[derive(Default)]
struct Kept {
    open: VecDeque<Claim>,
    /// Handed out and not settled.
    in_hand: HashMap<EventId, Claim>,
    /// Settled as [`Ending::Later`] and not handed out again.
    put_back: Vec<Claim>,
    /// What is put back is due at once.
    comes_back: bool,
    settlements: Vec<Settlement>,
    waiting: BTreeMap<DeliveryKey, (Delivery, bool)>,
    attempts: Vec<DeliveryAttempt>,
    /// Nothing more is handed out, for this reason.
    ended: Option<fn() -> JournalError>,
    /// Deliveries to this destination are never handed out: the claim hangs.
    stuck: Option<&'static str>,
    panics_once: bool,
}

impl FakeJournal {
    pub(crate) fn accept(&self, event: Event) -> EventId {
        let id = event.id;
        self.state.lock().unwrap().open.push_back(Claim { event: Arc::new(event), attempt: 1 });
        self.changed.notify_waiters();
        id
    }

    /// Waits until the event has been settled.
    pub(crate) async fn settlement(&self, id: EventId) -> Settlement {
        until(&self.changed, || self.settled(id)).await
    }

    pub(crate) fn settled(&self, id: EventId) -> Option<Settlement> {
        self.state.lock().unwrap().settlements.iter().find(|settlement| settlement.event == id).cloned()
    }

    /// Waits until that many events have been settled.
    pub(crate) async fn settlements(&self, count: usize) {
        until(&self.changed, || (self.state.lock().unwrap().settlements.len() >= count).then_some(())).await;
    }

    /// Waits until that many attempts at waiting deliveries have been settled.
    pub(crate) async fn attempts(&self, count: usize) -> Vec<DeliveryAttempt> {
        until(&self.changed, || {
            let state = self.state.lock().unwrap();
            (state.attempts.len() >= count).then(|| state.attempts.clone())
        })
        .await
    }

    /// Waits until that many events have been put back.
    pub(crate) async fn put_back(&self, count: usize) {
        until(&self.changed, || (self.state.lock().unwrap().put_back.len() >= count).then_some(())).await;
    }

    /// Hands out what was put back and what will be, as if it were due.
    pub(crate) fn hand_out_put_back(&self) {
        let state = &mut *self.state.lock().unwrap();
        state.comes_back = true;
        state.open.extend(state.put_back.drain(..));
        self.changed.notify_waiters();
    }

    /// Makes a delivery wait, due since ever.
    pub(crate) fn leave_waiting(&self, delivery: Delivery) {
        self.state.lock().unwrap().waiting.insert(delivery.key.clone(), (delivery, false));
    }

    /// Has whoever claims deliveries to `destination` wait for ever.
    pub(crate) fn get_stuck(&self, destination: &'static str) {
        self.state.lock().unwrap().stuck = Some(destination);
    }

    /// Has the next settlement of an attempt panic, like a bug on the way to it.
    pub(crate) fn panic_once(&self) {
        self.state.lock().unwrap().panics_once = true;
    }

    /// Hands out nothing any more.
    pub(crate) fn end(&self, why: fn() -> JournalError) {
        self.state.lock().unwrap().ended = Some(why);
        self.changed.notify_waiters();
    }

    /// How many deliveries wait that nobody has leased.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting.values().filter(|(_, leased)| !leased).count()
    }
}

#[async_trait]
impl Journal for FakeJournal {
    fn caps(&self) -> Caps {
        Caps { ack: AckLevel::LocalFsync, shared: false }
    }

    async fn append(&self, event: Arc<Event>, _dedupe: Option<Duration>) -> Result<Appended, JournalError> {
        self.accept(Event::clone(&event));
        Ok(Appended::New)
    }

    async fn claim(&self, max: usize) -> Result<Vec<Claim>, JournalError> {
        loop {
            let mut next = std::pin::pin!(self.changed.notified());
            next.as_mut().enable();
            {
                let mut state = self.state.lock().unwrap();
                if let Some(why) = state.ended {
                    return Err(why());
                }
                let count = state.open.len().min(max);
                if count > 0 {
                    let claims: Vec<_> = state.open.drain(..count).collect();
                    state.in_hand.extend(claims.iter().map(|claim| (claim.event.id, claim.clone())));
                    return Ok(claims);
                }
            }
            next.await;
        }
    }

    fn settle(&self, settlement: Settlement) {
        let mut state = self.state.lock().unwrap();
        let claim = state.in_hand.remove(&settlement.event);
        if let Ending::Later { .. } = settlement.ending {
            let claim = claim.expect("put back what was not in hand");
            match state.comes_back {
                true => state.open.push_back(claim),
                false => state.put_back.push(claim),
            }
            return self.changed.notify_waiters();
        }
        if let Ending::Delivered { unfinished } = &settlement.ending {
            for delivery in unfinished {
                if matches!(delivery.state, DeliveryState::Waiting { .. }) {
                    state.waiting.insert(delivery.key.clone(), (delivery.clone(), false));
                }
            }
        }
        state.settlements.push(settlement);
        self.changed.notify_waiters();
    }

    async fn claim_due(&self, destination: &str, now: Timestamp, max: usize) -> Result<Due, JournalError> {
        let is_stuck = self.state.lock().unwrap().stuck == Some(destination);
        if is_stuck {
            std::future::pending::<()>().await;
        }
        let mut due = Due::default();
        let mut state = self.state.lock().unwrap();
        if let Some(why) = state.ended {
            return Err(why());
        }
        for (delivery, leased) in state.waiting.values_mut() {
            let DeliveryState::Waiting { due: at } = delivery.state else { continue };
            if *leased || *delivery.key.destination != *destination {
                continue;
            }
            if at <= now && due.deliveries.len() < max {
                *leased = true;
                due.deliveries.push(delivery.clone());
            } else {
                due.next = Some(due.next.map_or(at, |next| next.min(at)));
            }
        }
        Ok(due)
    }

    async fn waiting_destinations(&self) -> Result<Vec<Arc<str>>, JournalError> {
        let names: BTreeSet<_> =
            self.state.lock().unwrap().waiting.keys().map(|key| key.destination.clone()).collect();
        Ok(names.into_iter().collect())
    }

    fn settle_delivery(&self, attempt: DeliveryAttempt) {
        let panics = std::mem::take(&mut self.state.lock().unwrap().panics_once);
        assert!(!panics, "a panic that the test asked for");
        let mut state = self.state.lock().unwrap();
        let (mut delivery, _) = state.waiting.remove(&attempt.key).expect("settled what was not waiting");
        if let Some(next @ DeliveryState::Waiting { .. }) = attempt.state.clone() {
            delivery.state = next;
            delivery.attempts = attempt.attempts;
            delivery.batch = attempt.batch;
            state.waiting.insert(attempt.key.clone(), (delivery, false));
        }
        state.attempts.push(attempt);
        self.changed.notify_waiters();
    }

    async fn events(&self, _filter: EventFilter) -> Result<Vec<EventSummary>, JournalError> {
        Ok(Vec::new())
    }

    async fn event(&self, _id: EventId) -> Result<Option<EventRecord>, JournalError> {
        Ok(None)
    }

    async fn dead_letters(&self, _filter: DeadFilter) -> Result<Vec<DeadLetter>, JournalError> {
        Ok(Vec::new())
    }

    async fn replay_event(&self, _id: EventId, _now: Timestamp) -> Result<bool, JournalError> {
        Ok(false)
    }

    async fn replay_dead(&self, _filter: DeadFilter, _now: Timestamp) -> Result<u64, JournalError> {
        Ok(0)
    }

    fn health(&self) -> Health {
        Health::default()
    }

    async fn close(&self) {
        self.end(|| JournalError::Closed);
    }
}

/// A receiver on a port of its own.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    received: Mutex<Vec<Received>>,
    changed: Notify,
    /// Held requests are answered as permits are added.
    pub(crate) release: Semaphore,
    pub(crate) connections: AtomicUsize,
    busy: AtomicUsize,
    pub(crate) busiest: AtomicUsize,
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) struct Reply {
    response: Response<Full<Bytes>>,
    held: bool,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        let response = Response::builder().status(status).body(Full::default()).unwrap();
        Self { response, held: false }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.response.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.response.body_mut() = Full::new(body.into());
        self
    }

    /// Not before `release` has a permit for it.
    pub(crate) fn held(self) -> Self {
        Self { held: true, ..self }
    }
}

impl Sink {
    /// `reply` is given the request and how many came before it.
    pub(crate) async fn start(
        reply: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static,
    ) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            received: Mutex::default(),
            changed: Notify::new(),
            release: Semaphore::new(0),
            connections: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            busiest: AtomicUsize::new(0),
        });
        tokio::spawn(sink.clone().serve(listener, Arc::new(reply)));
        sink
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Waits until that many requests have come.
    pub(crate) async fn received(&self, count: usize) -> Vec<Received> {
        until(&self.changed, || {
            let received = self.received.lock().unwrap();
            (received.len() >= count).then(|| received.clone())
        })
        .await
    }

    async fn serve<F>(self: Arc<Self>, listener: TcpListener, reply: Arc<F>)
    where
        F: Fn(&Received, usize) -> Reply + Send + Sync + 'static,
    {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            self.connections.fetch_add(1, Ordering::SeqCst);
            let (sink, reply) = (self.clone(), reply.clone());
            tokio::spawn(async move {
                let service = service_fn(|request| sink.answer(request, &*reply));
                // A client that gives up is part of some tests.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        reply: &impl Fn(&Received, usize) -> Reply,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.busiest.fetch_max(busy, Ordering::SeqCst);
        let (parts, body) = request.into_parts();
        let received = Received {
            path: parts.uri.path().to_owned(),
            headers: parts.headers,
            body: body.collect().await?.to_bytes(),
        };
        let reply = {
            let mut all = self.received.lock().unwrap();
            all.push(received.clone());
            reply(&received, all.len() - 1)
        };
        self.changed.notify_waiters();
        if reply.held {
            self.release.acquire().await.unwrap().forget();
        }
        self.busy.fetch_sub(1, Ordering::SeqCst);
        Ok(reply.response)
    }
}

/// A dispatcher at work, with one route to all destinations.
pub(crate) struct Bench {
    pub(crate) journal: Arc<FakeJournal>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<()>,
}

impl Bench {
    pub(crate) fn start(clock: Arc<dyn Clock>, destinations: Vec<Destination>) -> Self {
        Self::start_on(clock, current(config(destinations)))
    }

    /// With routes of the test's own.
    pub(crate) fn start_on(clock: Arc<dyn Clock>, current: Current) -> Self {
        let (journal, metrics) = (Arc::new(FakeJournal::default()), Arc::new(Metrics::new()));
        let patience = Duration::from_millis(20);
        let lanes = Lanes::with_patience(journal.clone(), clock.clone(), metrics.clone(), patience).unwrap();
        lanes.apply(&current.load().config).unwrap();
        let dispatcher = Dispatcher::new(current, journal.clone(), lanes.clone(), clock, metrics.clone());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(dispatcher.run(shutdown.clone()));
        Self { journal, lanes, metrics, shutdown, running }
    }

    pub(crate) fn accept(&self, body: &'static str) -> EventId {
        self.journal.accept(event(body))
    }
}

pub(crate) fn event(body: &'static str) -> Event {
    let mut headers = Headers::default();
    headers.append(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.append(HeaderName::from_static("x-github-event"), HeaderValue::from_static("issues"));
    Event {
        id: EventId::generate(),
        route: ROUTE.into(),
        received_at: Timestamp::default(),
        method: Method::POST,
        path: "/github".to_owned(),
        query: None,
        params: Vec::new(),
        headers,
        body: Bytes::from_static(body.as_bytes()),
        event_type: None,
        delivery_id: None,
        passed: None,
        proof: Proof::for_tests(),
    }
}

pub(crate) fn destination(name: &str, url: &str) -> Destination {
    Destination {
        name: name.into(),
        url: url.parse().unwrap(),
        timeout: Duration::from_secs(10),
        concurrency: 8,
        retry: vec![Duration::from_secs(3600)],
        sign: Vec::new(),
        headers: Vec::new(),
        forward_headers: Vec::new(),
    }
}

/// One route that delivers to every destination.
pub(crate) fn config(destinations: Vec<Destination>) -> Config {
    let route = config::Route {
        name: ROUTE.into(),
        host: None,
        path: "/github".to_owned(),
        methods: vec![Method::POST],
        verify: Verify::None,
        respond: Respond::default(),
        dedupe: None,
        max_body: 1 << 20,
        rate: None,
        pipeline: Vec::new(),
        batch: None,
        deliver: destinations.iter().map(|destination| destination.name.clone()).collect(),
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        server: Server {
            listen: any,
            tls: None,
            max_connections: 1,
            max_headers: 1,
            header_timeout: Duration::ZERO,
            body_timeout: Duration::ZERO,
            grace: Duration::ZERO,
        },
        admin: Admin { listen: any, token: None },
        journal: config::Journal { path: PathBuf::new(), retain: Duration::ZERO, max_size: 0 },
        plugins: BTreeMap::new(),
        destinations: destinations.into_iter().map(|one| (one.name.clone(), Arc::new(one))).collect(),
        routes: vec![Arc::new(route)],
        files: Vec::new(),
        places: config::Places::default(),
    }
}

/// A generation of one route for each of these guests, called after them. A guest may run for a minute.
pub(crate) fn with_guests(
    rig: &Rig,
    destinations: Vec<Destination>,
    guests: &[(&str, &[u8])],
    previous: Option<&Generation>,
) -> Generation {
    let mut config = config(destinations);
    let route = |(name, guest): &(&str, &[u8])| {
        let mut plugin = rig.plugin(name, guest);
        plugin.limits.time = Duration::from_secs(60);
        plugin.quarantine = Some(config::Quarantine::default());
        let step = config::Step {
            plugin: Arc::new(plugin),
            config: Value::Null,
            on_error: OnError::DeadLetter,
            at: config::At::Pipeline,
        };
        let plain = (*config.routes[0]).clone();
        let (name, path) = ((*name).into(), format!("/{name}"));
        Arc::new(config::Route { name, path, pipeline: vec![step], ..plain })
    };
    config.routes = guests.iter().map(route).collect();
    let supplies = Supplies {
        plugins: rig.host.clone(),
        metrics: rig.metrics.clone(),
        keyring: Arc::default(),
        learned: Arc::default(),
        caller: Arc::new(crate::verify::PublicCaller),
    };
    Generation::build(1, config, &supplies, previous).unwrap()
}

/// A generation whose routes have no plugins.
pub(crate) fn current(config: Config) -> Current {
    let live = |route: &Arc<config::Route>| {
        let live = LiveRoute {
            config: route.clone(),
            verifier: Verifier::new(&route.verify, &Arc::default()),
            handshakes: Handshakes::default(),
            greeting_limiter: HandshakeLimiter::default(),
            answers: RouteAnswers::default(),
            prover: None,
            pipeline: Pipeline::default(),
            batch: None,
            doorstep: Doorstep::new(),
            limiter: None,
            turns: Turns::new(),
            metrics: RouteMetrics::new(&Metrics::new(), &route.name),
            rotation: crate::ingest::Rotation::default(),
        };
        (route.name.clone(), Arc::new(live))
    };
    let routes: HashMap<_, _> = config.routes.iter().map(live).collect();
    Arc::new(ArcSwap::from_pointee(Generation { number: 1, config, router: Router::default(), routes }))
}
