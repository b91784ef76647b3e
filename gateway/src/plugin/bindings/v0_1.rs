//! The first version of the contract: what a plugin of that time hands over and asks for, as the newest has it.
//!
//! Between the two, a transform came to say why it drops an event; `kv` and `http`, and the kinds `verify` and `batch`,
//! were added.

use wasmtime::component::Resource;

use crate::plugin::{View, guest::Guest};

pub(in crate::plugin) const VERSION: &str = "0.1.0";

wasmtime::component::bindgen!({
    path: "../plugin-sdk/wit/v0.1",
    inline: "
        package sluice:gateway;

        world every-kind {
            include sluice:plugin/filter-plugin@0.1.0;
            include sluice:plugin/transform-plugin@0.1.0;
        }
    ",
    world: "sluice:gateway/every-kind",
    with: { "sluice:plugin/incoming.event": crate::plugin::View },
    imports: { default: trappable },
    exports: { default: async },
});

pub(in crate::plugin) use self::sluice::plugin::{host, incoming, types};
pub(in crate::plugin) use exports::sluice::plugin::{filter, lifecycle, transform};

impl From<types::Error> for super::types::Error {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::Invalid(reason) => Self::Invalid(reason),
            types::Error::Retry(types::RetryLater { reason, after_ms }) => {
                Self::Retry(super::types::RetryLater { reason, after_ms })
            }
            types::Error::Config(reason) => Self::Config(reason),
            types::Error::Other(reason) => Self::Other(reason),
        }
    }
}

impl From<types::Decision> for super::filter::Decision {
    fn from(decision: types::Decision) -> Self {
        match decision {
            types::Decision::Keep => Self::Keep,
            types::Decision::Drop(reason) => Self::Drop(reason),
        }
    }
}

impl From<Vec<types::Message>> for super::transform::Outcome {
    fn from(messages: Vec<types::Message>) -> Self {
        Self::Deliver(messages.into_iter().map(super::types::Message::from).collect())
    }
}

impl From<types::Message> for super::types::Message {
    fn from(message: types::Message) -> Self {
        let types::Message { headers, body, destinations, key, attributes } = message;
        Self { headers, body, destinations, key, attributes }
    }
}

impl From<host::Level> for super::host::Level {
    fn from(level: host::Level) -> Self {
        match level {
            host::Level::Trace => Self::Trace,
            host::Level::Debug => Self::Debug,
            host::Level::Info => Self::Info,
            host::Level::Warn => Self::Warn,
            host::Level::Error => Self::Error,
        }
    }
}

impl types::Host for Guest {}

impl host::Host for Guest {
    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        super::host::Host::log(self, level.into(), message)
    }

    fn count(&mut self, name: String, by: u64) -> wasmtime::Result<()> {
        super::host::Host::count(self, name, by)
    }
}

impl incoming::Host for Guest {}

/// The event has not changed since.
macro_rules! as_in_the_newest {
    ($($method:ident($($argument:ident: $type:ty)?) -> $result:ty;)*) => {
        impl incoming::HostEvent for Guest {
            $(fn $method(&mut self, event: Resource<View>, $($argument: $type)?) -> wasmtime::Result<$result> {
                super::incoming::HostEvent::$method(self, event, $($argument)?)
            })*

            fn drop(&mut self, event: Resource<View>) -> wasmtime::Result<()> {
                super::incoming::HostEvent::drop(self, event)
            }
        }
    };
}

as_in_the_newest! {
    id() -> String;
    route() -> String;
    event_type() -> Option<String>;
    received_ms() -> u64;
    attempt() -> u32;
    method() -> String;
    path() -> String;
    query() -> Option<String>;
    param(name: String) -> Option<String>;
    header(name: String) -> Option<Vec<u8>>;
    header_values(name: String) -> Vec<Vec<u8>>;
    headers() -> Vec<(String, Vec<u8>)>;
    body() -> Vec<u8>;
    body_text() -> Option<String>;
    body_len() -> u64;
    attribute(name: String) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::VERSION;

    #[test]
    fn version_is_that_of_the_contract() {
        let wit = include_str!("../../../../plugin-sdk/wit/v0.1/sluice.wit");
        assert!(wit.contains(&format!("\npackage sluice:plugin@{VERSION};\n")));
    }
}
