//! Plugins, checked: what they are, what they may use, and how they are run.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of `[plugins]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    pub name: Arc<str>,
    pub file: PathBuf,
    /// Refuse the file unless this is its SHA-256.
    pub sha256: Option<[u8; 32]>,
    pub limits: Limits,
    /// `None`: however often it fails, it is called.
    pub quarantine: Option<Quarantine>,
    pub isolation: Isolation,
    pub grants: Grants,
    pub canary: Option<Canary>,
}

impl Plugin {
    /// The plugin in a file, with every default and without quarantine.
    pub fn new(name: impl Into<Arc<str>>, file: PathBuf) -> Self {
        Self {
            name: name.into(),
            file,
            sha256: None,
            limits: Limits::default(),
            quarantine: None,
            isolation: Isolation::default(),
            grants: Grants::default(),
            canary: None,
        }
    }
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

/// What a plugin may use beside the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// A durable store of so many bytes on each route.
    pub kv: Option<u64>,
    /// Where it may send requests to.
    pub http: Vec<HttpGrant>,
}

impl Grants {
    pub fn is_empty(&self) -> bool {
        self.kv.is_none() && self.http.is_empty()
    }
}

/// Servers that a plugin may send requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    pub scheme: Scheme,
    /// A name in lower case, or an address; `*.example.com` stands for every name with one label or more before
    /// `.example.com`.
    pub host: String,
    pub port: u16,
    /// Whether the name may lead to an address of a private network.
    pub private: bool,
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, .. } = self;
        match *port == scheme.port() {
            true => write!(f, "{scheme}://{host}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Https,
    Http,
}

impl Scheme {
    /// The port where none is written.
    pub fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Https => "https",
            Self::Http => "http",
        })
    }
}

/// A plugin that is tried out beside the one it may replace.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    pub file: PathBuf,
    /// Refuse the file unless this is its SHA-256.
    pub sha256: Option<[u8; 32]>,
    pub mode: CanaryMode,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CanaryMode {
    /// It handles this part of the events: more than 0, less than 1.
    Share(f64),
    /// It sees a copy of every event, and nothing that it makes is delivered.
    Shadow,
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
    /// How long one call may wait for what it is granted, all of its waits together.
    pub wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(50),
            memory: 32 << 20,
            output: 1 << 20,
            wait: Duration::from_secs(10),
        }
    }
}
