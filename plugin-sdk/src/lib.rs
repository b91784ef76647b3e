//! Write [Sluice](https://github.com/sluice-webhooks/sluice) plugins in Rust: WebAssembly that sees a webhook on its
//! way through the gateway.
//!
//! There are four kinds. A [`Verify`] proves who sent a request; a [`Filter`] decides which events go on; a
//! [`Transform`] makes messages of them; a [`Batch`] folds several messages into one. Each is configured once, when
//! the gateway loads it, and then called in a fresh copy of itself: nothing leaks from one event to the next.
//!
//! # A complete plugin
//!
//! ```
//! use serde::Deserialize;
//! use sluice_plugin::{Body, Error, Event, Message, Outcome, Transform};
//!
//! /// Tells a chat channel about new issues.
//! struct ToChat {
//!     channel: String,
//! }
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     channel: String,
//! }
//!
//! #[derive(Deserialize)]
//! struct Webhook<'a> {
//!     #[serde(borrow)]
//!     issue: Issue<'a>,
//! }
//!
//! #[derive(Deserialize)]
//! struct Issue<'a> {
//!     number: u64,
//!     title: std::borrow::Cow<'a, str>,
//! }
//!
//! impl Transform for ToChat {
//!     type Config = Config;
//!
//!     fn configure(config: Config) -> Result<Self, Error> {
//!         Ok(Self { channel: config.channel })
//!     }
//!
//!     fn transform(&self, _event: &Event, body: Body) -> Result<Outcome, Error> {
//!         let Webhook { issue } = body.json()?;
//!         let text = format!("#{}: {}", issue.number, issue.title);
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
//! assert_eq!(outcome.messages()[0].body(), br##"{"channel":"dev","text":"#7: It works"}"##);
//! ```
//!
//! Build it with `cargo build --release --target wasm32-unknown-unknown`; the crate needs
//! `crate-type = ["cdylib", "rlib"]`. The README has the build settings that make a fresh copy cost
//! microseconds.
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
//! after the event. A plugin that wants an allocator of its own turns it off:
//! `sluice-plugin = { …, default-features = false }`.

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
