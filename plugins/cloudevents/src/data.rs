//! A CloudEvent's data.

use sluice_plugin::{Error, json::Raw};

use crate::base64;

/// A CloudEvent's data, as its JSON format has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data<'a> {
    Nothing,
    Json(Raw<'a>),
    Bytes(&'a [u8]),
}

impl<'a> Data<'a> {
    /// Reads a body. Without a type, it is JSON if it looks like it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is JSON by its type, and is not.
    pub(crate) fn of(body: &'a [u8], content_type: Option<&str>) -> Result<Self, Error> {
        if body.is_empty() {
            return Ok(Self::Nothing);
        }
        match content_type {
            Some(content_type) if is_json(content_type) => Raw::parse(body).map(Self::Json),
            Some(_) => Ok(Self::Bytes(body)),
            None => Ok(Raw::parse(body).map_or(Self::Bytes(body), Self::Json)),
        }
    }

    /// The type of data that came without one.
    pub(crate) fn default_type(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Json(_) => Some("application/json"),
            Self::Bytes(_) => Some("application/octet-stream"),
        }
    }

    /// Writes the member that holds it, if there is anything to hold.
    pub(crate) fn write(self, out: &mut String) {
        match self {
            Self::Nothing => {}
            Self::Json(raw) => {
                out.push_str("\"data\":");
                out.push_str(raw.json());
            }
            Self::Bytes(bytes) => {
                out.push_str("\"data_base64\":\"");
                base64::encode(bytes, out);
                out.push('"');
            }
        }
    }
}

/// Whether a media type is one of JSON: `application/json`, `application/vnd.github+json`, `text/json`.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}
