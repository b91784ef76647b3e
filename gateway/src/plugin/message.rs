//! Takes over the messages that a transform made.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue};

use super::{
    bindings::{batch, transform, types},
    call::Answer,
    log::tidy,
    view::Draft,
    window::Folded,
};
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
    #[error("made a message that stands for none of the items; leave `items` out where it stands for all")]
    OfNothing,
    #[error("made {made} messages of {items} items; a batch makes fewer of them, not more")]
    TooManyOf { made: usize, items: usize },
    #[error("made a message of item {place}, the window has {items}; they count from 0")]
    NoItem { place: usize, items: usize },
    #[error("made a message with {made} {what}, the limit is {limit}")]
    TooMany { what: &'static str, made: usize, limit: usize },
}

/// The most headers of one message: more than a request may have, and than any server takes.
const MAX_HEADERS: usize = 256;
/// The most attributes of one message.
const MAX_ATTRIBUTES: usize = 64;

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

/// What a transform has decided.
///
/// # Errors
/// The first message that cannot be delivered as it was made.
pub(super) fn answer(outcome: transform::Outcome) -> Result<Answer, Refused> {
    match outcome {
        transform::Outcome::Deliver(messages) => {
            Ok(Answer::Messages(messages.into_iter().map(draft).collect::<Result<_, _>>()?))
        }
        transform::Outcome::Drop(reason) => Ok(Answer::Drop(tidy(reason))),
    }
}

/// What a batch plugin has made of a window of so many items.
///
/// # Errors
/// The first message that cannot be delivered as it was made.
pub(super) fn folded(made: Vec<batch::Folded>, items: usize) -> Result<Vec<Folded>, Refused> {
    if made.len() > items {
        return Err(Refused::TooManyOf { made: made.len(), items });
    }
    made.into_iter().map(|made| fold(made, items)).collect()
}

fn fold(made: batch::Folded, items: usize) -> Result<Folded, Refused> {
    let message =
        Message { headers: headers(made.headers)?, body: made.body.into(), destinations: None, key: None };
    Ok(Folded { message, items: places(made.items, items)? })
}

/// Each once, in order; all of them where the plugin does not say.
fn places(named: Option<Vec<u32>>, items: usize) -> Result<Vec<usize>, Refused> {
    let Some(named) = named else { return Ok((0..items).collect()) };
    let places: BTreeSet<_> = named.into_iter().map(|place| place as usize).collect();
    match places.last() {
        None => Err(Refused::OfNothing),
        Some(&place) if place >= items => Err(Refused::NoItem { place, items }),
        Some(_) => Ok(places.into_iter().collect()),
    }
}

fn draft(made: types::Message) -> Result<Draft, Refused> {
    if made.destinations.as_ref().is_some_and(Vec::is_empty) {
        return Err(Refused::Nowhere);
    }
    at_most(MAX_ATTRIBUTES, "attributes", made.attributes.len())?;
    let message = Message {
        headers: headers(made.headers)?,
        body: made.body.into(),
        // Errors show them.
        destinations: made.destinations.map(|names| names.into_iter().map(tidy).collect()),
        key: made.key,
    };
    Ok(Draft { message, attributes: made.attributes })
}

fn at_most(limit: usize, what: &'static str, made: usize) -> Result<(), Refused> {
    if made > limit { Err(Refused::TooMany { what, made, limit }) } else { Ok(()) }
}

fn headers(made: Vec<(String, Vec<u8>)>) -> Result<Headers, Refused> {
    at_most(MAX_HEADERS, "headers", made.len())?;
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

    fn made() -> types::Message {
        types::Message {
            headers: Vec::new(),
            body: Vec::new(),
            destinations: None,
            key: None,
            attributes: Vec::new(),
        }
    }

    /// More than 32,768 would be a panic.
    #[test]
    fn headers_without_end_are_refused() {
        let headers = (0..40_000).map(|n| (format!("x-{n}"), Vec::new())).collect();
        let refused = draft(types::Message { headers, ..made() }).unwrap_err();
        assert_eq!(refused.to_string(), "made a message with 40000 headers, the limit is 256");
    }

    #[test]
    fn attributes_without_end_are_refused() {
        let attributes = (0..65).map(|n| (n.to_string(), String::new())).collect();
        let refused = draft(types::Message { attributes, ..made() }).unwrap_err();
        assert_eq!(refused.to_string(), "made a message with 65 attributes, the limit is 64");
    }

    #[test]
    fn destination_cannot_forge_a_line_of_the_log() {
        let destinations = Some(vec!["a\nERROR b".to_owned(), "x".repeat(1 << 20)]);
        let draft = draft(types::Message { destinations, ..made() }).unwrap();
        let names = draft.message.destinations.unwrap();
        assert_eq!(names[0], "a ERROR b");
        assert!(names[1].len() <= 1024);
    }

    #[test]
    fn header_that_the_gateway_sets_is_refused() {
        for name in ["Webhook-Id", "webhook-signature", "Content-Length", "transfer-encoding"] {
            let lower = name.to_lowercase();
            refused(name, b"1", &format!("with the header `{lower}`, which the gateway sets itself"));
        }
    }
}
