//! What a hostile guest can try, at every kind of plugin.

use std::fs::File;

use serde_json::Value;

use super::{
    fixtures::{Rig, Wat, call_any, view},
    *,
};

const SPIN: &str = "(loop $again (br $again)) (unreachable)";
const HUGE: &str = "(i32.const 0x7fffffff)";

/// A guest of each kind; `keep` in `call` answers as a sound one does.
fn every_kind(fields: &str, configure: &str, call: &str) -> [Vec<u8>; 4] {
    Kind::ALL.map(|kind| {
        let call = call.replace("keep", "(call $ok)");
        Wat { kind, fields, configure, call: &call, ..Wat::default() }.module()
    })
}

/// Calls a guest of each kind that does this, and gives the outcomes; a sound guest is called after each.
async fn outcomes(fields: &str, call: &str) -> [String; 4] {
    let rig = Rig::new();
    let mut outcomes = Vec::new();
    for module in every_kind(fields, "(call $ok)", call) {
        let error = call_any(&rig.load(&module).unwrap(), "{}").await.answer.unwrap_err();
        outcomes.push(error.outcome().to_owned());
    }
    for module in every_kind("", "(call $ok)", "keep") {
        assert_eq!(call_any(&rig.load(&module).unwrap(), "{}").await.answer, Ok(()));
    }
    outcomes.try_into().unwrap()
}

/// Why a guest of each kind with this in it is not loaded.
fn refusals(fields: &str, configure: &str) -> [String; 4] {
    let rig = Rig::new();
    every_kind(fields, configure, "keep").map(|module| match rig.load(&module) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    })
}

#[tokio::test]
async fn endless_loop() {
    assert_eq!(outcomes("", SPIN).await, ["time-limit"; 4]);
}

#[tokio::test]
async fn memory_bomb() {
    let grow = "(loop $more (drop (memory.grow (i32.const 16))) (br $more)) (unreachable)";
    assert_eq!(outcomes("", grow).await, ["memory-limit"; 4]);
}

#[tokio::test]
async fn deep_recursion() {
    let fields = "(func $down (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))";
    assert_eq!(outcomes(fields, "(drop (call $down (i32.const 0))) keep").await, ["trap"; 4]);
}

/// All of its memory as the reason of a drop, or as the body of a message.
#[tokio::test]
async fn output_bomb() {
    let rig = Rig::new();
    let all = "(i32.const 0) (i32.const 16777216)";
    let grow = "(drop (memory.grow (i32.const 256)))";
    let drops = format!(
        "{grow} (drop (call $drop)) (i32.store (i32.const 520) (i32.const 0))
        (i32.store (i32.const 524) (i32.const 16777216)) (i32.const 512)"
    );
    let makes = format!("{grow} (call $message (i32.const 0) {all}) (call $messages (i32.const 1))");
    // The reason of a rejection lies where that of a drop does; a batch's messages are a plain list.
    let folds = format!(
        "{grow} (drop (call $ok)) (i32.store (i32.const 516) (i32.const 4096)) (i32.store (i32.const 520) (i32.const 1))
        (call $message (i32.const 0) {all}) (i32.const 512)"
    );
    let bombs =
        [(Kind::Verify, &drops), (Kind::Filter, &drops), (Kind::Transform, &makes), (Kind::Batch, &folds)];
    for (kind, call) in bombs {
        let module = Wat { kind, call, ..Wat::default() }.module();
        let error = call_any(&rig.load(&module).unwrap(), "{}").await.answer.unwrap_err();
        assert_eq!(error, CallError::OutputLimit { limit: 1 << 20 }, "{kind:?}");
    }
}

#[tokio::test]
async fn log_flood_is_cut_and_does_no_harm() {
    let rig = Rig::new();
    let flood = "(local $n i32)
        (loop $more
            (call $log (i32.const 3) (i32.const 1024) (i32.const 6))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 1000))))
        keep";
    for module in every_kind("", "(call $ok)", flood) {
        let plugin = rig.load(&module).unwrap();
        let call = call_any(&plugin, "{}").await;
        assert_eq!(call.answer, Ok(()));
        assert_eq!(call.log.len(), 33);
    }
}

#[tokio::test]
async fn huge_lengths_of_strings() {
    let said = format!("(call $log (i32.const 3) (i32.const 1024) {HUGE}) keep");
    assert_eq!(outcomes("", &said).await, ["trap"; 4]);
    let counted = format!("(call $count (i32.const 1024) {HUGE} (i64.const 1)) keep");
    assert_eq!(outcomes("", &counted).await, ["trap"; 4]);
    let asked = format!("(call $header (local.get $e) (i32.const 1024) {HUGE} (i32.const 2048)) keep");
    assert_eq!(outcomes("", &asked).await, ["trap"; 4]);
}

/// It counts, and would trap in the thousandth call: there never is a second one for an instance.
#[tokio::test]
async fn trap_in_the_thousandth_call_never_comes() {
    let rig = Rig::new();
    let count = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (if (i32.ge_u (global.get $calls) (i32.const 1000)) (then (unreachable))) keep";
    for module in every_kind("(global $calls (mut i32) (i32.const 0))", "(call $ok)", count) {
        let plugin = rig.load(&module).unwrap();
        for _ in 0..1100 {
            assert_eq!(call_any(&plugin, "{}").await.answer, Ok(()));
        }
    }
}

/// The thousandth event is what it traps on.
#[tokio::test]
async fn trap_on_the_thousandth_event_harms_no_other() {
    let rig = Rig::new();
    let call = "(if (i64.eqz (call $body_len (local.get $e))) (then (unreachable))) keep";
    for module in every_kind("", "(call $ok)", call) {
        let plugin = rig.load(&module).unwrap();
        for number in 1..=1100 {
            let answer = call_any(&plugin, if number == 1000 { "" } else { "{}" }).await.answer;
            match number {
                1000 => assert_eq!(answer.unwrap_err().outcome(), "trap"),
                _ => assert_eq!(answer, Ok(())),
            }
        }
    }
}

#[test]
fn trap_in_configure() {
    for refusal in refusals("", "(unreachable)") {
        assert!(refusal.starts_with("failed to configure plugin `guest`: trapped: "), "{refusal}");
    }
}

#[test]
fn imports_of_sockets_and_files_are_refused_by_name() {
    for name in ["wasi:sockets/tcp@0.2.3", "wasi:http/outgoing-handler@0.2.3"] {
        let component = wat::parse_str(format!(r#"(component (import "{name}" (instance)))"#)).unwrap();
        let refused = Rig::new().load(&component).err().unwrap().to_string();
        assert!(refused.ends_with(&format!("It imports `{name}`")), "{refused}");
    }
    let fields = r#"(import "wasi_snapshot_preview1" "path_open"
        (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#;
    for refusal in refusals(fields, "(call $ok)") {
        assert!(refusal.ends_with("It imports `wasi_snapshot_preview1.path_open`"), "{refusal}");
    }
}

#[test]
fn file_of_200_mb() {
    let rig = Rig::new();
    let plugin = rig.plugin("guest", b"");
    File::options().write(true).open(&plugin.file).unwrap().set_len(200 << 20).unwrap();
    let refused = rig.host.load(&plugin, &Value::Null, Role::Any).err().unwrap().to_string();
    assert!(refused.ends_with("is larger than 64.0 MiB, the limit for a plugin"), "{refused}");
}

#[test]
fn file_cut_short() {
    let rig = Rig::new();
    for module in every_kind("", "(call $ok)", "keep") {
        for length in (0..module.len()).step_by(211) {
            assert!(rig.load(&module[..length]).is_err(), "{length} of {} bytes", module.len());
        }
    }
}

#[test]
fn another_contract() {
    for kind in Kind::ALL {
        let module = Wat { kind, version: "2.0.0", ..Wat::default() }.module();
        let refused = Rig::new().load(&module).err().unwrap().to_string();
        let says =
            "plugin `guest` speaks sluice:plugin@2.0.0, this gateway speaks 0.1.0 and 1.0.0; rebuild it with";
        assert!(refused.starts_with(says), "{refused}");
    }
}

/// As rustc mangles them, in the order of a panic.
#[tokio::test]
async fn backtrace_has_readable_names_and_leaves_the_panic_out() {
    let fields = "(func $_ZN3std9panicking4hook17h0123456789abcdefE (unreachable))
        (func $_RNvNtCsgXGp5Oqx2Ny_4core9panicking9panic_fmt (call $_ZN3std9panicking4hook17h0123456789abcdefE))
        (func $_ZN6ticket12check_amount17h0123456789abcdefE (call $_RNvNtCsgXGp5Oqx2Ny_4core9panicking9panic_fmt))";
    let call = "(call $_ZN6ticket12check_amount17h0123456789abcdefE) (call $ok)";
    let module = Wat { fields, call, ..Wat::default() }.module();
    let error = Rig::new().load(&module).unwrap().call(&view("{}")).await.answer.unwrap_err().to_string();
    assert!(error.contains(" in ticket::check_amount < call < export"), "{error}");
}
