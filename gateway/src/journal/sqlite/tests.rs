//! The engine through its trait, as the other stages see it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use tempfile::TempDir;

use super::SqliteJournal;
use crate::{
    clock::{Clock, ManualClock, Timestamp},
    config,
    event::{Event, EventId, Headers, Message},
    journal::{
        Appended, BatchTag, Claim, Delivery, DeliveryAttempt, DeliveryKey, DeliveryState, Due, Ending,
        EventState, Journal, JournalError, Settlement, TrailEntry,
    },
    verify::Proof,
};

mod append;

mod dispatch;

mod deliveries;

mod replay;

mod history;

mod retention;

mod kv;

mod formats;

mod trouble;

mod model;

mod speed;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Option<Duration> = Some(Duration::from_secs(24 * 3600));

/// A journal in a directory of its own, with a clock to turn.
struct Bench {
    directory: TempDir,
    clock: Arc<ManualClock>,
    config: config::Journal,
    journal: Option<Arc<SqliteJournal>>,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut config::Journal)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let mut config = config::Journal { path, retain: 72 * HOUR, max_size: 1 << 40 };
        adjust(&mut config);
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)));
        let journal = Some(SqliteJournal::open(&config, clock.clone()).unwrap());
        Self { directory, clock, config, journal }
    }

    fn journal(&self) -> &Arc<SqliteJournal> {
        self.journal.as_ref().unwrap()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Ends the journal as a crash would and opens it again. A command that another test is just starting may hold a
    /// copy of the lock until it runs.
    fn crash(&mut self) {
        self.journal = None;
        let patience = Instant::now() + Duration::from_secs(10);
        let reopened = loop {
            match self.open() {
                Err(JournalError::Locked { .. }) if Instant::now() < patience => std::thread::yield_now(),
                opened => break opened.unwrap(),
            }
        };
        self.journal = Some(reopened);
    }

    fn open(&self) -> Result<Arc<SqliteJournal>, JournalError> {
        SqliteJournal::open(&self.config, self.clock.clone())
    }

    /// Appends an event and expects it to be new.
    async fn accept(&self, event: &Arc<Event>) {
        assert_eq!(self.journal().append(event.clone(), DAY).await.unwrap(), Appended::New);
    }

    /// Accepts as many events of route `r`.
    async fn accept_many(&self, count: usize) -> Vec<Arc<Event>> {
        let mut events = Vec::new();
        for number in 0..count {
            let event = self.event(number);
            self.accept(&event).await;
            events.push(event);
        }
        events
    }

    fn event(&self, number: usize) -> Arc<Event> {
        event("r", number, self.now())
    }

    /// Claims and expects this many.
    async fn claim(&self, count: usize) -> Vec<Claim> {
        let mut claims = Vec::new();
        while claims.len() < count {
            let more = within(self.journal().claim(count - claims.len())).await.unwrap();
            claims.extend(more);
        }
        claims
    }

    /// Whether nothing can be claimed now.
    async fn has_no_claim(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(30), self.journal().claim(1)).await.is_err()
    }

    fn settle(&self, id: EventId, ending: Ending) {
        self.journal().settle(Settlement { event: id, trail: vec![step(self.now())], ending });
    }

    /// Settles as not dispatched at all, to be claimed again after `wait`.
    fn put_back(&self, id: EventId, wait: Duration) {
        let ending = Ending::Later { due: self.now() + wait };
        self.journal().settle(Settlement { event: id, trail: Vec::new(), ending });
    }

    /// Accepts and claims an event, and settles it with these deliveries left.
    async fn leave_unfinished(&self, number: usize, states: &[(&str, DeliveryState)]) -> Arc<Event> {
        let event = self.event(number);
        self.accept(&event).await;
        self.claim(1).await;
        let unfinished = states.iter().map(|(to, state)| delivery(&event, to, state.clone())).collect();
        self.settle(event.id, Ending::Delivered { unfinished });
        event
    }

    async fn due(&self, destination: &str) -> Due {
        self.journal().claim_due(destination, self.now(), 100).await.unwrap()
    }

    fn attempted(&self, delivery: &Delivery, state: Option<DeliveryState>) {
        self.attempted_in(None, delivery, state);
    }

    /// `batch` is the one that it waits for from now on.
    fn attempted_in(&self, batch: Option<BatchTag>, delivery: &Delivery, state: Option<DeliveryState>) {
        let trail = vec![attempt(self.now(), delivery.attempts + 1)];
        let attempts = delivery.attempts + 1;
        let key = delivery.key.clone();
        self.journal().settle_delivery(DeliveryAttempt { key, trail, attempts, batch, state });
    }

    async fn state(&self, id: EventId) -> EventState {
        self.journal().event(id).await.unwrap().unwrap().state
    }

    fn waiting(&self, wait: Duration) -> DeliveryState {
        DeliveryState::Waiting { due: self.now() + wait }
    }

    fn dead(&self) -> DeliveryState {
        DeliveryState::Dead { at: self.now(), reason: "gone".into() }
    }
}

/// An event with delivery id `d<number>`.
fn event(route: &str, number: usize, received_at: Timestamp) -> Arc<Event> {
    let mut headers = Headers::default();
    headers.append(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
    headers.append(HeaderName::from_static("x-raw"), HeaderValue::from_bytes(b"\xff").unwrap());
    Arc::new(Event {
        id: EventId::generate(),
        route: route.into(),
        received_at,
        method: Method::POST,
        path: "/in".into(),
        query: Some("a=b".into()),
        params: vec![("team".into(), "core".into())],
        headers,
        body: Bytes::from(format!("body {number}")),
        event_type: Some("push".into()),
        delivery_id: Some(format!("d{number}")),
        passed: None,
        proof: Proof::for_tests(),
    })
}

fn delivery(event: &Event, destination: &str, state: DeliveryState) -> Delivery {
    let key = DeliveryKey { event: event.id, destination: destination.into(), index: 0 };
    let mut headers = Headers::default();
    headers.append(HeaderName::from_static("content-type"), HeaderValue::from_static("text/plain"));
    let message = Message { headers, body: event.body.clone(), destinations: None, key: Some("k".into()) };
    Delivery { key, route: event.route.clone(), message, attempts: 1, batch: None, state }
}

fn step(at: Timestamp) -> TrailEntry {
    let (plugin, outcome) = ("filter".into(), "keep".into());
    TrailEntry::Step { at, plugin, canary: false, micros: 12, outcome, detail: None, log: Vec::new() }
}

fn attempt(at: Timestamp, number: u32) -> TrailEntry {
    TrailEntry::Attempt {
        at,
        destination: "a".into(),
        index: 0,
        number,
        millis: 3,
        outcome: "retry".into(),
        status: Some(503),
        error: None,
        answer: Some("busy \"now\"\n".into()),
        next: None,
        batch: None,
    }
}

fn assert_same_event(read: &Event, written: &Event) {
    assert_eq!(format!("{read:?}"), format!("{written:?}"));
}

fn ids(claims: &[Claim]) -> Vec<EventId> {
    claims.iter().map(|claim| claim.event.id).collect()
}

/// Fails instead of hanging.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("should not take that long")
}

/// Waits until the journal is in the state asked for.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    within(async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
