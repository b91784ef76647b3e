//! Metrics and logs.
//!
//! Handles of a route, a plugin or a destination are looked up once, when a generation is built; the hot path
//! only touches atomics.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

pub use chain::Chain;
pub use logs::{LogArgs, LogError, LogFormat, init_logs};

use crate::{clock::Timestamp, journal::Health};

mod chain;

mod logs;

/// What [`Metrics::encode`] writes; Prometheus picks its parser by it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RouteLabel {
    pub route: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Empty where no route was found.
    pub route: Arc<str>,
    /// The refusal's code, e.g. `signature_invalid`.
    pub reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct HandshakeLabels {
    pub route: Arc<str>,
    /// `answered`, `refused` or `failed`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerifiedLabels {
    pub route: Arc<str>,
    /// Where the secret came from, e.g. `env GITHUB_SECRET`.
    pub secret: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
pub struct PluginLabels {
    pub route: Arc<str>,
    pub plugin: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PluginOutcomeLabels {
    pub route: Arc<str>,
    pub plugin: Arc<str>,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CanaryLabels {
    pub route: Arc<str>,
    pub plugin: Arc<str>,
    /// `share` or `shadow`.
    pub mode: &'static str,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DifferenceLabels {
    pub route: Arc<str>,
    pub plugin: Arc<str>,
    /// `shadow`.
    pub mode: &'static str,
    /// What differs, e.g. `body`.
    pub what: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PluginCountLabels {
    pub plugin: Arc<str>,
    pub name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct GrantLabels {
    pub plugin: Arc<str>,
    /// `kv` or `http`.
    pub grant: &'static str,
    /// `done`, or the kind of error that the plugin was told.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DestinationLabel {
    pub destination: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AttemptLabels {
    pub destination: Arc<str>,
    /// `delivered`, `retry` or `dead`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BatchLabels {
    pub route: Arc<str>,
    pub destination: Arc<str>,
    /// `delivered`, `retry`, `split` or `dead`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReloadLabel {
    /// `applied` or `refused`.
    pub outcome: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Everything that `/metrics` shows but the journal's own figures, which are read from its health at each scrape.
pub struct Metrics {
    pub accepted: Family<RouteLabel, Counter>,
    pub duplicates: Family<RouteLabel, Counter>,
    pub refused: Family<RefusalLabels, Counter>,
    pub handshakes: Family<HandshakeLabels, Counter>,
    /// Requests proven, by the secret that proved them.
    pub verified: Family<VerifiedLabels, Counter>,
    /// From the request's first byte read to its answer, events let in only.
    pub ack_seconds: Histograms<RouteLabel>,
    pub dropped: Family<RouteLabel, Counter>,
    pub dropped_at_edge: Family<RouteLabel, Counter>,
    pub plugin_seconds: Histograms<PluginLabels>,
    pub plugin_outcomes: Family<PluginOutcomeLabels, Counter>,
    pub plugin_counts: Family<PluginCountLabels, Counter>,
    /// What plugins asked of `kv` and `http`.
    pub plugin_grants: Family<GrantLabels, Counter>,
    pub plugin_quarantines: Family<PluginLabels, Counter>,
    pub canary_outcomes: Family<CanaryLabels, Counter>,
    pub canary_differences: Family<DifferenceLabels, Counter>,
    pub canary_seconds: Histograms<PluginLabels>,
    pub canary_quarantines: Family<PluginLabels, Counter>,
    plugin_quarantined: Family<PluginLabels, Gauge>,
    /// The steps that `plugin_quarantined` shows.
    quarantined_shown: Mutex<BTreeSet<PluginLabels>>,
    pub attempts: Family<AttemptLabels, Counter>,
    pub attempt_seconds: Histograms<DestinationLabel>,
    /// From acceptance to delivery.
    pub delivery_seconds: Histograms<DestinationLabel>,
    /// Messages that stand for several deliveries, by what an attempt came to.
    pub batches: Family<BatchLabels, Counter>,
    /// How many deliveries such a message stands for.
    pub batch_size: Histograms<RouteLabel>,
    /// Deliveries in windows, or in a batch that is being attempted.
    pub batch_waiting: Gauge,
    pub reloads: Family<ReloadLabel, Counter>,
    pub generation: Gauge,
    pub connections: Gauge,
    pub journal_depth: Gauge,
    pub journal_oldest_seconds: Gauge,
    pub journal_dead_letters: Gauge,
    pub journal_disk_bytes: Gauge,
    registry: Registry,
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            accepted: Family::default(),
            duplicates: Family::default(),
            refused: Family::default(),
            handshakes: Family::default(),
            verified: Family::default(),
            ack_seconds: Family::new_with_constructor(latency),
            dropped: Family::default(),
            dropped_at_edge: Family::default(),
            plugin_seconds: Family::new_with_constructor(plugin_time),
            plugin_outcomes: Family::default(),
            plugin_counts: Family::default(),
            plugin_grants: Family::default(),
            plugin_quarantines: Family::default(),
            canary_outcomes: Family::default(),
            canary_differences: Family::default(),
            canary_seconds: Family::new_with_constructor(plugin_time),
            canary_quarantines: Family::default(),
            plugin_quarantined: Family::default(),
            quarantined_shown: Mutex::default(),
            attempts: Family::default(),
            attempt_seconds: Family::new_with_constructor(latency),
            delivery_seconds: Family::new_with_constructor(latency),
            batches: Family::default(),
            batch_size: Family::new_with_constructor(size),
            batch_waiting: Gauge::default(),
            reloads: Family::default(),
            generation: Gauge::default(),
            connections: Gauge::default(),
            journal_depth: Gauge::default(),
            journal_oldest_seconds: Gauge::default(),
            journal_dead_letters: Gauge::default(),
            journal_disk_bytes: Gauge::default(),
            registry: Registry::with_prefix("sluice"),
        };
        metrics.register();
        metrics
    }

    /// Sets the journal's gauges to what its health says now.
    pub fn set_journal(&self, health: &Health, now: Timestamp) {
        let age = health.oldest.map_or(Duration::ZERO, |oldest| now.since(oldest));
        self.journal_depth.set(gauge(health.depth));
        self.journal_oldest_seconds.set(gauge(age.as_secs()));
        self.journal_dead_letters.set(gauge(health.dead_letters));
        self.journal_disk_bytes.set(gauge(health.disk_bytes));
    }

    /// Shows of every plugin on a route whether it is in quarantine, and nothing of those that are gone.
    pub fn set_quarantined(&self, steps: &BTreeMap<PluginLabels, bool>) {
        let mut shown = self.quarantined_shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.iter().filter(|labels| !steps.contains_key(labels)) {
            self.plugin_quarantined.remove(gone);
        }
        for (labels, is_held) in steps {
            self.plugin_quarantined.get_or_create(labels).set((*is_held).into());
        }
        *shown = steps.keys().cloned().collect();
    }

    /// The metrics in the OpenMetrics text format: serve them as [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("build", "The version of Sluice", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        r.register("events_accepted", "Events written down and answered 2xx", self.accepted.clone());
        r.register("events_duplicate", "Deliveries seen before", self.duplicates.clone());
        r.register("requests_refused", "Requests refused, by reason", self.refused.clone());
        r.register("handshakes", "Handshakes by outcome", self.handshakes.clone());
        r.register("verified", "Requests proven, by the secret that proved them", self.verified.clone());
        r.register("events_dropped", "Events that a plugin dropped", self.dropped.clone());
        r.register(
            "events_dropped_at_edge",
            "Proven requests that a filter at the edge dropped",
            self.dropped_at_edge.clone(),
        );
        r.register_with_unit(
            "ack",
            "From request to answer, events let in",
            Unit::Seconds,
            self.ack_seconds.clone(),
        );
        r.register_with_unit("plugin", "Time of one plugin call", Unit::Seconds, self.plugin_seconds.clone());
        r.register("plugin_outcomes", "Plugin calls by outcome", self.plugin_outcomes.clone());
        r.register("plugin_count", "Counters that plugins keep", self.plugin_counts.clone());
        r.register("plugin_grant_calls", "Calls of plugins to kv and http", self.plugin_grants.clone());
        r.register(
            "plugin_quarantined",
            "Whether the plugin is in quarantine",
            self.plugin_quarantined.clone(),
        );
        r.register(
            "plugin_quarantines",
            "How often a plugin was quarantined",
            self.plugin_quarantines.clone(),
        );
        r.register("plugin_canary", "Calls of canaries by outcome", self.canary_outcomes.clone());
        r.register(
            "plugin_canary_differences",
            "What canaries did otherwise than the plugin in force",
            self.canary_differences.clone(),
        );
        r.register_with_unit(
            "plugin_canary",
            "Time of one call of a canary",
            Unit::Seconds,
            self.canary_seconds.clone(),
        );
        r.register(
            "plugin_canary_quarantines",
            "How often a canary was quarantined",
            self.canary_quarantines.clone(),
        );
        r.register("delivery_attempts", "Delivery attempts by outcome", self.attempts.clone());
        r.register_with_unit(
            "delivery_attempt",
            "Time of one delivery attempt",
            Unit::Seconds,
            self.attempt_seconds.clone(),
        );
        r.register_with_unit(
            "delivery",
            "From acceptance to delivery",
            Unit::Seconds,
            self.delivery_seconds.clone(),
        );
        r.register("batches", "Attempts at batches by outcome", self.batches.clone());
        r.register("batch_size", "Deliveries in one message of a batch", self.batch_size.clone());
        r.register(
            "batch_waiting",
            "Deliveries that wait for others, or are attempted with them",
            self.batch_waiting.clone(),
        );
        r.register("reloads", "Config reloads by outcome", self.reloads.clone());
        r.register("generation", "The number of the config generation in force", self.generation.clone());
        r.register("connections", "Open connections of senders", self.connections.clone());
        r.register("journal_depth", "Events not yet delivered, dropped or dead", self.journal_depth.clone());
        r.register_with_unit(
            "journal_oldest",
            "Age of the oldest of them",
            Unit::Seconds,
            self.journal_oldest_seconds.clone(),
        );
        r.register("journal_dead_letters", "Dead letters kept", self.journal_dead_letters.clone());
        r.register_with_unit(
            "journal_disk",
            "Size of the journal on disk",
            Unit::Bytes,
            self.journal_disk_bytes.clone(),
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// 0.5 ms to about 35 s.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 17))
}

/// 1 to 1,024.
fn size() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 11))
}

/// 5 µs to about 160 ms.
fn plugin_time() -> Histogram {
    Histogram::new(exponential_buckets(0.000_005, 2.0, 16))
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Seconds as metrics want them.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journal_gauges_show_its_health() {
        let metrics = Metrics::new();
        let health = Health {
            depth: 3,
            oldest: Some(Timestamp::from_millis(10_000)),
            dead_letters: 2,
            disk_bytes: 4096,
            ..Health::default()
        };
        metrics.set_journal(&health, Timestamp::from_millis(15_500));
        let text = metrics.encode();
        for line in [
            "sluice_journal_depth 3\n",
            "sluice_journal_oldest_seconds 5\n",
            "sluice_journal_dead_letters 2\n",
            "sluice_journal_disk_bytes 4096\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn an_empty_journal_has_no_oldest_event() {
        let metrics = Metrics::new();
        metrics.set_journal(&Health::default(), Timestamp::from_millis(15_500));
        assert!(metrics.encode().contains("sluice_journal_oldest_seconds 0\n"));
    }

    #[test]
    fn quarantines_of_plugins_that_are_gone_are_not_shown() {
        let metrics = Metrics::new();
        let labels = |plugin: &str| PluginLabels { route: "in".into(), plugin: plugin.into() };
        metrics.set_quarantined(&BTreeMap::from([(labels("a"), true), (labels("b"), false)]));
        let text = metrics.encode();
        assert!(text.contains("sluice_plugin_quarantined{route=\"in\",plugin=\"a\"} 1\n"), "{text}");
        assert!(text.contains("sluice_plugin_quarantined{route=\"in\",plugin=\"b\"} 0\n"), "{text}");
        metrics.set_quarantined(&BTreeMap::from([(labels("a"), false)]));
        let text = metrics.encode();
        assert!(text.contains("sluice_plugin_quarantined{route=\"in\",plugin=\"a\"} 0\n"), "{text}");
        assert!(!text.contains("plugin=\"b\""), "{text}");
    }

    #[test]
    fn labels_of_a_route_are_shown() {
        let metrics = Metrics::new();
        metrics.refused.get_or_create(&refusal("github", "signature_invalid")).inc();
        let text = metrics.encode();
        let line = "sluice_requests_refused_total{route=\"github\",reason=\"signature_invalid\"} 1\n";
        assert!(text.contains(line), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_reference_lists_every_metric_and_no_other() {
        let text = every_metric();
        let shown: BTreeSet<_> = text.lines().filter_map(name_in_reference).collect();
        let reference = include_str!("../../docs/reference/http-api.md");
        let rows = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let listed: BTreeSet<_> =
            rows.map(|(name, _)| name.to_owned()).filter(|name| name.starts_with("sluice_")).collect();
        assert_eq!(shown, listed);
    }

    /// The text of metrics that all have a value: a family without one is not shown.
    fn every_metric() -> String {
        let metrics = Metrics::new();
        // No `..`: a new metric has to be thought of here.
        let Metrics {
            accepted,
            duplicates,
            refused,
            handshakes,
            verified,
            ack_seconds,
            dropped,
            dropped_at_edge,
            plugin_seconds,
            plugin_outcomes,
            plugin_counts,
            plugin_grants,
            plugin_quarantines,
            canary_outcomes,
            canary_differences,
            canary_seconds,
            canary_quarantines,
            plugin_quarantined,
            quarantined_shown: _,
            attempts,
            attempt_seconds,
            delivery_seconds,
            batches,
            batch_size,
            batch_waiting: _,
            reloads,
            generation: _,
            connections: _,
            journal_depth: _,
            journal_oldest_seconds: _,
            journal_dead_letters: _,
            journal_disk_bytes: _,
            registry: _,
        } = &metrics;
        let (route, plugin, outcome) = (Arc::from("r"), Arc::from("p"), "o");
        for family in [accepted, duplicates, dropped, dropped_at_edge] {
            family.get_or_create(&RouteLabel { route: Arc::clone(&route) }).inc();
        }
        for family in [attempt_seconds, delivery_seconds] {
            family.get_or_create(&DestinationLabel { destination: "d".into() }).observe(1.0);
        }
        refused.get_or_create(&refusal("r", outcome)).inc();
        handshakes.get_or_create(&HandshakeLabels { route: Arc::clone(&route), outcome }).inc();
        verified.get_or_create(&VerifiedLabels { route: Arc::clone(&route), secret: "s".into() }).inc();
        let (destination, in_batch) = (Arc::from("d"), Arc::clone(&route));
        batches.get_or_create(&BatchLabels { route: in_batch, destination, outcome }).inc();
        batch_size.get_or_create(&RouteLabel { route: Arc::clone(&route) }).observe(1.0);
        ack_seconds.get_or_create(&RouteLabel { route: Arc::clone(&route) }).observe(1.0);
        let labels = PluginLabels { route: Arc::clone(&route), plugin: Arc::clone(&plugin) };
        plugin_seconds.get_or_create(&labels).observe(1.0);
        plugin_quarantines.get_or_create(&labels).inc();
        canary_seconds.get_or_create(&labels).observe(1.0);
        canary_quarantines.get_or_create(&labels).inc();
        let (mode, what) = ("shadow", "body");
        let (r, p) = (Arc::clone(&route), Arc::clone(&plugin));
        canary_outcomes.get_or_create(&CanaryLabels { route: r, plugin: p, mode, outcome }).inc();
        let (r, p) = (Arc::clone(&route), Arc::clone(&plugin));
        canary_differences.get_or_create(&DifferenceLabels { route: r, plugin: p, mode, what }).inc();
        plugin_quarantined.get_or_create(&labels).set(1);
        plugin_counts
            .get_or_create(&PluginCountLabels { plugin: Arc::clone(&plugin), name: "n".into() })
            .inc();
        plugin_grants.get_or_create(&GrantLabels { plugin: Arc::clone(&plugin), grant: "kv", outcome }).inc();
        plugin_outcomes.get_or_create(&PluginOutcomeLabels { route, plugin, outcome }).inc();
        attempts.get_or_create(&AttemptLabels { destination: "d".into(), outcome }).inc();
        reloads.get_or_create(&ReloadLabel { outcome }).inc();
        metrics.encode()
    }

    /// What the reference calls the metric that a `# TYPE` line is about: as its samples are called.
    fn name_in_reference(line: &str) -> Option<String> {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some(match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        })
    }

    fn refusal(route: &str, reason: &'static str) -> RefusalLabels {
        RefusalLabels { route: route.into(), reason }
    }
}
