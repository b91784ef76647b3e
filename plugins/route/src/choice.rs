//! One entry of `routes`: a rule, and where the events go that it holds for.

use rules::Rule;
use sluice_plugin::{
    Error,
    json::{Kind, Pointers, Raw},
};

use crate::config::{names, wrong};

/// A rule, and where the events go that it holds for.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) when: Rule,
    /// Not empty.
    pub(crate) to: Vec<String>,
}

impl Choice {
    /// Reads a list of them and notes the places of the body that they are about. `path` is where it stands in the
    /// config.
    pub(crate) fn read_all(raw: Raw<'_>, path: &str, pointers: &mut Pointers) -> Result<Vec<Self>, Error> {
        if raw.kind() != Kind::Array || raw.elements().next().is_none() {
            return Err(wrong(
                path,
                "expected a list of `{ when = RULE, to = [DESTINATION] }`, at least one",
            ));
        }
        let choices = raw.elements().enumerate();
        choices.map(|(i, raw)| Self::read(raw, &format!("{path}[{i}]"), pointers)).collect()
    }

    fn read(raw: Raw<'_>, path: &str, pointers: &mut Pointers) -> Result<Self, Error> {
        let (mut when, mut to) = (None, None);
        for (name, value) in raw.members() {
            match name.text().as_deref() {
                Some("when") => when = Some(Rule::compile(value, &format!("{path}.when"), pointers)?),
                Some("to") => to = Some(destinations(value, &format!("{path}.to"))?),
                name => {
                    let path = format!("{path}.{}", name.unwrap_or_default());
                    return Err(wrong(&path, "unknown key; an entry has `when` and `to`"));
                }
            }
        }
        match (when, to) {
            (Some(when), Some(to)) => Ok(Self { when, to }),
            (None, _) => Err(wrong(path, "expected a table with `when`, the rule")),
            (_, None) => Err(wrong(path, "expected a table with `to`, the destinations")),
        }
    }
}

fn destinations(raw: Raw<'_>, path: &str) -> Result<Vec<String>, Error> {
    let names = names(raw, path)?;
    if names.is_empty() {
        return Err(wrong(path, "names no destination; to drop events, use the plugin `filter`"));
    }
    Ok(names)
}
