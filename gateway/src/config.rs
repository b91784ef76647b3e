//! The configuration, checked: every value here is known to be right.
//!
//! The file's own shape is `raw`; nothing outside this module sees an unchecked value. On the way from text to
//! [`Config`]: `reader` turns TOML into `raw`, `check` turns `raw` into what is here, and both record every
//! mistake they meet instead of stopping at it. `report` shows them.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use self::report::{Problem, Source};
pub use self::{
    env::{Env, ProcessEnv},
    report::{Report, Warning},
    secret::{InvalidKey, Secret},
};
use crate::verify::{self, scheme::Respond};

mod check;
mod env;
mod field;
mod literal;
mod names;
pub(crate) mod nearest;
mod raw;
mod reader;
mod redact;
mod report;
mod secret;
mod units;

#[cfg(test)]
mod tests;

/// One config file, checked.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub admin: Admin,
    pub journal: Journal,
    pub plugins: BTreeMap<Arc<str>, Arc<Plugin>>,
    pub destinations: BTreeMap<Arc<str>, Arc<Destination>>,
    pub routes: Vec<Arc<Route>>,
    /// Every file that the config was read from, itself included: secrets, certificates, plugins. The
    /// reloader watches them.
    pub files: Vec<PathBuf>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub listen: SocketAddr,
    pub tls: Option<Tls>,
    pub max_connections: usize,
    /// All header fields of a request together, in bytes.
    pub max_headers: usize,
    /// How long a sender may take over a request's headers.
    pub header_timeout: Duration,
    /// How long a sender may take over a request's body.
    pub body_timeout: Duration,
    /// How long a shutdown waits for what is in hand.
    pub grace: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the certificate and its chain.
    pub cert: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Required as soon as `listen` is not a loopback address.
    pub token: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// A directory.
    pub path: PathBuf,
    /// How long the history of finished events is kept.
    pub retain: Duration,
    /// The size in bytes that the journal may grow to; beyond it senders get a 503.
    pub max_size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    pub name: Arc<str>,
    pub file: PathBuf,
    /// Refuse the file unless this is its SHA-256.
    pub sha256: Option<[u8; 32]>,
    pub limits: Limits,
    /// `None`: however often it fails, it is called.
    pub quarantine: Option<Quarantine>,
    pub isolation: Isolation,
}

/// How calls are kept apart from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Every call has an instance of its own.
    #[default]
    Event,
    /// Calls of one route share instances, for runtimes that are slow to start.
    Pooled(Pool),
}

/// When an instance is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// After so many calls.
    pub calls: u32,
    /// After so long without one.
    pub idle: Duration,
    /// When its linear memory is larger than this, in bytes.
    pub memory: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self { calls: 1000, idle: Duration::from_secs(60), memory: 64 << 20 }
    }
}

/// When a plugin is not called any more, and what becomes of the events meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// So many traps and limits reached, if they are half of the calls at least...
    pub failures: u64,
    /// ...within this long.
    pub window: Duration,
    pub then: WhileQuarantined,
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { failures: 10, window: Duration::from_secs(60), then: WhileQuarantined::Wait }
    }
}

/// What happens to an event that comes to a plugin in quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhileQuarantined {
    /// It waits until the quarantine is over; that counts as no attempt.
    #[default]
    Wait,
    /// What the step's `on_error` says.
    OnError,
}

/// What one call of a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub time: Duration,
    /// Linear memory, in bytes.
    pub memory: usize,
    /// Everything the plugin hands to the host in one call, in bytes.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_millis(50), memory: 32 << 20, output: 1 << 20 }
    }
}

#[derive(Clone, Debug)]
pub struct Destination {
    pub name: Arc<str>,
    pub url: reqwest::Url,
    /// For one attempt, from connecting to the end of the answer.
    pub timeout: Duration,
    /// Attempts at the same time.
    pub concurrency: usize,
    /// The waits between attempts; after the last one the message is a dead letter.
    pub retry: Vec<Duration>,
    /// Standard Webhooks signing; empty: not signed. The first secret's signature comes first.
    pub sign: Vec<Secret>,
    /// Sent with every message.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers of the original request that are passed on.
    pub forward_headers: Vec<HeaderName>,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub name: Arc<str>,
    /// Lower-case, without port; `None`: any host.
    pub host: Option<String>,
    /// `/exact`, `/prefix/*`, or with `{name}` segments.
    pub path: String,
    pub methods: Vec<Method>,
    pub verify: Verify,
    /// What is answered, from the preset and the route's own `respond`.
    pub respond: Respond,
    /// For how long a delivery id is remembered; `None`: duplicates are not looked for.
    pub dedupe: Option<Duration>,
    /// The body's size limit in bytes, both as sent and inflated.
    pub max_body: usize,
    /// Events per second let in; more are answered 429.
    pub rate: Option<Rate>,
    pub pipeline: Vec<Step>,
    /// Names of destinations, each known to exist.
    pub deliver: Vec<Arc<str>>,
}

#[derive(Clone, Debug)]
pub enum Verify {
    /// Anybody may send.
    None,
    Proof(Box<verify::Settings>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub events: NonZeroU32,
    pub per: Duration,
}

/// One plugin in a route's pipeline.
#[derive(Clone, Debug)]
pub struct Step {
    pub plugin: Arc<Plugin>,
    /// The step's `config` table as JSON; `null` where there is none.
    pub config: serde_json::Value,
    pub on_error: OnError,
}

/// What happens to an event when a plugin fails on it for a reason of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Try again later, a few times; then a dead letter.
    #[default]
    Retry,
    /// Keep it as a dead letter at once.
    DeadLetter,
    /// Go on as if the step were not there.
    Pass,
    /// Drop it, with the error as the reason.
    Drop,
}

impl Config {
    /// Reads and checks a config file and the secrets that it names.
    ///
    /// # Errors
    /// All that is wrong with it at once. What is inside of plugins and certificates is not looked at.
    pub fn load(path: &Path, env: &dyn Env) -> Result<(Self, Vec<Warning>), Report> {
        let failed = |why: String| {
            let problem = Problem::error(format!("failed to read `{}`: {why}", path.display()));
            Report::of_file(path, problem.hint("`--config FILE` names another file"))
        };
        let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| failed(error.utf8_error().to_string()))?;
        Self::parse(&text, path, env)
    }

    /// Checks the text of a config file; `path` is shown in messages, and relative paths start at its directory.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, path: &Path, env: &dyn Env) -> Result<(Self, Vec<Warning>), Report> {
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let source = Source::new(path, redact::redact_broken(text));
            return report::conclude(None, source, errors.iter().map(not_toml).collect());
        }
        let source = Source::new(path, redact::redact(text, document.get_ref()));
        let (raw, problems) = reader::read::<raw::Config>(document);
        let (config, problems) = match raw {
            Some(raw) => check::check(raw, path, env, problems),
            None => (None, problems),
        };
        report::conclude(config, source, problems)
    }

    /// The JSON Schema of the config file.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(raw::Config).to_value()
    }

    /// The keys that differ in `new` and that only a restart can change. All others take effect with a reload:
    /// at once or, for what belongs to a connection, with the next connection.
    pub fn restart_needed(&self, new: &Self) -> Vec<&'static str> {
        let differs = [
            ("server.listen", self.server.listen != new.server.listen),
            ("server.tls", self.server.tls.is_some() != new.server.tls.is_some()),
            ("admin.listen", self.admin.listen != new.admin.listen),
            ("journal.path", self.journal.path != new.journal.path),
            ("journal.retain", self.journal.retain != new.journal.retain),
            ("journal.max_size", self.journal.max_size != new.journal.max_size),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

fn not_toml(error: &toml::de::Error) -> Problem {
    let mut problem = Problem::error(error.message());
    if let Some(span) = error.span() {
        problem = problem.at(&span);
    }
    let is_bare_text = ["invalid float", "invalid integer", "invalid date", "invalid boolean"]
        .iter()
        .any(|start| error.message().starts_with(start));
    if is_bare_text { problem.hint("text is written in quotes: `key = \"value\"`") } else { problem }
}

impl Verify {
    /// The methods that handshakes come with.
    pub fn handshake_methods(&self) -> impl Iterator<Item = Method> {
        let scheme = match self {
            Self::None => None,
            Self::Proof(settings) => Some(&settings.scheme),
        };
        scheme.into_iter().flat_map(|scheme| scheme.handshake_methods())
    }
}

impl Admin {
    pub fn is_loopback(&self) -> bool {
        match self.listen.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        }
    }
}
