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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::verify::scheme::{Answer, Field, Template};

    #[test]
    fn every_row_says_whose_it_is_and_what_to_copy_from_where() {
        for Preset { name, about, .. } in presets() {
            assert!(!about.provider.is_empty(), "{name} names no provider");
            assert!(!about.docs.is_empty(), "{name} names no documentation");
            assert!(about.docs.iter().all(|url| url.starts_with("https://")), "{name}: {:?}", about.docs);
            assert!(about.setup.ends_with('.'), "{name}'s setup is no sentence: {}", about.setup);
            assert!(about.notes.iter().all(|note| note.ends_with('.')), "{name}: {:?}", about.notes);
        }
    }

    #[test]
    fn rows_are_in_alphabetical_order() {
        let heads = include_str!("presets.toml").lines().filter(|line| !line.starts_with("[["));
        let names = heads.filter_map(|line| line.strip_prefix('[')?.strip_suffix(']')).collect::<Vec<_>>();
        assert!(names.is_sorted(), "{:?}", names.windows(2).find(|pair| pair[0] > pair[1]));
        assert_eq!(names, preset_names().collect::<Vec<_>>());
    }

    #[test]
    fn a_preset_is_found_under_each_of_its_names() {
        let mut seen = preset_names().collect::<BTreeSet<_>>();
        for Preset { name, about, .. } in presets() {
            for alias in &about.aliases {
                assert!(seen.insert(alias), "{alias}, another name of {name}, is taken");
                assert_eq!(preset(alias).unwrap().name, *name);
            }
        }
    }

    #[test]
    fn the_variables_that_are_used_are_those_that_are_declared() {
        for Preset { name, scheme, .. } in presets() {
            let text = serde_json::to_string(&**scheme).unwrap();
            let demands = scheme.common.handshake.iter().flat_map(|handshake| &handshake.demand);
            let named = demands.flat_map(|demand| [demand.token.clone(), demand.listed.clone()]).flatten();
            let used = named.chain(after(&text, "var:")).collect::<BTreeSet<_>>();
            assert_eq!(used, scheme.common.vars.keys().cloned().collect(), "{name}");
        }
    }

    /// The names that follow each `before` in a text.
    fn after<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = String> + 'a {
        let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        text.split(before).skip(1).map(name)
    }

    /// Whoever may have any text signed can have an event signed.
    #[test]
    fn what_an_answer_signs_is_bounded_by_a_demand() {
        let mut signed = 0;
        for Preset { name, scheme, .. } in presets() {
            for handshake in &scheme.common.handshake {
                for place in templates(&handshake.answer).filter_map(|template| signed_place(&template)) {
                    let mut demands = handshake.demand.iter().filter(|demand| demand.from == place);
                    let bounded = demands.any(|demand| demand.charset.is_some() && demand.length.is_some());
                    assert!(bounded, "{name} signs {place} whatever it is");
                    signed += 1;
                }
            }
        }
        assert!(signed >= 5, "only {signed} answers sign something");
    }

    fn templates(answer: &Answer) -> impl Iterator<Item = String> {
        let Answer { headers, text, json, .. } = answer;
        headers.values().chain(text).chain(json.values()).map(Template::to_string)
    }

    fn signed_place(template: &str) -> Option<Field> {
        let (_, place) = template.split_once("{sign:")?;
        Some(place.split_once('}').unwrap().0.parse().unwrap())
    }

    /// A list may come again with other items: an item's id would pass the others for duplicates.
    #[test]
    fn an_id_is_the_delivery_s_and_not_that_of_an_item() {
        for Preset { name, scheme, .. } in presets() {
            for field in scheme.common.id.iter() {
                let allowed = matches!(field, Field::Header(_) | Field::Json(_) | Field::Claim(_));
                assert!(allowed, "{name}: {field}");
                let text = field.to_string();
                assert!(
                    !text.split('/').any(|part| part == "*" || part.parse::<usize>().is_ok()),
                    "{name}: {text}"
                );
            }
        }
    }

    #[test]
    fn a_row_like_another_keeps_its_own_words_and_takes_over_the_scheme() {
        let (forgejo, gitea) = (preset("forgejo").unwrap(), preset("gitea").unwrap());
        assert_eq!(forgejo.about.aliases, ["codeberg"]);
        assert_ne!(forgejo.scheme, gitea.scheme);
        let (render, standard) = (preset("render").unwrap(), preset("standard-webhooks").unwrap());
        assert_eq!(render.scheme, standard.scheme);
    }
}
