//! Why a plugin was not loaded.

use std::{io, path::PathBuf, sync::Arc};

use super::{
    CallError,
    contract::{Contract, Kind},
    limits::iec,
    log::tidy,
    role::Role,
    source::MAX_FILE,
};
use crate::config;

/// The most names of imports or exports that an error lists.
const MAX_LISTED: usize = 20;

/// Why a plugin was not loaded, or the host not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    #[error("failed to start the plugin engine; it needs about 3 GiB of address space, see `ulimit -v`")]
    Engine { source: anyhow::Error },
    #[error("failed to start the thread that interrupts plugins")]
    Ticker(#[source] io::Error),
    #[error("failed to read plugin `{plugin}` from `{}`", path.display())]
    Read { plugin: Arc<str>, path: PathBuf, source: io::Error },
    #[error(
        "plugin `{plugin}`: `{}` is larger than {}, the limit for a plugin",
        path.display(), iec(MAX_FILE as usize)
    )]
    TooLarge { plugin: Arc<str>, path: PathBuf },
    #[error(
        "plugin `{plugin}`: the SHA-256 of `{}` is {}, the config pins {}; if the new file is wanted, pin it",
        path.display(), hex::encode(found), hex::encode(pinned)
    )]
    Digest { plugin: Arc<str>, path: PathBuf, pinned: [u8; 32], found: [u8; 32] },
    #[error("plugin `{plugin}` has a memory limit of {}, at most {} can be given here", iec(*limit), iec(*cap))]
    MemoryCap { plugin: Arc<str>, limit: usize, cap: usize },
    #[error("plugin `{plugin}`: `{}` is empty; was it being written?", path.display())]
    Empty { plugin: Arc<str>, path: PathBuf },
    #[error(
        "plugin `{plugin}` is compiled already; only WebAssembly (`.wasm`) is taken, it is compiled here"
    )]
    Precompiled { plugin: Arc<str> },
    #[error("plugin `{plugin}` is not valid WebAssembly")]
    Malformed { plugin: Arc<str>, source: wasmparser::BinaryReaderError },
    #[error(
        "plugin `{plugin}` is a core module without a contract; build it with the `sluice-plugin` crate, or \
         with wit-bindgen against `sluice:plugin`"
    )]
    NoContract { plugin: Arc<str> },
    #[error("failed to make a component of plugin `{plugin}`")]
    Componentize { plugin: Arc<str>, source: anyhow::Error },
    #[error(
        "plugin `{plugin}` speaks sluice:plugin@{theirs}, this gateway speaks {}; rebuild it with `sluice-plugin` {}",
        contracts(),
        env!("CARGO_PKG_VERSION")
    )]
    Version { plugin: Arc<str>, theirs: String },
    #[error(
        "plugin `{plugin}` mixes versions of sluice:plugin; rebuild all of it with `sluice-plugin` {}",
        env!("CARGO_PKG_VERSION")
    )]
    MixedVersions { plugin: Arc<str> },
    #[error("plugin `{plugin}` imports what this gateway does not offer: {}", list(imports))]
    Imports { plugin: Arc<str>, imports: Vec<String> },
    #[error(
        "plugin `{plugin}` wants more of WASI than there is here, which is neither network nor server; build it for \
         `wasm32-unknown-unknown`, or with `--stub-wasi`. It imports {}",
        list(imports)
    )]
    Wasi { plugin: Arc<str>, imports: Vec<String> },
    #[error(
        "plugin `{plugin}` exports none of `verify`, `filter`, `transform` and `batch` of sluice:plugin; it exports {}",
        list(exports)
    )]
    NoKind { plugin: Arc<str>, exports: Vec<String> },
    #[error(
        "plugin `{plugin}` exports both `{}` and `{}`; make two plugins of it",
        kinds[0].interface(),
        kinds[1].interface()
    )]
    ManyKinds { plugin: Arc<str>, kinds: [Kind; 2] },
    #[error("plugin `{plugin}` exports `{}`, but {}", kind.interface(), role.takes())]
    Role { plugin: Arc<str>, kind: Kind, role: Role },
    #[error(
        "plugin `{plugin}` exports `{}`, the one that it is to replace exports `{}`; make it a plugin of its own",
        kinds[1].interface(),
        kinds[0].interface()
    )]
    OtherKind { plugin: Arc<str>, kinds: [Kind; 2] },
    /// What is tried out beside the plugin.
    #[error("canary of plugin `{plugin}`")]
    Canary { plugin: Arc<str>, source: Box<Self> },
    #[error("plugin `{plugin}` does not export `lifecycle` of sluice:plugin")]
    NoLifecycle { plugin: Arc<str> },
    #[error(
        "plugin `{plugin}` does not fit the version of sluice:plugin that it names; rebuild it with `sluice-plugin` {}",
        env!("CARGO_PKG_VERSION")
    )]
    Link { plugin: Arc<str>, source: anyhow::Error },
    #[error("failed to compile plugin `{plugin}`")]
    Compile { plugin: Arc<str>, source: anyhow::Error },
    #[error("plugin `{plugin}` refuses its config: {reason}")]
    Config { plugin: Arc<str>, reason: String },
    #[error("failed to configure plugin `{plugin}`")]
    Configure { plugin: Arc<str>, source: CallError },
    #[error("failed to start plugin `{plugin}`")]
    Start { plugin: Arc<str>, source: CallError },
}

impl PluginError {
    /// Whether it is the file's fault, whatever a route uses it for.
    pub fn is_of_file(&self) -> bool {
        match self {
            Self::Canary { source, .. } => source.is_of_file(),
            Self::Config { .. } | Self::Configure { .. } | Self::Start { .. } | Self::Role { .. } => false,
            _ => true,
        }
    }

    /// Whether it is about what is tried out beside the plugin.
    pub fn is_of_canary(&self) -> bool {
        matches!(self, Self::Canary { .. })
    }

    /// What of its config a plugin refuses, as `rules[1].name`, if it says so in the way that the SDK does.
    pub fn config_path(&self) -> Option<&str> {
        let reason = match self {
            Self::Config { reason, .. } => reason,
            Self::Canary { source, .. } => return source.config_path(),
            _ => return None,
        };
        reason.strip_prefix('`')?.split_once("`: ").map(|(path, _)| path)
    }

    pub(super) fn configure(plugin: &config::Plugin, error: CallError) -> Self {
        let plugin = plugin.name.clone();
        match error {
            CallError::Config(reason) => Self::Config { plugin, reason },
            source => Self::Configure { plugin, source },
        }
    }
}

/// `0.1.0 and 1.0.0`
fn contracts() -> String {
    Contract::ALL.map(Contract::version).join(" and ")
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".into();
    }
    let mut shown: Vec<_> =
        names.iter().take(MAX_LISTED).map(|name| format!("`{}`", tidy(name.clone()))).collect();
    if names.len() > MAX_LISTED {
        shown.push(format!("and {} more", names.len() - MAX_LISTED));
    }
    shown.join(", ")
}
