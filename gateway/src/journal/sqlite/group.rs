//! One group: many operations in one transaction, made durable by one fsync.
//!
//! While it is written, what it will change in memory is only noted down as [`Effects`]; the writer publishes
//! them after the commit, so a group that is rolled back has never happened.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::{
    Shared,
    dedupe::{self, Key, Known, Memory},
    feed::{Lease, Ready},
    op::{Answer, Append, Attempt, Op, Settle},
    record,
    stored::{millis, state_number},
};
use crate::{
    clock::Timestamp,
    event::EventId,
    journal::{Appended, BatchTag, Delivery, DeliveryKey, DeliveryState, Ending, EventState},
};

/// The statements of the happy path, prepared once.
pub(super) struct Hot<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    event: Statement<'c>,
    outcome: Statement<'c>,
}

impl<'c> Hot<'c> {
    pub(super) fn prepare(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: conn.prepare("BEGIN IMMEDIATE")?,
            commit: conn.prepare("COMMIT")?,
            event: conn.prepare(
                "INSERT INTO event (seq, id, route, received, crc, head, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
            outcome: conn.prepare(
                "INSERT INTO outcome (seq, state, route, received, at, reason, trail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
        })
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.begin.execute([]).map(drop)
    }

    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.execute([]).map(drop)
    }
}

/// What a group changes in memory once it is durable.
#[derive(Default)]
pub(super) struct Effects {
    /// Events for the dispatcher, in order.
    pub(super) fresh: Vec<Ready>,
    /// When the first of the events to be seen again is due.
    pub(super) again: Option<Timestamp>,
    /// Events whose lease ends.
    pub(super) settled: Vec<EventId>,
    /// Deliveries whose lease ends.
    pub(super) attempted: Vec<DeliveryKey>,
    /// How many more deliveries wait, by destination.
    pub(super) waiting: HashMap<Arc<str>, i64>,
    /// Destinations that waiting deliveries were discarded of.
    pub(super) discarded: Vec<Arc<str>>,
    pub(super) depth: i64,
    pub(super) dead_letters: i64,
    pub(super) remembered: Vec<(Key, Known)>,
    /// The row that they were written to.
    pub(super) seen_row: Option<i64>,
}

/// A group being written. Its transaction is the caller's.
pub(super) struct Group<'a, 'c> {
    pub(super) conn: &'c Connection,
    pub(super) hot: &'a mut Hot<'c>,
    pub(super) shared: &'a Shared,
    pub(super) memory: &'a mut Memory,
    pub(super) next_seq: &'a mut i64,
    pub(super) now: Timestamp,
    pub(super) effects: Effects,
}

impl Group<'_, '_> {
    pub(super) fn apply(&mut self, op: &Op) -> rusqlite::Result<Answer> {
        match op {
            Op::Append(append) => self.append(append),
            Op::Settle(settle) => self.settle(settle).map(|()| Answer::Nothing),
            Op::Attempt(attempt) => self.attempt(attempt).map(|()| Answer::Nothing),
            Op::Replay { id, now, .. } => self.replay(*id, *now).map(Answer::Replayed),
            Op::ReplayDead { page, .. } => self.replay_dead(page).map(Answer::ReplayedDead),
            Op::Value(op) => self.change_value(op),
            Op::Flush(_) => Ok(Answer::Nothing),
        }
    }

    /// Writes what the operations noted down together.
    pub(super) fn finish(&mut self) -> rusqlite::Result<()> {
        if !self.effects.remembered.is_empty() {
            self.effects.seen_row = Some(Memory::write(self.conn, &self.effects.remembered)?);
        }
        Ok(())
    }

    fn append(&mut self, append: &Append) -> rusqlite::Result<Answer> {
        let event = &append.event;
        if append.reply.is_closed() {
            return Ok(Answer::Nothing); // The sender has gone; it will come again.
        }
        if let Some(dedupe) = &append.dedupe {
            if let Some(first) = self.memory.find(self.conn, &dedupe.key, event.received_at)? {
                return Ok(Answer::Appended(Appended::Duplicate(first)));
            }
            let known = Known { id: event.id, expires: dedupe::expiry(event.received_at, dedupe.window) };
            self.memory.remember(dedupe.key, known);
            self.effects.remembered.push((dedupe.key, known));
        }
        let seq = *self.next_seq;
        let route = self.shared.names.intern(self.conn, &event.route)?;
        let (id, received, body) = (event.id.as_bytes(), millis(event.received_at), &event.body[..]);
        self.hot.event.execute(params![seq, id, route, received, append.crc, append.head, body])?;
        *self.next_seq += 1;
        self.effects.depth += 1;
        self.effects.fresh.push(Ready { seq, event: event.clone(), attempt: 1 });
        Ok(Answer::Appended(Appended::New))
    }

    fn settle(&mut self, settle: &Settle) -> rusqlite::Result<()> {
        let Settle { id, lease, trail, ending } = settle;
        if lease.again {
            self.conn.prepare_cached("DELETE FROM redo WHERE seq = ?1")?.execute([lease.seq])?;
            self.forget_deliveries(lease.seq)?;
        }
        let (state, reason) = match ending {
            Ending::Delivered { unfinished } => (self.write_unfinished(lease, unfinished)?, None),
            Ending::Dropped { reason } => (EventState::Dropped, Some(reason)),
            Ending::Dead { reason } => {
                self.write_dead_event(*id, lease, reason)?;
                (EventState::Dead, Some(reason))
            }
            Ending::RetryAt { due } => {
                self.redo(lease.seq, *due, lease.attempt + 1)?;
                (EventState::Waiting, None)
            }
            Ending::Later { due } => {
                self.redo(lease.seq, *due, lease.attempt)?;
                (EventState::Waiting, None)
            }
        };
        self.write_outcome(lease, state, reason, trail)?;
        self.effects.depth -= i64::from(state != EventState::Waiting);
        self.effects.settled.push(*id);
        Ok(())
    }

    fn write_outcome(
        &mut self,
        lease: &Lease,
        state: EventState,
        reason: Option<&String>,
        trail: &str,
    ) -> rusqlite::Result<()> {
        let (state, at) = (state_number(state), millis(self.now));
        if lease.again {
            let mut update = self.conn.prepare_cached(
                "UPDATE outcome SET state = ?2, at = ?3, reason = ?4, trail = trail || ?5 WHERE seq = ?1",
            )?;
            return update.execute(params![lease.seq, state, at, reason, trail]).map(drop);
        }
        let route = self.shared.names.intern(self.conn, &lease.route)?;
        let received = millis(lease.received);
        self.hot.outcome.execute(params![lease.seq, state, route, received, at, reason, trail]).map(drop)
    }

    /// Writes the deliveries that did not arrive, and says what that makes of the event.
    fn write_unfinished(&mut self, lease: &Lease, unfinished: &[Delivery]) -> rusqlite::Result<EventState> {
        let mut state = EventState::Delivered;
        for delivery in unfinished {
            self.write_delivery(lease, delivery)?;
            state = match (&delivery.state, state) {
                (DeliveryState::Waiting { .. }, _) | (_, EventState::Waiting) => EventState::Waiting,
                (DeliveryState::Dead { .. }, _) => EventState::Dead,
            };
        }
        Ok(state)
    }

    fn write_delivery(&mut self, lease: &Lease, delivery: &Delivery) -> rusqlite::Result<()> {
        let destination = self.shared.names.intern(self.conn, &delivery.key.destination)?;
        let route = self.shared.names.intern(self.conn, &delivery.route)?;
        let (state, at, reason) = delivery_columns(&delivery.state);
        let (head, body) =
            (record::encode_message(&delivery.message, delivery.batch), &delivery.message.body);
        let crc = record::checksum(&head, body);
        let body = (*body != lease.body).then_some(&body[..]);
        let mut insert = self.conn.prepare_cached(
            "INSERT OR REPLACE INTO delivery
             (seq, destination, idx, event, route, received, state, at, attempts, reason, crc, head, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        let DeliveryKey { event, index, .. } = &delivery.key;
        let (event, received) = (event.as_bytes(), millis(lease.received));
        insert.execute(params![
            lease.seq,
            destination,
            index,
            event,
            route,
            received,
            state,
            at,
            delivery.attempts,
            reason,
            crc,
            head,
            body
        ])?;
        self.count_delivery(&delivery.key.destination, state, 1);
        Ok(())
    }

    /// An event that died before it had messages: a dead letter without destination.
    fn write_dead_event(&mut self, id: EventId, lease: &Lease, reason: &str) -> rusqlite::Result<()> {
        let route = self.shared.names.intern(self.conn, &lease.route)?;
        let mut insert = self.conn.prepare_cached(
            "INSERT OR REPLACE INTO delivery
             (seq, destination, idx, event, route, received, state, at, attempts, reason, crc, head, body)
             VALUES (?1, 0, 0, ?2, ?3, ?4, 1, ?5, ?6, ?7, 0, x'', x'')",
        )?;
        let (received, at) = (millis(lease.received), millis(self.now));
        insert.execute(params![lease.seq, id.as_bytes(), route, received, at, lease.attempt, reason])?;
        self.effects.dead_letters += 1;
        Ok(())
    }

    /// Has the event dispatched again at `due`.
    pub(super) fn redo(&mut self, seq: i64, due: Timestamp, attempt: u32) -> rusqlite::Result<()> {
        let mut insert = self
            .conn
            .prepare_cached("INSERT OR REPLACE INTO redo (seq, due, attempt) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![seq, millis(due), attempt])?;
        self.effects.again = Some(self.effects.again.map_or(due, |first| first.min(due)));
        Ok(())
    }

    fn attempt(&mut self, attempt: &Attempt) -> rusqlite::Result<()> {
        let made = &attempt.made;
        self.effects.attempted.push(made.key.clone());
        let Some(row) = self.find_delivery(&made.key)? else {
            return self.append_trail_by_id(made.key.event, &attempt.trail); // Replayed meanwhile.
        };
        self.append_trail(row.seq, &attempt.trail)?;
        self.count_delivery(&made.key.destination, row.state, -1);
        match &made.state {
            None => {
                self.conn.prepare_cached("DELETE FROM delivery WHERE id = ?1")?.execute([row.id])?;
            }
            Some(to) => {
                let (state, at, reason) = delivery_columns(to);
                self.conn
                    .prepare_cached(
                        "UPDATE delivery SET state = ?2, at = ?3, attempts = ?4, reason = ?5 WHERE id = ?1",
                    )?
                    .execute(params![row.id, state, at, made.attempts, reason])?;
                if row.is_batched || made.batch.is_some() {
                    self.retag(row.id, made.batch)?;
                }
                self.count_delivery(&made.key.destination, state, 1);
            }
        }
        self.conclude(row.seq)
    }

    /// Notes which batch a delivery waits for now. What is damaged stays so, and is found when it is read.
    fn retag(&self, row: i64, batch: Option<BatchTag>) -> rusqlite::Result<()> {
        let mut select = self.conn.prepare_cached(
            "SELECT d.head, coalesce(d.body, (SELECT e.body FROM event e WHERE e.seq = d.seq), x''), d.crc
             FROM delivery d WHERE d.id = ?1",
        )?;
        let retagged = select.query_row([row], |row| {
            let (head, body) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
            let is_intact = record::checksum(head, body) == row.get::<_, i64>(2)?;
            let new = record::retag_message(head, batch).filter(|new| is_intact && new != head);
            Ok(new.map(|new| (record::checksum(&new, body), new)))
        })?;
        let Some((crc, head)) = retagged else { return Ok(()) };
        let mut update = self.conn.prepare_cached("UPDATE delivery SET crc = ?2, head = ?3 WHERE id = ?1")?;
        update.execute(params![row, crc, head]).map(drop)
    }

    /// Ends the event once nothing of it waits any more.
    fn conclude(&mut self, seq: i64) -> rusqlite::Result<()> {
        let mut left = self.conn.prepare_cached(
            "SELECT count(*) FILTER (WHERE state = 0) + (SELECT count(*) FROM redo WHERE seq = ?1),
                    count(*) FILTER (WHERE state = 1)
             FROM delivery WHERE seq = ?1",
        )?;
        let (waiting, dead): (i64, i64) = left.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if waiting > 0 {
            return Ok(());
        }
        let state = if dead > 0 { EventState::Dead } else { EventState::Delivered };
        let mut update = self
            .conn
            .prepare_cached("UPDATE outcome SET state = ?2, at = ?3 WHERE seq = ?1 AND state = 1")?;
        let ended = update.execute(params![seq, state_number(state), millis(self.now)])?;
        self.effects.depth -= ended as i64;
        Ok(())
    }

    /// Deletes whatever is left of earlier dispatches.
    pub(super) fn forget_deliveries(&mut self, seq: i64) -> rusqlite::Result<()> {
        let mut delete =
            self.conn.prepare_cached("DELETE FROM delivery WHERE seq = ?1 RETURNING destination, state")?;
        let mut rows = delete.query([seq])?;
        while let Some(row) = rows.next()? {
            let destination = self.shared.names.name(row.get(0)?);
            self.count_delivery(&destination, row.get(1)?, -1);
            self.effects.discarded.push(destination);
        }
        Ok(())
    }

    pub(super) fn append_trail(&mut self, seq: i64, trail: &str) -> rusqlite::Result<()> {
        let mut update = self.conn.prepare_cached("UPDATE outcome SET trail = trail || ?2 WHERE seq = ?1")?;
        update.execute(params![seq, trail]).map(drop)
    }

    fn append_trail_by_id(&mut self, id: EventId, trail: &str) -> rusqlite::Result<()> {
        match self.find_event(id)? {
            Some(seq) => self.append_trail(seq, trail),
            None => Ok(()),
        }
    }

    pub(super) fn find_event(&self, id: EventId) -> rusqlite::Result<Option<i64>> {
        let mut select = self.conn.prepare_cached("SELECT seq FROM event WHERE id = ?1")?;
        select.query_row([id.as_bytes()], |row| row.get(0)).optional()
    }

    fn find_delivery(&self, key: &DeliveryKey) -> rusqlite::Result<Option<DeliveryRow>> {
        let Some(destination) = self.shared.names.number(&key.destination) else { return Ok(None) };
        let mut select = self.conn.prepare_cached(
            "SELECT d.id, d.seq, d.state, substr(d.head, 1, 1) = x'02' FROM event e JOIN delivery d ON d.seq = e.seq
             WHERE e.id = ?1 AND d.destination = ?2 AND d.idx = ?3",
        )?;
        let row = select.query_row(params![key.event.as_bytes(), destination, key.index], |row| {
            Ok(DeliveryRow { id: row.get(0)?, seq: row.get(1)?, state: row.get(2)?, is_batched: row.get(3)? })
        });
        row.optional()
    }

    /// Notes that one more (or less) delivery is in this state.
    pub(super) fn count_delivery(&mut self, destination: &Arc<str>, state: i64, change: i64) {
        match state {
            0 => *self.effects.waiting.entry(destination.clone()).or_default() += change,
            _ => self.effects.dead_letters += change,
        }
    }
}

struct DeliveryRow {
    id: i64,
    seq: i64,
    state: i64,
    /// Whether its head names a batch.
    is_batched: bool,
}

/// A delivery's state as its columns `state`, `at` and `reason`.
fn delivery_columns(state: &DeliveryState) -> (i64, i64, Option<&str>) {
    match state {
        DeliveryState::Waiting { due } => (0, millis(*due), None),
        DeliveryState::Dead { at, reason } => (1, millis(*at), Some(reason)),
    }
}
