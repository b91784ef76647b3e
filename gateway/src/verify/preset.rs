//! The providers that Sluice knows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

use serde::Deserialize;

use super::scheme::Scheme;

/// A provider: its scheme, and what an operator has to know of it.
#[derive(Clone, Debug)]
pub struct Preset {
    pub name: String,
    pub about: About,
    pub scheme: Arc<Scheme>,
}

/// What an operator has to know of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct About {
    /// What people call it.
    pub provider: String,
    /// The provider's own words on it.
    pub docs: Vec<String>,
    /// What the operator has to copy from where.
    pub setup: String,
    /// What is easy to get wrong.
    pub notes: Vec<String>,
    /// Other names it is found under.
    pub aliases: Vec<String>,
}

/// The presets by name.
static PRESETS: LazyLock<BTreeMap<String, Preset>> = LazyLock::new(|| {
    read(include_str!("presets.toml")).expect("presets.toml is part of the binary and tested")
});

/// From each alias to its preset's name.
static ALIASES: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let aliases = |preset: &'static Preset| {
        preset.about.aliases.iter().map(|alias| (alias.as_str(), preset.name.as_str()))
    };
    PRESETS.values().flat_map(aliases).collect()
});

/// A known provider, by its name or another one it is found under.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.get(name).or_else(|| PRESETS.get(*ALIASES.get(name)?))
}

/// The names that presets have, in alphabetical order, without their other names.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.keys().map(String::as_str)
}

/// Every preset, in alphabetical order.
pub fn presets() -> impl Iterator<Item = &'static Preset> {
    PRESETS.values()
}

fn read(text: &str) -> Result<BTreeMap<String, Preset>, String> {
    let rows: BTreeMap<String, toml::Table> = toml::from_str(text).map_err(|e| e.to_string())?;
    let whole = |name: &str| whole(name, &rows);
    rows.keys().map(|name| Ok((name.clone(), Preset::read(name, whole(name)?)?))).collect()
}

/// A row with what it takes over from the row it is `like`.
fn whole(name: &str, rows: &BTreeMap<String, toml::Table>) -> Result<toml::Table, String> {
    let mut row = rows[name].clone();
    let Some(like) = row.remove("like") else { return Ok(row) };
    let like = like.as_str().unwrap_or_default();
    let other = rows.get(like).ok_or_else(|| format!("[{name}] is like `{like}`, which is not there"))?;
    let taken_over = other.iter().filter(|(key, _)| !ABOUT_KEYS.contains(&key.as_str()));
    for (key, value) in taken_over {
        row.entry(key).or_insert_with(|| value.clone());
    }
    Ok(row)
}

const ABOUT_KEYS: [&str; 6] = ["provider", "docs", "setup", "notes", "aliases", "like"];

impl Preset {
    fn read(name: &str, mut row: toml::Table) -> Result<Self, String> {
        let in_row = |error: toml::de::Error| format!("[{name}]: {}", error.message());
        let about = ABOUT_KEYS.iter().filter_map(|key| row.remove_entry(*key)).collect::<toml::Table>();
        let about = about.try_into().map_err(in_row)?;
        let scheme = row.try_into().map_err(in_row)?;
        Ok(Self { name: name.to_owned(), about, scheme: Arc::new(scheme) })
    }
}
