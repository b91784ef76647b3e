//! The one thread that writes: it takes what is queued, makes one group of it, and publishes what came of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    Shared,
    checkpoint::Checkpoints,
    dedupe::Memory,
    failure::Failure,
    group::{Effects, Group, Hot},
    inbox::{Batch, End},
    op::{Answer, Op},
    reserve::Reserve,
    retention::Retention,
    status::Refusal,
};

/// How long the writer sleeps where there is nothing to do.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How long it sleeps between two slices of upkeep, and between two looks for room on a full disk.
const SLICE: Duration = Duration::from_millis(20);
const ROOM_CHECK: Duration = Duration::from_millis(500);
/// From here on, settlements that a full disk holds up stop the dispatcher: its work could not be recorded.
const RETAINED_MAX: usize = 16 * 1024;

pub(super) struct Writer<'c> {
    pub(super) conn: &'c Connection,
    pub(super) hot: Hot<'c>,
    pub(super) shared: Arc<Shared>,
    pub(super) memory: Memory,
    pub(super) reserve: Reserve,
    pub(super) retention: Retention,
    pub(super) checkpoints: Checkpoints,
    pub(super) next_seq: i64,
    /// Settlements that a full disk holds up.
    pub(super) retained: Vec<Op>,
    /// No event before this one was open when this was last written.
    pub(super) low_water: i64,
    pub(super) last_room_check: Instant,
    pub(super) last_tick: Option<Instant>,
}

impl Writer<'_> {
    /// Runs until the journal is closed or its last group is written.
    pub(super) fn run(mut self) {
        loop {
            let Batch { ops, end } = self.shared.inbox.take(self.patience());
            if end == Some(End::Abandon) {
                return self.end(ops);
            }
            self.commit(ops);
            self.keep_up();
            if end.is_some() {
                self.end(Vec::new());
                return self.checkpoints.finish(self.conn);
            }
        }
    }

    fn patience(&self) -> Duration {
        let now = self.shared.clock.now();
        match self.shared.status.refusal() {
            Some(Refusal::Full(_)) => ROOM_CHECK,
            None if self.retention.is_busy() || self.memory.is_untidy(now) => SLICE,
            _ => self.last_tick.map_or(Duration::ZERO, |last| TICK.saturating_sub(last.elapsed())),
        }
    }

    /// Refuses what was not written and lets nobody wait any more.
    fn end(&mut self, ops: Vec<Op>) {
        self.shared.status.close();
        let rest = self.shared.inbox.take_rest();
        self.refuse(ops.into_iter().chain(rest), &Refusal::Closed);
        self.shared.feed.wake_all();
    }

    /// Writes what was taken, after what an earlier group could not write.
    fn commit(&mut self, ops: Vec<Op>) {
        if let Some(stopped) = self.shared.status.stopped() {
            return self.refuse(ops, &stopped);
        }
        let ops = self.admit(ops);
        if let Some(stopped) = self.shared.status.stopped() {
            return self.refuse(ops, &stopped);
        }
        let ops: Vec<Op> = self.retained.drain(..).chain(ops).collect();
        if !ops.is_empty() {
            self.write(ops);
        }
        self.shared.feed.pause(self.retained.len() >= RETAINED_MAX);
    }

    /// Refuses what is new while there is no room for it.
    fn admit(&mut self, ops: Vec<Op>) -> Vec<Op> {
        let Some(refusal) = self.no_room() else { return ops };
        let (new, others): (Vec<_>, Vec<_>) = ops.into_iter().partition(Op::needs_room);
        self.refuse(new, &refusal);
        others
    }

    /// Why nothing new may be written, if so; looks for room at times.
    fn no_room(&mut self) -> Option<Refusal> {
        match self.retention.make_room(self.conn, &self.shared) {
            Ok(None) => {}
            Ok(Some(why)) => return Some(self.shared.status.full(&why)),
            Err(failure) => return Some(self.impair(failure)),
        }
        let refusal = self.shared.status.refusal()?;
        if self.last_room_check.elapsed() < ROOM_CHECK {
            return Some(refusal);
        }
        self.last_room_check = Instant::now();
        match self.reserve.regain() {
            Ok(()) => {
                self.shared.status.has_room();
                None
            }
            Err(_) => Some(refusal),
        }
    }

    fn write(&mut self, ops: Vec<Op>) {
        let first_seq = self.next_seq;
        let mut effects = Effects::default();
        match self.transact(&ops, &mut effects) {
            Ok(answers) => self.publish(ops, answers, effects),
            Err(failure) => {
                self.next_seq = first_seq;
                self.memory.forget(effects.remembered.iter().map(|(key, _)| key));
                self.fail(ops, failure);
            }
        }
    }

    /// Writes one group; its effects are noted down whether or not it succeeds.
    fn transact(&mut self, ops: &[Op], effects: &mut Effects) -> Result<Vec<Answer>, Failure> {
        self.hot.begin()?;
        let mut group = Group {
            conn: self.conn,
            hot: &mut self.hot,
            shared: &self.shared,
            memory: &mut self.memory,
            next_seq: &mut self.next_seq,
            now: self.shared.clock.now(),
            effects: Effects::default(),
        };
        let answers = ops.iter().map(|op| group.apply(op)).collect::<rusqlite::Result<Vec<_>>>();
        let written = answers.and_then(|answers| group.finish().map(|()| answers));
        *effects = group.effects;
        let answers = written?;
        self.hot.commit()?;
        Ok(answers)
    }

    /// The group is durable: the memory follows, then those who wait are told.
    fn publish(&mut self, ops: Vec<Op>, answers: Vec<Answer>, effects: Effects) {
        let shared = &self.shared;
        if let Some(row) = effects.seen_row {
            self.memory.wrote(row, &effects.remembered);
        }
        self.retention.wrote(ops.iter().map(Op::size).sum(), effects.remembered.len());
        shared.status.add_depth(effects.depth);
        shared.status.add_dead_letters(effects.dead_letters);
        if let Some(first) = effects.fresh.first().filter(|_| !shared.status.has_oldest()) {
            shared.status.set_oldest(Some(first.event.received_at));
        }
        shared.feed.release(&effects.settled);
        shared.backlog.publish(effects.waiting, &effects.attempted, &effects.discarded);
        shared.feed.publish(effects.fresh);
        if let Some(due) = effects.again {
            shared.feed.publish_again(due);
        }
        shared.inbox.done(&ops);
        ops.into_iter().zip(answers).for_each(|(op, answer)| op.answer(answer));
    }

    /// Nothing of the group was written.
    fn fail(&mut self, ops: Vec<Op>, failure: Failure) {
        match self.roll_back(failure) {
            Failure::Fatal(why) => {
                let refusal = self.shared.poison(&why);
                self.refuse(ops, &refusal);
            }
            Failure::Full(why) => {
                let refusal = self.shared.status.full(&why);
                self.last_room_check = Instant::now();
                let (urgent, lazy): (Vec<_>, Vec<_>) = ops.into_iter().partition(Op::is_urgent);
                self.refuse(urgent, &refusal);
                self.retain(lazy);
            }
        }
    }

    /// Frees the reserve and tries once more to write the settlements; keeps them where even that fails.
    fn retain(&mut self, lazy: Vec<Op>) {
        self.reserve.release();
        self.checkpoints.run_now(self.conn);
        if lazy.is_empty() {
            return;
        }
        let first_seq = self.next_seq;
        let mut effects = Effects::default();
        match self.transact(&lazy, &mut effects) {
            Ok(answers) => self.publish(lazy, answers, effects),
            Err(failure) => {
                self.next_seq = first_seq;
                self.retained = lazy;
                if let Failure::Fatal(why) = self.roll_back(failure) {
                    self.shared.poison(&why);
                }
            }
        }
    }

    /// Undoes the open transaction of some upkeep that failed, and notes what that means.
    pub(super) fn impair(&self, failure: Failure) -> Refusal {
        match self.roll_back(failure) {
            Failure::Full(why) => self.shared.status.full(&why),
            Failure::Fatal(why) => self.shared.poison(&why),
        }
    }

    /// Undoes the open transaction; a failure to do so is fatal.
    fn roll_back(&self, failure: Failure) -> Failure {
        // SQLite has done it by itself after some errors.
        let undone = if self.conn.is_autocommit() { Ok(()) } else { self.conn.execute_batch("ROLLBACK") };
        match undone.and_then(|()| self.shared.names.reload(self.conn)) {
            Ok(()) => failure,
            Err(error) => Failure::Fatal(format!("failed to roll back: {error}")),
        }
    }

    fn refuse(&self, ops: impl IntoIterator<Item = Op>, refusal: &Refusal) {
        for op in ops {
            self.shared.inbox.done([&op]);
            op.refuse(refusal.clone());
        }
    }
}
