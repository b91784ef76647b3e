//! Plugins: loads a WebAssembly component, checks it against the contract, configures it once, calls it.
//!
//! *Once per file and config*: the component is checked, configured, snapshotted and compiled, and the result is
//! kept on disk. *Once per event*: an instance is made of the snapshot, called, and thrown away with all it
//! touched, so a plugin keeps nothing between events and a trap harms nobody.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
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
pub use error::PluginError;
pub use given::{Given, Reply};
pub use granted::Services;
pub use inspection::{Form, Inspection};
pub use log::{BYTES as LOG_BYTES, LINES as LOG_LINES};
pub use pages::Pages;
pub use probe::{Probe, Reused};
pub use role::Role;
pub use view::{Draft, View};
pub use window::{Folded, Item, Window};

use crate::{
    config::{self, Isolation, Limits},
    telemetry::{Metrics, PluginCountLabels},
};
use cache::{Cache, EntryId};
use counters::Counters;
use engine::Runtime;
use granted::Granted;
use guest::{Guest, Remains, Subject};
use image::Image;
use pool::Resident;
use pooled::Keeper;
use program::{Fault, Program};
use source::Source;
use stage::{Heavy, Stage, Stages};

mod batching;
mod bindings;
mod cache;
mod call;
mod claimed;
mod configure;
mod contract;
mod counters;
mod engine;
mod error;
#[cfg(test)]
pub(crate) mod fixtures;
mod given;
mod granted;
mod guest;
mod image;
mod inspection;
mod limits;
mod log;
mod message;
pub mod outbound;
mod pages;
mod pool;
mod pooled;
mod probe;
mod program;
mod proving;
mod reaper;
mod role;
mod source;
mod stage;
mod thread_time;
mod ticker;
mod view;
mod wasi;
mod window;

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
    /// What it is loaded for. A [shadow](Role::Shadow) changes nothing but itself.
    role: Role,
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
            granted: Granted::new(plugin, role, self.services.as_ref()),
            role,
            isolation: plugin.isolation,
            config: step_config,
            program,
            runtime,
            keeper: Keeper::of(plugin.isolation, heavy, resident),
            counters: self.counters(&plugin.name, role),
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

    fn counters(&self, plugin: &Arc<str>, role: Role) -> Arc<Counters> {
        if role == Role::Shadow {
            // Shown nowhere: the plugin in force counts the same events.
            return Arc::new(Counters::new(plugin.clone(), Family::default()));
        }
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

    /// The contract that it was built for.
    pub fn contract(&self) -> Contract {
        self.program.contract()
    }

    /// The file that it was loaded from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The SHA-256 of the file as it was loaded.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Whether it has the other's name and does the same: the same file, with the same config, limits and grants, for
    /// the same purpose.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.sha256, &self.config) == (&other.name, &other.sha256, &other.config)
            && (self.limits, self.isolation, self.role) == (other.limits, other.isolation, other.role)
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
        self.counters.add(&remains.counts);
        Call {
            answer: answer.map_err(|fault| CallError::new(fault, &self.limits)),
            elapsed: started.elapsed(),
            log: remains.log,
            counts: remains.counts,
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
