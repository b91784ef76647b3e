//! Plugins written in WAT: hostile ones, and friendly ones that need no build.
//!
//! Each is a core module that carries the component type of its world, as `wit-bindgen` guests do.

use std::fmt::Write;

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../plugin-sdk/wit/v0.1/sluice.wit");
const VERSION: &str = "0.1.0";
/// The contract that has verifiers.
const CONTRACT_V1: &str = include_str!("../../plugin-sdk/wit/v1/sluice.wit");
const VERSION_V1: &str = "1.0.0";

/// Where the plugins here keep what they return; all zeros there is `ok` with an empty or first payload.
const RESULT: u32 = 16;
const MESSAGES: u32 = 1024;
const TEXT: u32 = 32768;

/// Those that load and then do harm, with their names.
pub fn hostile() -> [(&'static str, Vec<u8>); 6] {
    [
        ("traps", traps()),
        ("loops", loops()),
        ("hoards", hoards()),
        ("recurses", recurses()),
        ("floods", floods()),
        ("lies", lies()),
    ]
}

/// A filter that keeps every event.
pub fn keeps() -> Vec<u8> {
    filter("", &answer())
}

/// A filter that drops every event for this reason.
pub fn drops(reason: &str) -> Vec<u8> {
    let data = data(RESULT, &words(&[0, 1, TEXT, reason.len() as u32])) + &data(TEXT, &escaped(reason));
    filter(&data, &answer())
}

/// A transform that makes one message with this body of every event.
pub fn says(body: &str) -> Vec<u8> {
    let message = words(&[0, 0, TEXT, body.len() as u32]);
    let data =
        data(RESULT, &words(&[0, MESSAGES, 1])) + &data(MESSAGES, &message) + &data(TEXT, &escaped(body));
    transform(&data, &answer())
}

/// A filter that hits `unreachable`.
pub fn traps() -> Vec<u8> {
    filter("", "unreachable")
}

/// A filter that hits `unreachable` in a function of this name.
pub fn traps_in(name: &str) -> Vec<u8> {
    filter(&format!("(func ${name} unreachable)"), &format!("(call ${name}) unreachable"))
}

/// A filter that counts its calls in its memory, keeps what it counts as the first event and drops all others.
pub fn keeps_the_first() -> Vec<u8> {
    let data = data(RESULT, &words(&[0, 0, TEXT, 5])) + &data(TEXT, &escaped("again"));
    let count = format!(
        "(i32.store (i32.const {at}) (i32.load (i32.const 2048)))
         (i32.store (i32.const 2048) (i32.const 1)) {}",
        answer(),
        at = RESULT + 4,
    );
    filter(&data, &count)
}

/// A component that wants to open sockets.
pub fn imports_sockets() -> Vec<u8> {
    wat::parse_str(r#"(component (import "wasi:sockets/tcp@0.2.3" (instance)))"#).expect("it is well-formed")
}

/// A filter that never returns.
pub fn loops() -> Vec<u8> {
    filter("", LOOPS)
}

/// A filter that takes memory until there is no more.
pub fn hoards() -> Vec<u8> {
    filter("", HOARDS)
}

/// A filter that recurses until its stack is gone.
pub fn recurses() -> Vec<u8> {
    filter(DEEPER, RECURSES)
}

const LOOPS: &str = "(loop $forever (br $forever)) unreachable";
const HOARDS: &str =
    "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
const DEEPER: &str = "(func $deeper (param i32) (result i32)
    (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
const RECURSES: &str = "(call $deeper (i32.const 0))";

/// A verifier that takes every request for genuine.
pub fn verifier_that_accepts() -> Vec<u8> {
    verifier("", &answer())
}

/// A verifier that hits `unreachable`.
pub fn verifier_that_traps() -> Vec<u8> {
    verifier("", "unreachable")
}

/// A verifier that never returns.
pub fn verifier_that_loops() -> Vec<u8> {
    verifier("", LOOPS)
}

/// A verifier that takes memory until there is no more.
pub fn verifier_that_hoards() -> Vec<u8> {
    verifier("", HOARDS)
}

/// A verifier that recurses until its stack is gone.
pub fn verifier_that_recurses() -> Vec<u8> {
    verifier(DEEPER, RECURSES)
}

/// A verifier that answers with a megabyte and a half of its memory.
pub fn verifier_that_floods() -> Vec<u8> {
    verifier(&data(RESULT, &words(&[0, 2, 200, 0, 0, 0x10000, 0x180000])), &answer())
}

/// A transform that returns 100 MB: a hundred messages whose bodies are the same megabyte of its memory.
pub fn floods() -> Vec<u8> {
    let result = data(RESULT, &words(&[0, MESSAGES, 100]));
    let fill = format!(
        "(local $i i32) (local $at i32)
         (loop $next
           (local.set $at (i32.add (i32.const {MESSAGES}) (i32.mul (local.get $i) (i32.const 48))))
           (i32.store offset=8 (local.get $at) (i32.const 0x100000))
           (i32.store offset=12 (local.get $at) (i32.const 0x100000))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $next (i32.lt_u (local.get $i) (i32.const 100))))
         {}",
        answer()
    );
    transform(&result, &fill)
}

/// A transform whose message's body lies outside its memory.
pub fn lies() -> Vec<u8> {
    let message = words(&[0, 0, 0xffff_0000, 0x7fff]);
    transform(&(data(RESULT, &words(&[0, MESSAGES, 1])) + &data(MESSAGES, &message)), &answer())
}

/// A filter whose `configure` never returns.
pub fn never_configured() -> Vec<u8> {
    module(
        "filter",
        "(param $event i32)",
        "(loop $forever (br $forever)) unreachable",
        "",
        &answer(),
        VERSION,
    )
}

/// A filter for a contract that does not exist.
pub fn of_another_contract() -> Vec<u8> {
    module("filter", "(param $event i32)", OK, "", &answer(), "9.0.0")
}

/// Returns `ok` without a payload.
const OK: &str = "(i32.const 0)";

/// Gives the borrowed event back and returns what lies at [`RESULT`].
fn answer() -> String {
    format!("(call $drop-event (local.get $event)) (i32.const {RESULT})")
}

fn filter(items: &str, body: &str) -> Vec<u8> {
    module("filter", "(param $event i32)", OK, items, body, VERSION)
}

fn verifier(items: &str, body: &str) -> Vec<u8> {
    module("verify", "(param $event i32)", OK, items, body, VERSION_V1)
}

fn transform(items: &str, body: &str) -> Vec<u8> {
    module("transform", "(param $event i32) (param $body i32) (param $len i32)", OK, items, body, VERSION)
}

/// Memory: results below 64 KiB, what the host hands over from there on.
fn module(kind: &str, params: &str, configure: &str, items: &str, body: &str, version: &str) -> Vec<u8> {
    let lent = if kind == "verify" { "requests" } else { "incoming" };
    let resource = if kind == "verify" { "request" } else { "event" };
    let text = format!(
        r#"(module
          (import "sluice:plugin/{lent}@{version}" "[resource-drop]{resource}" (func $drop-event (param i32)))
          (memory (export "memory") 64)
          (global $heap (mut i32) (i32.const 65536))
          (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and
              (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
              (i32.sub (i32.const 0) (local.get $align))))
            (global.set $heap (i32.add (local.get $at) (local.get $size)))
            (local.get $at))
          (func (export "sluice:plugin/lifecycle@{version}#configure") (param i32 i32) (result i32) {configure})
          (func (export "sluice:plugin/{kind}@{version}#{kind}") {params} (result i32) {body})
          {items})"#
    );
    let mut wasm = wat::parse_str(text).expect("guest is well-formed");
    let mut resolve = Resolve::default();
    let contract = match version {
        VERSION_V1 => CONTRACT_V1.to_owned(),
        version => CONTRACT.replace(VERSION, version),
    };
    let package = resolve.push_str("sluice.wit", &contract).expect("contract is well-formed");
    let world = format!("{kind}-plugin");
    let world = resolve.select_world(&[package], Some(&world)).expect("contract has the world");
    embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).expect("type can be embedded");
    wasm
}

fn data(at: u32, bytes: &str) -> String {
    format!("(data (i32.const {at}) \"{bytes}\") ")
}

fn words(words: &[u32]) -> String {
    words.iter().flat_map(|word| word.to_le_bytes()).fold(String::new(), escape)
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), escape)
}

fn escape(mut text: String, byte: u8) -> String {
    write!(text, "\\{byte:02x}").expect("strings can be written to");
    text
}

#[cfg(test)]
mod tests {
    use wit_component::ComponentEncoder;

    use super::*;

    #[test]
    fn guests_are_components_of_the_contract() {
        let others = [
            traps_in("x"),
            keeps_the_first(),
            never_configured(),
            keeps(),
            drops("no"),
            says("hello"),
            of_another_contract(),
            verifier_that_accepts(),
            verifier_that_traps(),
            verifier_that_loops(),
            verifier_that_hoards(),
            verifier_that_recurses(),
            verifier_that_floods(),
        ];
        for wasm in hostile().map(|(_, wasm)| wasm).into_iter().chain(others) {
            ComponentEncoder::default().validate(true).module(&wasm).unwrap().encode().unwrap();
        }
    }
}
