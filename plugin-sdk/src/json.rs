//! JSON read where it lies: a few values taken out of a large body without building a tree of it.
//!
//! [`Pointers`] is compiled once, in `configure`, and then finds all its pointers in one pass:
//!
//! ```
//! use sluice_plugin::json::{Pointer, Pointers};
//!
//! let mut pointers = Pointers::new();
//! let title = pointers.add(&"/issue/title".parse::<Pointer>().unwrap());
//!
//! let found = pointers.select(br#"{"action": "opened", "issue": {"id": 7, "title": "It \"works\""}}"#).unwrap();
//! assert_eq!(found.get(title).unwrap().text().unwrap(), r#"It "works""#);
//! ```

mod pointer;
mod pointers;
mod raw;
mod scan;

pub use pointer::{InvalidPointer, Pointer};
pub use pointers::{Pointers, Selected, Slot};
pub use raw::{Kind, Raw};
