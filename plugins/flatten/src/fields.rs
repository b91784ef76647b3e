//! A flat JSON object in the making.

use std::{borrow::Cow, collections::BTreeSet};

use sluice_plugin::Error;

/// Names and their values, the values as JSON.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields<'a>(Vec<(String, Cow<'a, str>)>);

impl<'a> Fields<'a> {
    pub(crate) fn add(&mut self, name: String, json: impl Into<Cow<'a, str>>) {
        self.0.push((name, json.into()));
    }

    /// The object. Of fields of the same name the last one counts, as with most readers of JSON.
    pub(crate) fn into_json(self) -> Result<String, Error> {
        let mut seen = BTreeSet::new();
        let mut counting: Vec<_> = self.0.iter().rev().filter(|(name, _)| seen.insert(name)).collect();
        counting.reverse();
        let mut out = String::from("{");
        for (name, json) in counting {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&serde_json::to_string(name)?);
            out.push(':');
            out.push_str(json);
        }
        out.push('}');
        Ok(out)
    }
}
