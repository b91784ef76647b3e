//! A plugin's code, compiled and configured: what every call starts from.

use wasmtime::{
    Store,
    component::{Component, Instance, InstancePre, Linker, Resource},
};

use super::{
    bindings::{filter, lifecycle, transform, types},
    call::Answer,
    contract::Kind,
    guest::Guest,
    message,
    view::View,
};

/// Shared by all plugins of one file and, where it is a snapshot, of one config.
pub(super) struct Program {
    instance: InstancePre<Guest>,
    entry: Entry,
    /// For what is not a snapshot: every instance is configured. `None`: the code is one, taken after `configure`.
    configure: Option<lifecycle::GuestIndices>,
}

/// The function to call, looked up and type-checked once.
enum Entry {
    Filter(filter::GuestIndices),
    Transform(transform::GuestIndices),
}

impl Program {
    /// Links `component`. Unless it is `configured`, that is the first thing that happens to every instance.
    ///
    /// # Errors
    /// Fails if the component's imports or exports are not of the contract's types.
    pub(super) fn new(
        linker: &Linker<Guest>,
        component: &Component,
        kind: Kind,
        configured: bool,
    ) -> wasmtime::Result<Self> {
        let instance = linker.instantiate_pre(component)?;
        let entry = match kind {
            Kind::Filter => Entry::Filter(filter::GuestIndices::new(&instance)?),
            Kind::Transform => Entry::Transform(transform::GuestIndices::new(&instance)?),
        };
        let configure = (!configured).then(|| lifecycle::GuestIndices::new(&instance)).transpose()?;
        Ok(Self { instance, entry, configure })
    }

    pub(super) fn kind(&self) -> Kind {
        match self.entry {
            Entry::Filter(_) => Kind::Filter,
            Entry::Transform(_) => Kind::Transform,
        }
    }

    #[cfg(test)]
    pub(super) fn configure_is_done(&self) -> bool {
        self.configure.is_none()
    }

    /// Makes an instance, ready to be called.
    pub(super) async fn instantiate(
        &self,
        store: &mut Store<Guest>,
        config: &str,
    ) -> Result<Instance, Fault> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        if let Some(configure) = &self.configure {
            let lifecycle = configure.load(&mut *store, &instance)?;
            lifecycle.call_configure(&mut *store, config).await??;
        }
        Ok(instance)
    }

    /// Calls the plugin with the event of `view`, which is also in the store.
    pub(super) async fn run(
        &self,
        store: &mut Store<Guest>,
        config: &str,
        view: &View,
    ) -> Result<Answer, Fault> {
        let instance = self.instantiate(store, config).await?;
        self.call(store, &instance, view).await
    }

    /// Calls an instance; see [`run`](Self::run).
    pub(super) async fn call(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
        view: &View,
    ) -> Result<Answer, Fault> {
        // The store has one event, so its handle needs no number.
        let event = Resource::new_borrow(0);
        match &self.entry {
            Entry::Filter(indices) => {
                let filter = indices.load(&mut *store, instance)?;
                Ok(filter.call_filter(&mut *store, event).await??.into())
            }
            Entry::Transform(indices) => {
                let transform = indices.load(&mut *store, instance)?;
                let messages = transform.call_transform(&mut *store, event, view.body()).await??;
                Ok(Answer::Messages(message::drafts(messages)?))
            }
        }
    }
}

/// Why a run came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The guest says so.
    Guest(types::Error),
    /// The guest was stopped.
    Stopped(wasmtime::Error),
    /// The guest's answer is not one that can be used.
    Answer(String),
}

impl Fault {
    /// Whether the guest itself said so, and can be called again.
    pub(super) fn is_guests(&self) -> bool {
        matches!(self, Self::Guest(_))
    }

    /// Whether the guest was stopped, so that it cannot be entered again.
    pub(super) fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped(_))
    }
}

impl From<types::Error> for Fault {
    fn from(error: types::Error) -> Self {
        Self::Guest(error)
    }
}

impl From<wasmtime::Error> for Fault {
    fn from(error: wasmtime::Error) -> Self {
        Self::Stopped(error)
    }
}

impl From<message::Refused> for Fault {
    fn from(refused: message::Refused) -> Self {
        Self::Answer(refused.to_string())
    }
}
