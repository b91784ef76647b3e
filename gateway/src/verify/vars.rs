//! What a route's config gives a scheme beside secrets.

use std::collections::BTreeMap;

/// Named values, each with one text or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vars(BTreeMap<String, Vec<String>>);

impl Vars {
    pub fn new(values: BTreeMap<String, Vec<String>>) -> Self {
        Self(values)
    }

    /// The first of the values.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str)
    }

    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// `text` with `{var:NAME}` put in place: the texts that it may stand for.
    pub(super) fn expand(&self, text: &str) -> Vec<String> {
        match text.strip_prefix("{var:").and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => self.all(name).to_vec(),
            None => vec![text.to_owned()],
        }
    }
}
