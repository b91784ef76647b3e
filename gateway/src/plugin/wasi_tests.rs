//! A guest that was built for WASI.

use wasmtime::component::wit_parser::Resolve;
use wit_component::StringEncoding;

use super::{
    fixtures::{Rig, Wat, view},
    *,
};
use crate::config::Pool;

/// As much of WASI's WIT as the guest uses.
const WASI: [&str; 4] = [
    "package wasi:io@0.2.3;
     interface error { resource error; }
     interface streams {
         use error.{error};
         variant stream-error { last-operation-failed(error), closed }
         resource output-stream {
             blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
         }
     }",
    "package wasi:cli@0.2.3;
     interface stdout { use wasi:io/streams@0.2.3.{output-stream}; get-stdout: func() -> output-stream; }",
    "package wasi:random@0.2.0;
     interface random { get-random-u64: func() -> u64; }",
    "package test:guest;
     world guest {
         include sluice:plugin/filter-plugin@1.0.0;
         import wasi:cli/stdout@0.2.3;
         import wasi:random/random@0.2.0;
     }",
];

/// Prints eight letters that it chose by chance, keeping the stream for the next call, and then says `reason`.
fn prints() -> Vec<u8> {
    let fields = r#"
  (import "wasi:cli/stdout@0.2.3" "get-stdout" (func $stdout (result i32)))
  (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
  (global $stream (mut i32) (i32.const -1))"#;
    let call = "
        (if (i32.eq (global.get $stream) (i32.const -1)) (then (global.set $stream (call $stdout))))
        (i64.store (i32.const 2048) (i64.or (i64.const 0x6060606060606060)
            (i64.and (call $random) (i64.const 0x0f0f0f0f0f0f0f0f))))
        (i32.store8 (i32.const 2056) (i32.const 10))
        (call $write (global.get $stream) (i32.const 2048) (i32.const 9) (i32.const 2064))
        (call $log (i32.const 2) (i32.const 1024) (i32.const 6))
        (call $ok)";
    let mut module = Wat { fields, call, ..Wat::default() }.bare_module();
    let mut resolve = Resolve::default();
    resolve.push_str("sluice.wit", include_str!("../../../plugin-sdk/wit/v1/sluice.wit")).unwrap();
    let packages = WASI.map(|wit| resolve.push_str("wasi.wit", wit).unwrap());
    let world = resolve.select_world(&packages[3..], Some("guest")).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    contract::componentize("guest", &module).unwrap().into_owned()
}

async fn said(plugin: &Plugin, view: &View) -> String {
    let call = plugin.call(view).await;
    assert_eq!(call.answer, Ok(Answer::Keep));
    let [printed, said] = &call.log[..] else { panic!("{:?}", call.log) };
    assert_eq!(said, "info: reason", "in the order in which it was said");
    assert!(printed.starts_with("info: ") && printed.len() == 14, "{printed}");
    printed.clone()
}

#[tokio::test]
async fn what_it_prints_is_logged_and_chance_is_the_events() {
    let rig = Rig::new();
    let fresh = rig.plugin("guest", &prints());
    let kept = config::Plugin { isolation: Isolation::Pooled(Pool::default()), ..fresh.clone() };
    let (one, other) = (view("{}"), view("{}"));
    let mut seen = Vec::new();
    for plugin in [&fresh, &kept] {
        let plugin = rig.host.load(plugin, &serde_json::Value::Null, Role::Step).unwrap();
        let first = said(&plugin, &one).await;
        assert_ne!(said(&plugin, &other).await, first);
        assert_eq!(said(&plugin, &one).await, first, "whatever came between");
        seen.push(first);
    }
    assert_eq!(seen[0], seen[1], "however it is isolated");
}

#[test]
fn an_inspection_tells_them_from_what_is_not_here() {
    let inspection = Inspection::of(&prints());
    assert!(inspection.foreign_imports.is_empty(), "{inspection:?}");
    assert_eq!(inspection.wasi_imports.len(), 4, "{inspection:?}");
}
