//! The config as the operator writes it.

use serde_json::value::RawValue;
use sluice_plugin::{
    Error,
    json::{Kind, Pointers, Raw},
};

use crate::choice::Choice;

/// The config, checked. Read by hand, not by serde: with the rules, what it would generate is too much for a small
/// plugin.
pub(crate) struct Config {
    pub(crate) choices: Vec<Choice>,
    pub(crate) otherwise: Vec<String>,
    pub(crate) mode: Mode,
    pub(crate) headers: Vec<String>,
}

/// Which of the choices that are for an event count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    First,
    All,
}

impl Config {
    /// Reads a config and notes the places of the body that its rules are about.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key at fault, and what to write instead.
    pub(crate) fn read(config: &RawValue, pointers: &mut Pointers) -> Result<Self, Error> {
        let config = Raw::parse(config.get().as_bytes())?;
        let mut choices = Vec::new();
        let mut read =
            Self { choices: Vec::new(), otherwise: Vec::new(), mode: Mode::First, headers: Vec::new() };
        for (name, value) in config.members() {
            match &*name.text().unwrap_or_default() {
                "routes" => choices = Choice::read_all(value, "routes", pointers)?,
                "else" => read.otherwise = otherwise(value)?,
                "mode" => read.mode = mode(value)?,
                "headers" => read.headers = headers(value)?,
                key => {
                    return Err(wrong(
                        key,
                        "unknown key, expected one of `routes`, `else`, `mode`, `headers`",
                    ));
                }
            }
        }
        if choices.is_empty() {
            return Err(wrong("routes", "is missing; add a list of `{ when = RULE, to = [DESTINATION] }`"));
        }
        Ok(Self { choices, ..read })
    }
}

fn otherwise(raw: Raw<'_>) -> Result<Vec<String>, Error> {
    let names = names(raw, "else")?;
    if names.is_empty() {
        return Err(wrong("else", "names no destination; leave it out to drop what no rule wants"));
    }
    Ok(names)
}

fn mode(raw: Raw<'_>) -> Result<Mode, Error> {
    match raw.text().as_deref() {
        Some("first") => Ok(Mode::First),
        Some("all") => Ok(Mode::All),
        _ => Err(wrong("mode", "expected `first` or `all`")),
    }
}

fn headers(raw: Raw<'_>) -> Result<Vec<String>, Error> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let names = names(raw, "headers")?;
    match names.iter().find(|name| name.is_empty() || !name.bytes().all(valid)) {
        Some(name) => Err(wrong("headers", &format!("{name:?} can't be the name of a header"))),
        None => Ok(names),
    }
}

/// A list of strings. `path` is where it stands in the config.
pub(crate) fn names(raw: Raw<'_>, path: &str) -> Result<Vec<String>, Error> {
    let names: Option<Vec<_>> = raw.elements().map(|name| name.text().map(String::from)).collect();
    names
        .filter(|_| raw.kind() == Kind::Array)
        .ok_or_else(|| wrong(path, "expected a list of names, such as `[\"archive\"]`"))
}

pub(crate) fn wrong(path: &str, what: &str) -> Error {
    Error::config(format_args!("`{path}`: {what}"))
}
