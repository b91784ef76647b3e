//! Questions about what was: lists of events and dead letters, and all that is known of one event.
//!
//! They run on a connection of their own, so that a slow one never holds up the writer or the dispatcher.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    Shared,
    op::decode_trail,
    record,
    replay::{DEAD, DeadValues},
    stored::{self, state_number},
};
use crate::{
    event::EventId,
    journal::{DeadFilter, DeadLetter, Delivery, EventFilter, EventRecord, EventState, EventSummary},
};

/// The longest list.
const MAX_ROWS: usize = 1000;
/// Events are listed in the order of acceptance, and clocks jump: the list ends this far before `since`.
const CLOCK_SLACK: Duration = Duration::from_secs(600);

/// Events by filter, the newest first.
pub(super) fn events(
    shared: &Shared,
    conn: &Connection,
    filter: &EventFilter,
) -> rusqlite::Result<Vec<EventSummary>> {
    let route = match filter.route.as_deref().map(|route| shared.names.number(route)) {
        Some(None) => return Ok(Vec::new()), // No event ever came in by it.
        Some(number) => number,
        None => None,
    };
    let sql = list_query(filter.state, filter.before.is_some(), shared.feed.open_from());
    let mut select = conn.prepare_cached(&sql)?;
    let before = filter.before.as_ref().map(EventId::as_bytes);
    let mut rows = match before {
        Some(before) => select.query((route, before))?,
        None => select.query([route])?,
    };
    let limit = capped(filter.limit);
    let since = filter.since.unwrap_or_default();
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let received = stored::timestamp(row, 1)?;
        if received + CLOCK_SLACK < since || events.len() == limit {
            break;
        }
        if received >= since
            && let Some(event) = summary(shared, conn, row.get(0)?)?
        {
            events.push(event);
        }
    }
    Ok(events)
}

/// The numbers of the events in question and when they were received, without touching a body: open ones and all
/// of them from the index, the others from their outcomes. With `behind`, `?2` is the event that they come behind.
fn list_query(state: Option<EventState>, behind: bool, open_from: i64) -> String {
    let (by_id, by_seq) = match behind {
        true => (
            "AND id < (SELECT id FROM event WHERE id = ?2)",
            "AND seq < (SELECT seq FROM event WHERE id = ?2)",
        ),
        false => ("", ""),
    };
    match state {
        None => format!(
            "SELECT seq, received FROM event INDEXED BY event_by_id WHERE (?1 IS NULL OR route = ?1) {by_id}
             ORDER BY id DESC"
        ),
        Some(EventState::Open) => format!(
            "SELECT seq, received FROM event e INDEXED BY event_by_id WHERE seq >= {open_from}
             AND (?1 IS NULL OR route = ?1) {by_id}
             AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.seq = e.seq) ORDER BY id DESC"
        ),
        Some(EventState::Delivered) => format!(
            "SELECT seq, received FROM outcome WHERE state = 2 AND (?1 IS NULL OR route = ?1) {by_seq}
             ORDER BY seq DESC"
        ),
        Some(other) => format!(
            "SELECT seq, received FROM outcome WHERE state = {} AND state <> 2 AND (?1 IS NULL OR route = ?1)
             {by_seq} ORDER BY seq DESC",
            state_number(other)
        ),
    }
}

fn summary(shared: &Shared, conn: &Connection, seq: i64) -> rusqlite::Result<Option<EventSummary>> {
    let mut select = conn.prepare_cached(
        "SELECT e.id, e.route, e.received, e.head, o.state FROM event e LEFT JOIN outcome o ON o.seq = e.seq
         WHERE e.seq = ?1",
    )?;
    let event = select.query_row([seq], |row| {
        let head = record::decode_event(row.get_ref(3)?.as_blob()?);
        let (event_type, delivery_id) =
            head.map(|head| (head.event_type, head.delivery_id)).unwrap_or_default();
        Ok(EventSummary {
            id: stored::id(row, 0)?,
            route: shared.names.name(row.get(1)?).to_string(),
            received_at: stored::timestamp(row, 2)?,
            state: stored::state(row.get(4)?),
            event_type,
            delivery_id,
        })
    });
    event.optional()
}

/// Everything known of one event. An inner `None`: it is there, but its bytes are damaged.
pub(super) fn event(
    shared: &Shared,
    conn: &Connection,
    id: EventId,
) -> rusqlite::Result<Option<Option<EventRecord>>> {
    let sql = format!("SELECT {} FROM event e WHERE e.id = ?1", stored::EVENT);
    let mut select = conn.prepare_cached(&sql)?;
    let found = select.query_row([id.as_bytes()], |row| stored::event(row, &shared.names)).optional()?;
    let Some(found) = found else { return Ok(None) };
    let Some(event) = found.event else { return Ok(Some(None)) };
    let mut select = conn.prepare_cached("SELECT state, reason, trail FROM outcome WHERE seq = ?1")?;
    let outcome =
        select.query_row([found.seq], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)));
    let (state, reason, trail) = outcome.optional()?.unwrap_or_default();
    let unfinished = unfinished(shared, conn, found.seq)?;
    let (state, trail) = (stored::state(state), decode_trail(&trail));
    Ok(Some(Some(EventRecord { event, state, reason, trail, unfinished })))
}

fn unfinished(shared: &Shared, conn: &Connection, seq: i64) -> rusqlite::Result<Vec<Delivery>> {
    let sql = stored::select_delivery("d.seq = ?1 AND d.destination <> 0 ORDER BY d.destination, d.idx");
    let mut select = conn.prepare_cached(&sql)?;
    let rows = select.query_map([seq], |row| stored::delivery(row, &shared.names))?;
    // Damaged ones are left out here; they are given up, and said so, as soon as they are due.
    rows.filter_map(|row| row.map(Result::ok).transpose()).collect()
}

/// Dead letters by filter, the newest first.
pub(super) fn dead_letters(
    shared: &Shared,
    conn: &Connection,
    filter: &DeadFilter,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let sql = format!(
        "SELECT event, route, destination, idx, received, at, attempts, reason FROM delivery
         WHERE {DEAD} ORDER BY at DESC, id DESC LIMIT :limit"
    );
    let values = DeadValues::new(filter, &shared.names, None);
    let limit = capped(filter.limit) as i64;
    let mut select = conn.prepare_cached(&sql)?;
    let rows = select.query_map(&values.bind(&limit)[..], |row| dead_letter(shared, row))?;
    rows.collect()
}

fn dead_letter(shared: &Shared, row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let destination: i64 = row.get(2)?;
    let has_messages = destination != 0;
    Ok(DeadLetter {
        event: stored::id(row, 0)?,
        route: shared.names.name(row.get(1)?).to_string(),
        destination: has_messages.then(|| shared.names.name(destination).to_string()),
        index: if has_messages { Some(row.get(3)?) } else { None },
        received_at: stored::timestamp(row, 4)?,
        died_at: stored::timestamp(row, 5)?,
        attempts: row.get(6)?,
        reason: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
    })
}

fn capped(limit: usize) -> usize {
    if limit == 0 { MAX_ROWS } else { limit.min(MAX_ROWS) }
}
