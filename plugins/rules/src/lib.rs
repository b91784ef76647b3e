//! The rules that the standard plugins decide by: what `filter` calls `where`, and `route` calls `when`. The
//! language is described in the README of `filter`, whose tests are those of the rules as well.

mod facts;
mod number;
mod rule;
mod value;

pub use facts::Facts;
pub use rule::Rule;
