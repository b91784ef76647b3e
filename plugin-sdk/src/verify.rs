//! Verifiers: who sent a request.

use serde::de::DeserializeOwned;

use crate::{Error, Request};

/// A plugin that proves who sent a request, for what no preset and no scheme of the config can say. Registered
/// with [`verify!`](crate::verify!).
///
/// The route's secrets stay with the gateway: see [`secrets`](crate::secrets).
pub trait Verify: Sized {
    /// The `config` table beside `verify`. Use `#[serde(deny_unknown_fields)]`, so that a misspelt key is an
    /// error, and `()` for a plugin that has nothing to configure.
    type Config: DeserializeOwned;

    /// Makes the plugin from its config: once, when the gateway loads it. Do here what need not be done for
    /// every request, such as reading a public key.
    ///
    /// # Errors
    /// [`Error::config`] for a value that can't be used: the gateway then keeps its old configuration and
    /// shows the operator the reason.
    fn configure(config: Self::Config) -> Result<Self, Error>;

    /// Judges one request, while its sender waits. Every request starts from what `configure` left behind: what
    /// this call changes through `Cell`s and the like, no other request sees.
    ///
    /// # Errors
    /// [`Error::Invalid`] refuses the request, as [`Judgement::Reject`] does. After any other error the sender is
    /// told to try again later.
    fn verify(&self, request: &Request) -> Result<Judgement, Error>;
}

/// What is to become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a judgement counts only if it is returned"]
pub enum Judgement {
    /// It is genuine.
    Accept(Proven),
    /// It is refused, for a reason that the log shows and the sender does not see.
    Reject(String),
    /// It is not an event but a question; this is the answer.
    Respond(Reply),
}

impl Judgement {
    /// The request is genuine, and nothing more is known of it.
    pub fn accept() -> Self {
        Self::Accept(Proven::default())
    }

    /// Refuses the request for this reason.
    pub fn reject(reason: impl Into<String>) -> Self {
        Self::Reject(reason.into())
    }

    /// Accepts the request if the condition holds, else refuses it for this reason.
    pub fn accept_if(condition: bool, reason: &str) -> Self {
        if condition { Self::accept() } else { Self::reject(reason) }
    }
}

impl From<Proven> for Judgement {
    fn from(proven: Proven) -> Self {
        Self::Accept(proven)
    }
}

impl From<Reply> for Judgement {
    fn from(reply: Reply) -> Self {
        Self::Respond(reply)
    }
}

/// What is known of a genuine request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it counts only if it is returned"]
pub struct Proven {
    pub(crate) delivery_id: Option<String>,
    pub(crate) event_type: Option<String>,
}

impl Proven {
    /// Sets the provider's id of it: a second request of the same id is a duplicate. Over 512 bytes it is left out.
    pub fn delivery_id(mut self, id: impl Into<String>) -> Self {
        self.delivery_id = Some(id.into());
        self
    }

    /// Sets the provider's event type, e.g. `issues`. Over 512 bytes it is left out.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it counts only if it is returned"]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// An answer without headers. Statuses from 200 to 499 can be given.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// 200 with a text, as most challenges want it.
    pub fn text(body: impl Into<String>) -> Self {
        Self::new(200, body.into()).header("content-type", "text/plain; charset=utf-8")
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }
}

/// Makes a type that implements [`Verify`] the plugin of this crate. Once per crate, which has
/// `crate-type = ["cdylib", "rlib"]`.
#[macro_export]
macro_rules! verify {
    ($plugin:ty) => {
        $crate::guest_lifecycle!($plugin, $crate::Verify);

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::guest::verify::exports::sluice::plugin::verify as contract;

            struct Guest;

            impl contract::Guest for Guest {
                fn verify(request: &contract::Request) -> Result<contract::Judgement, contract::Error> {
                    __sluice_with_plugin(|plugin| $crate::guest::verify_request(plugin, request))
                }
            }

    $crate::guest::verify::export_verify!(Guest with_types_in $crate::guest::verify);
        };
    };
}
