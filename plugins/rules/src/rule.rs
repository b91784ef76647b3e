//! Rules: groups of tests, and what to say when one fails.

use sluice_plugin::{
    Error,
    json::{Pointers, Raw},
};

use crate::facts::{Facts, Subject};

mod raw;
mod test;

use raw::{Group, RawRule};
use test::Test;

/// A rule that makes sense.
#[derive(Debug)]
pub struct Rule(Node);

#[derive(Debug)]
enum Node {
    /// Every one holds. Not empty.
    All(Vec<Self>),
    /// At least one holds. Not empty.
    Any(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

impl Rule {
    /// Checks a rule and notes the places of the body that it is about. `path` is where it stands in the config.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key at fault, and what to write instead.
    pub fn compile(raw: Raw<'_>, path: &str, pointers: &mut Pointers) -> Result<Self, Error> {
        Node::compile(raw, path, pointers).map(Self)
    }

    /// Whether the rule holds for an event.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it takes the body to know, and the body is not JSON.
    pub fn holds(&self, facts: &Facts<'_>) -> Result<bool, Error> {
        self.0.holds(facts)
    }

    /// Says why a rule that does not hold does not.
    ///
    /// # Errors
    /// As [`holds`](Self::holds).
    pub fn why_not(&self, facts: &Facts<'_>) -> Result<String, Error> {
        self.0.why_not(facts)
    }
}

impl Node {
    fn compile(raw: Raw<'_>, path: &str, pointers: &mut Pointers) -> Result<Self, Error> {
        let RawRule { groups, subjects, conditions } = RawRule::read(raw, path, pointers)?;
        let wrong = |what: &str| Err(Error::config(format_args!("`{path}`: {what}")));
        let mut groups = groups.into_iter();
        let mut subjects = subjects.into_iter();
        match (groups.next(), groups.next(), subjects.next(), subjects.next()) {
            (Some(_), Some(_), ..) => {
                wrong("has more than one of `all`, `any` and `not`; put one into the other")
            }
            (Some(_), None, Some(_), _) => wrong("is both a group and a test; put the test into the group"),
            (Some(_), None, None, _) if !conditions.is_empty() => {
                wrong("is a group, which has no conditions of its own; put them into a test in the group")
            }
            (Some(group), None, None, _) => Self::compile_group(group, path, pointers),
            (None, _, Some(subject), None) => Test::compile(subject, conditions, path).map(Self::Test),
            (None, _, Some(_), Some(_)) => {
                wrong("is about more than one thing; make a rule of each and put them into `all`")
            }
            (None, _, None, _) => {
                wrong("says not what it is about; add one of `body`, `header`, `query`, `param`, `event`")
            }
        }
    }

    fn compile_group(group: Group<'_>, path: &str, pointers: &mut Pointers) -> Result<Self, Error> {
        let (name, rules) = match group {
            Group::Not(rule) => {
                return Ok(Self::Not(Box::new(Self::compile(rule, &format!("{path}.not"), pointers)?)));
            }
            Group::All(rules) => ("all", rules),
            Group::Any(rules) => ("any", rules),
        };
        if rules.is_empty() {
            return Err(Error::config(format_args!("`{path}.{name}`: is empty; add a rule or leave it out")));
        }
        let rules = rules.into_iter().enumerate();
        let rules = rules.map(|(i, rule)| Self::compile(rule, &format!("{path}.{name}[{i}]"), pointers));
        // The order does not change the outcome, but with these last the body may not be needed.
        let (with_body, mut rules): (Vec<_>, Vec<_>) =
            rules.collect::<Result<Vec<_>, _>>()?.into_iter().partition(Self::needs_body);
        rules.extend(with_body);
        Ok(if name == "all" { Self::All(rules) } else { Self::Any(rules) })
    }

    fn needs_body(&self) -> bool {
        match self {
            Self::All(rules) | Self::Any(rules) => rules.iter().any(Self::needs_body),
            Self::Not(rule) => rule.needs_body(),
            Self::Test(test) => matches!(test.subject, Subject::Body { .. }),
        }
    }

    fn holds(&self, facts: &Facts<'_>) -> Result<bool, Error> {
        match self {
            Self::All(rules) => all(rules, |rule| rule.holds(facts)),
            Self::Any(rules) => all(rules, |rule| Ok(!rule.holds(facts)?)).map(|none| !none),
            Self::Not(rule) => Ok(!rule.holds(facts)?),
            Self::Test(test) => Ok(test.failing(facts.value(&test.subject)?.as_ref()).is_none()),
        }
    }

    fn why_not(&self, facts: &Facts<'_>) -> Result<String, Error> {
        match self {
            Self::All(rules) => {
                let failing = first(rules, |rule| Ok(!rule.holds(facts)?))?;
                failing.map_or(Ok(String::new()), |rule| rule.why_not(facts))
            }
            Self::Any(rules) => {
                let reasons: Result<Vec<_>, _> = rules.iter().map(|rule| rule.why_not(facts)).collect();
                Ok(reasons?.join("; and "))
            }
            Self::Not(rule) => rule.why(facts),
            Self::Test(test) => test.why_not(facts.value(&test.subject)?.as_ref()),
        }
    }

    /// Says why a rule that holds does.
    fn why(&self, facts: &Facts<'_>) -> Result<String, Error> {
        match self {
            Self::All(rules) => {
                let reasons: Result<Vec<_>, _> = rules.iter().map(|rule| rule.why(facts)).collect();
                Ok(reasons?.join(" and "))
            }
            Self::Any(rules) => {
                let holding = first(rules, |rule| rule.holds(facts))?;
                holding.map_or(Ok(String::new()), |rule| rule.why(facts))
            }
            Self::Not(rule) => rule.why_not(facts),
            Self::Test(test) => test.why(facts.value(&test.subject)?.as_ref()),
        }
    }
}

fn all(rules: &[Node], check: impl Fn(&Node) -> Result<bool, Error>) -> Result<bool, Error> {
    Ok(first(rules, |rule| Ok(!check(rule)?))?.is_none())
}

fn first(rules: &[Node], check: impl Fn(&Node) -> Result<bool, Error>) -> Result<Option<&Node>, Error> {
    for rule in rules {
        if check(rule)? {
            return Ok(Some(rule));
        }
    }
    Ok(None)
}
