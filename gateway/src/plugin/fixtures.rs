//! Guests for tests: core modules in the text format around the canonical ABI, and a host to run them on.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;
use wasmtime::component::wit_parser::Resolve;
use wit_component::StringEncoding;

use super::{
    Call, Claimed, Item, Kind, Plugin, PluginError, PluginHost, Role, View, Window,
    bindings::{VERSION, v0_1},
};
use crate::{
    clock::Timestamp,
    config,
    event::{Event, EventId, Headers, Message},
    telemetry::Metrics,
    verify::Proof,
};

/// A guest to be written in the text format. Functions that the bodies may call:
///
/// - `$ok`: keep, or configured; `$drop`: drop with the reason `reason`
/// - `$fail (case)`: the contract's error of that number, with `reason`; `$later (ms)`: retry after so long
/// - `$message (index, body, length)`: fills in one message; `$messages (count)`: returns that many
/// - `$header`, `$attribute`, `$body_len`, `$log`, `$count`: the host's
///
/// Memory: 512 the result, 1024 `reason`, 2048 the guest's own data, 4096 messages, 65536 the host's allocations.
pub(crate) struct Wat<'a> {
    pub(crate) kind: Kind,
    pub(crate) version: &'a str,
    /// Module fields: data, globals, functions, more imports first.
    pub(crate) fields: &'a str,
    /// `(param $ptr i32) (param $len i32) (result i32)`
    pub(crate) configure: &'a str,
    /// `(param $e i32) (result i32)`; a transform also gets `$ptr` and `$len` of the body.
    pub(crate) call: &'a str,
}

impl Default for Wat<'_> {
    fn default() -> Self {
        Self { kind: Kind::Filter, version: VERSION, fields: "", configure: "(call $ok)", call: "(call $ok)" }
    }
}

impl Wat<'_> {
    /// The core module, with the contract in its custom section.
    pub(crate) fn module(&self) -> Vec<u8> {
        self.embedded(self.bare_module())
    }

    /// The same with a memory that may not have more than so many pages, of which it has 3.
    pub(crate) fn module_with_memory(&self, most: u32) -> Vec<u8> {
        let text = self.text().replace("\"memory\") 3)", &format!("\"memory\") 3 {most})"));
        self.embedded(wat::parse_str(text).unwrap())
    }

    fn embedded(&self, mut module: Vec<u8>) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let wit = match self.version {
            v0_1::VERSION => include_str!("../../../plugin-sdk/wit/v0.1/sluice.wit").to_owned(),
            version => include_str!("../../../plugin-sdk/wit/v1/sluice.wit").replace(VERSION, version),
        };
        let package = resolve.push_str("sluice.wit", &wit).unwrap();
        let world = format!("{}-plugin", self.kind.name());
        let world = resolve.select_world(&[package], Some(&world)).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }

    /// The core module alone.
    pub(crate) fn bare_module(&self) -> Vec<u8> {
        wat::parse_str(self.text()).unwrap()
    }

    fn text(&self) -> String {
        let Self { kind, version, fields, configure, call } = *self;
        let name = kind.name();
        let (params, args) = match kind {
            Kind::Transform => (
                "(param $e i32) (param $ptr i32) (param $len i32)",
                "(local.get $e) (local.get $ptr) (local.get $len)",
            ),
            Kind::Verify | Kind::Filter | Kind::Batch => ("(param $e i32)", "(local.get $e)"),
        };
        let (lent, wrappers) = (self.lent(), self.wrappers());
        // In the first version the list is all that a transform returns.
        let list = if version == v0_1::VERSION { 516 } else { 520 };
        format!(
            r#"(module
  (import "sluice:plugin/host@{version}" "log" (func $log (param i32 i32 i32)))
  (import "sluice:plugin/host@{version}" "count" (func $count (param i32 i32 i64)))
  {lent}
  {fields}
  {wrappers}
  (memory (export "memory") 3)
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 1024) "reason")
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.and (i32.add (global.get $heap) (i32.add (local.get $size) (i32.const 15))) (i32.const -8))))
  (func $ok (result i32)
    (memory.fill (i32.const 512) (i32.const 0) (i32.const 64))
    (i32.const 512))
  (func $drop (result i32)
    (drop (call $ok))
    (i32.store (i32.const 516) (i32.const 1))
    (i32.store (i32.const 520) (i32.const 1024))
    (i32.store (i32.const 524) (i32.const 6))
    (i32.const 512))
  (func $fail (param $case i32) (result i32)
    (drop (call $drop))
    (i32.store (i32.const 512) (i32.const 1))
    (i32.store (i32.const 516) (local.get $case))
    (i32.const 512))
  (func $later (param $ms i32) (result i32)
    (drop (call $fail (i32.const 1)))
    (i32.store (i32.const 528) (i32.const 1))
    (i32.store (i32.const 532) (local.get $ms))
    (i32.const 512))
  (func $message (param $index i32) (param $body i32) (param $length i32)
    (local $at i32)
    (local.set $at (i32.add (i32.const 4096) (i32.mul (local.get $index) (i32.const 48))))
    (i32.store offset=8 (local.get $at) (local.get $body))
    (i32.store offset=12 (local.get $at) (local.get $length)))
  (func $messages (param $count i32) (result i32)
    (drop (call $ok))
    (i32.store (i32.const {list}) (i32.const 4096))
    (i32.store offset=4 (i32.const {list}) (local.get $count))
    (i32.const 512))
  (func (export "sluice:plugin/lifecycle@{version}#configure") (param $ptr i32) (param $len i32) (result i32)
    {configure})
  (func $call {params} (result i32) {call})
  (func $export (export "sluice:plugin/{name}@{version}#{name}") {params} (result i32)
    (local $result i32)
    (local.set $result (call $call {args}))
    (call $release (local.get $e))
    (local.get $result)))"#
        )
    }
}

impl Wat<'_> {
    /// What can be asked of the thing that a guest of this kind is lent; imports, so they come first.
    fn lent(&self) -> String {
        let version = self.version;
        let (interface, resource) = match self.kind {
            Kind::Verify => ("requests", "request"),
            Kind::Filter | Kind::Transform => ("incoming", "event"),
            Kind::Batch => ("batching", "window"),
        };
        let import = |name: &str, function: &str| {
            format!(r#"(import "sluice:plugin/{interface}@{version}" "{name}" (func {function}))"#)
        };
        let method = |name: &str, function: &str| import(&format!("[method]{resource}.{name}"), function);
        let drop = import(&format!("[resource-drop]{resource}"), "$release (param i32)");
        let attribute = method("attribute", "$attribute (param i32 i32 i32 i32)");
        let header = method("header", "$header (param i32 i32 i32 i32)");
        let body_len = method("body-len", "$body_len (param i32) (result i64)");
        let of_item = method("header", "$header_of (param i32 i32 i32 i32 i32)")
            + &method("body-len", "$body_len_of (param i32 i32) (result i64)");
        match self.kind {
            Kind::Verify => drop + &header + &body_len,
            Kind::Filter | Kind::Transform => drop + &header + &body_len + &attribute,
            Kind::Batch => drop + &of_item,
        }
    }

    /// What a batch asks of an item, asked of the first.
    fn wrappers(&self) -> &'static str {
        match self.kind {
            Kind::Verify | Kind::Filter | Kind::Transform => "",
            Kind::Batch => {
                "(func $header (param i32 i32 i32 i32)
                    (call $header_of (local.get 0) (i32.const 0) (local.get 1) (local.get 2) (local.get 3)))
                (func $body_len (param i32) (result i64) (call $body_len_of (local.get 0) (i32.const 0)))"
            }
        }
    }
}

/// A filter with this for its call.
pub(crate) fn filter(call: &str) -> Vec<u8> {
    Wat { call, ..Wat::default() }.module()
}

/// A transform with this for its call.
pub(crate) fn transform(call: &str) -> Vec<u8> {
    Wat { kind: Kind::Transform, call, ..Wat::default() }.module()
}

/// A host with a directory for its cache and the plugins' files.
pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) host: Arc<PluginHost>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let host = Arc::new(PluginHost::new(dir.path().join("cache"), Arc::clone(&metrics)).unwrap());
        Self { dir, host, metrics }
    }

    /// The same directory after a restart.
    pub(crate) fn restart(self) -> Self {
        let host = Arc::new(PluginHost::new(self.cache(), Arc::clone(&self.metrics)).unwrap());
        Self { host, ..self }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// The config of a plugin whose file holds `bytes`.
    pub(crate) fn plugin(&self, name: &str, bytes: &[u8]) -> config::Plugin {
        let file = self.dir.path().join(format!("{name}.wasm"));
        std::fs::write(&file, bytes).unwrap();
        config::Plugin::new(name, file)
    }

    pub(crate) fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        self.host.load(&self.plugin("guest", bytes), &Value::Null, Role::Any)
    }
}

/// An event of route `github` with the header `x-kind: opened` and this body.
pub(crate) fn event(body: &'static str) -> Arc<Event> {
    let mut headers = Headers::default();
    headers.append(HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
    headers.append(HeaderName::from_static("x-kind"), HeaderValue::from_static("opened"));
    Arc::new(Event {
        id: EventId::generate(),
        route: "github".into(),
        received_at: Timestamp::from_millis(1_700_000_000_000),
        method: Method::POST,
        path: "/github".into(),
        query: None,
        params: Vec::new(),
        headers,
        body: Bytes::from_static(body.as_bytes()),
        event_type: Some("issues".into()),
        delivery_id: None,
        passed: None,
        proof: Proof::for_tests(),
    })
}

pub(crate) fn view(body: &'static str) -> View {
    View::of(event(body), 1)
}

/// A request of route `github` with the header `x-kind: opened` and this body; the route has no secrets.
pub(crate) fn claimed(body: &'static str) -> Claimed {
    let mut request = crate::verify::tests::request();
    request.route = "github".into();
    request.headers.insert("x-kind", HeaderValue::from_static("opened"));
    request.body = Bytes::from_static(body.as_bytes());
    Claimed::new(Arc::new(request), Arc::default(), None)
}

/// A window with one message of this body, from route `github` to `tracker`.
pub(crate) fn window(body: &'static str) -> Window {
    let event = event(body);
    let message =
        Message { headers: event.headers.clone(), body: event.body.clone(), destinations: None, key: None };
    let item =
        Item { event: event.id, webhook_id: "x_tracker_0".into(), received_at: event.received_at, message };
    Window { route: "github".into(), destination: "tracker".into(), items: [item].into() }
}

/// Calls a plugin of any kind with this body.
pub(crate) async fn call_any(plugin: &Plugin, body: &'static str) -> Call<()> {
    match plugin.kind() {
        Kind::Verify => plugin.judge(claimed(body)).await.map(drop),
        Kind::Filter | Kind::Transform => plugin.call(&view(body)).await.map(drop),
        Kind::Batch => plugin.fold(&window(body)).await.map(drop),
    }
}
