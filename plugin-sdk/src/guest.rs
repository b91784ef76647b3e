//! What the macros put between the gateway's calls and a plugin. Not part of the API.

pub use crate::bindings::{batch, filter, lifecycle, transform, verify};

#[cfg(target_arch = "wasm32")]
pub use {
    crate::bindings::imports::sluice::plugin::types::Error as ContractError,
    wasm::{batch_window, configure, filter_event, not_configured, transform_event, verify_request},
};

/// Holds the configured plugin and exports the lifecycle.
///
/// The plugin lies in a static, so it is part of the memory that the gateway snapshots after `configure`. A
/// thread-local one, because it asks for no `Sync`: a wasm guest has one thread.
#[doc(hidden)]
#[macro_export]
macro_rules! guest_lifecycle {
    ($plugin:ty, $kind:path) => {
        // So that a missing implementation is an error in native builds too.
        const _: () = {
            const fn implements<P: $kind>() {}
            implements::<$plugin>()
        };

        #[cfg(target_arch = "wasm32")]
        ::std::thread_local! {
            static __SLUICE_PLUGIN: ::std::cell::OnceCell<$plugin> = const { ::std::cell::OnceCell::new() };
        }

        #[cfg(target_arch = "wasm32")]
        fn __sluice_with_plugin<T>(
            call: impl FnOnce(&$plugin) -> Result<T, $crate::guest::ContractError>,
        ) -> Result<T, $crate::guest::ContractError> {
            __SLUICE_PLUGIN.with(|plugin| call(plugin.get().ok_or_else($crate::guest::not_configured)?))
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::guest::lifecycle::exports::sluice::plugin::lifecycle as contract;

            struct Guest;

            impl contract::Guest for Guest {
                fn configure(config: ::std::string::String) -> Result<(), contract::Error> {
                    __SLUICE_PLUGIN.with(|plugin| {
                        $crate::guest::configure(&config, plugin, <$plugin as $kind>::configure)
                    })
                }
            }

    $crate::guest::lifecycle::export_lifecycle!(Guest with_types_in $crate::guest::lifecycle);
        };
    };
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use std::{
        cell::OnceCell,
        panic::{self, PanicHookInfo},
    };

    use serde::de::DeserializeOwned;

    use crate::{
        Batch, Decision, Error, Event, Filter, Folded, Judgement, Message, Outcome, Request, Transform,
        Verify, Window,
        bindings::{
            batch::exports::sluice::plugin::batch,
            filter::exports::sluice::plugin::filter,
            imports::sluice::plugin::{batching, incoming, requests, types},
            transform::exports::sluice::plugin::transform,
            verify::exports::sluice::plugin::verify,
        },
        config,
        log::{Level, log},
    };

    /// Runs once, before the snapshot.
    pub fn configure<C: DeserializeOwned, P>(
        config: &str,
        plugin: &OnceCell<P>,
        make: impl FnOnce(C) -> Result<P, Error>,
    ) -> Result<(), types::Error> {
        panic::set_hook(Box::new(log_panic));
        let configured = config::read(config).and_then(make)?;
        if plugin.set(configured).is_err() {
            return Err(types::Error::Other("plugin was configured twice in one instance".to_owned()));
        }
        #[cfg(feature = "arena")]
        crate::arena::reserve();
        Ok(())
    }

    pub fn verify_request(
        plugin: &impl Verify,
        request: &requests::Request,
    ) -> Result<verify::Judgement, types::Error> {
        Ok(match plugin.verify(Request::of(request))? {
            Judgement::Accept(proven) => verify::Judgement::Accept(verify::Proven {
                delivery_id: proven.delivery_id,
                event_type: proven.event_type,
            }),
            Judgement::Reject(reason) => verify::Judgement::Reject(reason),
            Judgement::Respond(reply) => verify::Judgement::Respond(verify::Reply {
                status: reply.status,
                headers: reply.headers,
                body: reply.body,
            }),
        })
    }

    pub fn filter_event(
        plugin: &impl Filter,
        event: &incoming::Event,
    ) -> Result<filter::Decision, types::Error> {
        Ok(match plugin.filter(Event::of(event))? {
            Decision::Keep => filter::Decision::Keep,
            Decision::Drop(reason) => filter::Decision::Drop(reason),
        })
    }

    pub fn transform_event(
        plugin: &impl Transform,
        event: &incoming::Event,
        body: Vec<u8>,
    ) -> Result<transform::Outcome, types::Error> {
        Ok(match plugin.transform(Event::of(event), body.into())? {
            Outcome::Deliver(messages) => {
                transform::Outcome::Deliver(messages.into_iter().map(types::Message::from).collect())
            }
            Outcome::Drop(reason) => transform::Outcome::Drop(reason),
        })
    }

    pub fn batch_window(
        plugin: &impl Batch,
        window: &batching::Window,
    ) -> Result<Vec<batch::Folded>, types::Error> {
        Ok(plugin.batch(Window::of(window))?.into_iter().map(batch::Folded::from).collect())
    }

    pub fn not_configured() -> types::Error {
        types::Error::Other("plugin was called before it was configured".to_owned())
    }

    /// A panic ends in a trap, which says nothing; the log says what it was.
    fn log_panic(panic: &PanicHookInfo<'_>) {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("a value that is no text");
        log(Level::Error, &format!("panicked at {place}: {message}"));
    }

    impl From<Message> for types::Message {
        fn from(message: Message) -> Self {
            let Message { headers, body, destinations, key, attributes } = message;
            Self { headers, body, destinations, key, attributes }
        }
    }

    impl From<Folded> for batch::Folded {
        fn from(folded: Folded) -> Self {
            let Folded { headers, body, items } = folded;
            Self { headers, body, items }
        }
    }

    impl From<Error> for types::Error {
        fn from(error: Error) -> Self {
            match error {
                Error::Invalid(reason) => Self::Invalid(reason),
                Error::Retry { reason, after } => Self::Retry(types::RetryLater {
                    reason,
                    after_ms: after.map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
                }),
                Error::Config(reason) => Self::Config(reason),
                Error::Other(reason) => Self::Other(reason),
            }
        }
    }
}
