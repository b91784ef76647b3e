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
    places::{About, Mistake, Places, Use},
    plugin::{
        Canary, CanaryMode, Grants, HttpGrant, Isolation, Limits, Plugin, Pool, Quarantine, Scheme,
        WhileQuarantined,
    },
    report::{Report, Warning},
    secret::{InvalidKey, Secret},
};
use crate::verify::{self, scheme::Respond};

mod check;
mod env;
mod field;
mod grant;
mod literal;
mod names;
pub(crate) mod nearest;
mod placed;
mod places;
mod plugin;
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
    /// Where in the file things stand that plugins may find fault with.
    pub places: Places,
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
    /// Steps at the edge come first.
    pub pipeline: Vec<Step>,
    /// `None`: every message is delivered alone.
    pub batch: Option<Batch>,
    /// Names of destinations, each known to exist.
    pub deliver: Vec<Arc<str>>,
}

#[derive(Clone, Debug)]
pub enum Verify {
    /// Anybody may send.
    None,
    Proof(Box<verify::Settings>),
    Plugin(Box<PluginProof>),
}

/// A plugin that proves who sent a request, with what belongs to it on this route.
#[derive(Clone, Debug)]
pub struct PluginProof {
    pub plugin: Arc<Plugin>,
    /// As JSON; `null` where there is none.
    pub config: serde_json::Value,
    /// Shared with the sender. The plugin asks about them and never sees them.
    pub secrets: Vec<Secret>,
    /// Our URL as the sender knows it.
    pub url: Option<verify::PublicUrl>,
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
    pub at: At,
}

/// When a step is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// Before the event is written down, while the sender waits.
    Edge,
    /// Behind the journal.
    #[default]
    Pipeline,
}

/// The plugin that makes one delivery of several messages, and when it is called.
#[derive(Clone, Debug)]
pub struct Batch {
    pub plugin: Arc<Plugin>,
    /// The `config` table as JSON; `null` where there is none.
    pub config: serde_json::Value,
    /// As soon as so many messages wait, from 2 to 1000...
    pub events: usize,
    /// ...or their bodies have so many bytes together...
    pub bytes: usize,
    /// ...or the first of them has waited this long.
    pub wait: Duration,
    /// Whether messages with different keys are kept apart.
    pub by_key: bool,
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
            return report::conclude(None, Arc::new(source), errors.iter().map(not_toml).collect());
        }
        let source = Arc::new(Source::new(path, redact::redact(text, document.get_ref())));
        let (raw, problems) = reader::read::<raw::Config>(document);
        let (config, problems) = match raw {
            Some(raw) => check::check(raw, path, Places::of(source.clone()), env, problems),
            None => (None, problems),
        };
        report::conclude(config, source, problems)
    }

    /// Shows mistakes, at least one, that came to light when what the config names was loaded, at the places of the
    /// file that they come from. What is the same at the same place is shown once.
    pub fn report(&self, mistakes: impl IntoIterator<Item = Mistake>) -> Report {
        self.places.report(mistakes)
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
    /// The methods that handshakes come with. Which ones a plugin answers nobody knows; a route names their methods.
    pub fn handshake_methods(&self) -> impl Iterator<Item = Method> {
        let scheme = match self {
            Self::None | Self::Plugin(_) => None,
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
