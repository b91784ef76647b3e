//! Batches: what becomes of several messages together.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Window};

/// A plugin that folds several messages into one or a few. Registered with [`batch!`](crate::batch!).
pub trait Batch: Sized {
    /// The `config` table beside `batch`. Use `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error,
    /// and `()` for a plugin that has nothing to configure.
    type Config: DeserializeOwned;

    /// Makes the plugin from its config: once, when the gateway loads it.
    ///
    /// # Errors
    /// [`Error::config`] for a value that can't be used: the gateway then keeps its old configuration and
    /// shows the operator the reason.
    fn configure(config: Self::Config) -> Result<Self, Error>;

    /// Folds messages that are to be delivered together. Every batch starts from what
    /// `configure` left behind: what this call changes through `Cell`s and the like, no other batch sees.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Other`] split the batch in halves, so that a message that can't be handled
    /// is found, and becomes a dead letter alone. After [`Error::Retry`] the batch is formed again later.
    fn batch(&self, window: &Window) -> Result<Vec<Folded>, Error>;
}

/// One thing to deliver, made of several messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it is delivered only if it is returned"]
pub struct Folded {
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) items: Option<Vec<u32>>,
}

impl Folded {
    /// A body without headers that stands for every item.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::default() }
    }

    /// A JSON body with its `content-type`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the value has no JSON form, such as a map whose keys are not text.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Ok(Self::new(serde_json::to_vec(value)?).header("content-type", "application/json"))
    }

    /// Sets a header: replaces the ones of this name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        let mut name = name.into();
        name.make_ascii_lowercase();
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Says which items are in it, by their places from 0; without this, all are. Items that are in nothing that
    /// is returned are not delivered, and count as done.
    pub fn of(mut self, items: impl IntoIterator<Item = u32>) -> Self {
        self.items = Some(items.into_iter().collect());
        self
    }

    /// The headers, in order; names are lower-case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The places of the items that are in it; `None` means all.
    pub fn items(&self) -> Option<&[u32]> {
        self.items.as_deref()
    }
}

/// Makes a type that implements [`Batch`] the plugin of this crate. Once per crate, which has
/// `crate-type = ["cdylib", "rlib"]`.
#[macro_export]
macro_rules! batch {
    ($plugin:ty) => {
        $crate::guest_lifecycle!($plugin, $crate::Batch);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::guest::batch::exports::sluice::plugin::batch as contract;

            struct Guest;

            impl contract::Guest for Guest {
                fn batch(
                    window: &contract::Window,
                ) -> Result<::std::vec::Vec<contract::Folded>, contract::Error> {
                    __sluice_with_plugin(|plugin| $crate::guest::batch_window(plugin, window))
                }
            }

    $crate::guest::batch::export_batch!(Guest with_types_in $crate::guest::batch);
        };
    };
}
