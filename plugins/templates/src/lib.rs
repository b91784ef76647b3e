//! The text templates of the standard plugins: `#{{/issue/number}} by {{header:x-author}}`. The language is
//! described in the README of `map`, whose tests are those of the templates as well.

use serde::Deserialize;

mod facts;
mod template;

pub use facts::{Facts, Place, text_of};
pub use template::Template;

/// What becomes of something whose source is not in the event.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// `null`; in a template, nothing.
    #[default]
    Null,
    /// The member, element or header is left out; with a template, all of it.
    Omit,
    /// The event can't be handled.
    Error,
}
