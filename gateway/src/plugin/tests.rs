use std::{
    error::Error,
    fs::{self, File},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    counters::MAX_COUNTERS,
    fixtures::{Rig, Wat, filter, transform, view},
    source::MAX_FILE,
    *,
};

const SPIN: &str = "(loop $again (br $again)) (unreachable)";

async fn answer(bytes: &[u8]) -> Result<Answer, CallError> {
    Rig::new().load(bytes).unwrap().call(&view("{}")).await.answer
}

#[track_caller]
fn refusal(bytes: &[u8]) -> String {
    refusal_with(Rig::new(), bytes, &Value::Null)
}

/// The error and its causes, joined by `: `.
#[track_caller]
fn refusal_with(rig: Rig, bytes: &[u8], config: &Value) -> String {
    let Err(error) = rig.host.load(&rig.plugin("guest", bytes), config, Role::Any) else {
        panic!("it was loaded")
    };
    format!("{:#}", anyhow::Error::from(error))
}

// What is loaded.

#[tokio::test]
async fn core_module_with_its_contract_is_loaded() {
    assert_eq!(answer(&filter("(call $ok)")).await, Ok(Answer::Keep));
    assert_eq!(answer(&filter("(call $drop)")).await, Ok(Answer::Drop("reason".into())));
}

#[tokio::test]
async fn component_is_loaded_as_it_is() {
    let component = contract::componentize("guest", &filter("(call $drop)")).unwrap().into_owned();
    assert_eq!(answer(&component).await, Ok(Answer::Drop("reason".into())));
}

#[test]
fn kind_is_told_from_the_exports() {
    let rig = Rig::new();
    assert_eq!(rig.load(&filter("(call $ok)")).unwrap().kind(), Kind::Filter);
    assert_eq!(rig.load(&transform("(call $messages (i32.const 0))")).unwrap().kind(), Kind::Transform);
}

#[tokio::test]
async fn plugin_of_a_later_patch_is_loaded() {
    let module = Wat { version: "0.1.7", call: "(call $drop)", ..Wat::default() }.module();
    assert_eq!(answer(&module).await, Ok(Answer::Drop("reason".into())));
}

// What is refused.

#[test]
fn empty_file_is_refused() {
    assert!(refusal(b"").ends_with("guest.wasm` is empty; was it being written?"));
}

#[test]
fn what_is_no_wasm_is_refused() {
    assert!(refusal(b"#!/bin/sh\necho pwned\n").starts_with("plugin `guest` is not valid WebAssembly"));
}

#[test]
fn file_cut_short_anywhere_is_refused() {
    let rig = Rig::new();
    let whole = filter("(call $ok)");
    for length in (0..whole.len()).step_by(97) {
        assert!(rig.load(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn missing_file_is_named() {
    let rig = Rig::new();
    let mut plugin = rig.plugin("guest", b"");
    plugin.file = "/nowhere/guest.wasm".into();
    let error = rig.host.load(&plugin, &Value::Null, Role::Any).err().unwrap();
    assert_eq!(error.to_string(), "failed to read plugin `guest` from `/nowhere/guest.wasm`");
}

#[test]
fn oversized_file_is_refused() {
    let rig = Rig::new();
    let plugin = rig.plugin("guest", b"");
    File::options().write(true).open(&plugin.file).unwrap().set_len(MAX_FILE + 1).unwrap();
    let error = rig.host.load(&plugin, &Value::Null, Role::Any).err().unwrap();
    assert!(error.to_string().ends_with("is larger than 64.0 MiB, the limit for a plugin"), "{error}");
}

#[test]
fn precompiled_file_is_refused() {
    let rig = Rig::new();
    let component = contract::componentize("guest", &filter("(call $ok)")).unwrap().into_owned();
    let compiled = rig.host.stages.light.runtime.engine.precompile_component(&component).unwrap();
    assert!(refusal_with(rig, &compiled, &Value::Null).starts_with("plugin `guest` is compiled already"));
}

#[test]
fn file_other_than_the_pinned_one_is_refused() {
    let rig = Rig::new();
    let bytes = filter("(call $ok)");
    let mut plugin = rig.plugin("guest", &bytes);
    plugin.sha256 = Some(Sha256::digest(&bytes).into());
    assert!(rig.host.load(&plugin, &Value::Null, Role::Any).is_ok());
    plugin.sha256 = Some([0xab; 32]);
    let error = rig.host.load(&plugin, &Value::Null, Role::Any).err().unwrap().to_string();
    assert!(error.contains(&format!("the config pins {}", "ab".repeat(32))), "{error}");
}

#[test]
fn core_module_without_contract_is_refused() {
    let module = Wat::default().bare_module();
    assert!(
        refusal(&module).starts_with("plugin `guest` is a core module without a contract; build it with")
    );
}

#[test]
fn other_contract_version_is_refused_before_anything_runs() {
    let module = Wat { version: "0.2.0", configure: SPIN, ..Wat::default() }.module();
    assert_eq!(
        refusal(&module),
        "plugin `guest` speaks sluice:plugin@0.2.0, this gateway speaks 0.1.0 and 1.0.0; \
         rebuild it with `sluice-plugin` 0.1.0"
    );
}

#[test]
fn every_import_outside_the_contract_is_named() {
    let fields = r#"(import "env" "abort" (func)) (import "env" "exit" (func))"#;
    assert_eq!(
        refusal(&Wat { fields, ..Wat::default() }.module()),
        "plugin `guest` imports what this gateway does not offer: `env.abort`, `env.exit`"
    );
}

#[test]
fn names_in_a_file_cannot_steer_the_terminal_or_fill_it() {
    let imports: String = (0..30).map(|n| format!(r#"(import "e\1bc" "f{n}" (func))"#)).collect();
    let refusal = refusal(&Wat { fields: &imports, ..Wat::default() }.module());
    assert!(refusal.contains("offer: `e c.f0`, "), "{refusal}");
    assert!(refusal.ends_with("`e c.f19`, and 10 more"), "{refusal}");
}

#[test]
fn wasi_beyond_the_empty_one_is_refused_with_the_target_to_build_for() {
    let fields =
        r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
    let module = refusal(&Wat { fields, ..Wat::default() }.module());
    assert!(module.contains("build it for `wasm32-unknown-unknown`"), "{module}");
    assert!(module.ends_with("It imports `wasi_snapshot_preview1.fd_write`"), "{module}");
    let component =
        wat::parse_str(r#"(component (import "wasi:cli/environment@0.3.0" (instance)))"#).unwrap();
    assert!(refusal(&component).ends_with("It imports `wasi:cli/environment@0.3.0`"));
}

#[test]
fn component_of_another_purpose_is_refused() {
    let component = wat::parse_str("(component)").unwrap();
    assert_eq!(
        refusal(&component),
        "plugin `guest` exports none of `verify`, `filter`, `transform` and `batch` of sluice:plugin; \
         it exports nothing"
    );
}

#[test]
fn memory_limit_beyond_the_engine_is_refused() {
    let rig = Rig::new();
    let mut plugin = rig.plugin("guest", &filter("(call $ok)"));
    plugin.limits.memory = 2 << 30;
    let error = rig.host.load(&plugin, &Value::Null, Role::Any).err().unwrap().to_string();
    assert_eq!(error, "plugin `guest` has a memory limit of 2.0 GiB, at most 1.0 GiB can be given here");
}

#[test]
fn plugin_larger_than_its_memory_limit_is_refused_at_load() {
    let rig = Rig::new();
    let mut plugin = rig.plugin("guest", &filter("(call $ok)"));
    rig.host.load(&plugin, &Value::Null, Role::Any).unwrap();
    plugin.limits.memory = 64 << 10;
    let error = rig.host.load(&plugin, &Value::Null, Role::Any).err().unwrap();
    assert_eq!(
        error.source().unwrap().to_string(),
        "was stopped: it wanted 192.0 KiB of memory, its limit is 64.0 KiB"
    );
}

#[tokio::test]
async fn memory_that_is_full_after_configure_is_no_matter() {
    let rig = Rig::new();
    let bounded = [3, 4, 5].map(|most| Wat::default().module_with_memory(most));
    let grows = "(drop (memory.grow (i32.const 509))) (call $ok)";
    let full = Wat { configure: grows, ..Wat::default() }.module();
    for module in bounded.into_iter().chain([full]) {
        let plugin = rig.load(&module).unwrap();
        assert_eq!(plugin.call(&view("{}")).await.answer, Ok(Answer::Keep));
    }
}

// Configuring.

/// Keeps what `configure` got, and drops the event if that was `{"a":1}` in length.
const REMEMBERS: Wat<'_> = Wat {
    kind: Kind::Filter,
    version: bindings::VERSION,
    fields: "(global $length (mut i32) (i32.const 0))",
    configure: "(global.set $length (local.get $len)) (call $ok)",
    call: "(if (result i32) (i32.eq (global.get $length) (i32.const 7)) (then (call $drop)) (else (call $ok)))",
};

#[tokio::test]
async fn state_left_by_configure_is_what_every_event_starts_from() {
    let rig = Rig::new();
    let plugin = rig.plugin("guest", &REMEMBERS.module());
    let one = rig.host.load(&plugin, &json!({"a": 1}), Role::Any).unwrap();
    let other = rig.host.load(&plugin, &json!({"a": 100}), Role::Any).unwrap();
    for _ in 0..3 {
        assert_eq!(one.call(&view("")).await.answer, Ok(Answer::Drop("reason".into())));
        assert_eq!(other.call(&view("")).await.answer, Ok(Answer::Keep));
    }
    assert!(one.program.configure_is_done());
}

#[tokio::test]
async fn what_cannot_be_snapshotted_is_configured_for_every_event() {
    let rig = Rig::new();
    let fields = "(table 1 funcref) (func (table.set (i32.const 0) (ref.null func)))\
                  (global $length (mut i32) (i32.const 0))";
    let plugin = rig.plugin("guest", &Wat { fields, ..REMEMBERS }.module());
    let loaded = rig.host.load(&plugin, &json!({"a": 1}), Role::Any).unwrap();
    assert!(!loaded.program.configure_is_done());
    assert_eq!(loaded.call(&view("")).await.answer, Ok(Answer::Drop("reason".into())));
    let rig = rig.restart();
    let cached = rig.host.load(&plugin, &json!({"a": 1}), Role::Any).unwrap();
    assert_eq!(cached.call(&view("")).await.answer, Ok(Answer::Drop("reason".into())));
}

#[test]
fn refused_config_is_shown_with_the_plugins_reason() {
    let configure = "(call $fail (i32.const 2))";
    assert_eq!(
        refusal(&Wat { configure, ..Wat::default() }.module()),
        "plugin `guest` refuses its config: reason"
    );
}

#[test]
fn plugin_that_fails_in_configure_is_refused() {
    let refusal = |configure| refusal(&Wat { configure, ..Wat::default() }.module());
    assert!(refusal("(unreachable)").starts_with(
        "failed to configure plugin `guest`: trapped: wasm `unreachable` instruction executed in "
    ));
    assert_eq!(refusal("(call $fail (i32.const 3))"), "failed to configure plugin `guest`: failed: reason");
    assert_eq!(
        refusal(SPIN),
        "failed to configure plugin `guest`: was stopped: it ran for longer than 5s, its limit"
    );
}

// Calls.

#[tokio::test]
async fn plugin_reads_the_event_it_is_lent() {
    let call = r#"
        (call $header (local.get $e) (i32.const 2048) (i32.const 6) (i32.const 2060))
        (if (result i32) (i32.and
                (i64.eq (call $body_len (local.get $e)) (i64.const 5))
                (i32.and (i32.load (i32.const 2060)) (i32.eq (i32.load (i32.const 2068)) (i32.const 6))))
            (then (call $drop)) (else (call $ok)))"#;
    let module = Wat { fields: r#"(data (i32.const 2048) "X-Kind")"#, call, ..Wat::default() }.module();
    let plugin = Rig::new().load(&module).unwrap();
    assert_eq!(plugin.call(&view("12345")).await.answer, Ok(Answer::Drop("reason".into())));
    assert_eq!(plugin.call(&view("1234")).await.answer, Ok(Answer::Keep));
}

#[tokio::test]
async fn nothing_is_left_of_one_event_for_the_next() {
    // Drops the event if an earlier one was here: a global, or memory beyond the snapshot.
    let call = "(global.set $seen (i32.add (global.get $seen) (i32.const 1)))
        (i32.store (i32.const 100000) (i32.add (i32.load (i32.const 100000)) (i32.const 1)))
        (if (result i32) (i32.gt_u (i32.add (global.get $seen) (i32.load (i32.const 100000))) (i32.const 2))
            (then (call $drop)) (else (call $ok)))";
    let fields = "(global $seen (mut i32) (i32.const 0))";
    let plugin = Rig::new().load(&Wat { fields, call, ..Wat::default() }.module()).unwrap();
    for _ in 0..200 {
        assert_eq!(plugin.call(&view("")).await.answer, Ok(Answer::Keep));
    }
}

#[tokio::test]
async fn errors_of_the_contract_come_through() {
    let fail =
        async |case: u32| answer(&filter(&format!("(call $fail (i32.const {case}))"))).await.unwrap_err();
    assert_eq!(fail(0).await, CallError::Invalid("reason".into()));
    assert_eq!(fail(1).await, CallError::Retry { reason: "reason".into(), after: None });
    assert_eq!(fail(2).await, CallError::Config("reason".into()));
    assert_eq!(fail(3).await, CallError::Other("reason".into()));
    let later = answer(&filter("(call $later (i32.const 1500))")).await.unwrap_err();
    assert_eq!(later, CallError::Retry { reason: "reason".into(), after: Some(Duration::from_millis(1500)) });
}

#[tokio::test]
async fn trap_names_the_functions_it_was_in() {
    let fields = "(func $check_amount (unreachable))";
    let module = Wat { fields, call: "(call $check_amount) (call $ok)", ..Wat::default() }.module();
    let error = answer(&module).await.unwrap_err();
    assert_eq!(error.outcome(), "trap");
    assert!(
        error
            .to_string()
            .starts_with("trapped: wasm `unreachable` instruction executed in check_amount < call < export"),
        "{error}"
    );
}

#[tokio::test]
async fn trap_harms_no_later_call() {
    let call = "(if (i64.eqz (call $body_len (local.get $e))) (then (unreachable))) (call $ok)";
    let plugin = Rig::new().load(&filter(call)).unwrap();
    for _ in 0..300 {
        assert_eq!(plugin.call(&view("")).await.answer.unwrap_err().outcome(), "trap");
        assert_eq!(plugin.call(&view("1")).await.answer, Ok(Answer::Keep));
    }
}

#[tokio::test]
async fn endless_loop_is_stopped_at_the_time_limit() {
    let call = Rig::new().load(&filter(SPIN)).unwrap().call(&view("")).await;
    let limit = Duration::from_millis(50);
    assert_eq!(call.answer, Err(CallError::TimeLimit { limit }));
    assert!(call.elapsed >= limit / 2, "stopped after {:?}", call.elapsed);
}

#[tokio::test]
async fn long_instructions_count_against_the_time_limit() {
    // 120 MB take a dozen ticks, and none is seen meanwhile.
    const FILL: &str = "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 120000000))";
    let grown = |then: &str| filter(&format!("(drop (memory.grow (i32.const 1900))) {then}"));
    let rig = Rig::new();
    let run = async |name: &str, guest: &[u8], time| {
        let mut plugin = rig.plugin(name, guest);
        (plugin.limits.memory, plugin.limits.time) = (128 << 20, time);
        let plugin = rig.host.load(&plugin, &Value::Null, Role::Any).unwrap();
        let start = thread_time::ThreadTime::now();
        let answer = plugin.call(&view("")).await.answer;
        (answer, start.elapsed())
    };
    // What one takes depends on the machine and on what else it does: most of it goes into fresh pages.
    let (answer, once) = run("once", &grown(&format!("{FILL} (call $ok)")), Duration::from_secs(60)).await;
    assert_eq!(answer, Ok(Answer::Keep));
    let limit = Duration::from_millis(50);
    let again = grown(&format!("(loop $again {FILL} (br $again)) (unreachable)"));
    let (answer, ran) = run("again", &again, limit).await;
    assert_eq!(answer, Err(CallError::TimeLimit { limit }));
    assert!(ran < limit + 3 * once, "it ran for {ran:?}, one instruction for {once:?}");
}

#[tokio::test]
async fn guest_that_takes_all_memory_is_stopped() {
    let grow = "(loop $more (drop (memory.grow (i32.const 16))) (br $more)) (unreachable)";
    let error = answer(&filter(grow)).await.unwrap_err();
    assert!(
        matches!(error, CallError::MemoryLimit { limit, wanted } if limit == 32 << 20 && wanted > limit),
        "{error:?}"
    );
}

#[tokio::test]
async fn deep_recursion_is_a_trap() {
    let fields = "(func $down (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))";
    let module = Wat { fields, call: "(drop (call $down (i32.const 0))) (call $ok)", ..Wat::default() };
    let error = answer(&module.module()).await.unwrap_err();
    assert!(error.to_string().starts_with("trapped: call stack exhausted in down < down"), "{error}");
}

#[tokio::test]
async fn hundred_megabytes_of_output_are_refused() {
    let rig = Rig::new();
    let call = "(drop (memory.grow (i32.const 1600)))
        (call $message (i32.const 0) (i32.const 65536) (i32.const 100000000))
        (call $messages (i32.const 1))";
    let mut plugin = rig.plugin("guest", &transform(call));
    plugin.limits.memory = 128 << 20;
    let error =
        rig.host.load(&plugin, &Value::Null, Role::Any).unwrap().call(&view("")).await.answer.unwrap_err();
    assert_eq!(error, CallError::OutputLimit { limit: 1 << 20 });
}

#[tokio::test]
async fn output_that_overlaps_itself_is_counted_in_full() {
    // 64 KiB in the guest, 62 MiB in the host.
    let call = "(local $n i32)
        (loop $more
            (call $message (local.get $n) (i32.const 65536) (i32.const 65536))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 1000))))
        (call $messages (i32.const 1000))";
    assert_eq!(answer(&transform(call)).await, Err(CallError::OutputLimit { limit: 1 << 20 }));
}

#[tokio::test]
async fn pointers_outside_of_memory_are_a_trap() {
    let call = "(call $message (i32.const 0) (i32.const -16) (i32.const 64)) (call $messages (i32.const 1))";
    assert_eq!(answer(&transform(call)).await.unwrap_err().outcome(), "trap");
}

#[tokio::test]
async fn flood_of_log_lines_is_bounded() {
    let flood = r#"(local $n i32)
        (loop $more
            (call $log (i32.const 3) (i32.const 1024) (i32.const 6))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 1000))))
        (call $ok)"#;
    let call = Rig::new().load(&filter(flood)).unwrap().call(&view("")).await;
    assert_eq!(call.answer, Ok(Answer::Keep));
    assert_eq!(call.log[0], "warn: reason");
    assert_eq!(call.log.last().unwrap(), "(968 more lines were not kept)");
    assert_eq!(call.log.len(), 33);
}

#[tokio::test]
async fn counters_reach_the_metrics() {
    let rig = Rig::new();
    let call = "(call $count (i32.const 1024) (i32.const 6) (i64.const 2)) \
                (call $count (i32.const 1024) (i32.const 6) (i64.const 3)) \
                (call $count (i32.const 0) (i32.const 1) (i64.const 1)) (call $ok)";
    let plugin = rig.load(&filter(call)).unwrap();
    let log = plugin.call(&view("")).await.log;
    plugin.call(&view("")).await;
    let metrics = rig.metrics.encode();
    assert!(metrics.contains("plugin_count_total{plugin=\"guest\",name=\"reason\"} 10"), "{metrics}");
    assert!(log[0].ends_with("is no name for a counter, it was not counted"), "{log:?}");
}

#[test]
fn plugin_has_no_more_counters_for_being_loaded_again() {
    let rig = Rig::new();
    let bytes = filter("(call $ok)");
    for load in 0..3 {
        let plugin = rig.host.load(&rig.plugin("guest", &bytes), &json!(load), Role::Any).unwrap();
        let counts: Vec<_> = (0..MAX_COUNTERS).map(|n| (format!("n_{load}_{n}"), 1)).collect();
        plugin.counters.add(&counts);
    }
    assert_eq!(rig.metrics.encode().matches("plugin_count_total{").count(), MAX_COUNTERS);
}

#[tokio::test]
async fn transform_makes_messages_of_the_body() {
    let call = "(call $message (i32.const 0) (local.get $ptr) (local.get $len))
        (call $message (i32.const 1) (i32.const 1024) (i32.const 6))
        (call $messages (i32.const 2))";
    let Ok(Answer::Messages(drafts)) = answer(&transform(call)).await else { panic!("no messages") };
    let bodies: Vec<_> = drafts.iter().map(|draft| &draft.message.body[..]).collect();
    assert_eq!(bodies, [&b"{}"[..], b"reason"]);
    assert_eq!(drafts[0].message.destinations, None);
}

#[tokio::test]
async fn cancelled_call_gives_its_slot_back() {
    let rig = Rig::new();
    let plugin = rig.load(&filter(SPIN)).unwrap();
    let slots = rig.host.stages.light.runtime.calls.available_permits();
    let view = view("");
    for _ in 0..2 * slots {
        // Polled once, and dropped in the middle of the loop.
        tokio::select! { biased; _ = plugin.call(&view) => panic!("it ended"), () = std::future::ready(()) => {} }
    }
    assert_eq!(rig.host.stages.light.runtime.calls.available_permits(), slots);
    assert_eq!(plugin.call(&view).await.answer.unwrap_err().outcome(), "time-limit");
}

// What is shared and kept.

#[test]
fn same_file_and_config_share_one_program() {
    let rig = Rig::new();
    let bytes = filter("(call $ok)");
    let load = |name, config| rig.host.load(&rig.plugin(name, &bytes), &config, Role::Any).unwrap();
    let (one, same, other) = (load("a", json!({})), load("b", json!({})), load("a", json!({"x": 1})));
    assert!(Arc::ptr_eq(&one.program, &same.program));
    assert!(!Arc::ptr_eq(&one.program, &other.program));
    let unused = Arc::downgrade(&one.program);
    drop((one, same));
    assert!(unused.upgrade().is_none(), "the host keeps no program that nobody uses");
}

#[tokio::test]
async fn compiled_plugin_comes_from_the_cache_after_a_restart() {
    let rig = Rig::new();
    let plugin = rig.plugin("guest", &REMEMBERS.module());
    rig.host.load(&plugin, &json!({"a": 1}), Role::Any).unwrap();
    let (path, written) = entry(&rig);
    let rig = rig.restart();
    let loaded = rig.host.load(&plugin, &json!({"a": 1}), Role::Any).unwrap();
    assert_eq!(entry(&rig), (path, written), "it was not compiled again");
    assert!(loaded.program.configure_is_done());
    assert_eq!(loaded.call(&view("")).await.answer, Ok(Answer::Drop("reason".into())));
}

#[tokio::test]
async fn tampered_cache_entry_is_replaced() {
    let rig = Rig::new();
    let plugin = rig.plugin("guest", &REMEMBERS.module());
    rig.host.load(&plugin, &json!({"a": 1}), Role::Any).unwrap();
    let (path, _) = entry(&rig);
    let sound = fs::read(&path).unwrap();
    let mut tampered = sound.clone();
    tampered[sound.len() / 2] ^= 0xff;
    fs::write(&path, tampered).unwrap();
    let rig = rig.restart();
    let loaded = rig.host.load(&plugin, &json!({"a": 1}), Role::Any).unwrap();
    assert_eq!(loaded.call(&view("")).await.answer, Ok(Answer::Drop("reason".into())));
    assert_eq!(fs::read(&path).unwrap(), sound);
}

#[test]
fn host_without_a_usable_cache_compiles() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    fs::write(&path, b"a file").unwrap();
    let host = PluginHost::new(path, Arc::new(Metrics::new())).unwrap();
    let rig = Rig::new();
    assert!(host.load(&rig.plugin("guest", &filter("(call $ok)")), &Value::Null, Role::Any).is_ok());
}

/// The one entry of the cache, and when it was written.
fn entry(rig: &Rig) -> (PathBuf, std::time::SystemTime) {
    let mut entries = fs::read_dir(rig.cache()).unwrap();
    let entry = entries.next().unwrap().unwrap();
    assert!(entries.next().is_none());
    (entry.path(), entry.metadata().unwrap().modified().unwrap())
}
