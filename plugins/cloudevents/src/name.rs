//! Names of extension attributes.

use sluice_plugin::Error;

/// What the specification defines, and its JSON format's members.
const TAKEN: [&str; 10] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "datacontenttype",
    "dataschema",
    "data",
    "data_base64",
];

/// The longest name that the specification advises.
const LONGEST: usize = 20;

/// Checks the name of an extension attribute.
///
/// # Errors
/// [`Error::Config`] that says what is wrong with it.
pub(crate) fn check(name: &str) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::config(format_args!("`extensions.{name}`: {what}")));
    if TAKEN.contains(&name) {
        return wrong("is an attribute of the specification itself; choose another name");
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return wrong("is no name of an attribute: those are lower-case letters and digits only");
    }
    if !(1..=LONGEST).contains(&name.len()) {
        return wrong("is no name of an attribute: those have 1 to 20 characters");
    }
    Ok(())
}
