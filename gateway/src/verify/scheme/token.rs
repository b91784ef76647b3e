//! The secret itself, sent along.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verify::{pointer::Pointer, source::Fields};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenScheme {
    /// Where the token is: whichever place is present.
    pub from: Fields,
    /// What stands before it, e.g. `Bearer `.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Whether it may come without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prefix_optional: bool,
    /// The list whose every item carries the token; `*` in a pointer is the item's index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Pointer>,
}

/// The secret is `user:password`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicScheme {}
