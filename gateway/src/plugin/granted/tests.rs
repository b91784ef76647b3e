use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::{
    clock::ManualClock,
    config::{Grants, Limits},
    journal::sqlite::SqliteJournal,
    plugin::{
        Answer, Call, Kind, Plugin, PluginError, PluginHost, Role,
        fixtures::{Wat, claimed, view},
    },
    telemetry::Chain,
};

/// Calls `add("n", 1)` and logs what that was refused for.
const ADD: &str = r#"
    (import "sluice:plugin/kv@1.0.0" "add" (func $kv_add (param i32 i32 i64 i32 i64 i32)))
    (data (i32.const 2048) "n")
    (func $add
      (call $kv_add (i32.const 2048) (i32.const 1) (i64.const 1) (i32.const 0) (i64.const 0) (i32.const 3000))
      (if (i32.load8_u (i32.const 3000))
        (then (call $log (i32.const 2) (i32.load (i32.const 3012)) (i32.load (i32.const 3016))))))"#;

/// Calls `send` with an empty request and logs what that was refused for.
const SEND: &str = r#"
    (import "sluice:plugin/http@1.0.0" "send"
      (func $http_send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (func $send
      (call $http_send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3000))
      (call $log (i32.const 2) (i32.load (i32.const 3008)) (i32.load (i32.const 3012))))"#;

/// Drops an event for which the number is not 3 after this call.
const THIRD: &str = "(call $add) (if (result i32) (i64.eq (i64.load (i32.const 3008)) (i64.const 3)) (then (call $ok)) (else (call $drop)))";

struct Bench {
    dir: TempDir,
    host: PluginHost,
    metrics: Metrics,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = config::Journal {
            path: dir.path().join("data"),
            retain: Duration::from_secs(3600),
            max_size: 1 << 40,
        };
        let journal = SqliteJournal::open(&config, Arc::new(ManualClock::default())).unwrap();
        Self::on(dir, journal)
    }

    fn on(dir: TempDir, store: Arc<dyn KvStore>) -> Self {
        let metrics = Metrics::new();
        let services = Services::new(store, Arc::new(ManualClock::default()), &metrics);
        let host = PluginHost::without_cache(&metrics).unwrap().with_services(services);
        Self { dir, host, metrics }
    }

    fn load(&self, wat: &Wat<'_>, grants: Grants) -> Result<Arc<Plugin>, PluginError> {
        let limits = Limits { wait: Duration::from_millis(100), ..Limits::default() };
        self.load_with(wat, grants, limits)
    }

    fn load_with(&self, wat: &Wat<'_>, grants: Grants, limits: Limits) -> Result<Arc<Plugin>, PluginError> {
        let file = self.dir.path().join("guest.wasm");
        std::fs::write(&file, wat.module()).unwrap();
        let plugin = config::Plugin { grants, limits, ..config::Plugin::new("guest", file) };
        self.host.load(&plugin, &Value::Null, Role::Any)
    }
}

fn kv(max_bytes: u64) -> Grants {
    Grants { kv: Some(max_bytes), ..Grants::default() }
}

fn keeps(call: &Call) -> bool {
    matches!(call.answer, Ok(Answer::Keep))
}

fn adder(call: &str) -> Wat<'_> {
    Wat { fields: ADD, call, ..Wat::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn number_goes_on_from_call_to_call() {
    let bench = Bench::new();
    let plugin = bench.load(&adder(THIRD), kv(100)).unwrap();
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(keeps(&plugin.call(&view("{}")).await));
    }
    assert_eq!(kept, [false, false, true, false]);
    let text = bench.metrics.encode();
    let line = r#"sluice_plugin_grant_calls_total{plugin="guest",grant="kv",outcome="done"} 4"#;
    assert!(text.contains(line), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_calls_all_count() {
    let bench = Bench::new();
    let plugin = bench.load(&adder(THIRD), kv(100)).unwrap();
    let calls = (0..40).map(|_| {
        let plugin = plugin.clone();
        tokio::spawn(async move { keeps(&plugin.call(&view("{}")).await) })
    });
    let mut kept = 0;
    for call in calls.collect::<Vec<_>>() {
        kept += usize::from(call.await.unwrap());
    }
    assert_eq!(kept, 1, "one of them was the third");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_kinds_may_use_what_they_are_granted() {
    for kind in [Kind::Verify, Kind::Transform] {
        let bench = Bench::new();
        let plugin =
            bench.load(&Wat { kind, ..adder("(call $add) (call $fail (i32.const 3))") }, kv(100)).unwrap();
        let log = match kind {
            Kind::Verify => plugin.judge(claimed("{}")).await.log,
            _ => plugin.call(&view("{}")).await.log,
        };
        assert!(log.is_empty(), "{kind:?}: {log:?}");
        assert!(bench.metrics.encode().contains(r#"grant="kv",outcome="done"} 1"#), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_denied_with_what_to_grant() {
    let bench = Bench::new();
    let add = bench.load(&adder("(call $add) (call $ok)"), Grants::default()).unwrap();
    let log = add.call(&view("{}")).await.log;
    assert!(log[0].contains(r#"add `grants = { kv = "1MiB" }` to [plugins.guest]"#), "{log:?}");
    let send = Wat { fields: SEND, call: "(call $send) (call $ok)", ..Wat::default() };
    let log = bench.load(&send, kv(1)).unwrap().call(&view("{}")).await.log;
    assert!(log[0].contains("grants it no `http`") && log[0].contains("[plugins.guest]"), "{log:?}");
    assert!(bench.metrics.encode().contains(r#"grant="http",outcome="denied"} 1"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_store_is_told_from_one_that_is_not_granted() {
    let bench = Bench::new();
    let plugin = bench.load(&adder("(call $add) (call $ok)"), kv(1)).unwrap();
    let log = plugin.call(&view("{}")).await.log;
    assert!(log[0].contains("would hold 2 bytes, the config grants 1"), "{log:?}");
    assert!(bench.metrics.encode().contains(r#"grant="kv",outcome="full"} 1"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_granted_while_a_plugin_is_configured() {
    let bench = Bench::new();
    // Fails with what it is told.
    let configure = "(call $add)
        (drop (call $fail (i32.const 3)))
        (i32.store (i32.const 520) (i32.load (i32.const 3012)))
        (i32.store (i32.const 524) (i32.load (i32.const 3016)))
        (i32.const 512)";
    let wat = Wat { fields: ADD, configure, ..Wat::default() };
    let refused = Chain(&bench.load(&wat, kv(100)).err().unwrap()).to_string();
    assert!(refused.contains("while the plugin is configured"), "{refused}");
}

#[test]
fn tools_have_nothing_to_grant() {
    let dir = tempfile::tempdir().unwrap();
    let host = PluginHost::without_cache(&Metrics::new()).unwrap();
    let bench = Bench { dir, host, metrics: Metrics::new() };
    let plugin = bench.load(&adder("(call $add) (call $ok)"), kv(100)).unwrap();
    let log = crate::plugin::block_on(plugin.call(&view("{}"))).log;
    assert!(log[0].contains("only in a running gateway"), "{log:?}");
    assert!(matches!(plugin.probe(&view("{}")).answer, Ok(Answer::Keep)));
}

/// A store that answers nobody.
struct Stuck;

#[async_trait]
impl KvStore for Stuck {
    async fn get(&self, _: &KvSpace, _: &KvKey, _: Timestamp) -> Result<Option<Bytes>, KvError> {
        pending().await
    }

    async fn set(
        &self,
        _: &KvSpace,
        _: &KvKey,
        _: KvValue,
        _: Option<Duration>,
        _: Timestamp,
    ) -> Result<(), KvError> {
        pending().await
    }

    async fn delete(&self, _: &KvSpace, _: &KvKey, _: Timestamp) -> Result<bool, KvError> {
        pending().await
    }

    async fn add(
        &self,
        _: &KvSpace,
        _: &KvKey,
        _: i64,
        _: Option<Duration>,
        _: Timestamp,
    ) -> Result<i64, KvError> {
        pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn call_that_waits_for_too_long_is_stopped() {
    let bench = Bench::on(tempfile::tempdir().unwrap(), Arc::new(Stuck));
    let plugin = bench.load(&adder("(call $add) (call $ok)"), kv(100)).unwrap();
    let call = plugin.call(&view("{}")).await;
    let error = call.answer.unwrap_err();
    assert_eq!(error.outcome(), "wait-limit");
    assert!(error.is_plugins_fault());
    assert_eq!(error.to_string(), "was stopped: it waited for longer than 100ms, its limit");
    assert!(bench.metrics.encode().contains(r#"outcome="wait-limit"} 1"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_do_not_count_as_time_and_time_goes_on_behind_them() {
    let bench = Bench::new();
    let limits =
        Limits { time: Duration::from_millis(5), wait: Duration::from_secs(60), ..Limits::default() };
    // Thirty commits take longer than five milliseconds, and an endless loop is stopped all the same.
    let thirty = "(local $i i32)
        (loop $next
          (call $add)
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (i32.const 30))))";
    let waits = format!("{thirty} (call $ok)");
    let plugin = bench.load_with(&adder(&waits), kv(100), limits).unwrap();
    let call = plugin.call(&view("{}")).await;
    assert!(keeps(&call), "{call:?}");
    let spins = format!("{thirty} (loop $forever (br $forever)) unreachable");
    let plugin = bench.load_with(&adder(&spins), kv(100), limits).unwrap();
    assert_eq!(plugin.call(&view("{}")).await.answer.unwrap_err().outcome(), "time-limit");
}
