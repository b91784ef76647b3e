//! A plugin's code, compiled and configured: what every call starts from.

use wasmtime::{
    Store,
    component::{Component, Instance, InstancePre, Linker, Resource},
};

use super::{
    bindings::{batch, filter, transform, types, v0_1, verify},
    call::{Answer, Judgement},
    configure::Lifecycle,
    contract::{Checked, Contract, Kind},
    guest::Guest,
    message,
    view::View,
    window::{Folded, Window},
};

/// Shared by all plugins of one file and, where it is a snapshot, of one config.
pub(super) struct Program {
    instance: InstancePre<Guest>,
    kind: Kind,
    entry: Entry,
    /// For what is not a snapshot: every instance is configured. `None`: the code is one, taken after `configure`.
    configure: Option<Lifecycle>,
}

/// The function to call, looked up and type-checked once.
enum Entry {
    Verify(verify::GuestIndices),
    Filter(filter::GuestIndices),
    Transform(transform::GuestIndices),
    Batch(batch::GuestIndices),
    FilterV0_1(v0_1::filter::GuestIndices),
    TransformV0_1(v0_1::transform::GuestIndices),
}

impl Program {
    /// Links `component`. Unless it is `configured`, that is the first thing that happens to every instance.
    ///
    /// # Errors
    /// Fails if the component's imports or exports are not of the contract's types.
    pub(super) fn new(
        linker: &Linker<Guest>,
        component: &Component,
        checked: Checked,
        configured: bool,
    ) -> wasmtime::Result<Self> {
        let instance = linker.instantiate_pre(component)?;
        let entry = Entry::new(&instance, checked)?;
        let configure = (!configured).then(|| Lifecycle::new(&instance, checked.contract)).transpose()?;
        Ok(Self { instance, kind: checked.kind, entry, configure })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
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
        if let Some(lifecycle) = &self.configure {
            lifecycle.configure(&mut *store, &instance, config).await?;
        }
        Ok(instance)
    }

    /// Calls a filter or a transform with the event of `view`, which is also in the store.
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
                let outcome = transform.call_transform(&mut *store, event, view.body()).await??;
                Ok(message::answer(outcome)?)
            }
            Entry::FilterV0_1(indices) => {
                let filter = indices.load(&mut *store, instance)?;
                let decision = filter.call_filter(&mut *store, event).await??;
                Ok(super::bindings::filter::Decision::from(decision).into())
            }
            Entry::TransformV0_1(indices) => {
                let transform = indices.load(&mut *store, instance)?;
                let messages = transform.call_transform(&mut *store, event, view.body()).await??;
                Ok(message::answer(messages.into())?)
            }
            Entry::Verify(_) | Entry::Batch(_) => Err(self.another_kind()),
        }
    }

    /// Calls a `verify` plugin with the request that is in the store.
    pub(super) async fn judge(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
    ) -> Result<Judgement, Fault> {
        let Entry::Verify(indices) = &self.entry else { return Err(self.another_kind()) };
        let verify = indices.load(&mut *store, instance)?;
        Ok(verify.call_verify(&mut *store, Resource::new_borrow(0)).await??.into())
    }

    /// Calls a `batch` plugin with the window, which is also in the store.
    pub(super) async fn fold(
        &self,
        store: &mut Store<Guest>,
        instance: &Instance,
        window: &Window,
    ) -> Result<Vec<Folded>, Fault> {
        let Entry::Batch(indices) = &self.entry else { return Err(self.another_kind()) };
        let batch = indices.load(&mut *store, instance)?;
        let made = batch.call_batch(&mut *store, Resource::new_borrow(0)).await??;
        Ok(message::folded(made, window.items.len())?)
    }

    /// Whoever loads a plugin says what for, so this does not come up.
    fn another_kind(&self) -> Fault {
        Fault::Answer(format!("is a `{}` plugin and was called as another kind", self.kind.name()))
    }
}

impl Entry {
    fn new(instance: &InstancePre<Guest>, Checked { contract, kind }: Checked) -> wasmtime::Result<Self> {
        Ok(match (contract, kind) {
            (Contract::V0_1, Kind::Filter) => Self::FilterV0_1(v0_1::filter::GuestIndices::new(instance)?),
            (Contract::V0_1, Kind::Transform) => {
                Self::TransformV0_1(v0_1::transform::GuestIndices::new(instance)?)
            }
            (_, Kind::Verify) => Self::Verify(verify::GuestIndices::new(instance)?),
            (_, Kind::Batch) => Self::Batch(batch::GuestIndices::new(instance)?),
            (Contract::V1, Kind::Filter) => Self::Filter(filter::GuestIndices::new(instance)?),
            (Contract::V1, Kind::Transform) => Self::Transform(transform::GuestIndices::new(instance)?),
        })
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

impl From<v0_1::types::Error> for Fault {
    fn from(error: v0_1::types::Error) -> Self {
        Self::Guest(error.into())
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
