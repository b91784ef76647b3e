//! `[plugins]`, key for key.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::{Count, Share, written};
use crate::config::{
    self, WhileQuarantined,
    field::Field,
    grant::Origin,
    literal::{Text, Written},
    names::Sha256,
    units::Size,
};

/// A WebAssembly plugin.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Plugin {
    /// The `.wasm` file. It is loaded again when it changes.
    #[schemars(required)]
    pub(in crate::config) file: Option<Text<PathBuf>>,
    /// The file's SHA-256 in hex: anything else is refused.
    pub(in crate::config) sha256: Option<Text<Sha256>>,
    /// What one call may use.
    #[serde(default)]
    pub(in crate::config) limits: Field<Limits>,
    /// When a plugin that traps or reaches its limits is not called any more; `false` to call it regardless.
    #[serde(default)]
    pub(in crate::config) quarantine: Field<Quarantine>,
    /// "event": every call has an instance of its own. "pooled": calls of one route share instances, for runtimes
    /// that are slow to start, such as those of JavaScript and Python.
    #[serde(default)]
    pub(in crate::config) isolation: Field<IsolationName>,
    /// When an instance is not used again. With `isolation = "pooled"` only.
    pub(in crate::config) pool: Option<Field<Pool>>,
    /// What the plugin may use beside the event. What is not granted answers `denied` when it is called.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub(in crate::config) grants: Field<Grants>,
    /// Another file that is tried out beside this one, in steps of pipelines.
    pub(in crate::config) canary: Option<Field<Canary>>,
}

/// How calls are kept apart from each other.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Isolation")]
pub(in crate::config) enum IsolationName {
    #[default]
    Event,
    Pooled,
}

/// When an instance is not used again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Pool {
    /// After so many calls.
    pub(in crate::config) calls: Field<Count<1_000_000>>,
    /// After so long without one, 1ms at least.
    pub(in crate::config) idle: Text<Duration>,
    /// When its memory has grown beyond this, from 64KiB to 4GiB.
    pub(in crate::config) memory: Text<Size>,
}

impl Default for Pool {
    fn default() -> Self {
        let pool = config::Pool::default();
        Self {
            calls: Count(pool.calls).into(),
            idle: written(pool.idle),
            memory: written(Size(pool.memory as u64)),
        }
    }
}

/// What a plugin may use beside the event.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Grants {
    /// A small durable store on each route: how much keys and values may take up, from 1KiB to 1GiB.
    pub(in crate::config) kv: Option<Text<Size>>,
    /// The servers that it may send requests to.
    pub(in crate::config) http: Field<Vec<Field<HttpGrant>>>,
}

/// A server: a host of the public internet, reached over HTTPS, such as "api.example.com", "api.example.com:8443" or
/// "*.example.com"; or a table that says more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "by type", rename_all = "lowercase")]
#[schemars(untagged, rename = "HttpGrant")]
pub(in crate::config) enum HttpGrant {
    String(Written<config::HttpGrant>),
    Table(HttpOrigin),
}

/// A server by its URL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpOrigin {
    /// Scheme, host and port only: "http://users.internal:8080".
    #[schemars(required)]
    pub(in crate::config) url: Option<Text<Origin>>,
    /// Whether the host may have an address of a private network. Plain http is granted with this only.
    #[serde(default)]
    pub(in crate::config) private: Field<bool>,
}

/// A file that is tried out beside a plugin's own. One of `share` and `shadow` is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Canary {
    /// The `.wasm` file. It is loaded again when it changes.
    #[schemars(required)]
    pub(in crate::config) file: Option<Text<PathBuf>>,
    /// The file's SHA-256 in hex: anything else is refused.
    pub(in crate::config) sha256: Option<Text<Sha256>>,
    /// It handles this part of the events in the plugin's place: 0.05 for one in twenty.
    pub(in crate::config) share: Option<Field<Share>>,
    /// It sees a copy of every event; what it makes of them is compared and never delivered.
    #[serde(default)]
    pub(in crate::config) shadow: Field<bool>,
}

/// When a plugin is not called any more, or `false`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "by type", rename_all = "lowercase")]
#[schemars(untagged, rename = "Quarantine")]
pub(in crate::config) enum Quarantine {
    Table(QuarantineTable),
    Boolean(bool),
}

impl Default for Quarantine {
    fn default() -> Self {
        Self::Table(QuarantineTable::default())
    }
}

impl Serialize for Quarantine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Table(table) => table.serialize(serializer),
            Self::Boolean(on) => on.serialize(serializer),
        }
    }
}

/// When a plugin is not called any more, and what becomes of the events meanwhile.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct QuarantineTable {
    /// After so many traps and limits reached, if they are half of the calls at least.
    pub(in crate::config) failures: Field<Count<1_000_000>>,
    /// How far apart they may be, 1ms at least.
    pub(in crate::config) window: Text<Duration>,
    /// "wait" keeps its events until it is called again; "on-error" does with them what the step's `on_error` says.
    pub(in crate::config) then: Field<WhileQuarantined>,
}

impl Default for QuarantineTable {
    fn default() -> Self {
        let quarantine = config::Quarantine::default();
        Self {
            failures: Count(quarantine.failures as u32).into(),
            window: written(quarantine.window),
            then: quarantine.then.into(),
        }
    }
}

/// What one call of a plugin may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// How long a call may run, 1ms at least.
    pub(in crate::config) time: Text<Duration>,
    /// How much memory a call may use, from 64KiB to 4GiB.
    pub(in crate::config) memory: Text<Size>,
    /// How much a call may hand over, up to 1GiB.
    pub(in crate::config) output: Text<Size>,
    /// How long a call may wait for what is granted to it, all of its waits together, 1ms at least.
    pub(in crate::config) wait: Text<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = config::Limits::default();
        Self {
            time: written(limits.time),
            memory: written(Size(limits.memory as u64)),
            output: written(Size(limits.output as u64)),
            wait: written(limits.wait),
        }
    }
}
