//! Transforms: what becomes of events.

use serde::de::DeserializeOwned;

use crate::{Body, Error, Event, Message};

/// A plugin that makes messages of events. Registered with [`transform!`](crate::transform!).
pub trait Transform: Sized {
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

    /// Makes messages of one event, or drops it. Every event starts from what `configure` left behind: what this
    /// call changes through `Cell`s and the like, no other event sees.
    ///
    /// # Errors
    /// Each kind of [`Error`] says what becomes of the event.
    fn transform(&self, event: &Event, body: Body) -> Result<Outcome, Error>;
}

/// What becomes of an event. One [`Message`], or a `Vec` of them, turns into it with `into()`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an outcome counts only if it is returned"]
pub enum Outcome {
    /// These are delivered, or go on to the next step. None at all drops the event, without a reason.
    Deliver(Vec<Message>),
    /// The event ends here, for a reason that operators see in its history.
    Drop(String),
}

impl Outcome {
    /// Drops the event for this reason.
    pub fn drop(reason: impl Into<String>) -> Self {
        Self::Drop(reason.into())
    }

    /// What is delivered; nothing of an event that is dropped.
    pub fn messages(&self) -> &[Message] {
        match self {
            Self::Deliver(messages) => messages,
            Self::Drop(_) => &[],
        }
    }
}

impl From<Outcome> for Vec<Message> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Deliver(messages) => messages,
            Outcome::Drop(_) => Self::new(),
        }
    }
}

impl From<Message> for Outcome {
    fn from(message: Message) -> Self {
        Self::Deliver(vec![message])
    }
}

impl From<Vec<Message>> for Outcome {
    fn from(messages: Vec<Message>) -> Self {
        Self::Deliver(messages)
    }
}

/// Makes a type that implements [`Transform`] the plugin of this crate. Once per crate, which has
/// `crate-type = ["cdylib", "rlib"]`.
#[macro_export]
macro_rules! transform {
    ($plugin:ty) => {
        $crate::guest_lifecycle!($plugin, $crate::Transform);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::guest::transform::exports::sluice::plugin::transform as contract;

            struct Guest;

            impl contract::Guest for Guest {
                fn transform(
                    event: &contract::Event,
                    body: ::std::vec::Vec<u8>,
                ) -> Result<contract::Outcome, contract::Error> {
                    __sluice_with_plugin(|plugin| $crate::guest::transform_event(plugin, event, body))
                }
            }

    $crate::guest::transform::export_transform!(Guest with_types_in $crate::guest::transform);
        };
    };
}
