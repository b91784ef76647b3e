//! Write [Sluice](https://github.com/sluice-webhooks/sluice) plugins in Rust: WebAssembly that sees a webhook on its
//! way through the gateway.
//!
//! # A complete plugin
//!
//! ```
//! use sluice_plugin::{Body, Error, Event, Message, Outcome, Transform};
//!
//! /// Tells a chat channel what an issue is called. The step's `config` is all that it keeps.
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct ToChat {
//!     channel: String,
//! }
//!
//! impl Transform for ToChat {
//!     type Config = Self;
//!
//!     fn configure(config: Self) -> Result<Self, Error> {
//!         Ok(config)
//!     }
//!
//!     fn transform(&self, _event: &Event, body: Body) -> Result<Outcome, Error> {
//!         let webhook: serde_json::Value = body.json()?;
//!         let text = &webhook["issue"]["title"];
//!         Ok(Message::json(&serde_json::json!({ "channel": self.channel, "text": text }))?.into())
//!     }
//! }
//!
//! sluice_plugin::transform!(ToChat);
//!
//! // And its test, which needs no gateway:
//! let plugin: ToChat = sluice_plugin::testing::transform(r#"{ "channel": "dev" }"#).unwrap();
//! let body = br#"{ "action": "opened", "issue": { "number": 7, "title": "It works" } }"#;
//! let outcome = plugin.transform(&Event::builder().build(), body.to_vec().into()).unwrap();
//! assert_eq!(outcome.messages()[0].body(), br#"{"channel":"dev","text":"It works"}"#);
//! ```
//!
//! `sluice plugin new NAME` makes such a crate, with `crate-type = ["cdylib", "rlib"]` and the build settings that make
//! a fresh copy cost microseconds, `sluice plugin build` builds it, and a gateway loads it with the `config` that the
//! operator wrote. What the config's type does not take stops the reload, with the reason at its place in the file.
//!
//! # The four kinds
//!
//! A plugin is of one kind: a trait that it implements, and the macro of the same name, once per crate.
//!
//! | Kind | Called with | Answers | When |
//! |---|---|---|---|
//! | [`Verify`], [`verify!`] | a [`Request`]; [`secrets`] | [`Judgement`]: genuine, refused, or a handshake's answer | a request has come in, and its sender waits |
//! | [`Filter`], [`filter!`] | an [`Event`] | [`Decision`]: keep or drop | the event is safe on disk, and nobody waits |
//! | [`Transform`], [`transform!`] | an [`Event`] and its [`Body`] | [`Outcome`]: [`Message`]s, or drop | likewise |
//! | [`Batch`], [`batch!`] | a [`Window`] of [`Item`]s | [`Folded`]s: fewer messages than it had | messages have gathered, before they are delivered |
//!
//! Each is configured once, when the gateway loads it, and then called in a fresh copy of itself: nothing leaks from
//! one event to the next. An [`Error`] says what is to become of what it was called with.
//!
//! The route's **secrets** stay in the gateway: a verifier asks [`secrets`] whether a tag is by one of them. What a
//! batch plugin gets is a **window**: messages to one destination, in the order in which they came, each with the id
//! that it would have alone.
//!
//! [`json`] takes a few values out of a large body without reading all of it, [`log`](mod@log) has lines and counters
//! for operators, and `testing` what native tests need.
//!
//! # What a plugin can't do
//!
//! It has no clock, files, network, environment or randomness, and no threads. Time and ids come with the
//! event, so a replay gives the same result. Where the config grants it, there are [`kv`] and [`http`].
//! A panic stops the plugin for this event alone; its message is in the plugin's log.
//!
//! # Memory
//!
//! On wasm the crate brings a global allocator that gives nothing back, because the whole memory is thrown away
//! after the event. A plugin that is run with `isolation = "pooled"`, or wants an allocator of its own, turns it
//! off: `sluice-plugin = { …, default-features = false }`.

#![warn(missing_docs)]

pub use batch::{Batch, Folded};
pub use body::Body;
pub use error::Error;
pub use event::Event;
pub use filter::{Decision, Filter};
pub use message::Message;
pub use request::Request;
pub use transform::{Outcome, Transform};
pub use verify::{Judgement, Proven, Reply, Verify};
pub use window::{Item, Window};

#[cfg(not(target_arch = "wasm32"))]
pub use {
    event::EventBuilder,
    request::RequestBuilder,
    window::{ItemBuilder, WindowBuilder},
};

pub mod http;
pub mod json;
pub mod kv;
pub mod log;
pub mod secrets;

#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[doc(hidden)]
pub mod guest;

#[cfg(any(test, all(target_arch = "wasm32", feature = "arena")))]
mod arena;
mod batch;
mod bindings;
mod body;
mod config;
mod error;
mod event;
mod filter;
mod message;
#[cfg(not(target_arch = "wasm32"))]
mod pairs;
mod query;
mod request;
mod transform;
mod verify;
mod window;

/// The README's plugin compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So does the one in the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ProjectReadme;

/// And those in the pages about plugins.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../docs/plugins/kinds.md")]
    struct Kinds;

    #[doc = include_str!("../../docs/plugins/rust.md")]
    struct Rust;

    #[doc = include_str!("../../docs/plugins/testing.md")]
    struct Testing;
}
