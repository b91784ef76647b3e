//! Plugins: loads a WebAssembly component, checks it against the contract, configures it once, calls it.
//!
//! *Once per file and config*: the component is checked, configured, snapshotted and compiled, and the result is
//! kept on disk. *Once per event*: an instance is made of the snapshot, called, and thrown away with all it
//! touched, so a plugin keeps nothing between events and a trap harms nobody.

use std::{
    collections::HashMap,
    fs::File,
    hash::{Hash, Hasher},
    io::{self, Read},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

use prometheus_client::metrics::{counter::Counter, family::Family};
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, Linker};

pub use call::{Answer, Call, CallError};
pub use contract::Kind;
pub use view::{Draft, View};

use crate::{
    config,
    telemetry::{Metrics, PluginCountLabels},
};
use cache::{Cache, EntryId};
use engine::Runtime;
use guest::Guest;
use limits::iec;
use log::tidy;
use program::Program;

mod bindings;
mod cache;
mod call;
mod configure;
mod contract;
mod engine;
#[cfg(test)]
pub(crate) mod fixtures;
mod guest;
mod limits;
mod log;
mod message;
mod program;
mod thread_time;
mod ticker;
mod view;

/// The largest plugin file that is read, in bytes. JavaScript and Python plugins come with their interpreter.
const MAX_FILE: u64 = 64 << 20;
/// The most names of imports or exports that an error lists.
const MAX_LISTED: usize = 20;
/// The most counters that a plugin may have.
const MAX_COUNTERS: usize = 100;

/// Loads plugins, and owns the engine that runs them. One per process: generations share it.
pub struct PluginHost {
    runtime: Arc<Runtime>,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    counts: Family<PluginCountLabels, Counter>,
    /// By plugin: however often one is loaded, its counters are the same few.
    counters: Mutex<HashMap<Arc<str>, Arc<Counters>>>,
    /// What is loaded now. Locked for the whole of a load: the compiler uses every core as it is, and two
    /// loads of the same plugin become one compilation.
    programs: Mutex<HashMap<EntryId, Weak<Program>>>,
}

/// A configured plugin with its limits. Every call runs in an instance of its own.
pub struct Plugin {
    name: Arc<str>,
    limits: config::Limits,
    program: Arc<Program>,
    runtime: Arc<Runtime>,
    counters: Arc<Counters>,
}

impl PluginHost {
    /// Starts the engine. Compiled plugins are kept in `cache_dir`, which is made if need be; without a usable
    /// directory plugins are compiled at every start.
    ///
    /// # Errors
    /// Fails if the process cannot have the address space or the thread that the engine needs.
    pub fn new(cache_dir: PathBuf, metrics: Arc<Metrics>) -> Result<Self, PluginError> {
        let runtime = Runtime::new()?;
        let linker =
            guest::linker(&runtime.engine).map_err(|source| PluginError::Engine { source: source.into() })?;
        let cache = Cache::open(cache_dir.clone())
            .inspect_err(|error| {
                tracing::warn!(path = %cache_dir.display(), %error, "no cache for compiled plugins");
            })
            .ok();
        let counts = metrics.plugin_counts.clone();
        Ok(Self { runtime, linker, cache, counts, counters: Mutex::default(), programs: Mutex::default() })
    }

    /// Loads a plugin and configures it with `step_config`. The same file and config are compiled and kept in
    /// memory once, whoever loads them. Takes milliseconds from the cache, else as long as compiling takes:
    /// not for a thread that serves requests.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is not the pinned one, does not fit the contract, or refuses its config.
    pub fn load(
        &self,
        plugin: &config::Plugin,
        step_config: &serde_json::Value,
    ) -> Result<Arc<Plugin>, PluginError> {
        if plugin.limits.memory > self.runtime.max_memory {
            return Err(PluginError::MemoryCap {
                plugin: plugin.name.clone(),
                limit: plugin.limits.memory,
                cap: self.runtime.max_memory,
            });
        }
        let source = Source::read(plugin)?;
        let program = self.program(plugin, &source, &step_config.to_string())?;
        Ok(Arc::new(Plugin {
            name: plugin.name.clone(),
            limits: plugin.limits,
            program,
            runtime: Arc::clone(&self.runtime),
            counters: self.counters(&plugin.name),
        }))
    }

    fn counters(&self, plugin: &Arc<str>) -> Arc<Counters> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Counters::new(plugin.clone(), self.counts.clone()));
        counters.entry(plugin.clone()).or_insert_with(new).clone()
    }

    fn program(
        &self,
        plugin: &config::Plugin,
        source: &Source,
        config: &str,
    ) -> Result<Arc<Program>, PluginError> {
        let id = self.entry_id(source, config);
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = programs.get(&id).and_then(Weak::upgrade);
        let program = match known.or_else(|| self.cached(&id, config).map(Arc::new)) {
            Some(program) => program,
            None => Arc::new(self.build(plugin, &id, source, config)?),
        };
        self.try_out(plugin, &program)?;
        programs.retain(|_, program| program.strong_count() > 0);
        programs.insert(id, Arc::downgrade(&program));
        Ok(program)
    }

    /// A digest of all that compiled code depends on.
    fn entry_id(&self, source: &Source, config: &str) -> EntryId {
        let mut digest = Digesting(Sha256::new());
        (bindings::VERSION, env!("CARGO_PKG_VERSION"), &source.digest, config).hash(&mut digest);
        self.runtime.engine.precompile_compatibility_hash().hash(&mut digest);
        digest.0.finalize().into()
    }

    fn cached(&self, id: &EntryId, config: &str) -> Option<Program> {
        let content = self.cache.as_ref()?.get(id)?;
        let image = Image::decode(&content)?;
        #[expect(unsafe_code, reason = "code from the cache: its seal was verified over these very bytes")]
        // SAFETY: `deserialize` wants the output of `serialize`. Only `build` seals entries, with the output of
        // `serialize`, and the key is readable by us alone.
        let component = unsafe { Component::deserialize(&self.runtime.engine, image.code) };
        let config = (!image.configured).then(|| config.to_owned());
        component
            .and_then(|component| Program::new(&self.linker, &component, image.kind, config))
            .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "cached plugin not used"))
            .ok()
    }

    fn build(
        &self,
        plugin: &config::Plugin,
        id: &EntryId,
        source: &Source,
        config: &str,
    ) -> Result<Program, PluginError> {
        let name = || plugin.name.clone();
        let component = contract::componentize(&plugin.name, &source.bytes)?;
        let kind = contract::check(&plugin.name, &component)?;
        let snapshot = configure::snapshot(&self.runtime, &self.linker, plugin, &component, config)?;
        let code = snapshot.as_deref().unwrap_or(&component);
        let compiled = Component::from_binary(&self.runtime.engine, code)
            .map_err(|source| PluginError::Compile { plugin: name(), source: source.into() })?;
        let configured = snapshot.is_some();
        let program = Program::new(&self.linker, &compiled, kind, (!configured).then(|| config.to_owned()))
            .map_err(|source| PluginError::Link { plugin: name(), source: source.into() })?;
        if let (Some(cache), Ok(code)) = (&self.cache, compiled.serialize()) {
            cache.put(id, &Image { configured, kind, code: &code }.encode());
        }
        Ok(program)
    }

    /// Makes one instance: what does not fit into its limits is refused now rather than with the first event.
    fn try_out(&self, plugin: &config::Plugin, program: &Program) -> Result<(), PluginError> {
        let mut store = Guest::store(&self.runtime.engine, &plugin.name, &plugin.limits, None);
        let _ticks = self.runtime.ticker.hold();
        configure::block_on(program.instantiate(&mut store)).map(drop).map_err(|fault| PluginError::Start {
            plugin: plugin.name.clone(),
            source: CallError::new(fault, &plugin.limits),
        })
    }
}

impl Plugin {
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub fn kind(&self) -> Kind {
        self.program.kind()
    }

    /// The most bytes that one call may hand over.
    pub(crate) fn max_output(&self) -> usize {
        self.limits.output
    }

    /// Calls the plugin with an event. Gives way to the thread's other tasks every millisecond; with very many
    /// calls at once it waits for a free slot first.
    pub async fn call(&self, view: &View) -> Call {
        // Never closed, so this cannot fail.
        let _permit = self.runtime.calls.acquire().await;
        let _ticks = self.runtime.ticker.hold();
        let started = Instant::now();
        let mut store = Guest::store(&self.runtime.engine, &self.name, &self.limits, Some(view.clone()));
        let answer = self.program.run(&mut store, view).await;
        let guest = store.into_data();
        self.counters.add(guest.counts);
        Call {
            answer: answer.map_err(|fault| CallError::new(fault, &self.limits)),
            elapsed: started.elapsed(),
            log: guest.log.into_lines(),
        }
    }
}

/// A plugin's file, read once: what is pinned, checked and compiled are the same bytes.
struct Source {
    bytes: Vec<u8>,
    digest: [u8; 32],
}

impl Source {
    fn read(plugin: &config::Plugin) -> Result<Self, PluginError> {
        let (name, path) = (|| plugin.name.clone(), || plugin.file.clone());
        let mut bytes = Vec::new();
        File::open(&plugin.file)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
            .map_err(|source| PluginError::Read { plugin: name(), path: path(), source })?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(PluginError::TooLarge { plugin: name(), path: path() });
        }
        if bytes.is_empty() {
            return Err(PluginError::Empty { plugin: name(), path: path() });
        }
        let digest = Sha256::digest(&bytes).into();
        match plugin.sha256 {
            Some(pinned) if pinned != digest => {
                Err(PluginError::Digest { plugin: name(), path: path(), pinned, found: digest })
            }
            _ => Ok(Self { bytes, digest }),
        }
    }
}

/// A program as the cache keeps it.
///
/// ```text
/// configured? (1 byte) | kind (1 byte) | wasmtime's serialized component
/// ```
struct Image<'a> {
    configured: bool,
    kind: Kind,
    code: &'a [u8],
}

impl<'a> Image<'a> {
    fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Filter => 0,
            Kind::Transform => 1,
        };
        [&[self.configured.into(), kind], self.code].concat()
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&[configured, kind], code) = bytes.split_first_chunk()?;
        let kind = match kind {
            0 => Kind::Filter,
            1 => Kind::Transform,
            _ => return None,
        };
        Some(Self { configured: configured == 1, kind, code })
    }
}

/// The counters that a plugin keeps with `host.count`.
struct Counters {
    plugin: Arc<str>,
    family: Family<PluginCountLabels, Counter>,
    known: Mutex<HashMap<String, Counter>>,
}

impl Counters {
    fn new(plugin: Arc<str>, family: Family<PluginCountLabels, Counter>) -> Self {
        Self { plugin, family, known: Mutex::default() }
    }

    fn add(&self, counts: Vec<(String, u64)>) {
        if counts.is_empty() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, by) in counts {
            if let Some(counter) = known.get(&name) {
                counter.inc_by(by);
            } else if known.len() < MAX_COUNTERS {
                let labels = PluginCountLabels { plugin: Arc::clone(&self.plugin), name: name.clone() };
                let counter = self.family.get_or_create_owned(&labels);
                counter.inc_by(by);
                known.insert(name, counter);
            }
        }
    }
}

/// Feeds what is hashed to a digest.
struct Digesting(Sha256);

impl Hasher for Digesting {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not asked for: the digest itself is.
    fn finish(&self) -> u64 {
        0
    }
}

/// Why a plugin was not loaded, or the host not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    #[error("failed to start the plugin engine; it needs about 3 GiB of address space, see `ulimit -v`")]
    Engine { source: anyhow::Error },
    #[error("failed to start the thread that interrupts plugins")]
    Ticker(#[source] io::Error),
    #[error("failed to read plugin `{plugin}` from `{}`", path.display())]
    Read { plugin: Arc<str>, path: PathBuf, source: io::Error },
    #[error(
        "plugin `{plugin}`: `{}` is larger than {}, the limit for a plugin",
        path.display(), iec(MAX_FILE as usize)
    )]
    TooLarge { plugin: Arc<str>, path: PathBuf },
    #[error(
        "plugin `{plugin}`: the SHA-256 of `{}` is {}, the config pins {}; if the new file is wanted, pin it",
        path.display(), hex::encode(found), hex::encode(pinned)
    )]
    Digest { plugin: Arc<str>, path: PathBuf, pinned: [u8; 32], found: [u8; 32] },
    #[error("plugin `{plugin}` has a memory limit of {}, at most {} can be given here", iec(*limit), iec(*cap))]
    MemoryCap { plugin: Arc<str>, limit: usize, cap: usize },
    #[error("plugin `{plugin}`: `{}` is empty; was it being written?", path.display())]
    Empty { plugin: Arc<str>, path: PathBuf },
    #[error(
        "plugin `{plugin}` is compiled already; only WebAssembly (`.wasm`) is taken, it is compiled here"
    )]
    Precompiled { plugin: Arc<str> },
    #[error("plugin `{plugin}` is not valid WebAssembly")]
    Malformed { plugin: Arc<str>, source: wasmparser::BinaryReaderError },
    #[error(
        "plugin `{plugin}` is a core module without a contract; build it with the `sluice-plugin` crate, or \
         with wit-bindgen against `sluice:plugin`"
    )]
    NoContract { plugin: Arc<str> },
    #[error("failed to make a component of plugin `{plugin}`")]
    Componentize { plugin: Arc<str>, source: anyhow::Error },
    #[error(
        "plugin `{plugin}` speaks sluice:plugin@{theirs}, this gateway speaks sluice:plugin@{}; rebuild it with \
         `sluice-plugin` {}",
        bindings::VERSION,
        bindings::VERSION
    )]
    Version { plugin: Arc<str>, theirs: String },
    #[error("plugin `{plugin}` imports what this gateway does not offer: {}", list(imports))]
    Imports { plugin: Arc<str>, imports: Vec<String> },
    #[error(
        "plugin `{plugin}` needs WASI, which this gateway does not offer; build it for \
         `wasm32-unknown-unknown`. It imports {}",
        list(imports)
    )]
    Wasi { plugin: Arc<str>, imports: Vec<String> },
    #[error(
        "plugin `{plugin}` exports neither `filter` nor `transform` of sluice:plugin; it exports {}",
        list(exports)
    )]
    NoKind { plugin: Arc<str>, exports: Vec<String> },
    #[error("plugin `{plugin}` exports both `filter` and `transform`; make two plugins of it")]
    ManyKinds { plugin: Arc<str> },
    #[error("plugin `{plugin}` does not export `lifecycle` of sluice:plugin")]
    NoLifecycle { plugin: Arc<str> },
    #[error(
        "plugin `{plugin}` does not fit sluice:plugin@{}; rebuild it with `sluice-plugin` {}",
        bindings::VERSION,
        bindings::VERSION
    )]
    Link { plugin: Arc<str>, source: anyhow::Error },
    #[error("failed to compile plugin `{plugin}`")]
    Compile { plugin: Arc<str>, source: anyhow::Error },
    #[error("plugin `{plugin}` refuses its config: {reason}")]
    Config { plugin: Arc<str>, reason: String },
    #[error("failed to configure plugin `{plugin}`")]
    Configure { plugin: Arc<str>, source: CallError },
    #[error("failed to start plugin `{plugin}`")]
    Start { plugin: Arc<str>, source: CallError },
}

impl PluginError {
    fn configure(plugin: &config::Plugin, error: CallError) -> Self {
        let plugin = plugin.name.clone();
        match error {
            CallError::Config(reason) => Self::Config { plugin, reason },
            source => Self::Configure { plugin, source },
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".into();
    }
    let mut shown: Vec<_> =
        names.iter().take(MAX_LISTED).map(|name| format!("`{}`", tidy(name.clone()))).collect();
    if names.len() > MAX_LISTED {
        shown.push(format!("and {} more", names.len() - MAX_LISTED));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use std::{error::Error, fs, time::Duration};

    use serde_json::{Value, json};

    use super::{
        fixtures::{Rig, Wat, filter, transform, view},
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
        let Err(error) = rig.host.load(&rig.plugin("guest", bytes), config) else { panic!("it was loaded") };
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
        let error = rig.host.load(&plugin, &Value::Null).err().unwrap();
        assert_eq!(error.to_string(), "failed to read plugin `guest` from `/nowhere/guest.wasm`");
    }

    #[test]
    fn oversized_file_is_refused() {
        let rig = Rig::new();
        let plugin = rig.plugin("guest", b"");
        File::options().write(true).open(&plugin.file).unwrap().set_len(MAX_FILE + 1).unwrap();
        let error = rig.host.load(&plugin, &Value::Null).err().unwrap();
        assert!(error.to_string().ends_with("is larger than 64.0 MiB, the limit for a plugin"), "{error}");
    }

    #[test]
    fn precompiled_file_is_refused() {
        let rig = Rig::new();
        let component = contract::componentize("guest", &filter("(call $ok)")).unwrap().into_owned();
        let compiled = rig.host.runtime.engine.precompile_component(&component).unwrap();
        assert!(refusal_with(rig, &compiled, &Value::Null).starts_with("plugin `guest` is compiled already"));
    }

    #[test]
    fn file_other_than_the_pinned_one_is_refused() {
        let rig = Rig::new();
        let bytes = filter("(call $ok)");
        let mut plugin = rig.plugin("guest", &bytes);
        plugin.sha256 = Some(Sha256::digest(&bytes).into());
        assert!(rig.host.load(&plugin, &Value::Null).is_ok());
        plugin.sha256 = Some([0xab; 32]);
        let error = rig.host.load(&plugin, &Value::Null).err().unwrap().to_string();
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
            "plugin `guest` speaks sluice:plugin@0.2.0, this gateway speaks sluice:plugin@0.1.0; \
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
    fn wasi_is_refused_with_the_target_to_build_for() {
        let fields =
            r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
        let module = refusal(&Wat { fields, ..Wat::default() }.module());
        assert!(module.contains("build it for `wasm32-unknown-unknown`"), "{module}");
        assert!(module.ends_with("It imports `wasi_snapshot_preview1.fd_write`"), "{module}");
        let component =
            wat::parse_str(r#"(component (import "wasi:cli/environment@0.2.3" (instance)))"#).unwrap();
        assert!(refusal(&component).ends_with("It imports `wasi:cli/environment@0.2.3`"));
    }

    #[test]
    fn component_of_another_purpose_is_refused() {
        let component = wat::parse_str("(component)").unwrap();
        assert_eq!(
            refusal(&component),
            "plugin `guest` exports neither `filter` nor `transform` of sluice:plugin; it exports nothing"
        );
    }

    #[test]
    fn memory_limit_beyond_the_engine_is_refused() {
        let rig = Rig::new();
        let mut plugin = rig.plugin("guest", &filter("(call $ok)"));
        plugin.limits.memory = 2 << 30;
        let error = rig.host.load(&plugin, &Value::Null).err().unwrap().to_string();
        assert_eq!(error, "plugin `guest` has a memory limit of 2.0 GiB, at most 1.0 GiB can be given here");
    }

    #[test]
    fn plugin_larger_than_its_memory_limit_is_refused_at_load() {
        let rig = Rig::new();
        let mut plugin = rig.plugin("guest", &filter("(call $ok)"));
        rig.host.load(&plugin, &Value::Null).unwrap();
        plugin.limits.memory = 64 << 10;
        let error = rig.host.load(&plugin, &Value::Null).err().unwrap();
        assert_eq!(
            error.source().unwrap().to_string(),
            "was stopped: it wanted 192.0 KiB of memory, its limit is 64.0 KiB"
        );
    }

    // Configuring.

    /// Keeps what `configure` got, and drops the event if that was `{"a":1}` in length.
    const REMEMBERS: Wat<'_> = Wat {
        transform: false,
        version: bindings::VERSION,
        fields: "(global $length (mut i32) (i32.const 0))",
        configure: "(global.set $length (local.get $len)) (call $ok)",
        call: "(if (result i32) (i32.eq (global.get $length) (i32.const 7)) (then (call $drop)) (else (call $ok)))",
    };

    #[tokio::test]
    async fn state_left_by_configure_is_what_every_event_starts_from() {
        let rig = Rig::new();
        let plugin = rig.plugin("guest", &REMEMBERS.module());
        let one = rig.host.load(&plugin, &json!({"a": 1})).unwrap();
        let other = rig.host.load(&plugin, &json!({"a": 100})).unwrap();
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
        let loaded = rig.host.load(&plugin, &json!({"a": 1})).unwrap();
        assert!(!loaded.program.configure_is_done());
        assert_eq!(loaded.call(&view("")).await.answer, Ok(Answer::Drop("reason".into())));
        let rig = rig.restart();
        let cached = rig.host.load(&plugin, &json!({"a": 1})).unwrap();
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
        assert_eq!(
            refusal("(call $fail (i32.const 3))"),
            "failed to configure plugin `guest`: failed: reason"
        );
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
        assert_eq!(
            later,
            CallError::Retry { reason: "reason".into(), after: Some(Duration::from_millis(1500)) }
        );
    }

    #[tokio::test]
    async fn trap_names_the_functions_it_was_in() {
        let fields = "(func $check_amount (unreachable))";
        let module = Wat { fields, call: "(call $check_amount) (call $ok)", ..Wat::default() }.module();
        let error = answer(&module).await.unwrap_err();
        assert_eq!(error.outcome(), "trap");
        assert!(
            error.to_string().starts_with(
                "trapped: wasm `unreachable` instruction executed in check_amount < call < export"
            ),
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
        let fill = "(drop (memory.grow (i32.const 1900)))
            (loop $again (memory.fill (i32.const 65536) (i32.const 1) (i32.const 120000000)) (br $again))
            (unreachable)";
        let rig = Rig::new();
        let mut plugin = rig.plugin("guest", &filter(fill));
        plugin.limits.memory = 128 << 20;
        let plugin = rig.host.load(&plugin, &Value::Null).unwrap();
        let start = thread_time::ThreadTime::now();
        let answer = plugin.call(&view("")).await.answer;
        let ran = start.elapsed();
        assert_eq!(answer, Err(CallError::TimeLimit { limit: Duration::from_millis(50) }));
        assert!(ran < Duration::from_millis(300), "it ran for {ran:?}");
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
        let fields =
            "(func $down (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))";
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
        let error = rig.host.load(&plugin, &Value::Null).unwrap().call(&view("")).await.answer.unwrap_err();
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
        let call =
            "(call $message (i32.const 0) (i32.const -16) (i32.const 64)) (call $messages (i32.const 1))";
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
            let plugin = rig.host.load(&rig.plugin("guest", &bytes), &json!(load)).unwrap();
            plugin.counters.add((0..MAX_COUNTERS).map(|n| (format!("n_{load}_{n}"), 1)).collect());
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
        let slots = rig.host.runtime.calls.available_permits();
        let view = view("");
        for _ in 0..2 * slots {
            // Polled once, and dropped in the middle of the loop.
            tokio::select! { biased; _ = plugin.call(&view) => panic!("it ended"), () = std::future::ready(()) => {} }
        }
        assert_eq!(rig.host.runtime.calls.available_permits(), slots);
        assert_eq!(plugin.call(&view).await.answer.unwrap_err().outcome(), "time-limit");
    }

    // What is shared and kept.

    #[test]
    fn same_file_and_config_share_one_program() {
        let rig = Rig::new();
        let bytes = filter("(call $ok)");
        let load = |name, config| rig.host.load(&rig.plugin(name, &bytes), &config).unwrap();
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
        rig.host.load(&plugin, &json!({"a": 1})).unwrap();
        let (path, written) = entry(&rig);
        let rig = rig.restart();
        let loaded = rig.host.load(&plugin, &json!({"a": 1})).unwrap();
        assert_eq!(entry(&rig), (path, written), "it was not compiled again");
        assert!(loaded.program.configure_is_done());
        assert_eq!(loaded.call(&view("")).await.answer, Ok(Answer::Drop("reason".into())));
    }

    #[tokio::test]
    async fn tampered_cache_entry_is_replaced() {
        let rig = Rig::new();
        let plugin = rig.plugin("guest", &REMEMBERS.module());
        rig.host.load(&plugin, &json!({"a": 1})).unwrap();
        let (path, _) = entry(&rig);
        let sound = fs::read(&path).unwrap();
        let mut tampered = sound.clone();
        tampered[sound.len() / 2] ^= 0xff;
        fs::write(&path, tampered).unwrap();
        let rig = rig.restart();
        let loaded = rig.host.load(&plugin, &json!({"a": 1})).unwrap();
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
        assert!(host.load(&rig.plugin("guest", &filter("(call $ok)")), &Value::Null).is_ok());
    }

    /// The one entry of the cache, and when it was written.
    fn entry(rig: &Rig) -> (PathBuf, std::time::SystemTime) {
        let mut entries = fs::read_dir(rig.cache()).unwrap();
        let entry = entries.next().unwrap().unwrap();
        assert!(entries.next().is_none());
        (entry.path(), entry.metadata().unwrap().modified().unwrap())
    }
}
