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
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Instant,
};

use prometheus_client::metrics::{counter::Counter, family::Family};
use sha2::{Digest, Sha256};
use wasmtime::{
    Store,
    component::{Component, Instance},
};

pub use bindings::VERSION as CONTRACT_VERSION;
pub use call::{Answer, Call, CallError, Judgement};
pub use claimed::Claimed;
pub(crate) use configure::block_on;
pub use contract::{Contract, Kind};
pub use granted::Services;
pub use inspection::{Form, Inspection};
pub use probe::Probe;
pub use view::{Draft, View};
pub use window::{Folded, Item, Window};

use crate::{
    config::{self, Isolation, Limits},
    telemetry::{Metrics, PluginCountLabels},
};
use cache::{Cache, EntryId};
use contract::Checked;
use engine::Runtime;
use granted::Granted;
use guest::{Guest, Remains, Subject};
use limits::iec;
use log::tidy;
use pool::Resident;
use pooled::Keeper;
use program::{Fault, Program};
use stage::{Heavy, Stage, Stages};

mod batching;
mod bindings;
mod cache;
mod call;
mod claimed;
mod configure;
mod contract;
mod engine;
#[cfg(test)]
pub(crate) mod fixtures;
mod granted;
mod guest;
mod inspection;
mod limits;
mod log;
mod message;
pub mod outbound;
mod pool;
mod pooled;
mod probe;
mod program;
mod proving;
mod reaper;
mod stage;
mod thread_time;
mod ticker;
mod view;
mod wasi;
mod window;

/// The largest plugin file that is read, in bytes. JavaScript and Python plugins come with their interpreter.
const MAX_FILE: u64 = 64 << 20;
/// More code than this is an interpreter's, in bytes.
const LARGE: u64 = 512 << 10;
/// The most names of imports or exports that an error lists.
const MAX_LISTED: usize = 20;
/// The most counters that a plugin may have.
const MAX_COUNTERS: usize = 100;

/// Loads plugins, and owns the engine that runs them. One per process: generations share it.
pub struct PluginHost {
    stages: Stages,
    /// `None`: nothing that a config grants is to be had.
    services: Option<Services>,
    cache: Option<Cache>,
    counts: Family<PluginCountLabels, Counter>,
    /// By plugin: however often one is loaded, its counters are the same few.
    counters: Mutex<HashMap<Arc<str>, Arc<Counters>>>,
    /// What is loaded now. Locked for the whole of a load: the compiler uses every core as it is, and two
    /// loads of the same plugin become one compilation.
    programs: Mutex<HashMap<EntryId, Weak<Program>>>,
}

/// A configured plugin with its limits. Every call runs in an instance of its own, or in one of those that this very
/// value keeps.
pub struct Plugin {
    name: Arc<str>,
    file: PathBuf,
    sha256: [u8; 32],
    limits: config::Limits,
    granted: Arc<Granted>,
    isolation: Isolation,
    /// The step's config as JSON.
    config: String,
    program: Arc<Program>,
    runtime: Arc<Runtime>,
    /// `None`: no instance is called twice.
    keeper: Option<Keeper>,
    counters: Arc<Counters>,
}

impl PluginHost {
    /// Starts the engine. Compiled plugins are kept in `cache_dir`, which is made if need be; without a usable
    /// directory plugins are compiled at every start.
    ///
    /// # Errors
    /// Fails if the process cannot have the address space or the thread that the engine needs.
    pub fn new(cache_dir: PathBuf, metrics: Arc<Metrics>) -> Result<Self, PluginError> {
        let cache = Cache::open(cache_dir.clone())
            .inspect_err(|error| {
                tracing::warn!(path = %cache_dir.display(), %error, "no cache for compiled plugins");
            })
            .ok();
        Ok(Self { cache, ..Self::without_cache(&metrics)? })
    }

    /// Starts the engine and keeps nothing on disk: every plugin is compiled when it is loaded.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_cache(metrics: &Metrics) -> Result<Self, PluginError> {
        Ok(Self {
            stages: Stages::new()?,
            services: None,
            cache: None,
            counts: metrics.plugin_counts.clone(),
            counters: Mutex::default(),
            programs: Mutex::default(),
        })
    }

    /// The same with what serves plugins that the config grants something. Without it they are told `denied`.
    #[must_use]
    pub fn with_services(self, services: Services) -> Self {
        Self { services: Some(services), ..self }
    }

    /// Loads a plugin and configures it with `step_config`. The same file and config are compiled and kept in
    /// memory once, whoever loads them. Takes milliseconds from the cache, else as long as compiling takes:
    /// not for a thread that serves requests.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is not the pinned one, does not fit the contract, refuses its config, or is
    /// of a kind that has no such role.
    pub fn load(
        &self,
        plugin: &config::Plugin,
        step_config: &serde_json::Value,
        role: Role,
    ) -> Result<Arc<Plugin>, PluginError> {
        let source = Source::read(plugin)?;
        let heavy = self.heavy(plugin, &source)?;
        let stage = heavy.as_ref().map_or(&self.stages.light, |heavy| &heavy.stage);
        refuse_memory(plugin, stage)?;
        let step_config = step_config.to_string();
        let program = self.program(stage, plugin, &source, &step_config)?;
        role.check(plugin, program.kind())?;
        let runtime = Arc::clone(&stage.runtime);
        let resident = try_out(stage, plugin, &program, &step_config)?;
        Ok(Arc::new(Plugin {
            name: plugin.name.clone(),
            file: plugin.file.clone(),
            sha256: source.digest,
            limits: plugin.limits,
            granted: Granted::new(plugin, self.services.as_ref()),
            isolation: plugin.isolation,
            config: step_config,
            program,
            runtime,
            keeper: Keeper::of(plugin.isolation, heavy, resident),
            counters: self.counters(&plugin.name),
        }))
    }

    /// The stage for large guests, if this is one of them, or is to stay like one.
    fn heavy(&self, plugin: &config::Plugin, source: &Source) -> Result<Option<Arc<Heavy>>, PluginError> {
        let (pooled, large) = (plugin.isolation != Isolation::Event, source.is_large());
        if large && !pooled {
            tracing::warn!(
                plugin = &*plugin.name,
                "plugin brings an interpreter along, which starts anew for every event; `isolation = \"pooled\"` \
                 keeps it running"
            );
        }
        (large || pooled).then(|| self.stages.heavy()).transpose()
    }

    /// Checks, compiles and links a plugin without running any of it: all of [`load`](Self::load) that does not
    /// depend on a config.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn admit(&self, plugin: &config::Plugin) -> Result<Kind, PluginError> {
        let source = Source::read(plugin)?;
        let component = contract::componentize(&plugin.name, &source.bytes)?;
        let checked = contract::check(&plugin.name, &component)?;
        let name = || plugin.name.clone();
        let heavy = self.heavy(plugin, &source)?;
        let stage = heavy.as_ref().map_or(&self.stages.light, |heavy| &heavy.stage);
        let compiled = Component::from_binary(&stage.runtime.engine, &component)
            .map_err(|source| PluginError::Compile { plugin: name(), source: source.into() })?;
        Program::new(&stage.linker, &compiled, checked, false)
            .map_err(|source| PluginError::Link { plugin: name(), source: source.into() })?;
        Ok(checked.kind)
    }

    fn counters(&self, plugin: &Arc<str>) -> Arc<Counters> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Counters::new(plugin.clone(), self.counts.clone()));
        counters.entry(plugin.clone()).or_insert_with(new).clone()
    }

    fn program(
        &self,
        stage: &Stage,
        plugin: &config::Plugin,
        source: &Source,
        config: &str,
    ) -> Result<Arc<Program>, PluginError> {
        let id = entry_id(stage, source, config);
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = programs.get(&id).and_then(Weak::upgrade);
        let program = match known.or_else(|| self.cached(stage, &id).map(Arc::new)) {
            Some(program) => program,
            None => Arc::new(self.build(stage, plugin, &id, source, config)?),
        };
        programs.retain(|_, program| program.strong_count() > 0);
        programs.insert(id, Arc::downgrade(&program));
        Ok(program)
    }

    fn cached(&self, stage: &Stage, id: &EntryId) -> Option<Program> {
        let content = self.cache.as_ref()?.get(id)?;
        let image = Image::decode(&content)?;
        #[expect(unsafe_code, reason = "code from the cache: its seal was verified over these very bytes")]
        // SAFETY: `deserialize` wants the output of `serialize`. Only `build` seals entries, with the output of
        // `serialize`, and the key is readable by us alone.
        let component = unsafe { Component::deserialize(&stage.runtime.engine, image.code) };
        component
            .and_then(|component| Program::new(&stage.linker, &component, image.checked, image.configured))
            .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "cached plugin not used"))
            .ok()
    }

    fn build(
        &self,
        stage: &Stage,
        plugin: &config::Plugin,
        id: &EntryId,
        source: &Source,
        config: &str,
    ) -> Result<Program, PluginError> {
        let name = || plugin.name.clone();
        let component = contract::componentize(&plugin.name, &source.bytes)?;
        let checked = contract::check(&plugin.name, &component)?;
        let contract = checked.contract;
        // What a guest holds of WASI's would not be in a picture of its memory.
        let snapshot = match stage.snapshots && !contract::needs_wasi(&component) {
            true => configure::snapshot(&stage.runtime, &stage.linker, plugin, &component, contract, config)?,
            false => None,
        };
        let code = snapshot.as_deref().unwrap_or(&component);
        let compiled = Component::from_binary(&stage.runtime.engine, code)
            .map_err(|source| PluginError::Compile { plugin: name(), source: source.into() })?;
        let configured = snapshot.is_some();
        let program = Program::new(&stage.linker, &compiled, checked, configured)
            .map_err(|source| PluginError::Link { plugin: name(), source: source.into() })?;
        if let (Some(cache), Ok(code)) = (&self.cache, compiled.serialize()) {
            cache.put(id, &Image { configured, checked, code: &code }.encode());
        }
        Ok(program)
    }
}

fn refuse_memory(plugin: &config::Plugin, stage: &Stage) -> Result<(), PluginError> {
    let (plugin, limit, cap) = (plugin.name.clone(), plugin.limits.memory, stage.runtime.max_memory);
    if limit > cap { Err(PluginError::MemoryCap { plugin, limit, cap }) } else { Ok(()) }
}

/// A digest of all that compiled code depends on: of the config too, where the code is a snapshot.
fn entry_id(stage: &Stage, source: &Source, config: &str) -> EntryId {
    let mut digest = Digesting(Sha256::new());
    let config = stage.snapshots.then_some(config);
    (bindings::VERSION, env!("CARGO_PKG_VERSION"), &source.digest, config).hash(&mut digest);
    stage.runtime.engine.precompile_compatibility_hash().hash(&mut digest);
    digest.0.finalize().into()
}

/// Makes one instance: what does not fit into its limits, or refuses its config, is refused now rather than with the
/// first event.
fn try_out(
    stage: &Stage,
    plugin: &config::Plugin,
    program: &Program,
    config: &str,
) -> Result<Resident, PluginError> {
    let limits = Limits { time: configure::TIME, ..plugin.limits };
    let mut store = Guest::store(&stage.runtime.engine, &plugin.name, &limits, Subject::Nothing);
    let _ticks = stage.runtime.ticker.hold();
    match block_on(program.instantiate(&mut store, config)) {
        Ok(instance) => {
            store.data_mut().finish();
            Ok(Resident::new(store, instance))
        }
        Err(fault) if fault.is_guests() => {
            Err(PluginError::configure(plugin, CallError::new(fault, &limits)))
        }
        Err(fault) => {
            Err(PluginError::Start { plugin: plugin.name.clone(), source: CallError::new(fault, &limits) })
        }
    }
}

impl Plugin {
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub fn kind(&self) -> Kind {
        self.program.kind()
    }

    /// The file that it was loaded from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The SHA-256 of the file as it was loaded.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Whether it has the other's name and does the same: the same file, with the same config, limits and grants.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.sha256, &self.config) == (&other.name, &other.sha256, &other.config)
            && (self.limits, self.isolation) == (other.limits, other.isolation)
            && self.granted.grants() == other.granted.grants()
    }

    /// Whether a call may wait for what the plugin is granted.
    pub fn may_wait(&self) -> bool {
        !self.granted.grants().is_empty()
    }

    /// The most bytes that one call may hand over.
    pub(crate) fn max_output(&self) -> usize {
        self.limits.output
    }

    /// Calls a filter or a transform with an event. Gives way to the thread's other tasks every millisecond; with very
    /// many calls at once it waits for a free slot first.
    pub async fn call(&self, view: &View) -> Call {
        let program = &self.program;
        self.run(Subject::Event(view.clone()), async |store, instance| {
            program.call(store, instance, view).await
        })
        .await
    }

    /// Calls a `verify` plugin with a request; otherwise as [`call`](Self::call).
    pub async fn judge(&self, claimed: Claimed) -> Call<Judgement> {
        let program = &self.program;
        self.run(Subject::Request(claimed), async |store, instance| program.judge(store, instance).await)
            .await
    }

    /// Calls a `batch` plugin with a window; otherwise as [`call`](Self::call).
    pub async fn fold(&self, window: &Window) -> Call<Vec<Folded>> {
        let program = &self.program;
        self.run(Subject::Window(window.clone()), async |store, instance| {
            program.fold(store, instance, window).await
        })
        .await
    }

    /// Does something with an instance: with a fresh one, or one of those that are kept.
    async fn run<T>(
        &self,
        subject: Subject,
        with: impl AsyncFnOnce(&mut Store<Guest>, &Instance) -> Result<T, Fault>,
    ) -> Call<T> {
        // Never closed, so this cannot fail.
        let _share = if self.may_wait() { self.runtime.waiting_calls.acquire().await.ok() } else { None };
        match &self.keeper {
            Some(keeper) => self.run_kept(keeper, subject, with).await,
            None => self.run_fresh(subject, with).await,
        }
    }

    async fn run_fresh<T>(
        &self,
        subject: Subject,
        with: impl AsyncFnOnce(&mut Store<Guest>, &Instance) -> Result<T, Fault>,
    ) -> Call<T> {
        let _permit = self.runtime.calls.acquire().await;
        let _ticks = self.runtime.ticker.hold();
        let started = Instant::now();
        let mut store = Guest::store(&self.runtime.engine, &self.name, &self.limits, subject);
        let answer = match self.program.instantiate(&mut store, &self.config).await {
            Ok(instance) => {
                store.data_mut().grant(self.granted.clone());
                with(&mut store, &instance).await
            }
            Err(fault) => Err(fault),
        };
        let remains = store.data_mut().finish();
        drop(store);
        self.ended(answer, remains, started)
    }

    fn ended<T>(&self, answer: Result<T, Fault>, remains: Remains, started: Instant) -> Call<T> {
        self.counters.add(remains.counts);
        Call {
            answer: answer.map_err(|fault| CallError::new(fault, &self.limits)),
            elapsed: started.elapsed(),
            log: remains.log,
        }
    }
}

/// What a plugin is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A step of a pipeline.
    Step,
    /// A step that runs before the journal.
    EdgeStep,
    /// A route's proof of origin.
    Verify,
    /// A route's batches.
    Batch,
    /// Whatever it can do.
    Any,
}

impl Role {
    fn check(self, plugin: &config::Plugin, kind: Kind) -> Result<(), PluginError> {
        let fits = match self {
            Self::Step => matches!(kind, Kind::Filter | Kind::Transform),
            Self::EdgeStep => kind == Kind::Filter,
            Self::Verify => kind == Kind::Verify,
            Self::Batch => kind == Kind::Batch,
            Self::Any => true,
        };
        if fits { Ok(()) } else { Err(PluginError::Role { plugin: plugin.name.clone(), kind, role: self }) }
    }

    /// What takes which kinds.
    fn takes(self) -> &'static str {
        match self {
            Self::Step => "a pipeline takes filters and transforms",
            Self::EdgeStep => "a step with `at = \"edge\"` is a filter",
            Self::Verify => "`verify` takes plugins that export `verify`",
            Self::Batch => "`batch` takes plugins that export `batch`",
            Self::Any => "every kind is taken",
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

    /// Whether it has more code than any plugin without an interpreter.
    fn is_large(&self) -> bool {
        self.bytes.len() as u64 > LARGE && inspection::code(&self.bytes) > LARGE
    }
}

/// A program as the cache keeps it.
///
/// ```text
/// configured? (1 byte) | contract (1 byte) | kind (1 byte) | wasmtime's serialized component
/// ```
struct Image<'a> {
    configured: bool,
    checked: Checked,
    code: &'a [u8],
}

impl<'a> Image<'a> {
    fn encode(&self) -> Vec<u8> {
        let Checked { contract, kind } = self.checked;
        let contract = match contract {
            Contract::V0_1 => 0,
            Contract::V1 => 1,
        };
        let kind = match kind {
            Kind::Filter => 0,
            Kind::Transform => 1,
            Kind::Verify => 2,
            Kind::Batch => 3,
        };
        [&[self.configured.into(), contract, kind], self.code].concat()
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&[configured, contract, kind], code) = bytes.split_first_chunk()?;
        let contract = match contract {
            0 => Contract::V0_1,
            1 => Contract::V1,
            _ => return None,
        };
        let kind = match kind {
            0 => Kind::Filter,
            1 => Kind::Transform,
            2 => Kind::Verify,
            3 => Kind::Batch,
            _ => return None,
        };
        Some(Self { configured: configured == 1, checked: Checked { contract, kind }, code })
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
        "plugin `{plugin}` speaks sluice:plugin@{theirs}, this gateway speaks {}; rebuild it with `sluice-plugin` {}",
        contracts(),
        env!("CARGO_PKG_VERSION")
    )]
    Version { plugin: Arc<str>, theirs: String },
    #[error(
        "plugin `{plugin}` mixes versions of sluice:plugin; rebuild all of it with `sluice-plugin` {}",
        env!("CARGO_PKG_VERSION")
    )]
    MixedVersions { plugin: Arc<str> },
    #[error("plugin `{plugin}` imports what this gateway does not offer: {}", list(imports))]
    Imports { plugin: Arc<str>, imports: Vec<String> },
    #[error(
        "plugin `{plugin}` wants more of WASI than there is here, which is neither network nor server; build it for \
         `wasm32-unknown-unknown`, or with `--stub-wasi`. It imports {}",
        list(imports)
    )]
    Wasi { plugin: Arc<str>, imports: Vec<String> },
    #[error(
        "plugin `{plugin}` exports none of `verify`, `filter`, `transform` and `batch` of sluice:plugin; it exports {}",
        list(exports)
    )]
    NoKind { plugin: Arc<str>, exports: Vec<String> },
    #[error(
        "plugin `{plugin}` exports both `{}` and `{}`; make two plugins of it",
        kinds[0].interface(),
        kinds[1].interface()
    )]
    ManyKinds { plugin: Arc<str>, kinds: [Kind; 2] },
    #[error("plugin `{plugin}` exports `{}`, but {}", kind.interface(), role.takes())]
    Role { plugin: Arc<str>, kind: Kind, role: Role },
    #[error("plugin `{plugin}` does not export `lifecycle` of sluice:plugin")]
    NoLifecycle { plugin: Arc<str> },
    #[error(
        "plugin `{plugin}` does not fit the version of sluice:plugin that it names; rebuild it with `sluice-plugin` {}",
        env!("CARGO_PKG_VERSION")
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
    /// Whether it is the file's fault, whatever a route uses it for.
    pub fn is_of_file(&self) -> bool {
        !matches!(self, Self::Config { .. } | Self::Configure { .. } | Self::Start { .. } | Self::Role { .. })
    }

    /// What of its config a plugin refuses, as `rules[1].name`, if it says so in the way that the SDK does.
    pub fn config_path(&self) -> Option<&str> {
        let Self::Config { reason, .. } = self else { return None };
        reason.strip_prefix('`')?.split_once("`: ").map(|(path, _)| path)
    }

    fn configure(plugin: &config::Plugin, error: CallError) -> Self {
        let plugin = plugin.name.clone();
        match error {
            CallError::Config(reason) => Self::Config { plugin, reason },
            source => Self::Configure { plugin, source },
        }
    }
}

/// `0.1.0 and 1.0.0`
fn contracts() -> String {
    Contract::ALL.map(Contract::version).join(" and ")
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
mod contract_tests;

#[cfg(test)]
mod hostile_tests;

#[cfg(test)]
mod pooled_tests;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod wasi_tests;
