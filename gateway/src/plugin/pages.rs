//! How much of its memory a plugin changes in one call, for those who write plugins: all of that has to be put right
//! for the next one.

use serde::Serialize;
use wasmtime::component::Component;
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, WasmtimeWizerComponent, Wizer};

use super::{
    Given, PluginHost, Source,
    configure::{TIME, block_on},
    contract,
    guest::Guest,
    inspection,
    program::{Fault, Program},
    stage::Stage,
};
use crate::config::{self, Limits};

/// Pages of linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// Those that were not the same after a call.
    pub changed: usize,
    pub all: usize,
}

/// What the kernel hands out at once, in bytes.
const PAGE: usize = 4096;

impl PluginHost {
    /// Counts the pages that one call changes, by comparing the memories of two instances of which one was called.
    /// `None` where that cannot be told: the plugin does not load, is stopped in the call, or its memory cannot be
    /// looked into, as that of an interpreter.
    pub fn pages(&self, plugin: &config::Plugin, config: &serde_json::Value, given: &Given) -> Option<Pages> {
        let source = Source::read(plugin).ok()?;
        let component = contract::componentize(&plugin.name, &source.bytes).ok()?;
        let checked = contract::check(&plugin.name, &component).ok()?;
        let mut wizer = Wizer::new();
        wizer.keep_init_func(true);
        let (context, open) = wizer.instrument_component(&component).ok()?;
        // As for snapshots: an interpreter is more than wizer can look into.
        if source.is_large() || contract::needs_wasi(&component) {
            return None;
        }
        let stage = &self.stages.light;
        let compiled = Component::from_binary(&stage.runtime.engine, &open).ok()?;
        let program = Program::new(&stage.linker, &compiled, checked, false).ok()?;
        let config = config.to_string();
        let max_memory = stage.runtime.max_memory.min(inspection::tightest_memory(&component));
        let look = Look {
            stage,
            plugin,
            config: &config,
            wizer: &wizer,
            context: &context,
            program: &program,
            max_memory,
            given,
        };
        let (before, after) = (look.memories(false)?, look.memories(true)?);
        let changed = before.iter().zip(&after).map(|(before, after)| changed(before, after)).sum();
        Some(Pages { changed, all: after.iter().map(|memory| memory.len() / PAGE).sum() })
    }
}

/// Pages that are not as they were. What is new was all zeros.
fn changed(before: &[u8], after: &[u8]) -> usize {
    let was = |at: usize, page: &[u8]| match before.get(at * PAGE..(at + 1) * PAGE) {
        Some(old) => old == page,
        None => page.iter().all(|byte| *byte == 0),
    };
    after.chunks(PAGE).enumerate().filter(|(at, page)| !was(*at, page)).count()
}

/// A program whose instances can be looked into.
struct Look<'a> {
    stage: &'a Stage,
    plugin: &'a config::Plugin,
    config: &'a str,
    wizer: &'a Wizer,
    context: &'a ComponentContext<'a>,
    program: &'a Program,
    max_memory: usize,
    given: &'a Given,
}

impl Look<'_> {
    /// The memories of a fresh instance, after a call or without one.
    fn memories(&self, is_called: bool) -> Option<Vec<Vec<u8>>> {
        let runtime = &self.stage.runtime;
        let _ticks = runtime.ticker.hold();
        let limits = Limits { time: TIME, ..self.plugin.limits };
        let mut store = Guest::store(&runtime.engine, &self.plugin.name, &limits, self.given.clone().into());
        let instance = block_on(self.program.instantiate(&mut store, self.config)).ok()?;
        if is_called {
            let called = block_on(self.given.put_to(self.program, &mut store, &instance));
            // An instance that was stopped cannot be entered again.
            if matches!(called, Err(Fault::Stopped(_))) {
                return None;
            }
        }
        Guest::open(&mut store, self.max_memory).ok()?;
        let mut reader =
            Reader { inner: WasmtimeWizerComponent { store: &mut store, instance }, memories: Vec::new() };
        block_on(self.wizer.snapshot_component(self.context, &mut reader)).ok()?;
        Some(reader.memories.into_iter().map(|(_, memory)| memory).collect())
    }
}

/// Keeps what wizer reads of an instance's memories the first time: each look adds a page to one.
struct Reader<'a> {
    inner: WasmtimeWizerComponent<'a, Guest>,
    /// By the function that hands one over.
    memories: Vec<(String, Vec<u8>)>,
}

impl ComponentInstanceState for Reader<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        let memories = &mut self.memories;
        let keep = |bytes: &[u8]| {
            if !memories.iter().any(|(known, _)| known == func) {
                memories.push((func.to_owned(), bytes.to_vec()));
            }
            contents(bytes);
        };
        self.inner.call_func_ret_list_u8(instance, func, keep).await;
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.inner.call_func_ret_s32(instance, func).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.inner.call_func_ret_s64(instance, func).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.inner.call_func_ret_f32(instance, func).await
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.inner.call_func_ret_f64(instance, func).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::plugin::fixtures::{self, Rig};

    fn pages(call: &str) -> Option<Pages> {
        let rig = Rig::new();
        let plugin = rig.plugin("guest", &fixtures::filter(call));
        rig.host.pages(&plugin, &Value::Null, &Given::Event(fixtures::view("{}")))
    }

    /// Writes a byte at this address.
    fn store(address: u32) -> String {
        format!("(i32.store8 (i32.const {address}) (i32.const 1))")
    }

    #[test]
    fn what_a_call_writes_is_counted_page_by_page() {
        let quiet = pages("(call $ok)").unwrap();
        assert_eq!(quiet, Pages { changed: 0, all: 3 * 16 });
        let writes = [40_000, 40_001, 50_000].map(store).concat();
        assert_eq!(pages(&format!("{writes} (call $ok)")), Some(Pages { changed: 2, ..quiet }));
    }

    #[test]
    fn pages_that_a_call_adds_count_where_they_are_used() {
        let grows = format!("(drop (memory.grow (i32.const 1))) {} (call $ok)", store(3 << 16));
        assert_eq!(pages(&grows), Some(Pages { changed: 1, all: 4 * 16 }));
    }

    #[test]
    fn nothing_is_told_of_a_call_that_is_stopped() {
        assert_eq!(pages("unreachable"), None);
    }
}
