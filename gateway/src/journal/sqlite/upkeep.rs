//! What the writer does between groups: checkpoints, retention, the memory of delivery ids, the figures.

use std::{fs, time::Instant};

use rusqlite::{OptionalExtension, params};

use super::{
    failure::Failure,
    stored,
    writer::{TICK, Writer},
};
use crate::clock::Timestamp;

impl Writer<'_> {
    /// Does a slice of whatever is to be done: a few milliseconds at most.
    pub(super) fn keep_up(&mut self) {
        let ticked = self.last_tick.is_none_or(|last| last.elapsed() >= TICK);
        if ticked {
            self.last_tick = Some(Instant::now());
        }
        if self.shared.status.stopped().is_some() {
            return;
        }
        self.checkpoints.look(self.conn);
        if let Err(failure) = self.tidy(ticked) {
            self.impair(failure);
        }
    }

    fn tidy(&mut self, ticked: bool) -> Result<(), Failure> {
        let now = self.shared.clock.now();
        if self.memory.is_untidy(now) {
            let done = self.tidy_memory(now);
            self.memory.tidied(done.is_ok());
            done?;
        }
        if ticked || self.retention.is_busy() {
            self.retention.run(self.conn, &self.shared, now)?;
        }
        if ticked {
            self.write_low_water()?;
            self.measure()?;
        }
        Ok(())
    }

    fn tidy_memory(&mut self, now: Timestamp) -> Result<(), Failure> {
        self.hot.begin()?;
        self.memory.tidy(self.conn, now, self.retention.take_pace())?;
        Ok(self.hot.commit()?)
    }

    /// Notes where a recovery may begin to look for open events. Behind the truth is fine.
    fn write_low_water(&mut self) -> Result<(), Failure> {
        let open_from = self.shared.feed.open_from();
        if self.low_water == open_from {
            return Ok(());
        }
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('open_from', ?1)")?
            .execute([open_from])?;
        self.low_water = open_from;
        Ok(())
    }

    /// Brings the figures up to date that are too dear to keep so with every group.
    fn measure(&mut self) -> Result<(), Failure> {
        let oldest = match self.shared.status.depth() {
            0 => None,
            _ => self.oldest_unfinished()?,
        };
        self.shared.status.set_oldest(oldest);
        let size = |suffix: &str| {
            let mut path = self.shared.database.as_os_str().to_owned();
            path.push(suffix);
            fs::metadata(path).map_or(0, |meta| meta.len())
        };
        self.shared.status.set_disk_bytes(size("") + size("-wal"));
        Ok(())
    }

    fn oldest_unfinished(&self) -> rusqlite::Result<Option<Timestamp>> {
        let mut open =
            self.conn.prepare_cached("SELECT received FROM event WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
        let open = open
            .query_row(params![self.shared.feed.open_from()], |row| stored::timestamp(row, 0))
            .optional()?;
        let mut waiting = self.conn.prepare_cached(
            "SELECT received FROM outcome WHERE state = 1 AND state <> 2 ORDER BY seq LIMIT 1",
        )?;
        let waiting = waiting.query_row([], |row| stored::timestamp(row, 0)).optional()?;
        Ok([open, waiting].into_iter().flatten().min())
    }
}
