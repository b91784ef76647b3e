//! Replays: an event, or dead letters, once more.

use rusqlite::{OptionalExtension, Row, ToSql, params};

use super::{
    group::Group,
    op::{DeadPage, encode_trail},
    stored::{self, millis, state_number},
};
use crate::{
    clock::Timestamp,
    event::EventId,
    journal::{DeadFilter, EventState, TrailEntry},
};

/// The conditions of a [`DeadFilter`], bound by [`bind`]. `state = 1` also selects the index of dead letters.
pub(super) const DEAD: &str = "state = 1
    AND (:event IS NULL OR event = :event) AND (:route IS NULL OR route = :route)
    AND (:destination IS NULL OR destination = :destination)
    AND at >= :since AND at <= :until AND (at, id) < (:before_at, :before_id)";

/// A [`DeadFilter`] as the values of [`DEAD`].
pub(super) struct DeadValues {
    event: Option<[u8; 16]>,
    route: Option<i64>,
    destination: Option<i64>,
    since: i64,
    until: i64,
    before: (i64, i64),
}

struct DeadRow {
    id: i64,
    seq: i64,
    at: i64,
    destination: i64,
}

impl DeadValues {
    pub(super) fn new(filter: &DeadFilter, names: &super::names::Names, before: Option<(i64, i64)>) -> Self {
        // A name that was never seen has no number: -1 matches nothing.
        let number = |name: &Option<String>| name.as_ref().map(|name| names.number(name).unwrap_or(-1));
        Self {
            event: filter.event.map(|id| *id.as_bytes()),
            route: number(&filter.route),
            destination: number(&filter.destination),
            since: filter.since.map_or(0, millis),
            until: filter.until.map_or(i64::MAX, millis),
            before: before.unwrap_or((i64::MAX, i64::MAX)),
        }
    }

    pub(super) fn bind<'a>(&'a self, limit: &'a i64) -> [(&'static str, &'a dyn ToSql); 8] {
        let Self { event, route, destination, since, until, before } = self;
        [
            (":event", event),
            (":route", route),
            (":destination", destination),
            (":since", since),
            (":until", until),
            (":before_at", &before.0),
            (":before_id", &before.1),
            (":limit", limit),
        ]
    }
}

impl Group<'_, '_> {
    /// Has an event dispatched once more, unless it is open or in hand: then that dispatch is the one asked for.
    pub(super) fn replay(&mut self, id: EventId, now: Timestamp) -> rusqlite::Result<bool> {
        let Some(seq) = self.find_event(id)? else { return Ok(false) };
        // One settled earlier in this group is leased only until the group is published.
        if self.shared.feed.is_leased(id) && !self.effects.settled.contains(&id) {
            return Ok(true);
        }
        let mut select = self.conn.prepare_cached("SELECT state FROM outcome WHERE seq = ?1")?;
        let Some(state) = select.query_row([seq], |row| row.get(0)).optional()? else { return Ok(true) };
        self.forget_deliveries(seq)?;
        self.reopen(seq, stored::state(Some(state)), now)?;
        self.redo(seq, now, 1)?;
        Ok(true)
    }

    /// Replays one chunk of dead letters, the newest first.
    pub(super) fn replay_dead(&mut self, page: &DeadPage) -> rusqlite::Result<DeadPage> {
        let rows = self.find_dead(page)?;
        for row in &rows {
            self.revive(row, page.now)?;
        }
        let before = rows.last().map(|row| (row.at, row.id));
        Ok(DeadPage { before, count: rows.len() as u64, ..page.clone() })
    }

    fn find_dead(&self, page: &DeadPage) -> rusqlite::Result<Vec<DeadRow>> {
        let sql = format!(
            "SELECT id, seq, at, destination FROM delivery WHERE {DEAD} ORDER BY at DESC, id DESC LIMIT :limit"
        );
        let values = DeadValues::new(&page.filter, &self.shared.names, page.before);
        let limit = page.count as i64;
        let mut select = self.conn.prepare_cached(&sql)?;
        let rows = select.query_map(&values.bind(&limit)[..], DeadRow::read)?;
        rows.collect()
    }

    fn revive(&mut self, row: &DeadRow, now: Timestamp) -> rusqlite::Result<()> {
        let state: i64 = self
            .conn
            .prepare_cached("SELECT state FROM outcome WHERE seq = ?1")?
            .query_row([row.seq], |row| row.get(0))?;
        self.reopen(row.seq, stored::state(Some(state)), now)?;
        self.effects.dead_letters -= 1;
        if row.destination == 0 {
            self.conn.prepare_cached("DELETE FROM delivery WHERE id = ?1")?.execute([row.id])?;
            return self.redo(row.seq, now, 1);
        }
        let mut update = self.conn.prepare_cached(
            "UPDATE delivery SET state = 0, at = ?2, attempts = 0, reason = NULL WHERE id = ?1",
        )?;
        update.execute(params![row.id, millis(now)])?;
        let destination = self.shared.names.name(row.destination);
        self.count_delivery(&destination, 0, 1);
        Ok(())
    }

    /// Makes an event wait again.
    fn reopen(&mut self, seq: i64, from: EventState, now: Timestamp) -> rusqlite::Result<()> {
        let waiting = state_number(EventState::Waiting);
        let trail = encode_trail(&[TrailEntry::Replayed { at: now }]);
        let mut update = self.conn.prepare_cached(
            "UPDATE outcome SET state = ?2, reason = NULL, trail = trail || ?3 WHERE seq = ?1",
        )?;
        update.execute(params![seq, waiting, trail])?;
        self.effects.depth += i64::from(from != EventState::Waiting);
        Ok(())
    }
}

impl DeadRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, seq: row.get(1)?, at: row.get(2)?, destination: row.get(3)? })
    }
}
