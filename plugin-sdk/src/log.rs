//! What a plugin can tell its operators: lines in its log, and counters in the gateway's metrics.

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything there is to know, for a plugin's author.
    Trace,
    /// Helps to find out why something went as it did.
    Debug,
    /// Worth knowing in normal operation.
    Info,
    /// Something is not as it should be, but the event can go on.
    Warn,
    /// The event could not be handled.
    Error,
}

/// Writes a line to the plugin's log, which is also kept in the event's history.
///
/// Lines over 1 KiB are cut, and lines over the call's budget are counted instead of kept. [`info!`](crate::info)
/// and its siblings format one.
pub fn log(level: Level, message: &str) {
    host::log(level, message);
}

/// Adds to a counter of the plugin, shown in the gateway's metrics. Names are `[a-z0-9_]`, 64 bytes at most.
pub fn count(name: &str, by: u64) {
    host::count(name, by);
}

/// Writes a formatted line to the plugin's log: `log!(Level::Info, "{n} items")`.
#[macro_export]
macro_rules! log {
    ($level:expr, $($message:tt)+) => {
        $crate::log::log($level, &::std::format!($($message)+))
    };
}

/// Writes a formatted line to the plugin's log at [`Level::Debug`](crate::log::Level::Debug).
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log!($crate::log::Level::Debug, $($message)+) };
}

/// Writes a formatted line to the plugin's log at [`Level::Info`](crate::log::Level::Info).
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log!($crate::log::Level::Info, $($message)+) };
}

/// Writes a formatted line to the plugin's log at [`Level::Warn`](crate::log::Level::Warn).
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log!($crate::log::Level::Warn, $($message)+) };
}

/// Writes a formatted line to the plugin's log at [`Level::Error`](crate::log::Level::Error).
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log!($crate::log::Level::Error, $($message)+) };
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::Level;
    use crate::bindings::imports::sluice::plugin::host;

    pub(super) use host::count;

    pub(super) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Trace => host::Level::Trace,
            Level::Debug => host::Level::Debug,
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        };
        host::log(level, message);
    }
}

/// Without a host, lines and counts are collected for the test that runs on this thread.
#[cfg(not(target_arch = "wasm32"))]
mod host {
    use super::Level;
    use crate::testing;

    pub(super) fn log(level: Level, message: &str) {
        testing::record_line(level, message);
    }

    pub(super) fn count(name: &str, by: u64) {
        testing::record_count(name, by);
    }
}
