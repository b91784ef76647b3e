//! Which deliveries wait, by destination, and which of them are in hand.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, Row};

use super::{Shared, failure::query_failed, names::Names, stored};
use crate::{
    clock::Timestamp,
    journal::{Delivery, DeliveryAttempt, DeliveryKey, DeliveryState, Due, JournalError, TrailEntry},
};

/// The bodies read at a time.
const MAX_BYTES: usize = 8 << 20;

#[derive(Default)]
pub(super) struct Backlog(Mutex<HashMap<Arc<str>, Lane>>);

#[derive(Default)]
struct Lane {
    /// Rows that wait, in hand or not. Zero spares a query.
    waiting: i64,
    in_hand: HashSet<DeliveryKey>,
    /// A replay discarded rows: some that are in hand may not wait any more, so the two cannot be compared until
    /// nothing is in hand.
    discarded: bool,
}

impl Backlog {
    /// Counts what waits.
    pub(super) fn load(conn: &Connection, names: &Names) -> rusqlite::Result<Self> {
        let mut statement =
            conn.prepare("SELECT destination, count(*) FROM delivery WHERE state = 0 GROUP BY destination")?;
        let lanes = statement.query_map([], |row| {
            let lane = Lane { waiting: row.get(1)?, ..Lane::default() };
            Ok((names.name(row.get(0)?), lane))
        })?;
        Ok(Self(Mutex::new(lanes.collect::<Result<_, _>>()?)))
    }

    /// Takes in what a group has written: how many more wait, whose attempts are no longer in hand, and where a
    /// replay discarded some. In one step, so that a claim never sees the one without the other.
    pub(super) fn publish(
        &self,
        changes: HashMap<Arc<str>, i64>,
        attempted: &[DeliveryKey],
        discarded: &[Arc<str>],
    ) {
        if changes.is_empty() && attempted.is_empty() && discarded.is_empty() {
            return;
        }
        let mut lanes = self.lanes();
        for (destination, change) in changes {
            lanes.entry(destination).or_default().waiting += change;
        }
        for key in attempted {
            if let Some(lane) = lanes.get_mut(&key.destination) {
                lane.in_hand.remove(key);
                lane.discarded &= !lane.in_hand.is_empty();
            }
        }
        for destination in discarded {
            if let Some(lane) = lanes.get_mut(destination) {
                lane.discarded = true;
            }
        }
    }

    /// The destinations that something waits for, in hand or not.
    pub(super) fn destinations(&self) -> Vec<Arc<str>> {
        self.lanes().iter().filter(|(_, lane)| lane.waiting > 0).map(|(name, _)| name.clone()).collect()
    }

    /// Whether nothing waits that is not in hand already.
    pub(super) fn is_idle(&self, destination: &str) -> bool {
        self.lanes().get(destination).is_none_or(Lane::is_idle)
    }

    /// Those in hand, if there is anything else to be found.
    fn in_hand(&self, destination: &str) -> Option<HashSet<DeliveryKey>> {
        let lanes = self.lanes();
        let lane = lanes.get(destination)?;
        (!lane.is_idle()).then(|| lane.in_hand.clone())
    }

    fn lease(&self, destination: &str, found: &Found) {
        if let Some(lane) = self.lanes().get_mut(destination) {
            let readable = found.due.deliveries.iter().map(|delivery| &delivery.key);
            lane.in_hand.extend(readable.chain(&found.damaged).cloned());
        }
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Arc<str>, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.waiting == 0 || (!self.discarded && self.waiting <= self.in_hand.len() as i64)
    }
}

/// What a claim found.
#[derive(Default)]
struct Found {
    due: Due,
    /// Due as well, but their bytes are not what was written.
    damaged: Vec<DeliveryKey>,
}

/// Leases up to `max` deliveries to `destination` that are due. Blocks.
pub(super) fn claim(
    shared: &Shared,
    destination: &str,
    now: Timestamp,
    max: usize,
) -> Result<Due, JournalError> {
    // Holding the connection makes this the only claim: what is not in hand below stays so until `lease`.
    let conn = shared.dispatch_connection();
    let Some(in_hand) = shared.backlog.in_hand(destination) else { return Ok(Due::default()) };
    let found =
        read(&conn, &shared.names, destination, now, max, &in_hand).map_err(|e| query_failed(shared, e))?;
    shared.backlog.lease(destination, &found);
    drop(conn);
    found.damaged.into_iter().for_each(|key| bury(shared, key, now));
    Ok(found.due)
}

fn read(
    conn: &Connection,
    names: &Names,
    destination: &str,
    now: Timestamp,
    max: usize,
    in_hand: &HashSet<DeliveryKey>,
) -> rusqlite::Result<Found> {
    let mut found = Found::default();
    let Some(number) = names.number(destination) else { return Ok(found) };
    let destination = names.name(number);
    let mut statement = conn.prepare_cached(
        "SELECT id, at, event, idx FROM delivery WHERE destination = ?1 AND state = 0 ORDER BY at, id",
    )?;
    let mut rows = statement.query([number])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if in_hand.contains(&key(row, &destination)?) {
            continue;
        }
        let at = stored::timestamp(row, 1)?;
        if at > now || found.due.deliveries.len() == max || bytes > MAX_BYTES {
            found.due.next = Some(at);
            break;
        }
        match read_delivery(conn, names, row.get(0)?)? {
            Ok(delivery) => {
                bytes += delivery.message.body.len();
                found.due.deliveries.push(delivery);
            }
            Err(key) => found.damaged.push(key),
        }
    }
    Ok(found)
}

fn key(row: &Row<'_>, destination: &Arc<str>) -> rusqlite::Result<DeliveryKey> {
    Ok(DeliveryKey { event: stored::id(row, 2)?, destination: destination.clone(), index: row.get(3)? })
}

fn read_delivery(
    conn: &Connection,
    names: &Names,
    row: i64,
) -> rusqlite::Result<Result<Delivery, DeliveryKey>> {
    let sql = stored::select_delivery("d.id = ?1");
    conn.prepare_cached(&sql)?.query_row([row], |row| stored::delivery(row, names))
}

/// Gives up a delivery whose bytes are damaged: it can never be made.
fn bury(shared: &Shared, key: DeliveryKey, now: Timestamp) {
    let reason = "its copy in the journal is damaged".to_owned();
    tracing::error!(event = %key.event, destination = %key.destination, reason, "delivery given up");
    let trail = vec![TrailEntry::Failed { at: now, reason: reason.clone() }];
    let state = Some(DeliveryState::Dead { at: now, reason });
    shared.push_attempt(DeliveryAttempt { key, trail, attempts: 0, batch: None, state });
}
