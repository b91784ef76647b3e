//! A message's order key.

use sluice_plugin::{
    Error,
    json::{Kind, Pointer, Pointers, Slot},
};

/// Where in a message its order key is.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pointers: Pointers,
    slot: Slot,
}

impl Key {
    pub(crate) fn new(pointer: Pointer) -> Self {
        let mut pointers = Pointers::new();
        Self { slot: pointers.add(&pointer), pointers }
    }

    /// The key of a message: a string's text, or a number or boolean as it is written; `None` for anything else.
    pub(crate) fn of(&self, message: &str) -> Result<Option<String>, Error> {
        let found = self.pointers.select(message.as_bytes())?;
        let value = found.get(self.slot);
        Ok(value.and_then(|value| match value.kind() {
            Kind::String => value.text().map(String::from),
            Kind::Number | Kind::Bool => Some(value.json().to_owned()),
            Kind::Null | Kind::Array | Kind::Object => None,
        }))
    }
}
