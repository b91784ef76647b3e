//! What a provider wants to be answered.

use std::collections::BTreeMap;

use http::{
    HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
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

/// They frame the answer, or name the request.
const OURS: [HeaderName; 4] =
    [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, HeaderName::from_static("x-request-id")];

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
        if self.status == Some(204) && self.body.is_some() {
            return Err("`body` goes with a status other than 204, which has none".to_owned());
        }
        for (name, value) in &self.headers {
            let parsed = name.parse::<HeaderName>().map_err(|_| format!("`{name}` is not a header name"))?;
            if OURS.contains(&parsed) {
                return Err(format!("`{name}` is set by Sluice; leave it out of `headers`"));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = toml::from_str::<Respond>(text).unwrap().check().unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_senders_would_misread_is_refused() {
        check("status = 302", "`status` is 302");
        check("refused = 500", "`refused` is 500");
        check("status = 204\nbody = \"ok\"", "other than 204");
        check("headers = { \"a b\" = \"c\" }", "`a b` is not a header name");
        check("headers = { a = \"b\\r\\nc: d\" }", "`a` cannot have the value");
        check("headers = { Content-Length = \"0\" }", "`Content-Length` is set by Sluice");
    }

    #[test]
    fn a_refusal_of_its_own_leaves_the_rest_to_the_preset() {
        let read = |text: &str| toml::from_str::<Respond>(text).unwrap();
        let both = read("refused = 404").over(read("status = 200\nbody = \"ok\"\nrefused = 498"));
        assert_eq!(both, read("status = 200\nbody = \"ok\"\nrefused = 404"));
        let own = read("status = 202").over(read("status = 200\nbody = \"ok\"\nrefused = 498"));
        assert_eq!(own, read("status = 202\nrefused = 498"));
    }
}
