//! Filters: which events go on.

use serde::de::DeserializeOwned;

use crate::{Error, Event};

/// A plugin that decides which events go on. Registered with [`filter!`](crate::filter!).
pub trait Filter: Sized {
    /// The step's `config` table. Use `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error, and
    /// `()` for a plugin that has nothing to configure.
    type Config: DeserializeOwned;

    /// Makes the plugin from its config: once, when the gateway loads it. Do here what need not be done for
    /// every event, such as compiling patterns.
    ///
    /// # Errors
    /// [`Error::config`] for a value that can't be used: the gateway then keeps its old configuration and
    /// shows the operator the reason.
    fn configure(config: Self::Config) -> Result<Self, Error>;

    /// Decides about one event. Every event starts from what `configure` left behind: what this call changes
    /// through `Cell`s and the like, no other event sees.
    ///
    /// # Errors
    /// Each kind of [`Error`] says what becomes of the event.
    fn filter(&self, event: &Event) -> Result<Decision, Error>;
}

/// What a filter decides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a decision counts only if it is returned"]
pub enum Decision {
    /// The event goes on to the next step.
    Keep,
    /// The event ends here, for a reason that operators see in its history.
    Drop(String),
}

impl Decision {
    /// Drops the event for this reason.
    pub fn drop(reason: impl Into<String>) -> Self {
        Self::Drop(reason.into())
    }

    /// Keeps the event if the condition holds, else drops it for this reason.
    pub fn keep_if(condition: bool, reason: &str) -> Self {
        if condition { Self::Keep } else { Self::Drop(reason.to_owned()) }
    }
}

/// Makes a type that implements [`Filter`] the plugin of this crate. Once per crate, which has
/// `crate-type = ["cdylib", "rlib"]`.
#[macro_export]
macro_rules! filter {
    ($plugin:ty) => {
        $crate::guest_lifecycle!($plugin, $crate::Filter);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::guest::filter::exports::sluice::plugin::filter as contract;

            struct Guest;

            impl contract::Guest for Guest {
                fn filter(event: &contract::Event) -> Result<contract::Decision, contract::Error> {
                    __sluice_with_plugin(|plugin| $crate::guest::filter_event(plugin, event))
                }
            }

    $crate::guest::filter::export_filter!(Guest with_types_in $crate::guest::filter);
        };
    };
}
