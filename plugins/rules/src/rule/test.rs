//! A test: one subject and the conditions it has to meet, all of them.

use std::cmp::Ordering;

use sluice_plugin::Error;

use crate::{
    facts::Subject,
    number::Number,
    value::{Expected, Value},
};

#[derive(Debug)]
pub(crate) struct Test {
    pub(super) subject: Subject,
    conditions: Vec<Condition>,
}

/// What a value has to be. A missing one meets only `Exists(false)`, `NotEquals` and `NotIn`.
#[derive(Debug)]
pub(super) enum Condition {
    Exists(bool),
    Equals(Expected),
    NotEquals(Expected),
    In(Vec<Expected>),
    NotIn(Vec<Expected>),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Gt(Number),
    Gte(Number),
    Lt(Number),
    Lte(Number),
}

impl Test {
    pub(super) fn compile(subject: Subject, conditions: Vec<Condition>, path: &str) -> Result<Self, Error> {
        let test = Self { subject, conditions };
        match test.mistake() {
            Some(mistake) => Err(Error::config(format_args!("`{path}`: {mistake}"))),
            None => Ok(test),
        }
    }

    /// The first condition that the value does not meet.
    pub(super) fn failing(&self, value: Option<&Value<'_>>) -> Option<&Condition> {
        self.conditions.iter().find(|condition| !condition.holds(value))
    }

    pub(super) fn why_not(&self, value: Option<&Value<'_>>) -> Result<String, Error> {
        let complaint = self.failing(value).map(|condition| condition.complaint()).unwrap_or_default();
        Ok(format!("{}{complaint}", self.why(value)?))
    }

    pub(super) fn why(&self, value: Option<&Value<'_>>) -> Result<String, Error> {
        Ok(match value {
            Some(value) => format!("{} is {value}", self.subject),
            None => format!("{} is missing", self.subject),
        })
    }

    /// What makes the test one that nobody can mean.
    fn mistake(&self) -> Option<String> {
        let Self { subject, conditions } = self;
        if conditions.is_empty() {
            return Some(format!(
                "says nothing about {subject}; add `equals`, `in`, `exists` or another condition"
            ));
        }
        if conditions.len() > 1
            && conditions.iter().any(|condition| matches!(condition, Condition::Exists(false)))
        {
            return Some(
                "`exists = false` leaves no value for the other conditions; take one side away".to_owned(),
            );
        }
        if conditions.iter().any(Condition::has_empty_list) {
            return Some("has an empty list; add a value or leave the list out".to_owned());
        }
        if !self.can_hold() {
            return Some("can never hold, because its conditions contradict each other".to_owned());
        }
        None
    }

    /// Whether some value meets all conditions, as far as they name values or a range.
    fn can_hold(&self) -> bool {
        self.conditions.iter().all(|condition| match condition {
            Condition::Equals(expected) => self.failing(Some(&expected.value())).is_none(),
            Condition::In(list) => {
                list.iter().any(|expected| self.failing(Some(&expected.value())).is_none())
            }
            Condition::Gt(low) => !self.conditions.iter().any(|other| other.ends_below(low, Ordering::is_le)),
            Condition::Gte(low) => {
                !self.conditions.iter().any(|other| other.ends_below(low, Ordering::is_lt))
            }
            _ => true,
        })
    }
}

impl Condition {
    fn holds(&self, value: Option<&Value<'_>>) -> bool {
        let Some(value) = value else {
            return matches!(self, Self::Exists(false) | Self::NotEquals(_) | Self::NotIn(_));
        };
        let text =
            |check: fn(&str, &str) -> bool, part: &str| value.text().is_some_and(|text| check(&text, part));
        match self {
            Self::Exists(expected) => *expected,
            Self::Equals(expected) => expected.is(value),
            Self::NotEquals(expected) => !expected.is(value),
            Self::In(list) => list.iter().any(|expected| expected.is(value)),
            Self::NotIn(list) => !list.iter().any(|expected| expected.is(value)),
            Self::Prefix(part) => text(|text, part| text.starts_with(part), part),
            Self::Suffix(part) => text(|text, part| text.ends_with(part), part),
            Self::Contains(part) => text(|text, part| text.contains(part), part),
            Self::Gt(limit) => value.number().is_some_and(|number| number > *limit),
            Self::Gte(limit) => value.number().is_some_and(|number| number >= *limit),
            Self::Lt(limit) => value.number().is_some_and(|number| number < *limit),
            Self::Lte(limit) => value.number().is_some_and(|number| number <= *limit),
        }
    }

    /// What follows "body /action is "closed"" when this does not hold.
    fn complaint(&self) -> String {
        match self {
            Self::Exists(true) => String::new(),
            Self::Exists(false) => ", which must be missing".to_owned(),
            Self::Equals(expected) => format!(", not {expected}"),
            Self::NotEquals(_) | Self::NotIn(_) => ", which is excluded".to_owned(),
            Self::In(list) => {
                let list: Vec<_> = list.iter().map(ToString::to_string).collect();
                format!(", not one of {}", list.join(", "))
            }
            Self::Prefix(part) => format!(", which does not begin with {part:?}"),
            Self::Suffix(part) => format!(", which does not end with {part:?}"),
            Self::Contains(part) => format!(", which does not contain {part:?}"),
            Self::Gt(limit) => format!(", not a number above {limit}"),
            Self::Gte(limit) => format!(", not a number from {limit} up"),
            Self::Lt(limit) => format!(", not a number below {limit}"),
            Self::Lte(limit) => format!(", not a number up to {limit}"),
        }
    }

    fn has_empty_list(&self) -> bool {
        matches!(self, Self::In(list) | Self::NotIn(list) if list.is_empty())
    }

    /// Whether this is an upper limit too low for a lower one. Two limits that touch leave room only if both
    /// include the point where they do.
    fn ends_below(&self, low: &Number, touching: fn(Ordering) -> bool) -> bool {
        match self {
            Self::Lt(high) => high.partial_cmp(low).is_some_and(Ordering::is_le),
            Self::Lte(high) => high.partial_cmp(low).is_some_and(touching),
            _ => false,
        }
    }
}
