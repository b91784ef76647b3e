//! The config file, key for key. Its doc comments are the descriptions in the JSON schema, so they are written
//! for operators; nothing outside `config` sees these types.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Method};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

pub(super) use self::{
    plugin::{
        Canary, Grants, HttpGrant, HttpOrigin, IsolationName, Limits, Plugin, Pool, Quarantine,
        QuarantineTable,
    },
    values::{Count, Moment, Preset, Share, Unsigned},
};
use super::{
    At, OnError, Rate,
    field::{Field, Table},
    literal::{Text, Written},
    names::{Host, Name, RoutePath, Variable},
    placed::Placed,
    units::Size,
};
use crate::verify::scheme;

mod plugin;
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
    /// How a sender proves itself: a preset, a scheme written out, a plugin, or "none" to take in what anybody sends.
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
    /// The plugins that an event passes, in this order; those at the edge come first.
    #[serde(default)]
    pub(super) pipeline: Field<Vec<Field<Step>>>,
    /// The plugin that makes one delivery of several messages.
    pub(super) batch: Option<Field<Batch>>,
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

/// A signature scheme or a plugin, and its secrets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    /// The provider whose scheme it is. One of `preset`, `scheme` and `plugin` is needed.
    pub(super) preset: Option<Field<Preset>>,
    /// A scheme written out, for providers without preset.
    pub(super) scheme: Option<Field<scheme::Scheme>>,
    /// The name of one of `[plugins]` that proves requests, for what no scheme can say.
    pub(super) plugin: Option<Field<String>>,
    /// The plugin's own settings, handed to it as JSON.
    pub(super) config: Option<Field<Placed>>,
    /// The secrets shared with the sender. A signature by any of them that is valid counts.
    pub(super) secrets: Option<Field<Vec<Field<Secret>>>>,
    /// The sender's public keys, in the scheme's encoding or in PEM, for schemes with such keys. They take the place of
    /// those that the provider publishes.
    pub(super) public_keys: Option<Field<Vec<Field<Secret>>>>,
    /// A JSON Web Key Set, likewise.
    pub(super) jwks: Option<Field<Secret>>,
    /// Values that the scheme needs beside secrets, such as PayPal's `webhook_id`; `sluice presets show` lists them.
    pub(super) vars: Option<Field<BTreeMap<String, Field<OneOrMore>>>>,
    /// Our URL as the provider knows it, for schemes and plugins that need it: "https://hooks.example.com", or with a
    /// path where that differs from the request's.
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
    pub(super) config: Option<Field<Placed>>,
    /// What happens to an event when the plugin fails on it.
    #[serde(default)]
    pub(super) on_error: Field<OnError>,
    /// "edge": a filter that runs before the event is written down, while the sender waits; what it drops costs no
    /// disk. "pipeline": behind the journal.
    #[serde(default)]
    pub(super) at: Field<At>,
}

/// The plugin that makes one delivery of several messages. It is called as soon as any of `events`, `bytes` and
/// `wait` is reached.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// The plugin's name in `[plugins]`.
    #[schemars(required)]
    pub(super) plugin: Option<Field<String>>,
    /// The plugin's own settings, handed to it as JSON.
    pub(super) config: Option<Field<Placed>>,
    /// How many messages it holds at most, from 2 to 1000.
    #[serde(default = "default::batch_events")]
    pub(super) events: Field<Count<1000, 2>>,
    /// How large the bodies of its messages may be together, up to 16MiB. A message that is larger by itself is a
    /// batch of its own.
    #[serde(default = "default::batch_bytes")]
    pub(super) bytes: Text<Size>,
    /// How long its first message waits for others, from 1ms to 1h.
    #[serde(default = "default::batch_wait")]
    pub(super) wait: Text<Duration>,
    /// Whether messages with different keys are kept apart.
    #[serde(default)]
    pub(super) by_key: Field<bool>,
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

    pub(super) fn batch_events() -> Field<Count<1000, 2>> {
        Count(100).into()
    }

    pub(super) fn batch_bytes() -> Text<Size> {
        written(Size::mib(1))
    }

    pub(super) fn batch_wait() -> Text<Duration> {
        written(Duration::from_secs(2))
    }
}
