//! The result of one call of a plugin.

use std::{fmt, time::Duration};

use wasmtime::{Trap, WasmBacktrace};

use super::{
    bindings::{filter, types, verify},
    limits::{LimitHit, iec},
    log::tidy,
    program::Fault,
    view::Draft,
};
use crate::config::Limits;

/// What came of one call.
#[derive(Debug)]
pub struct Call<T = Answer> {
    pub answer: Result<T, CallError>,
    /// From a fresh instance to its end, without the wait for a free slot.
    pub elapsed: Duration,
    /// What the plugin said.
    pub log: Vec<String>,
}

/// What a plugin decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A filter keeps the event.
    Keep,
    /// A filter or a transform drops it, for this reason.
    Drop(String),
    /// A transform made these.
    Messages(Vec<Draft>),
}

impl From<filter::Decision> for Answer {
    fn from(decision: filter::Decision) -> Self {
        match decision {
            filter::Decision::Keep => Self::Keep,
            filter::Decision::Drop(reason) => Self::Drop(tidy(reason)),
        }
    }
}

/// What a `verify` plugin says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    Accept {
        delivery_id: Option<String>,
        event_type: Option<String>,
    },
    /// For a reason that the log shows and the sender does not see.
    Reject(String),
    /// A handshake's answer, as the plugin made it.
    Respond {
        status: u16,
        headers: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
    },
}

impl From<verify::Judgement> for Judgement {
    fn from(judgement: verify::Judgement) -> Self {
        match judgement {
            verify::Judgement::Accept(verify::Proven { delivery_id, event_type }) => {
                Self::Accept { delivery_id, event_type }
            }
            verify::Judgement::Reject(reason) => Self::Reject(tidy(reason)),
            verify::Judgement::Respond(verify::Reply { status, headers, body }) => {
                Self::Respond { status, headers, body }
            }
        }
    }
}

/// Why a call gave no answer. Says nothing of which plugin it was: the caller knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The plugin can never handle this event.
    #[error("cannot handle this event: {0}")]
    Invalid(String),
    /// It may work later.
    #[error("wants to be called again: {reason}")]
    Retry { reason: String, after: Option<Duration> },
    /// The operator must act.
    #[error("says that its config is wrong: {0}")]
    Config(String),
    /// Anything else, and answers that cannot be used.
    #[error("failed: {0}")]
    Other(String),
    #[error("trapped: {reason}{}", Frames(frames))]
    Trap {
        reason: String,
        /// The names of the functions it was in, innermost first.
        frames: Vec<String>,
    },
    #[error("was stopped: it ran for longer than {}, its limit", humantime::format_duration(*limit))]
    TimeLimit { limit: Duration },
    #[error("was stopped: it wanted {} of memory, its limit is {}", iec(*wanted), iec(*limit))]
    MemoryLimit { wanted: usize, limit: usize },
    #[error("was stopped: it handed over more than {}, the limit of its output", iec(*limit))]
    OutputLimit { limit: usize },
    #[error("was stopped: it waited for longer than {}, its limit", humantime::format_duration(*limit))]
    WaitLimit { limit: Duration },
    #[error("made too many messages: {made}, the limit for an event is {limit}")]
    MessageLimit { made: usize, limit: usize },
    #[error("made messages that are larger than {} together, the limit for an event", iec(*limit))]
    BytesLimit { limit: usize },
}

/// How wasmtime, whose error type for this is private, says that the output limit was hit.
const OUT_OF_HOSTCALL_FUEL: &str = "fuel allocated for hostcalls has been exhausted";
/// Function names of a backtrace kept.
const FRAMES: usize = 8;
/// What is part of the names of functions that only a panic calls.
const PANIC: [&str; 4] =
    ["core::panicking::", "rust_begin_unwind", "core::option::unwrap_failed", "core::result::unwrap_failed"];

impl CallError {
    pub(super) fn new(fault: Fault, limits: &Limits) -> Self {
        match fault {
            Fault::Guest(error) => error.into(),
            Fault::Stopped(error) => Self::stopped(&error, limits),
            Fault::Answer(reason) => Self::Other(reason),
        }
    }

    /// Every outcome that a call can have, as history and metrics name it.
    pub(crate) const OUTCOMES: [&str; 9] = [
        "invalid",
        "retry",
        "config",
        "other",
        "trap",
        "time-limit",
        "memory-limit",
        "output-limit",
        "wait-limit",
    ];

    /// One of [`OUTCOMES`](Self::OUTCOMES).
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Retry { .. } => "retry",
            Self::Config(_) => "config",
            Self::Other(_) => "other",
            Self::Trap { .. } => "trap",
            Self::TimeLimit { .. } => "time-limit",
            Self::MemoryLimit { .. } => "memory-limit",
            Self::WaitLimit { .. } => "wait-limit",
            Self::OutputLimit { .. } | Self::MessageLimit { .. } | Self::BytesLimit { .. } => "output-limit",
        }
    }

    /// Whether the plugin was cut off in the middle, or its answer is beyond its limits: what never happens to one
    /// that is sound.
    pub fn is_plugins_fault(&self) -> bool {
        match self {
            Self::Trap { .. }
            | Self::TimeLimit { .. }
            | Self::MemoryLimit { .. }
            | Self::WaitLimit { .. }
            | Self::OutputLimit { .. }
            | Self::MessageLimit { .. }
            | Self::BytesLimit { .. } => true,
            Self::Invalid(_) | Self::Retry { .. } | Self::Config(_) | Self::Other(_) => false,
        }
    }

    fn stopped(error: &wasmtime::Error, limits: &Limits) -> Self {
        if let Some(hit) = error.downcast_ref::<LimitHit>() {
            return match *hit {
                LimitHit::Time { limit } => Self::TimeLimit { limit },
                LimitHit::Memory { wanted, limit } => Self::MemoryLimit { wanted, limit },
                LimitHit::Wait { limit } => Self::WaitLimit { limit },
            };
        }
        let cause = error.root_cause().to_string();
        if cause.contains(OUT_OF_HOSTCALL_FUEL) {
            return Self::OutputLimit { limit: limits.output };
        }
        let reason = error.downcast_ref::<Trap>().map_or(cause, ToString::to_string);
        Self::Trap { reason: reason.trim_start_matches("wasm trap: ").to_owned(), frames: frames(error) }
    }
}

impl From<types::Error> for CallError {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::Invalid(reason) => Self::Invalid(tidy(reason)),
            types::Error::Retry(types::RetryLater { reason, after_ms }) => Self::Retry {
                reason: tidy(reason),
                after: after_ms.map(|ms| Duration::from_millis(ms.into())),
            },
            types::Error::Config(reason) => Self::Config(tidy(reason)),
            types::Error::Other(reason) => Self::Other(tidy(reason)),
        }
    }
}

fn frames(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => tidy(format!("{:#}", rustc_demangle::demangle(name))),
        None => format!("function {}", frame.func_index()),
    };
    let names: Vec<_> = backtrace.frames().iter().map(name).collect();
    // A panic of Rust's goes through as many functions of the library as are kept.
    let panic = names.iter().rposition(|name| PANIC.iter().any(|part| name.contains(part)));
    let own = panic.map_or(0, |last| last + 1);
    names.iter().skip(if own < names.len() { own } else { 0 }).take(FRAMES).cloned().collect()
}

struct Frames<'a>(&'a [String]);

impl fmt::Display for Frames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, frame) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { " in " } else { " < " })?;
            f.write_str(frame)?;
        }
        Ok(())
    }
}
