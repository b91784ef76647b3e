//! Rows read back as what they were.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Row;

use super::{names::Names, record};
use crate::{
    clock::Timestamp,
    event::{Event, EventId},
    journal::{Delivery, DeliveryKey, DeliveryState, EventState},
    verify::Proof,
};

/// The columns that [`event`] reads.
pub(super) const EVENT: &str = "e.seq, e.id, e.route, e.received, e.crc, e.head, e.body";

/// The columns that [`delivery`] reads.
const DELIVERY: &str =
    "d.event, d.destination, d.idx, d.route, d.attempts, d.state, d.at, d.reason, d.crc, d.head,
    coalesce(d.body, (SELECT e.body FROM event e WHERE e.seq = d.seq), x'')";

/// A query for [`delivery`].
pub(super) fn select_delivery(condition: &str) -> String {
    format!("SELECT {DELIVERY} FROM delivery d WHERE {condition}")
}

/// An event's row: the event, unless its bytes are not what was written.
pub(super) struct StoredEvent {
    pub(super) seq: i64,
    pub(super) id: EventId,
    pub(super) route: Arc<str>,
    pub(super) received: Timestamp,
    pub(super) event: Option<Arc<Event>>,
}

pub(super) fn event(row: &Row<'_>, names: &Names) -> rusqlite::Result<StoredEvent> {
    let (id, route, received) = (id(row, 1)?, names.name(row.get(2)?), timestamp(row, 3)?);
    let (head, body) = (row.get_ref(5)?.as_blob()?, row.get_ref(6)?.as_blob()?);
    let intact = record::checksum(head, body) == row.get::<_, i64>(4)?;
    let head = intact.then(|| record::decode_event(head)).flatten();
    let event = head.map(|head| {
        Arc::new(Event {
            id,
            route: route.clone(),
            received_at: received,
            method: head.method,
            path: head.path,
            query: head.query,
            params: head.params,
            headers: head.headers,
            body: Bytes::copy_from_slice(body),
            event_type: head.event_type,
            delivery_id: head.delivery_id,
            passed: head.passed,
            proof: Proof::from_journal(),
        })
    });
    Ok(StoredEvent { seq: row.get(0)?, id, route, received, event })
}

/// A delivery; only its key where its bytes are not what was written.
pub(super) fn delivery(row: &Row<'_>, names: &Names) -> rusqlite::Result<Result<Delivery, DeliveryKey>> {
    let key = DeliveryKey { event: id(row, 0)?, destination: names.name(row.get(1)?), index: row.get(2)? };
    let at = timestamp(row, 6)?;
    let state = match row.get::<_, i64>(5)? {
        0 => DeliveryState::Waiting { due: at },
        _ => DeliveryState::Dead { at, reason: row.get::<_, Option<String>>(7)?.unwrap_or_default() },
    };
    let (head, body) = (row.get_ref(9)?.as_blob()?, row.get_ref(10)?.as_blob()?);
    let intact = record::checksum(head, body) == row.get::<_, i64>(8)?;
    let message = intact.then(|| record::decode_message(head, Bytes::copy_from_slice(body))).flatten();
    let (route, attempts) = (names.name(row.get(3)?), row.get(4)?);
    Ok(match message {
        Some((message, batch)) => Ok(Delivery { key, route, message, attempts, batch, state }),
        None => Err(key),
    })
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<EventId> {
    row.get(column).map(EventId::from_bytes)
}

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_millis(row.get::<_, i64>(column)?.unsigned_abs()))
}

/// Milliseconds as SQLite holds them.
pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_millis().min(i64::MAX as u64) as i64
}

/// An event's state as `outcome` holds it. An open event has no outcome.
pub(super) const fn state_number(state: EventState) -> i64 {
    match state {
        EventState::Open => 0,
        EventState::Waiting => 1,
        EventState::Delivered => 2,
        EventState::Dropped => 3,
        EventState::Dead => 4,
    }
}

/// The state behind a number; open where there is no outcome.
pub(super) const fn state(number: Option<i64>) -> EventState {
    match number {
        Some(1) => EventState::Waiting,
        Some(2) => EventState::Delivered,
        Some(3) => EventState::Dropped,
        Some(4) => EventState::Dead,
        _ => EventState::Open,
    }
}
