//! The config file, key for key. Its doc comments are the descriptions in the JSON schema, so they are written
//! for operators; nothing outside `config` sees these types.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Method};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

pub(super) use self::values::{Count, Moment, Preset, Unsigned};
use super::{
    OnError, Rate, WhileQuarantined,
    field::{Field, Table},
    literal::{Text, Written},
    names::{Host, Name, RoutePath, Sha256, Variable},
    units::Size,
};
use crate::verify::scheme;

mod values;

/// The configuration of a Sluice gateway.
///
/// Durations are written as "30s" or "1h30m" (ms, s, m, h, d), sizes as "1MiB" (B, KiB, MiB, GiB, TiB and kB,
/// MB, GB, TB), rates as "100/s" (s, m, h). Relative paths start at the directory of this file. A change takes
/// effect at once, without a restart, wherever a key does not say otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "sluice.toml")]
pub(super) struct Config {
    /// The listener that receives webhooks.
    #[serde(default)]
    pub(super) server: Field<Server>,
    /// The listener for operators: health, metrics, events, replays. Never meant for senders.
    #[serde(default)]
    pub(super) admin: Field<Admin>,
    /// Where events are written down before they are acknowledged.
    #[serde(default)]
    pub(super) journal: Field<Journal>,
    /// WebAssembly plugins, by the name that pipelines call them.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub(super) plugins: Field<Table<Written<Name>, Plugin>>,
    /// Where messages are delivered to, by the name that routes call them.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub(super) destinations: Field<Table<Written<Name>, Destination>>,
    /// Which requests are taken in, how they are proven and what becomes of them. The most specific route wins.
    #[schemars(required)]
    pub(super) routes: Option<Field<Vec<Field<Route>>>>,
}

/// The listener that receives webhooks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    /// The address to listen on. Changing it needs a restart.
    pub(super) listen: Text<SocketAddr>,
    /// Serves HTTPS. Certificate and key are read again when they change; turning TLS on or off needs a restart.
    pub(super) tls: Option<Field<Tls>>,
    /// How many connections may be open at the same time; more are answered 503. Fewer than there are closes none.
    pub(super) max_connections: Field<Count<1_000_000>>,
    /// The limit on all header fields of a request together, from 8KiB to 1MiB; beyond it the answer is 431.
    pub(super) max_headers: Text<Size>,
    /// How long a sender may take over a request's headers; then the answer is 408.
    pub(super) header_timeout: Text<Duration>,
    /// How long a sender may take over a request's body; then the answer is 408.
    pub(super) body_timeout: Text<Duration>,
    /// How long a shutdown waits for what is in hand; the rest stays in the journal.
    pub(super) grace: Text<Duration>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: written(SocketAddr::from(([127, 0, 0, 1], 8080))),
            tls: None,
            max_connections: Count(10_000).into(),
            max_headers: written(Size::kib(32)),
            header_timeout: written(Duration::from_secs(10)),
            body_timeout: written(Duration::from_secs(30)),
            grace: written(Duration::from_secs(30)),
        }
    }
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// A PEM file: the certificate and its chain.
    #[schemars(required)]
    pub(super) cert: Option<Text<PathBuf>>,
    /// A PEM file: the private key.
    #[schemars(required)]
    pub(super) key: Option<Text<PathBuf>>,
}

/// The listener for operators.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    /// The address to listen on. Changing it needs a restart.
    pub(super) listen: Text<SocketAddr>,
    /// The bearer token that requests must carry. Required as soon as `listen` is not a loopback address.
    pub(super) token: Option<Field<Secret>>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: written(SocketAddr::from(([127, 0, 0, 1], 9090))), token: None }
    }
}

/// Where events are written down.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Journal {
    /// A directory, made if it is missing. One gateway at a time uses it. Changing it needs a restart.
    pub(super) path: Text<PathBuf>,
    /// How long the history of finished events is kept. Changing it needs a restart.
    pub(super) retain: Text<Duration>,
    /// The size that the journal may grow to, 16MiB at least; beyond it senders get a 503. Changing it needs a
    /// restart.
    pub(super) max_size: Text<Size>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            path: written(PathBuf::from("data")),
            retain: written(Duration::from_secs(72 * 60 * 60)),
            max_size: written(Size::gib(10)),
        }
    }
}

/// A WebAssembly plugin.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugin {
    /// The `.wasm` file. It is loaded again when it changes.
    #[schemars(required)]
    pub(super) file: Option<Text<PathBuf>>,
    /// The file's SHA-256 in hex: anything else is refused.
    pub(super) sha256: Option<Text<Sha256>>,
    /// What one call may use.
    #[serde(default)]
    pub(super) limits: Field<Limits>,
    /// When a plugin that traps or reaches its limits is not called any more; `false` to call it regardless.
    #[serde(default)]
    pub(super) quarantine: Field<Quarantine>,
}

/// When a plugin is not called any more, or `false`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "by type", rename_all = "lowercase")]
#[schemars(untagged, rename = "Quarantine")]
pub(super) enum Quarantine {
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
pub(super) struct QuarantineTable {
    /// After so many traps and limits reached, if they are half of the calls at least.
    pub(super) failures: Field<Count<1_000_000>>,
    /// How far apart they may be, 1ms at least.
    pub(super) window: Text<Duration>,
    /// "wait" keeps its events until it is called again; "on-error" does with them what the step's `on_error` says.
    pub(super) then: Field<WhileQuarantined>,
}

impl Default for QuarantineTable {
    fn default() -> Self {
        let quarantine = super::Quarantine::default();
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
pub(super) struct Limits {
    /// How long a call may run, 1ms at least.
    pub(super) time: Text<Duration>,
    /// How much memory a call may use, from 64KiB to 4GiB.
    pub(super) memory: Text<Size>,
    /// How much a call may hand over, up to 1GiB.
    pub(super) output: Text<Size>,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = super::Limits::default();
        Self {
            time: written(limits.time),
            memory: written(Size(limits.memory as u64)),
            output: written(Size(limits.output as u64)),
        }
    }
}

/// Where messages are delivered to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Destination {
    /// Where messages are posted, over http or https.
    #[schemars(required)]
    pub(super) url: Option<Text<Url>>,
    /// How long one attempt may take, from connecting to the end of the answer.
    #[serde(default = "default::timeout")]
    pub(super) timeout: Text<Duration>,
    /// How many attempts may run at the same time.
    #[serde(default = "default::concurrency")]
    pub(super) concurrency: Field<Count<10_000>>,
    /// The waits between attempts. After the last one the message is a dead letter.
    #[serde(default = "default::retry")]
    pub(super) retry: Field<Vec<Text<Duration>>>,
    /// Signs every message by the Standard Webhooks rules.
    pub(super) sign: Option<Field<Sign>>,
    /// Headers sent with every message.
    #[serde(default)]
    #[schemars(extend("default" = {}))]
    pub(super) headers: Field<Table<Written<HeaderName>, HeaderSource>>,
    /// Headers of the original request that are passed on.
    #[serde(default)]
    pub(super) forward_headers: Field<Vec<Text<HeaderName>>>,
}

/// How messages are signed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sign {
    /// Signing secrets: `whsec_` and base64, or the bytes as they are. Each that is valid adds a signature, the
    /// first one first.
    #[schemars(required, length(min = 1))]
    pub(super) secrets: Option<Field<Vec<Field<Secret>>>>,
}

/// A header's value: the text itself, or where to find it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "by type", rename_all = "lowercase")]
#[schemars(untagged, rename = "HeaderSource")]
pub(super) enum HeaderSource {
    String(Written<HeaderValue>),
    Table(SecretSource),
}

/// A secret: where to find it, or (not recommended) the secret itself.
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "by type", rename_all = "lowercase")]
#[schemars(untagged, rename = "Secret")]
pub(super) enum Secret {
    String(String),
    Table(SecretTable),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(_) => f.write_str("[REDACTED]"),
            Self::Table(table) => table.fmt(f),
        }
    }
}

/// Where a secret is found, and when it counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretTable {
    /// The environment variable that holds it.
    pub(super) env: Option<Text<Variable>>,
    /// The file that holds it; one line break at its end is not part of it. It is read again when it changes.
    pub(super) file: Option<Text<PathBuf>>,
    /// The secret counts from this moment on (RFC 3339).
    pub(super) valid_from: Option<Field<Moment>>,
    /// The secret counts until this moment (RFC 3339).
    pub(super) valid_until: Option<Field<Moment>>,
}

/// Where a header's value is found.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretSource {
    /// The environment variable that holds it.
    pub(super) env: Option<Text<Variable>>,
    /// The file that holds it; one line break at its end is not part of it. It is read again when it changes.
    pub(super) file: Option<Text<PathBuf>>,
}

/// Which requests are taken in, how they are proven and what becomes of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    /// Names the route in logs, metrics and the journal.
    #[schemars(required)]
    pub(super) name: Option<Text<Name>>,
    /// The host that requests are made to; without it, any host.
    pub(super) host: Option<Text<Host>>,
    /// The path: exact as "/github", everything below with "/github/*", or with parameters as "/{tenant}/github".
    #[schemars(required)]
    pub(super) path: Option<Text<RoutePath>>,
    /// The methods; others are answered 405.
    #[serde(default = "default::methods")]
    #[schemars(length(min = 1))]
    pub(super) methods: Field<Vec<Text<Method>>>,
    /// What the provider wants to be answered, where it is not what the preset says.
    pub(super) respond: Option<Field<scheme::Respond>>,
    /// How a sender proves itself: a preset, a scheme written out, or "none" to take in what anybody sends.
    #[schemars(required)]
    pub(super) verify: Option<Field<Verify>>,
    /// For how long a provider's delivery id is remembered, so that its second copy is not taken in again;
    /// `false` to not look for duplicates.
    #[serde(default = "default::dedupe")]
    pub(super) dedupe: Field<Dedupe>,
    /// The limit on a request's body, both as sent and with its content encoding undone; beyond it the answer
    /// is 413.
    #[serde(default = "default::max_body")]
    pub(super) max_body: Text<Size>,
    /// How many events are let in; more are answered 429. Without it there is no limit.
    pub(super) rate: Option<Text<Rate>>,
    /// The plugins that an event passes, in this order.
    #[serde(default)]
    pub(super) pipeline: Field<Vec<Field<Step>>>,
    /// The destinations; each gets every message that no plugin directs elsewhere.
    #[serde(default)]
    pub(super) deliver: Field<Vec<Field<String>>>,
}

/// How a sender proves itself: a table, or "none" to take in what anybody sends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "by type", rename_all = "lowercase")]
#[schemars(untagged, rename = "Verify")]
pub(super) enum Verify {
    String(Written<Unsigned>),
    Table(Box<Signature>),
}

/// A signature scheme and its secrets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    /// The provider whose scheme it is. One of `preset` and `scheme` is needed.
    pub(super) preset: Option<Field<Preset>>,
    /// A scheme written out, for providers without preset.
    pub(super) scheme: Option<Field<scheme::Scheme>>,
    /// The secrets shared with the sender. A signature by any of them that is valid counts.
    pub(super) secrets: Option<Field<Vec<Field<Secret>>>>,
    /// The sender's public keys, in the scheme's encoding or in PEM, for schemes with such keys. They take the place of
    /// those that the provider publishes.
    pub(super) public_keys: Option<Field<Vec<Field<Secret>>>>,
    /// A JSON Web Key Set, likewise.
    pub(super) jwks: Option<Field<Secret>>,
    /// Values that the scheme needs beside secrets, such as PayPal's `webhook_id`; `sluice presets show` lists them.
    pub(super) vars: Option<Field<BTreeMap<String, Field<OneOrMore>>>>,
    /// Our URL as the provider knows it, for schemes that sign it: "https://hooks.example.com", or with a path where
    /// that differs from the request's.
    pub(super) url: Option<Field<String>>,
}

/// A text or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// One plugin in a pipeline.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// The plugin's name in `[plugins]`.
    #[schemars(required)]
    pub(super) plugin: Option<Field<String>>,
    /// The plugin's own settings, handed to it as JSON.
    pub(super) config: Option<Field<serde_json::Value>>,
    /// What happens to an event when the plugin fails on it.
    #[serde(default)]
    pub(super) on_error: Field<OnError>,
}

/// How long delivery ids are remembered, or `false`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename = "by type", rename_all = "lowercase")]
#[schemars(untagged, rename = "Dedupe")]
pub(super) enum Dedupe {
    String(Written<Duration>),
    Boolean(bool),
}

impl Serialize for Dedupe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::String(duration) => duration.serialize(serializer),
            Self::Boolean(on) => on.serialize(serializer),
        }
    }
}

fn written<T>(value: T) -> Text<T> {
    Written(value).into()
}

mod default {
    use super::*;

    pub(super) fn timeout() -> Text<Duration> {
        written(Duration::from_secs(30))
    }

    pub(super) fn concurrency() -> Field<Count<10_000>> {
        Count(32).into()
    }

    /// About 27 hours and a half in all: the schedule that Standard Webhooks recommends.
    pub(super) fn retry() -> Field<Vec<Text<Duration>>> {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let waits = [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR];
        waits.map(|seconds| written(Duration::from_secs(seconds))).to_vec().into()
    }

    pub(super) fn methods() -> Field<Vec<Text<Method>>> {
        vec![written(Method::POST)].into()
    }

    pub(super) fn dedupe() -> Field<Dedupe> {
        Dedupe::String(Written(Duration::from_secs(24 * 60 * 60))).into()
    }

    pub(super) fn max_body() -> Text<Size> {
        written(Size::mib(1))
    }
}
