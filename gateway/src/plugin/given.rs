//! Whatever a plugin can be called with, and whatever it can say to that: for tools that take every kind.

use wasmtime::{Store, component::Instance};

use super::{
    Answer, Call, Claimed, Folded, Judgement, Plugin, View, Window,
    guest::{Guest, Subject},
    program::{Fault, Program},
};

/// What a plugin is called with. Cheap to clone.
#[derive(Clone)]
pub enum Given {
    /// For a `verify` plugin.
    Request(Claimed),
    /// For a filter or a transform.
    Event(View),
    /// For a `batch` plugin.
    Window(Window),
}

/// What a plugin of any kind decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Judged(Judgement),
    Decided(Answer),
    Folded {
        made: Vec<Folded>,
        /// How many items there were.
        of: usize,
    },
}

impl Given {
    /// Calls an instance that has this in its store.
    pub(super) async fn put_to(
        &self,
        program: &Program,
        store: &mut Store<Guest>,
        instance: &Instance,
    ) -> Result<Reply, Fault> {
        match self {
            Self::Request(_) => program.judge(store, instance).await.map(Reply::Judged),
            Self::Event(view) => program.call(store, instance, view).await.map(Reply::Decided),
            Self::Window(window) => {
                let made = program.fold(store, instance, window).await?;
                Ok(Reply::Folded { made, of: window.items.len() })
            }
        }
    }
}

impl From<Given> for Subject {
    fn from(given: Given) -> Self {
        match given {
            Given::Request(claimed) => Self::Request(claimed),
            Given::Event(view) => Self::Event(view),
            Given::Window(window) => Self::Window(window),
        }
    }
}

impl Plugin {
    /// Calls a plugin of any kind, as [`call`](Self::call), [`judge`](Self::judge) or [`fold`](Self::fold). One of
    /// another kind than what is given answers with an error.
    pub async fn answer(&self, given: &Given) -> Call<Reply> {
        match given {
            Given::Request(claimed) => self.judge(claimed.clone()).await.map(Reply::Judged),
            Given::Event(view) => self.call(view).await.map(Reply::Decided),
            Given::Window(window) => {
                let of = window.items.len();
                self.fold(window).await.map(|made| Reply::Folded { made, of })
            }
        }
    }
}
