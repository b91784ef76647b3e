//! The embedded engine: SQLite in a directory, one writer thread, one fsync for many events.
//!
//! ```text
//! data/
//!   LOCK                held while a process uses the directory
//!   journal.db (+ wal)  everything; see `schema`
//!   reserve             8 MiB, given back when the disk is full so that settlements can still be written
//! ```
//! Callers put operations into the [`Inbox`](inbox::Inbox) and await the answer. The [`Writer`](writer::Writer)
//! takes what has gathered, writes it as one [`Group`](group::Group), and publishes what came of it: events to the
//! [`Feed`](feed::Feed) that `claim` draws from, deliveries to the [`Backlog`](backlog::Backlog) of `claim_due`.
//! Leases exist only there, in memory. Readers have connections of their own and never hold up the writer.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use self::{
    backlog::Backlog,
    checkpoint::Checkpoints,
    dedupe::Memory,
    feed::{Feed, Taken},
    group::Hot,
    inbox::{End, Inbox},
    kv::{Change, KvOp},
    names::Names,
    op::{Append, Attempt, DeadPage, Dedupe, Op, Reply, Settle, encode_trail},
    recovery::Recovered,
    reserve::Reserve,
    retention::Retention,
    status::{Refusal, Status},
    writer::Writer,
};
use super::{
    AckLevel, Appended, Caps, Claim, DeadFilter, DeadLetter, DeliveryAttempt, Due, EventFilter, EventRecord,
    EventSummary, Health, Journal, JournalError, KvError, KvKey, KvSpace, KvStore, KvValue, Settlement,
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    event::{Event, EventId},
};

mod schema;

mod integrity;

mod recovery;

mod op;

mod inbox;

mod writer;

mod group;

mod record;

mod stored;

mod names;

mod dedupe;

mod feed;

mod backlog;

mod replay;

mod history;

mod retention;

mod kv;

mod upkeep;

mod checkpoint;

mod reserve;

mod failure;

mod status;

#[cfg(test)]
mod tests;

/// The bodies and values that may wait for the writer at a time, in KiB: beyond it, callers wait before they queue.
const QUEUED_KIB: usize = 64 * 1024;
/// The dead letters replayed in one group.
const REPLAY_CHUNK: u64 = 500;
/// A claim looks at the clock again after this long, should the clock have jumped.
const LONGEST_NAP: Duration = Duration::from_secs(60);
/// When to ask again for deliveries that a full disk keeps from being written.
const UNWRITTEN_AGAIN: Duration = Duration::from_secs(1);

/// The journal in a directory of this machine.
pub struct SqliteJournal {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    queued: Arc<Semaphore>,
    /// Held, by this open file, as long as the journal exists.
    _lock: File,
}

/// What the writer, the readers and the callers have in common.
struct Shared {
    /// The database file.
    database: PathBuf,
    clock: Arc<dyn Clock>,
    inbox: Inbox,
    feed: Feed,
    backlog: Backlog,
    status: Status,
    names: Names,
    /// Reads what the dispatcher and the lanes are to do.
    dispatch: Mutex<Connection>,
    /// Answers questions of operators.
    queries: Mutex<Connection>,
    /// Reads plugins' values: a guest waits for them, so no operator's question goes first.
    values: Mutex<Connection>,
}

impl SqliteJournal {
    /// Opens the journal in `config.path`, or makes a new one; goes on with everything unfinished. Blocks: a few
    /// milliseconds, or up to a second after a crash with a gigabyte of history.
    ///
    /// # Errors
    /// [`JournalError::Locked`], [`JournalError::Damaged`] and [`JournalError::Format`] as they say;
    /// [`JournalError::Open`] where the directory or the file cannot be used.
    pub fn open(config: &config::Journal, clock: Arc<dyn Clock>) -> Result<Arc<Self>, JournalError> {
        let lock = lock_directory(&config.path)?;
        let database = config.path.join("journal.db");
        let conn = schema::open(&database)?;
        let (shared, recovered) =
            Shared::load(&conn, &database, clock).map_err(|e| schema::refuse(&database, e))?;
        let reserve = Reserve::new(&config.path);
        if let Err(error) = reserve.hold() {
            shared.status.full(&format!("no room for the reserve: {error}"));
        }
        sync_directory(&config.path)?;
        let writer = spawn_writer(conn, shared.clone(), reserve, Retention::new(config), &recovered)
            .map_err(|source| JournalError::Open { path: database, source })?;
        let queued = Arc::new(Semaphore::new(QUEUED_KIB));
        Ok(Arc::new(Self { shared, writer: Mutex::new(Some(writer)), queued, _lock: lock }))
    }

    /// Queues an operation and waits until it is durable.
    async fn ask<T>(&self, op: impl FnOnce(Reply<T>) -> Op) -> Result<T, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.shared.push(op(reply))?;
        match answer.await {
            Ok(answer) => answer.map_err(JournalError::from),
            // The writer is gone without an answer: it says why, or it was closed.
            Err(_) => Err(self.shared.status.stopped().unwrap_or(Refusal::Closed).into()),
        }
    }

    /// Waits until what was queued before is written, or cannot be.
    async fn flush(&self) {
        if self.shared.inbox.has_unwritten() {
            // A failure shows in `health`; what has been written can be read all the same.
            let _ = self.ask(Op::Flush).await;
        }
    }

    /// Runs a question on the connection for them.
    async fn query<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Shared, &Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, JournalError> {
        self.flush().await;
        self.blocking(move |shared| {
            let conn = shared.queries.lock().unwrap_or_else(PoisonError::into_inner);
            question(shared, &conn).map_err(|error| failure::query_failed(shared, error))
        })
        .await
    }

    /// Changes a plugin's value and waits until that is durable.
    async fn change(
        &self,
        space: &KvSpace,
        key: &KvKey,
        change: Change,
        now: Timestamp,
    ) -> Result<i64, KvError> {
        let (space, key) = (space.clone(), key.clone());
        let kib = (change.size() / 1024 + 1) as u32;
        let room = self.queued.clone().acquire_many_owned(kib).await.ok();
        self.ask(|reply| Op::Value(KvOp { space, key, change, now, reply, _room: room })).await?
    }

    /// Runs what blocks on a thread for it. It runs to its end even if nobody waits any more.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|panic| Err(JournalError::Query(Box::new(panic))))
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    fn caps(&self) -> Caps {
        Caps { ack: AckLevel::LocalFsync, shared: false }
    }

    async fn append(&self, event: Arc<Event>, dedupe: Option<Duration>) -> Result<Appended, JournalError> {
        let head = record::encode_event(&event);
        let crc = record::checksum(&head, &event.body);
        let dedupe = dedupe
            .zip(event.delivery_id.as_deref())
            .map(|(window, delivery_id)| Dedupe { key: dedupe::key(&event.route, delivery_id), window });
        let kib = (event.body.len() / 1024 + 1).min(QUEUED_KIB) as u32;
        let room = self.queued.clone().acquire_many_owned(kib).await.ok();
        self.ask(|reply| Op::Append(Append { event, head, crc, dedupe, reply, _room: room })).await
    }

    async fn claim(&self, max: usize) -> Result<Vec<Claim>, JournalError> {
        loop {
            let mut rung = std::pin::pin!(self.shared.feed.bell().notified());
            rung.as_mut().enable();
            if let Some(stopped) = self.shared.status.stopped() {
                return Err(stopped.into());
            }
            let now = self.shared.clock.now();
            match self.shared.feed.take(max, now) {
                Taken::Claims(claims) => return Ok(claims),
                Taken::Load => self.blocking(move |shared| recovery::load(shared, now)).await?,
                Taken::Nothing { until } => {
                    let nap = until.map_or(LONGEST_NAP, |until| until.since(now).min(LONGEST_NAP));
                    // Whether the bell rang or the time is up: look again.
                    let _ = tokio::time::timeout(nap, rung).await;
                }
            }
        }
    }

    fn settle(&self, settlement: Settlement) {
        self.shared.settle(settlement);
    }

    async fn claim_due(&self, destination: &str, now: Timestamp, max: usize) -> Result<Due, JournalError> {
        if self.shared.inbox.has_unwritten_deliveries() {
            self.flush().await;
        }
        if let Some(stopped) = self.shared.status.stopped() {
            return Err(stopped.into());
        }
        if self.shared.feed.is_paused() {
            return Ok(Due { deliveries: Vec::new(), next: Some(now + UNWRITTEN_AGAIN) });
        }
        let held_up = self.shared.inbox.has_unwritten_deliveries();
        let mut due = if self.shared.backlog.is_idle(destination) {
            Due::default()
        } else {
            let destination = destination.to_owned();
            self.blocking(move |shared| backlog::claim(shared, &destination, now, max)).await?
        };
        if held_up && due.next.is_none() {
            due.next = Some(now + UNWRITTEN_AGAIN);
        }
        Ok(due)
    }

    async fn waiting_destinations(&self) -> Result<Vec<Arc<str>>, JournalError> {
        self.flush().await;
        Ok(self.shared.backlog.destinations())
    }

    fn settle_delivery(&self, attempt: DeliveryAttempt) {
        self.shared.push_attempt(attempt);
    }

    async fn events(&self, filter: EventFilter) -> Result<Vec<EventSummary>, JournalError> {
        self.query(move |shared, conn| history::events(shared, conn, &filter)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<EventRecord>, JournalError> {
        match self.query(move |shared, conn| history::event(shared, conn, id)).await? {
            Some(None) => {
                Err(JournalError::Query(format!("the journal's copy of event {id} is damaged").into()))
            }
            Some(record) => Ok(record),
            None => Ok(None),
        }
    }

    async fn dead_letters(&self, filter: DeadFilter) -> Result<Vec<DeadLetter>, JournalError> {
        self.query(move |shared, conn| history::dead_letters(shared, conn, &filter)).await
    }

    async fn replay_event(&self, id: EventId, now: Timestamp) -> Result<bool, JournalError> {
        self.ask(|reply| Op::Replay { id, now, reply }).await
    }

    async fn replay_dead(&self, filter: DeadFilter, now: Timestamp) -> Result<u64, JournalError> {
        let limit = if filter.limit == 0 { u64::MAX } else { filter.limit as u64 };
        let mut page = DeadPage { filter, now, before: None, count: 0 };
        let mut replayed = 0;
        loop {
            page.count = REPLAY_CHUNK.min(limit - replayed);
            let wanted = page.count;
            page = self.ask(|reply| Op::ReplayDead { page, reply }).await?;
            replayed += page.count;
            if page.count < wanted || replayed == limit {
                return Ok(replayed);
            }
        }
    }

    fn health(&self) -> Health {
        self.shared.status.health()
    }

    async fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.inbox.close(End::Drain);
        if let Some(writer) = writer {
            // A panic over there has poisoned the journal and been logged.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }
}

#[async_trait]
impl KvStore for SqliteJournal {
    async fn get(&self, space: &KvSpace, key: &KvKey, now: Timestamp) -> Result<Option<Bytes>, KvError> {
        if let Some(stopped) = self.shared.status.stopped() {
            return Err(JournalError::from(stopped).into());
        }
        let (space, key) = (space.clone(), key.clone());
        let value = self.blocking(move |shared| {
            let conn = shared.values.lock().unwrap_or_else(PoisonError::into_inner);
            kv::read(&conn, &space, &key, now).map_err(|error| failure::query_failed(shared, error))
        });
        Ok(value.await?.map(Bytes::from))
    }

    async fn set(
        &self,
        space: &KvSpace,
        key: &KvKey,
        value: KvValue,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), KvError> {
        self.change(space, key, Change::Set { value, ttl }, now).await.map(drop)
    }

    async fn delete(&self, space: &KvSpace, key: &KvKey, now: Timestamp) -> Result<bool, KvError> {
        self.change(space, key, Change::Delete, now).await.map(|removed| removed > 0)
    }

    async fn add(
        &self,
        space: &KvSpace,
        key: &KvKey,
        by: i64,
        ttl: Option<Duration>,
        now: Timestamp,
    ) -> Result<i64, KvError> {
        self.change(space, key, Change::Add { by, ttl }, now).await
    }
}

impl Drop for SqliteJournal {
    /// Ends like a crash: what is queued is not written, nobody having waited for it. See [`Journal::close`].
    fn drop(&mut self) {
        self.shared.inbox.close(End::Abandon);
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn load(
        conn: &Connection,
        database: &Path,
        clock: Arc<dyn Clock>,
    ) -> rusqlite::Result<(Arc<Self>, Recovered)> {
        let recovered = Recovered::read(conn)?;
        let names = Names::load(conn)?;
        let spilled_from = (recovered.open > 0).then_some(recovered.open_from);
        let reader = || schema::connect(database, schema::Cache::Reader).map(Mutex::new);
        let shared = Self {
            database: database.to_owned(),
            clock,
            inbox: Inbox::default(),
            feed: Feed::new(recovered.tail, spilled_from, recovered.next_again),
            backlog: Backlog::load(conn, &names)?,
            status: Status::default(),
            names,
            dispatch: reader()?,
            queries: reader()?,
            values: reader()?,
        };
        let depth = recovered.open + recovered.waiting;
        shared.status.set_counts(depth.unsigned_abs(), recovered.dead_letters.unsigned_abs());
        Ok((Arc::new(shared), recovered))
    }

    fn push(&self, op: Op) -> Result<(), JournalError> {
        self.inbox.push(op).map_err(|inbox::Ended| self.status.stopped().unwrap_or(Refusal::Closed).into())
    }

    fn settle(&self, settlement: Settlement) {
        let Settlement { event: id, trail, ending } = settlement;
        let Some(lease) = self.feed.settle(id) else {
            return tracing::warn!(event = %id, "settlement of an event that is not in hand is ignored");
        };
        let settle = Settle { id, lease, trail: encode_trail(&trail), ending };
        if self.push(Op::Settle(settle)).is_err() {
            tracing::debug!(event = %id, "settled after the journal was closed; it is dispatched again at the next start");
        }
    }

    fn push_attempt(&self, made: DeliveryAttempt) {
        let trail = encode_trail(&made.trail);
        let event = made.key.event;
        if self.push(Op::Attempt(Attempt { made, trail })).is_err() {
            tracing::debug!(%event, "attempted after the journal was closed; it is made again at the next start");
        }
    }

    /// Stops the journal for good and tells whoever waits for an event.
    fn poison(&self, why: &str) -> Refusal {
        let refusal = self.status.poison(why);
        self.feed.wake_all();
        refusal
    }

    fn dispatch_connection(&self) -> MutexGuard<'_, Connection> {
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the directory unless it exists, and makes it ours.
fn lock_directory(path: &Path) -> Result<File, JournalError> {
    let open = |source| JournalError::Open { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(open)?;
    let lock =
        File::options().create(true).truncate(false).write(true).open(path.join("LOCK")).map_err(open)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(open(source)),
    }
}

/// Makes the files' names durable, as their contents are.
fn sync_directory(path: &Path) -> Result<(), JournalError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|source| JournalError::Open { path: path.to_owned(), source })
}

fn spawn_writer(
    conn: Connection,
    shared: Arc<Shared>,
    reserve: Reserve,
    retention: Retention,
    recovered: &Recovered,
) -> io::Result<JoinHandle<()>> {
    let checkpoints = Checkpoints::start(&shared)?;
    let (next_seq, low_water) = (recovered.tail + 1, recovered.open_from);
    thread::Builder::new().name("journal-writer".into()).spawn(move || {
        let _latch = Latch(shared.clone());
        let prepared =
            Hot::prepare(&conn).and_then(|hot| Ok((hot, Memory::load(&conn, shared.clock.now())?)));
        let (hot, memory) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return drop(shared.status.poison(&format!("failed to start the writer: {error}"))),
        };
        let writer = Writer {
            conn: &conn,
            hot,
            shared: shared.clone(),
            memory,
            reserve,
            retention,
            checkpoints,
            next_seq,
            retained: Vec::new(),
            low_water,
            last_room_check: Instant::now(),
            last_tick: None,
        };
        writer.run();
    })
}

/// Lets nobody wait for a writer that is gone, whatever ended it.
struct Latch(Arc<Shared>);

impl Drop for Latch {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.status.poison("the writer panicked; this is a bug");
        }
        self.0.status.close();
        self.0.inbox.close(End::Abandon);
        // Dropping them tells whoever waits.
        drop(self.0.inbox.take_rest());
        self.0.feed.wake_all();
    }
}
