//! Takes over the messages that a transform made.

use http::{HeaderName, HeaderValue};

use super::{bindings::types, log::tidy, view::Draft};
use crate::event::{Headers, Message};

/// Why a message cannot be delivered as the plugin made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Refused {
    #[error("made a message with the header name `{name}`, which is not valid")]
    HeaderName { name: String },
    #[error("made a message whose header `{name}` has a value that is not valid")]
    HeaderValue { name: HeaderName },
    #[error("made a message with the header `{name}`, which the gateway sets itself")]
    Reserved { name: HeaderName },
    #[error(
        "made a message for no destination; none at all means every destination, to drop it return no message"
    )]
    Nowhere,
}

/// Headers that belong to the connection or to the body's framing.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn drafts(messages: Vec<types::Message>) -> Result<Vec<Draft>, Refused> {
    messages.into_iter().map(draft).collect()
}

fn draft(made: types::Message) -> Result<Draft, Refused> {
    if made.destinations.as_ref().is_some_and(Vec::is_empty) {
        return Err(Refused::Nowhere);
    }
    let message = Message {
        headers: headers(made.headers)?,
        body: made.body.into(),
        destinations: made.destinations,
        key: made.key,
    };
    Ok(Draft { message, attributes: made.attributes })
}

fn headers(made: Vec<(String, Vec<u8>)>) -> Result<Headers, Refused> {
    let mut headers = Headers::default();
    for (name, value) in made {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(Refused::HeaderName { name: tidy(name) });
        };
        if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("webhook-") {
            return Err(Refused::Reserved { name });
        }
        let Ok(value) = HeaderValue::try_from(value) else {
            return Err(Refused::HeaderValue { name });
        };
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(name: &str, value: &[u8], because: &str) {
        let refused = headers(vec![(name.into(), value.into())]).unwrap_err();
        assert_eq!(refused.to_string(), format!("made a message {because}"));
    }

    #[test]
    fn ordinary_header_is_taken() {
        let made = [("Content-Type", &b"application/json"[..]), ("x-latin", b"caf\xe9")];
        let made = made.map(|(name, value)| (name.into(), value.into())).into();
        assert_eq!(headers(made).unwrap().get("content-type").unwrap(), "application/json");
    }

    #[test]
    fn invalid_header_is_refused() {
        refused("x y", b"1", "with the header name `x y`, which is not valid");
        refused("x-a", b"1\r\nx-b: 2", "whose header `x-a` has a value that is not valid");
    }

    #[test]
    fn header_that_the_gateway_sets_is_refused() {
        for name in ["Webhook-Id", "webhook-signature", "Content-Length", "transfer-encoding"] {
            let lower = name.to_lowercase();
            refused(name, b"1", &format!("with the header `{lower}`, which the gateway sets itself"));
        }
    }
}
