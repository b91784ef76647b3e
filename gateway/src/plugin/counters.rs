//! What plugins count.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::metrics::{counter::Counter, family::Family};

use crate::telemetry::PluginCountLabels;

/// The most counters that a plugin may have.
pub(super) const MAX_COUNTERS: usize = 100;

/// The counters that a plugin keeps with `host.count`.
pub(super) struct Counters {
    plugin: Arc<str>,
    family: Family<PluginCountLabels, Counter>,
    known: Mutex<HashMap<String, Counter>>,
}

impl Counters {
    pub(super) fn new(plugin: Arc<str>, family: Family<PluginCountLabels, Counter>) -> Self {
        Self { plugin, family, known: Mutex::default() }
    }

    pub(super) fn add(&self, counts: &[(String, u64)]) {
        if counts.is_empty() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, by) in counts {
            if let Some(counter) = known.get(name) {
                counter.inc_by(*by);
            } else if known.len() < MAX_COUNTERS {
                let labels = PluginCountLabels { plugin: Arc::clone(&self.plugin), name: name.clone() };
                let counter = self.family.get_or_create_owned(&labels);
                counter.inc_by(*by);
                known.insert(name.clone(), counter);
            }
        }
    }
}
