//! A rule as the operator writes it.

use sluice_plugin::{
    Error,
    json::{Kind, Pointer, Pointers, Raw},
};

use super::test::Condition;
use crate::{
    facts::{Property, Subject},
    number::Number,
    value::Expected,
};

/// What a rule has of each sort. One that makes sense is a group, or a test with one subject.
///
/// Read by hand, not by serde: what it would generate for so many keys is most of the size of a plugin.
#[derive(Default)]
pub(super) struct RawRule<'a> {
    pub(super) groups: Vec<Group<'a>>,
    pub(super) subjects: Vec<Subject>,
    pub(super) conditions: Vec<Condition>,
}

pub(super) enum Group<'a> {
    All(Vec<Raw<'a>>),
    Any(Vec<Raw<'a>>),
    Not(Raw<'a>),
}

impl<'a> RawRule<'a> {
    /// Reads a rule and notes the places of the body that it is about. `path` is where it stands in the config.
    pub(super) fn read(raw: Raw<'a>, path: &str, pointers: &mut Pointers) -> Result<Self, Error> {
        if raw.kind() != Kind::Object {
            return Err(Error::config(format_args!("`{path}`: expected a table")));
        }
        let mut rule = Self::default();
        for (name, value) in raw.members() {
            let key = name.text().unwrap_or_default();
            rule.read_key(&key, value, pointers)
                .map_err(|what| Error::config(format_args!("`{path}.{key}`: {what}")))?;
        }
        Ok(rule)
    }

    fn read_key(&mut self, key: &str, value: Raw<'a>, pointers: &mut Pointers) -> Result<(), String> {
        if let Some(group) = group(key, value)? {
            self.groups.push(group);
        } else if let Some(subject) = subject(key, value, pointers)? {
            self.subjects.push(subject);
        } else if let Some(condition) = condition(key, value)? {
            self.conditions.push(condition);
        } else {
            return Err(
                "unknown key; a rule has a group (`all`, `any`, `not`), or a subject (`body`, `header`, \
                        `query`, `param`, `event`) with conditions (`equals`, `not_equals`, `in`, `not_in`, \
                        `exists`, `prefix`, `suffix`, `contains`, `gt`, `gte`, `lt`, `lte`)"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

fn group<'a>(key: &str, value: Raw<'a>) -> Result<Option<Group<'a>>, String> {
    Ok(Some(match key {
        "all" => Group::All(list(value)?),
        "any" => Group::Any(list(value)?),
        "not" => Group::Not(value),
        _ => return Ok(None),
    }))
}

fn subject(key: &str, value: Raw<'_>, pointers: &mut Pointers) -> Result<Option<Subject>, String> {
    Ok(Some(match key {
        "body" => {
            let pointer: Pointer = text(value)?.parse().map_err(|e| format!("{e}"))?;
            Subject::Body { slot: pointers.add(&pointer), pointer }
        }
        "header" => Subject::Header(text(value)?.to_ascii_lowercase()),
        "query" => Subject::Query(text(value)?),
        "param" => Subject::Param(text(value)?),
        "event" => Subject::Event(match &*text(value)? {
            "type" => Property::Type,
            "route" => Property::Route,
            "method" => Property::Method,
            "path" => Property::Path,
            other => {
                return Err(format!(
                    "unknown property `{other}`, expected `type`, `route`, `method` or `path`"
                ));
            }
        }),
        _ => return Ok(None),
    }))
}

fn condition(key: &str, value: Raw<'_>) -> Result<Option<Condition>, String> {
    Ok(Some(match key {
        "exists" => Condition::Exists(value.json().parse().map_err(|_| "expected a boolean")?),
        "equals" => Condition::Equals(scalar(value)?),
        "not_equals" => Condition::NotEquals(scalar(value)?),
        "in" => Condition::In(scalars(value)?),
        "not_in" => Condition::NotIn(scalars(value)?),
        "prefix" => Condition::Prefix(text(value)?),
        "suffix" => Condition::Suffix(text(value)?),
        "contains" => Condition::Contains(text(value)?),
        "gt" => Condition::Gt(number(value)?),
        "gte" => Condition::Gte(number(value)?),
        "lt" => Condition::Lt(number(value)?),
        "lte" => Condition::Lte(number(value)?),
        _ => return Ok(None),
    }))
}

fn list(value: Raw<'_>) -> Result<Vec<Raw<'_>>, String> {
    if value.kind() != Kind::Array {
        return Err("expected a list".to_owned());
    }
    Ok(value.elements().collect())
}

fn scalars(value: Raw<'_>) -> Result<Vec<Expected>, String> {
    list(value)?.into_iter().map(scalar).collect()
}

fn scalar(value: Raw<'_>) -> Result<Expected, String> {
    match value.kind() {
        Kind::String => text(value).map(Expected::Text),
        Kind::Number => number(value).map(Expected::Number),
        Kind::Bool => Ok(Expected::Bool(value.json() == "true")),
        Kind::Null | Kind::Array | Kind::Object => Err("expected a string, a number or a boolean".to_owned()),
    }
}

fn text(value: Raw<'_>) -> Result<String, String> {
    value.text().map(String::from).ok_or_else(|| "expected a string".to_owned())
}

fn number(value: Raw<'_>) -> Result<Number, String> {
    let number = (value.kind() == Kind::Number).then(|| Number::parse(value.json()));
    number.flatten().ok_or_else(|| "expected a number".to_owned())
}
