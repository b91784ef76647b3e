//! An event's body.

use std::ops::Deref;

use serde::Deserialize;

use crate::{
    Error,
    json::{Pointers, Selected},
};

/// An event's body: bytes, with any content encoding already undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body(Vec<u8>);

impl Body {
    /// Reads the body as JSON. Fields of type `&str` or `Cow<str>` borrow from it, which spares copies.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not JSON, or not JSON of this type.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_slice(&self.0)
            .map_err(|e| Error::invalid(format_args!("body is not the expected JSON: {e}")))
    }

    /// Takes a few values out of a JSON body and skips the rest; several times faster than [`json`](Self::json)
    /// where the body is large.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not JSON as far as it was read; see [`Pointers::select`].
    pub fn select(&self, pointers: &Pointers) -> Result<Selected<'_>, Error> {
        pointers.select(&self.0)
    }

    /// The body as text.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not UTF-8.
    pub fn text(&self) -> Result<&str, Error> {
        str::from_utf8(&self.0).map_err(|e| Error::invalid(format_args!("body is not text: {e}")))
    }

    /// The bytes, without copying them.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Body> for Vec<u8> {
    fn from(body: Body) -> Self {
        body.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_another_shape_is_invalid() {
        let body = Body::from(br#"{"n": "one"}"#.to_vec());
        #[derive(Debug, Deserialize)]
        struct Number {
            #[expect(dead_code, reason = "only its type matters")]
            n: u32,
        }
        let error = body.json::<Number>().unwrap_err();
        assert!(matches!(&error, Error::Invalid(reason) if reason.contains("expected u32")), "{error}");
    }

    #[test]
    fn body_that_is_not_utf8_has_no_text() {
        assert!(matches!(Body::from(vec![0xff]).text(), Err(Error::Invalid(_))));
    }
}
