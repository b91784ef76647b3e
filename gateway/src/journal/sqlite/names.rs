//! Names of routes and destinations, each stored once and known by number elsewhere.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use rusqlite::Connection;

/// Names by number and numbers by name. Few and never removed, so all of them are held in memory.
#[derive(Default)]
pub(super) struct Names(RwLock<Maps>);

#[derive(Default)]
struct Maps {
    numbers: HashMap<Arc<str>, i64>,
    names: HashMap<i64, Arc<str>>,
}

impl Names {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let names = Self::default();
        names.reload(conn)?;
        Ok(names)
    }

    /// Reads them afresh: after a rollback, some that were given numbers may not exist.
    pub(super) fn reload(&self, conn: &Connection) -> rusqlite::Result<()> {
        let mut statement = conn.prepare_cached("SELECT id, text FROM name")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut maps = Maps::default();
        for row in rows {
            let (number, name) = row?;
            maps.add(number, name);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = maps;
        Ok(())
    }

    /// The number of `name`, given now if it had none. For the writer, inside its transaction.
    pub(super) fn intern(&self, conn: &Connection, name: &Arc<str>) -> rusqlite::Result<i64> {
        if let Some(number) = self.number(name) {
            return Ok(number);
        }
        conn.prepare_cached("INSERT INTO name (text) VALUES (?1)")?.execute([name])?;
        let number = conn.last_insert_rowid();
        self.0.write().unwrap_or_else(PoisonError::into_inner).add(number, name.clone());
        Ok(number)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).numbers.get(name).copied()
    }

    /// The name behind a number; empty for one that no name was given.
    pub(super) fn name(&self, number: i64) -> Arc<str> {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        maps.names.get(&number).cloned().unwrap_or_else(|| Arc::from(""))
    }
}

impl Maps {
    fn add(&mut self, number: i64, name: Arc<str>) {
        self.numbers.insert(name.clone(), number);
        self.names.insert(number, name);
    }
}
