//! The Wasm engines: one set up for many short runs, each in an instance of its own, and one for the few large
//! instances of interpreters, which stay.

use std::{num::NonZeroUsize, sync::Arc, thread};

use tokio::sync::Semaphore;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails,
};

use super::{PluginError, ticker::Ticker};

/// The engine with what every run needs of the process: ticks and a slot.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) engine: Engine,
    pub(super) ticker: Ticker,
    /// One permit for every call that may run at the same time: the pool refuses what exceeds its slots.
    pub(super) calls: Semaphore,
    /// The same for calls that may wait for the host with their slot in hand: fewer, so that however many wait, there
    /// are slots for those that only run.
    pub(super) waiting_calls: Semaphore,
    /// The most linear memory that any plugin can be given, in bytes.
    pub(super) max_memory: usize,
    /// What a linear memory reserves of the address space, in bytes.
    reservation: u64,
}

/// The most of each that one component may have. Beside its own module it has a few small ones that glue it
/// together.
const CORE_INSTANCES: u32 = 8;
const MEMORIES: u32 = 2;
const TABLES: u32 = 4;
/// Slots beyond those for calls: one to configure a plugin in, one to try it out.
const LOADING_SLOTS: u32 = 2;
/// Enough for the SDK's guests (a few pages), whose memory is then wiped instead of unmapped: page faults are
/// what a fresh instance costs. Much more would be wiped in vain.
const KEEP_RESIDENT: usize = 256 << 10;
/// A guest's own stack is in its memory; this one holds the frames of its compiled code.
const GUEST_STACK: usize = 256 << 10;
/// Host functions run on it too.
const FIBER_STACK: usize = 1 << 20;
/// Interpreters recurse: once for every call of the script, with large frames.
const HEAVY_GUEST_STACK: usize = 1 << 20;
const HEAVY_FIBER_STACK: usize = 3 << 20;
const HEAVY_MEMORY: usize = 1 << 30;
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(20).unwrap();

/// How much address space to take.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Calls at the same time.
    slots: u32,
    /// What a linear memory reserves. With 4 GiB no bounds check is needed at all.
    reservation: u64,
    max_memory: usize,
}

impl Span {
    /// From what we want to what we can live with, where a container or `ulimit -v` leaves little.
    fn candidates() -> [Self; 4] {
        let wanted = (64 * cores()).clamp(64, 512) as u32;
        let full = Self { slots: wanted, reservation: 4 << 30, max_memory: 1 << 30 };
        [
            full,
            Self { slots: 32, ..full },
            Self { slots: 8, ..full },
            Self { slots: 8, reservation: 64 << 20, max_memory: 64 << 20 },
        ]
    }
}

impl Runtime {
    pub(super) fn new() -> Result<Arc<Self>, PluginError> {
        let (engine, span) = roomiest_engine()?;
        let ticker = Ticker::start(&engine).map_err(PluginError::Ticker)?;
        Ok(Arc::new(Self {
            engine,
            ticker,
            calls: Semaphore::new(span.slots as usize),
            waiting_calls: Semaphore::new((span.slots - span.slots / 4) as usize),
            max_memory: span.max_memory,
            reservation: span.reservation,
        }))
    }

    /// For large guests, beside `light`. It takes no address space before there is a guest: what that one's
    /// memory reserves is what was to be had for the other engine.
    pub(super) fn heavy(light: &Self) -> Result<Arc<Self>, PluginError> {
        let engine = Engine::new(&heavy_config(light.reservation))
            .map_err(|source| PluginError::Engine { source: source.into() })?;
        let ticker = Ticker::start(&engine).map_err(PluginError::Ticker)?;
        Ok(Arc::new(Self {
            engine,
            ticker,
            calls: Semaphore::new(heavy_calls()),
            waiting_calls: Semaphore::new(heavy_calls() - heavy_calls() / 4),
            max_memory: HEAVY_MEMORY,
            reservation: light.reservation,
        }))
    }
}

/// Calls of large guests at the same time: each of them has megabytes of its own.
fn heavy_calls() -> usize {
    (32 * cores()).clamp(64, 256)
}

/// Calls of one step's large guests at the same time: one slow step must not keep the others waiting.
pub(super) fn pool_calls() -> usize {
    heavy_calls() / 4
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn roomiest_engine() -> Result<(Engine, Span), PluginError> {
    let mut refused = None;
    for span in Span::candidates() {
        match Engine::new(&config(span)) {
            Ok(engine) => return Ok((engine, span)),
            Err(error) => {
                tracing::warn!(
                    slots = span.slots,
                    error = format!("{error:#}"),
                    "too little address space for plugins, trying less"
                );
                refused = Some(error);
            }
        }
    }
    Err(PluginError::Engine { source: refused.unwrap_or_else(|| wasmtime::format_err!("no engine")).into() })
}

fn config(span: Span) -> Config {
    let mut config = common();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(span)))
        .memory_reservation(span.reservation)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(FIBER_STACK);
    config
}

/// Instances that stay gain nothing from slots, which would have to be there for the largest and for all at once.
fn heavy_config(reservation: u64) -> Config {
    let mut config = common();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(reservation)
        .max_wasm_stack(HEAVY_GUEST_STACK)
        .async_stack_size(HEAVY_FIBER_STACK);
    config
}

fn common() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        // Guests are called one at a time; this makes a call 3.7 times cheaper.
        .concurrency_support(false)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // Traps name functions. For lines, the plugin's debug information would be read anew at every trap: a
        // plugin could bring as much as it likes, and no limit holds meanwhile.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        // Registering unwind tables costs time quadratic in the number of plugins.
        .native_unwind_info(false)
        // Nothing that the toolchains of plugins use, so nothing that an attacker can.
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .gc_support(false);
    config
}

fn pool(span: Span) -> PoolingAllocationConfig {
    let slots = span.slots + LOADING_SLOTS;
    let mut pool = PoolingAllocationConfig::new();
    // Each total is what so many of the largest components need: none can take the place of another's calls.
    pool.total_component_instances(slots)
        .total_core_instances(CORE_INSTANCES * slots)
        .total_memories(MEMORIES * slots)
        .total_tables(TABLES * slots)
        .total_stacks(slots)
        .max_memory_size(span.max_memory)
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(10 << 20)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .table_elements(30_000)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        // It may leave swapped-out pages of an earlier instance in place (wasmtime#14357).
        .pagemap_scan(Enabled::No);
    pool
}

#[cfg(test)]
mod tests {
    use wasmtime::{
        Store,
        component::{Component, Linker},
    };

    use super::*;

    /// How many components of so many instances, each with a memory and a table, run at once.
    fn at_once(parts: usize) -> usize {
        let span = Span { slots: 8, reservation: 64 << 20, max_memory: 64 << 20 };
        let engine = Engine::new(&config(span)).unwrap();
        let instances = "(core instance (instantiate $m))".repeat(parts);
        let text = format!("(component (core module $m (memory 1) (table 1 funcref)) {instances})");
        let Ok(component) = Component::new(&engine, wat::parse_str(text).unwrap()) else { return 0 };
        let linker = Linker::new(&engine);
        let start = || {
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1);
            linker.instantiate(&mut store, &component).map(|_| store)
        };
        let stores: Vec<_> = (0..span.slots).map_while(|_| start().ok()).collect();
        stores.len()
    }

    #[test]
    fn a_component_fits_into_every_slot_or_into_none() {
        for parts in 1..20 {
            let running = at_once(parts);
            assert!(running == 0 || running == 8, "{running} of {parts} parts");
        }
        assert_eq!(at_once(1), 8);
    }

    #[test]
    fn every_candidate_makes_an_engine() {
        for span in Span::candidates() {
            assert!(Engine::new(&config(span)).is_ok(), "{span:?}");
            assert!(Engine::new(&heavy_config(span.reservation)).is_ok(), "{span:?}");
        }
    }
}
