//! The step that a plugin is tried as: its config, the gateway's default limits, and a host to run it on.

use std::{fs, path::Path, sync::Arc};

use serde_json::Value;

use super::unusable;
use crate::{
    config::{self, Isolation, Limits, Pool},
    plugin::{Plugin, PluginError, PluginHost, Role},
    telemetry::Metrics,
};

/// The config's `isolation`, as a flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Lives {
    /// Every event has an instance of its own.
    #[default]
    Event,
    /// Instances are kept, as `isolation = "pooled"` does.
    Pooled,
}

impl Lives {
    fn isolation(self) -> Isolation {
        match self {
            Self::Event => Isolation::Event,
            Self::Pooled => Isolation::Pooled(Pool::default()),
        }
    }
}

/// Starts an engine like the gateway's that keeps nothing on disk.
///
/// # Errors
/// If the process cannot have the address space for it.
pub(super) fn host() -> anyhow::Result<PluginHost> {
    Ok(PluginHost::without_cache(&Metrics::new())?)
}

/// Loads a plugin of any kind.
///
/// # Errors
/// As [`PluginHost::load`].
pub(super) fn load(
    host: &PluginHost,
    plugin: &config::Plugin,
    config: &Value,
) -> Result<Arc<Plugin>, PluginError> {
    host.load(plugin, config, Role::Any)
}

/// The plugin in a file, under the name of the file, run like this.
pub(super) fn plugin_as(file: &Path, lives: Lives, limits: Limits) -> config::Plugin {
    config::Plugin { isolation: lives.isolation(), limits, ..plugin(file) }
}

/// What a gateway's config would say of the plugin in a file.
pub(in crate::cli) fn plugin(file: &Path) -> config::Plugin {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    config::Plugin::new(name, file.to_owned())
}

/// Reads a step's config: JSON itself, or the name of a file of JSON or TOML.
///
/// # Errors
/// If it is neither.
pub(in crate::cli) fn config(given: Option<&str>) -> anyhow::Result<Value> {
    let Some(given) = given else { return Ok(Value::Null) };
    if given.trim_start().starts_with('{') {
        return serde_json::from_str(given)
            .map_err(|error| unusable(format!("`--config` is not the JSON it begins as: {error}")));
    }
    let refused = |why: String| unusable(format!("failed to read the step's config from `{given}`: {why}"));
    let text = fs::read_to_string(given).map_err(|error| {
        refused(format!("{error}; `--config` takes JSON in braces, or a file of JSON or TOML"))
    })?;
    if Path::new(given).extension().is_some_and(|extension| extension == "toml") {
        return toml::from_str(&text).map_err(|error| refused(error.to_string()));
    }
    serde_json::from_str(&text).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_is_json_or_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let expected = serde_json::json!({ "a": 1 });
        assert_eq!(config(None).unwrap(), Value::Null);
        assert_eq!(config(Some(r#" { "a": 1 }"#)).unwrap(), expected);
        assert_eq!(config(Some(&file("c.json", r#"{ "a": 1 }"#))).unwrap(), expected);
        assert_eq!(config(Some(&file("c.toml", "a = 1"))).unwrap(), expected);
    }

    #[test]
    fn config_that_is_neither_is_refused() {
        let why = |given: &str| config(Some(given)).unwrap_err().to_string();
        assert!(why("{ a").contains("not the JSON it begins as"));
        assert!(why("/nowhere/c.json").contains("takes JSON in braces, or a file"));
    }
}
