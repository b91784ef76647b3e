//! Keeps the events that its rules say; drops the others, with the rule that failed as the reason.
//!
//! It teaches the lazy side of an event: rules about headers and the like are decided before the body is asked
//! for, and of the body only what the rules name is read.

use rules::{Facts, Rule};
use serde::Deserialize;
use serde_json::value::RawValue;
use sluice_plugin::{
    Decision, Error, Event, Filter,
    json::{Pointers, Raw},
};

struct KeepWhere {
    rule: Rule,
    /// Every place in the body that some rule is about.
    pointers: Pointers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    r#where: Box<RawValue>,
}

impl Filter for KeepWhere {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let mut pointers = Pointers::new();
        let rule = Raw::parse(config.r#where.get().as_bytes())?;
        let rule = Rule::compile(rule, "where", &mut pointers)?;
        Ok(Self { rule, pointers })
    }

    fn filter(&self, event: &Event) -> Result<Decision, Error> {
        let body = Default::default();
        let facts = Facts::new(event, &self.pointers, &body);
        if self.rule.holds(&facts)? {
            return Ok(Decision::Keep);
        }
        Ok(Decision::Drop(self.rule.why_not(&facts)?))
    }
}

sluice_plugin::filter!(KeepWhere);

#[cfg(test)]
mod tests;
