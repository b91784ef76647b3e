//! A route's own figures, looked up once.

use std::sync::Arc;

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::Accepted;
use crate::telemetry::{Metrics, RouteLabel};

/// Handles of the metrics that letting an event in touches.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    accepted: Counter,
    duplicates: Counter,
    dropped_at_edge: Counter,
    ack_seconds: Histogram,
}

impl RouteMetrics {
    pub fn new(metrics: &Metrics, route: &Arc<str>) -> Self {
        let label = RouteLabel { route: route.clone() };
        Self {
            accepted: metrics.accepted.get_or_create_owned(&label),
            duplicates: metrics.duplicates.get_or_create_owned(&label),
            dropped_at_edge: metrics.dropped_at_edge.get_or_create_owned(&label),
            ack_seconds: metrics.ack_seconds.get_or_create_owned(&label),
        }
    }

    pub(super) fn count(&self, accepted: &Accepted, seconds: f64) {
        match accepted {
            Accepted::New(_) => self.accepted.inc(),
            Accepted::Duplicate(_) => self.duplicates.inc(),
        };
        self.ack_seconds.observe(seconds);
    }

    pub(super) fn count_dropped(&self) {
        self.dropped_at_edge.inc();
    }
}
