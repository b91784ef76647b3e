//! Native tests of a plugin: configure it as the gateway would, and see what it logged.
//!
//! ```
//! # use sluice_plugin::{Decision, Error, Event, Filter};
//! # struct Small { limit: u64 }
//! # #[derive(serde::Deserialize)] struct Config { limit: u64 }
//! # impl Filter for Small {
//! #     type Config = Config;
//! #     fn configure(config: Config) -> Result<Self, Error> { Ok(Self { limit: config.limit }) }
//! #     fn filter(&self, event: &Event) -> Result<Decision, Error> {
//! #         Ok(Decision::keep_if(event.body_len() <= self.limit, "too large"))
//! #     }
//! # }
//! use sluice_plugin::testing;
//!
//! let small: Small = testing::filter(r#"{ "limit": 3 }"#).unwrap();
//! assert_eq!(small.filter(&Event::builder().body("four").build()), Ok(Decision::drop("too large")));
//!
//! let error = testing::filter::<Small>("{}").err().unwrap();
//! assert_eq!(error, Error::config("missing field `limit`"));
//! ```

use std::{cell::RefCell, mem};

pub(crate) use granted::{answer, with_store};
pub use granted::{answer_http, grant_kv, pass_time};

use crate::{Batch, Error, Filter, Transform, Verify, config, log::Level};

mod granted;

/// Configures a filter from its config in JSON, as the gateway does.
///
/// # Errors
/// What an operator would be shown: [`Error::Config`] for a config that can't be read, or the plugin's own.
pub fn filter<P: Filter>(config: &str) -> Result<P, Error> {
    P::configure(config::read(config)?)
}

/// Configures a transform from its config in JSON, as the gateway does.
///
/// # Errors
/// What an operator would be shown: [`Error::Config`] for a config that can't be read, or the plugin's own.
pub fn transform<P: Transform>(config: &str) -> Result<P, Error> {
    P::configure(config::read(config)?)
}

/// Configures a verifier from its config in JSON, as the gateway does.
///
/// # Errors
/// What an operator would be shown: [`Error::Config`] for a config that can't be read, or the plugin's own.
pub fn verify<P: Verify>(config: &str) -> Result<P, Error> {
    P::configure(config::read(config)?)
}

/// Configures a batch plugin from its config in JSON, as the gateway does.
///
/// # Errors
/// What an operator would be shown: [`Error::Config`] for a config that can't be read, or the plugin's own.
pub fn batch<P: Batch>(config: &str) -> Result<P, Error> {
    P::configure(config::read(config)?)
}

/// Sets the secrets that [`secrets`](crate::secrets) asks on this thread, instead of those it had.
pub fn set_secrets<S: Into<String>>(secrets: impl IntoIterator<Item = S>) {
    SECRETS.set(secrets.into_iter().map(Into::into).collect());
}

/// Takes the lines logged on this thread since the last call, in order.
pub fn take_log() -> Vec<(Level, String)> {
    LINES.with_borrow_mut(mem::take)
}

/// Takes what was counted on this thread since the last call, in order: name and amount.
pub fn take_counts() -> Vec<(String, u64)> {
    COUNTS.with_borrow_mut(mem::take)
}

thread_local! {
    static SECRETS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static COUNTS: RefCell<Vec<(String, u64)>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn with_secrets<T>(ask: impl FnOnce(&[String]) -> T) -> T {
    SECRETS.with_borrow(|secrets| ask(secrets))
}

pub(crate) fn record_line(level: Level, message: &str) {
    LINES.with_borrow_mut(|lines| lines.push((level, message.to_owned())));
}

pub(crate) fn record_count(name: &str, by: u64) {
    COUNTS.with_borrow_mut(|counts| counts.push((name.to_owned(), by)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_and_counts_are_collected() {
        let n = 2;
        crate::warn!("{n} items");
        crate::log::count("items", n);
        assert_eq!(take_log(), [(Level::Warn, "2 items".to_owned())]);
        assert_eq!(take_counts(), [("items".to_owned(), 2)]);
        assert!(take_log().is_empty());
    }
}
