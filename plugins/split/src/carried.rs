//! What of the whole goes into every message.

use sluice_plugin::{
    Error,
    json::{Kind, Pointer, Pointers, Raw, Slot},
};

/// A field of every message, and the place in the whole that it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    name: String,
    /// The name as JSON, with its colon.
    quoted: String,
    pub(crate) slot: Slot,
}

impl Carried {
    /// # Errors
    /// [`Error::Config`] if `field` does not name a field of the message itself.
    pub(crate) fn new(field: &str, from: &Pointer, pointers: &mut Pointers) -> Result<Self, Error> {
        let wrong = |what: &dyn std::fmt::Display| Error::config(format_args!("`keep.{field}`: {what}"));
        let pointer: Pointer = field.parse().map_err(|e| wrong(&e))?;
        let [name] = pointer.tokens() else {
            return Err(wrong(&"must name a field of the message itself, such as `/order_id`"));
        };
        let quoted = format!("{}:", serde_json::to_string(name)?);
        Ok(Self { name: name.clone(), quoted, slot: pointers.add(from) })
    }
}

/// An element with what is carried into it: the element's own members first, without those that it replaces. `None`
/// if there is something to carry and the element is not an object.
pub(crate) fn into(element: Raw<'_>, carried: &[(&Carried, Raw<'_>)]) -> Option<String> {
    if carried.is_empty() {
        return Some(element.json().to_owned());
    }
    if element.kind() != Kind::Object {
        return None;
    }
    let replaced = |name: Raw<'_>| {
        let name = name.text().unwrap_or_default();
        carried.iter().any(|(carried, _)| carried.name == name)
    };
    let mut out = String::with_capacity(element.json().len() + 64);
    let own = element.members().filter(|(name, _)| !replaced(*name));
    own.for_each(|(name, value)| push(&mut out, &[name.json(), ":", value.json()]));
    carried.iter().for_each(|(carried, value)| push(&mut out, &[&carried.quoted, value.json()]));
    out.push('}');
    Some(out)
}

/// Adds a member to an object that is being written.
fn push(out: &mut String, member: &[&str]) {
    out.push(if out.is_empty() { '{' } else { ',' });
    member.iter().for_each(|part| out.push_str(part));
}
