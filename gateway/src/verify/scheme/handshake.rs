//! Requests that a provider makes to see who is there. They are answered at once and never become events.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verify::{source::Field, template::Template};

/// One such request, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// What it is for, in a few words.
    pub about: String,
    /// The method it comes with.
    #[serde(default = "post")]
    pub method: String,
    /// What tells it from an event: all of these must be so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// Whether it carries the proof that an event does, and is answered only if that is right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proven: bool,
    /// What must be so for it to be answered; else it is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demand: Vec<Demand>,
    /// The secret that it hands us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn: Option<Learn>,
    /// The URL that we are to call before answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Confirm>,
    /// What is answered.
    pub answer: Answer,
}

/// Holds when the value is there and, where it says so, is this or that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The place whose value is looked at.
    pub from: Field,
    /// The value is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// The value is an empty list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
}

/// What must be so for a handshake to be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// The place whose value is looked at.
    pub from: Field,
    /// The value is the route's variable of this name or, where the route has none, one of its secrets. Compared in
    /// constant time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The value is one of the route's variable of this name; `*` among them stands for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<String>,
    /// The value consists of these characters only (`a-z` for a range) ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charset: Option<String>,
    /// ... and is this long, in bytes: at least and at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<(usize, usize)>,
    /// The status of the refusal.
    #[serde(default = "forbidden")]
    pub status: u16,
}

/// A secret that the provider hands us: kept, and used from then on. Only while the route has none, or while an
/// operator expects one: else anybody could put his own in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Learn {
    /// Where the secret is.
    pub from: Field,
}

/// A URL that we are to call before answering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// Where the URL is.
    pub from: Field,
    /// The hosts that may be called, as for keys.
    pub hosts: Vec<String>,
}

/// What is answered. Templates may use `{sign:PLACE}`: what the scheme's algorithm, key and encoding make of the value
/// at that place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// 200 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers beside the usual ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Template>,
    /// The body as plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Template>,
    /// The body as a JSON object: for every key the value, a text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<String, Template>,
    /// The body as JSON, always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_json: Option<String>,
}

fn post() -> String {
    "POST".to_owned()
}

fn forbidden() -> u16 {
    403
}
