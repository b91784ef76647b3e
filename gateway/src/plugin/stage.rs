//! An engine with all that guests may call linked on it.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::Linker;

use super::{
    PluginError,
    engine::Runtime,
    guest::{self, Guest},
    reaper::Reaper,
};

/// Where guests run.
pub(super) struct Stage {
    pub(super) runtime: Arc<Runtime>,
    pub(super) linker: Linker<Guest>,
    /// Whether a guest is kept as it is behind `configure`. A large one is not: taking the picture costs another
    /// compilation of it, and what it is made of is more than can be in one.
    pub(super) snapshots: bool,
}

/// The stage of ordinary guests, and beside it the one of those that bring an interpreter along.
pub(super) struct Stages {
    pub(super) light: Stage,
    /// Made with the first guest that needs it.
    heavy: Mutex<Option<Arc<Heavy>>>,
}

/// The stage of large guests, and who takes those away that nobody calls.
pub(super) struct Heavy {
    pub(super) stage: Stage,
    pub(super) reaper: Reaper,
}

impl Stages {
    /// # Errors
    /// Fails if the process cannot have the address space or the thread that an engine needs.
    pub(super) fn new() -> Result<Self, PluginError> {
        Ok(Self { light: Stage::new(Runtime::new()?, true)?, heavy: Mutex::default() })
    }

    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn heavy(&self) -> Result<Arc<Heavy>, PluginError> {
        let mut heavy = self.heavy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(heavy) = &*heavy {
            return Ok(Arc::clone(heavy));
        }
        let stage = Stage::new(Runtime::heavy(&self.light.runtime)?, false)?;
        let reaper = Reaper::start().map_err(PluginError::Ticker)?;
        Ok(Arc::clone(heavy.insert(Arc::new(Heavy { stage, reaper }))))
    }
}

impl Stage {
    fn new(runtime: Arc<Runtime>, snapshots: bool) -> Result<Self, PluginError> {
        let linker =
            guest::linker(&runtime.engine).map_err(|source| PluginError::Engine { source: source.into() })?;
        Ok(Self { runtime, linker, snapshots })
    }
}
