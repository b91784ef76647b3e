//! What a provider wants to be answered.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a provider wants to be answered. What is absent stays as it is everywhere: 202 with the event's id as JSON,
/// 200 for a duplicate, 401 for a wrong signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Respond {
    /// The status of an accepted event, duplicates included; 2xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The body of that answer; empty where only a status is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Headers of that answer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The status of an answer to a request that is not proven; 4xx.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<u16>,
}

impl Respond {
    /// Whether these are statuses, header names and values.
    ///
    /// # Errors
    /// Which one is not.
    pub fn check(&self) -> Result<(), String> {
        if let Some(status) = self.status.filter(|status| !(200..300).contains(status)) {
            return Err(format!("`status` is {status}; senders take an event for accepted only with 2xx"));
        }
        if let Some(status) = self.refused.filter(|status| !(400..500).contains(status)) {
            return Err(format!(
                "`refused` is {status}; it must be 4xx, so that senders see whose fault it is"
            ));
        }
        for (name, value) in &self.headers {
            name.parse::<HeaderName>().map_err(|_| format!("`{name}` is not a header name"))?;
            value.parse::<HeaderValue>().map_err(|_| format!("`{name}` cannot have the value `{value}`"))?;
        }
        Ok(())
    }

    /// These, and what they do not say from `other`.
    pub fn over(self, other: Self) -> Self {
        let says_how = self.status.is_some() || self.body.is_some() || !self.headers.is_empty();
        let refused = self.refused.or(other.refused);
        if says_how { Self { refused, ..self } } else { Self { refused, ..other } }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
