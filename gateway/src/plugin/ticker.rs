//! The clock by which guests are interrupted.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use wasmtime::{Engine, EngineWeak};

/// How long a guest runs before it gives way to the thread's other tasks, and the unit of its time limit.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// With nothing running for this many ticks the thread goes to sleep, so that an idle gateway uses no CPU.
const LINGER: u32 = 1000;

/// A thread that advances the engine's epoch every [`TICK`] while guests run. Ends when this is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    pulse: Arc<Pulse>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Pulse {
    running: AtomicUsize,
    stopped: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        Self::start_lingering(engine, LINGER)
    }

    fn start_lingering(engine: &Engine, linger: u32) -> io::Result<Self> {
        let pulse = Arc::new(Pulse::default());
        // Weak: the thread must not keep the engine, and all its code, alive.
        let (engine, seen) = (engine.weak(), Arc::clone(&pulse));
        let thread =
            thread::Builder::new().name("sluice-epoch".into()).spawn(move || tick(&engine, &seen, linger))?;
        Ok(Self { pulse, thread: thread.thread().clone() })
    }

    /// Keeps the ticks coming until the guard is dropped.
    pub(super) fn hold(&self) -> Held<'_> {
        if self.pulse.running.fetch_add(1, Ordering::SeqCst) == 0 {
            // A parked thread wakes; one about to park does not. Costs one atomic swap while it is awake.
            self.thread.unpark();
        }
        Held(&self.pulse)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.pulse.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A guest is running.
pub(super) struct Held<'a>(&'a Pulse);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &EngineWeak, pulse: &Pulse, linger: u32) {
    let mut idle = 0;
    while !pulse.stopped.load(Ordering::SeqCst) {
        if pulse.running.load(Ordering::SeqCst) > 0 {
            idle = 0;
        } else if idle == linger {
            thread::park();
            idle = 0;
            continue;
        } else {
            idle += 1;
        }
        thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Instance, Module, Store, Trap};

    use super::*;

    fn engine() -> Engine {
        Engine::new(Config::new().epoch_interruption(true)).unwrap()
    }

    #[test]
    fn guest_is_interrupted_by_a_thread_that_slept() {
        let engine = engine();
        let ticker = Ticker::start_lingering(&engine, 0).unwrap();
        let spin = wat::parse_str(r#"(module (func (export "spin") (loop $again (br $again))))"#).unwrap();
        let spin = Module::new(&engine, spin).unwrap();
        for _ in 0..20 {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &spin, &[]).unwrap();
            let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
            store.set_epoch_deadline(1);
            let _held = ticker.hold();
            let error = spin.call(&mut store, ()).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt));
        }
    }

    #[test]
    fn thread_ends_with_the_ticker() {
        let ticker = Ticker::start_lingering(&engine(), 0).unwrap();
        let pulse = Arc::clone(&ticker.pulse);
        drop(ticker);
        while Arc::strong_count(&pulse) > 1 {
            thread::yield_now();
        }
    }
}
