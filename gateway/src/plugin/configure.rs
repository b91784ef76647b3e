//! Configures a plugin once, when it is loaded, and keeps the state that leaves behind.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use wasmtime::{
    Store,
    component::{Component, Instance, InstancePre, Linker},
};
use wasmtime_wizer::{ComponentContext, WasmtimeWizerComponent, Wizer};

use super::{
    PluginError,
    bindings::{lifecycle, v0_1},
    call::CallError,
    contract::Contract,
    engine::Runtime,
    guest::{Guest, Subject},
    program::Fault,
};
use crate::config::{self, Limits};

/// How long `configure` may run: it happens once, with nobody waiting for an event.
pub(super) const TIME: Duration = Duration::from_secs(5);

/// Configures `component` and returns it as it is afterwards; `None` if it cannot be snapshotted, and every
/// instance has to be configured anew.
///
/// # Errors
/// Fails if the component does not fit the contract, refuses its config, or breaks a limit on the way.
pub(super) fn snapshot(
    runtime: &Runtime,
    linker: &Linker<Guest>,
    plugin: &config::Plugin,
    component: &[u8],
    contract: Contract,
    config: &str,
) -> Result<Option<Vec<u8>>, PluginError> {
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    let run = Run { runtime, linker, plugin, contract, config };
    let prepared = wizer.instrument_component(component).and_then(|(context, instrumented)| {
        Component::from_binary(&runtime.engine, &instrumented).map(|component| (context, component))
    });
    match prepared {
        Ok((context, component)) => {
            run.configure(&component)?.snapshot(&wizer, &context).map(Some).or_else(|error| {
                warn_slow(plugin, &error);
                Ok(None)
            })
        }
        Err(error) => {
            let failed = |source: wasmtime::Error| PluginError::Compile {
                plugin: plugin.name.clone(),
                source: source.into(),
            };
            let component = Component::from_binary(&runtime.engine, component).map_err(failed)?;
            warn_slow(plugin, &error);
            run.configure(&component).map(|_| None)
        }
    }
}

fn warn_slow(plugin: &config::Plugin, error: &wasmtime::Error) {
    tracing::warn!(
        plugin = &*plugin.name,
        error = format!("{error:#}"),
        "plugin cannot be snapshotted, it is configured again for every event, which is slower"
    );
}

struct Run<'a> {
    runtime: &'a Runtime,
    linker: &'a Linker<Guest>,
    plugin: &'a config::Plugin,
    contract: Contract,
    config: &'a str,
}

/// The function that configures an instance, looked up and type-checked once.
pub(super) enum Lifecycle {
    V0_1(v0_1::lifecycle::GuestIndices),
    V1(lifecycle::GuestIndices),
}

impl Lifecycle {
    /// # Errors
    /// Fails if the component's lifecycle is not of the contract's type.
    pub(super) fn new(instance: &InstancePre<Guest>, contract: Contract) -> wasmtime::Result<Self> {
        Ok(match contract {
            Contract::V0_1 => Self::V0_1(v0_1::lifecycle::GuestIndices::new(instance)?),
            Contract::V1 => Self::V1(lifecycle::GuestIndices::new(instance)?),
        })
    }

    pub(super) async fn configure(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
        config: &str,
    ) -> Result<(), Fault> {
        match self {
            Self::V0_1(indices) => {
                let lifecycle = indices.load(&mut *store, instance)?;
                Ok(lifecycle.call_configure(&mut *store, config).await??)
            }
            Self::V1(indices) => {
                let lifecycle = indices.load(&mut *store, instance)?;
                Ok(lifecycle.call_configure(&mut *store, config).await??)
            }
        }
    }
}

/// An instance that has accepted its config.
struct Configured {
    store: Store<Guest>,
    instance: Instance,
}

impl Run<'_> {
    fn configure(&self, component: &Component) -> Result<Configured, PluginError> {
        let Self { runtime, plugin, .. } = self;
        let link = |source: wasmtime::Error| PluginError::Link {
            plugin: plugin.name.clone(),
            source: source.into(),
        };
        let pre = self.linker.instantiate_pre(component).map_err(link)?;
        let lifecycle = Lifecycle::new(&pre, self.contract).map_err(link)?;
        let limits = Limits { time: TIME, ..plugin.limits };
        let mut store = Guest::store(&runtime.engine, &plugin.name, &limits, Subject::Nothing);
        let _ticks = runtime.ticker.hold();
        let run = async {
            let instance = pre.instantiate_async(&mut store).await?;
            lifecycle.configure(&mut store, &instance, self.config).await?;
            Ok::<_, Fault>(instance)
        };
        match block_on(run) {
            Ok(instance) => Ok(Configured { store, instance }),
            Err(fault) => Err(PluginError::configure(plugin, CallError::new(fault, &limits))),
        }
    }
}

impl Configured {
    fn snapshot(mut self, wizer: &Wizer, context: &ComponentContext<'_>) -> wasmtime::Result<Vec<u8>> {
        // From here on only wizer's own accessors run. They hand over the whole memory, and wizer panics if they
        // are stopped.
        self.store.data_mut().restart_clock(Duration::MAX);
        self.store.set_hostcall_fuel(usize::MAX);
        let mut state = WasmtimeWizerComponent { store: &mut self.store, instance: self.instance };
        block_on(wizer.snapshot_component(context, &mut state))
    }
}

/// Runs guest code to its end on this thread. It is only ever pending to give way to other tasks, and here are
/// none, so it is polled again at once.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
