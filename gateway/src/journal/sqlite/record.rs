//! The bytes of a stored event and of a stored message: everything but the body, in one blob.
//!
//! ```text
//! event    version:u8 passed method:text path:text query:text? event-type:text? delivery-id:text?
//!          params:u16 × (name:text value:text) headers:rest
//! message  version:u8 batch key:text? destinations:u16? × text headers:rest
//! passed   [u8; 8]                         in version 2 only: which filters at the edge it passed
//! batch    id:[u8; 16] members:u32 place:u32   in version 2 only: a delivery that waits for others
//! text     length:u32 UTF-8            ?  present:u8, then the thing itself
//! ```
//! Integers are little-endian; headers are as [`Headers::encode`] writes them.

use bytes::Bytes;
use http::Method;

use crate::{
    event::{Event, Headers, Message, Passed},
    journal::BatchTag,
};

const VERSION: u8 = 1;
/// Of a message that waits to be delivered in a batch.
const BATCHED: u8 = 2;
/// Of an event that passed filters at the edge.
const PASSED: u8 = 2;

/// Everything of an event that has no column of its own.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) delivery_id: Option<String>,
    pub(super) params: Vec<(String, String)>,
    pub(super) headers: Headers,
    pub(super) passed: Option<Passed>,
}

/// The checksum stored with a row, verified whenever the row is read.
pub(super) fn checksum(head: &[u8], body: &[u8]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    hasher.finalize().into()
}

pub(super) fn encode_event(event: &Event) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + event.headers.len() * 48);
    match event.passed {
        None => out.push(VERSION),
        Some(passed) => {
            out.push(PASSED);
            out.extend_from_slice(&passed.to_bytes());
        }
    }
    put_text(&mut out, event.method.as_str());
    put_text(&mut out, &event.path);
    put_optional(&mut out, event.query.as_deref());
    put_optional(&mut out, event.event_type.as_deref());
    put_optional(&mut out, event.delivery_id.as_deref());
    out.extend_from_slice(&(event.params.len() as u16).to_le_bytes());
    for (name, value) in &event.params {
        put_text(&mut out, name);
        put_text(&mut out, value);
    }
    event.headers.encode(&mut out);
    out
}

/// Reads what [`encode_event`] wrote; `None` if the bytes are not that.
pub(super) fn decode_event(bytes: &[u8]) -> Option<Head> {
    let (passed, mut input) = Input::passed(bytes)?;
    Some(Head {
        method: Method::from_bytes(input.text()?.as_bytes()).ok()?,
        path: input.text()?,
        query: input.optional(Input::text)?,
        event_type: input.optional(Input::text)?,
        delivery_id: input.optional(Input::text)?,
        params: input.list(|input| Some((input.text()?, input.text()?)))?,
        headers: Headers::decode(input.0)?,
        passed,
    })
}

/// Everything of a message but its body.
pub(super) fn encode_message(message: &Message, batch: Option<BatchTag>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + message.headers.len() * 48);
    put_batch(&mut out, batch);
    put_optional(&mut out, message.key.as_deref());
    out.push(message.destinations.is_some().into());
    if let Some(destinations) = &message.destinations {
        out.extend_from_slice(&(destinations.len() as u16).to_le_bytes());
        destinations.iter().for_each(|name| put_text(&mut out, name));
    }
    message.headers.encode(&mut out);
    out
}

/// Reads what [`encode_message`] wrote; `None` if the bytes are not that.
pub(super) fn decode_message(bytes: &[u8], body: Bytes) -> Option<(Message, Option<BatchTag>)> {
    let (batch, mut input) = Input::batched(bytes)?;
    let message = Message {
        key: input.optional(Input::text)?,
        destinations: input.optional(|input| input.list(Input::text))?,
        headers: Headers::decode(input.0)?,
        body,
    };
    Some((message, batch))
}

/// What [`encode_message`] wrote, for another batch or for none; `None` if the bytes are not that.
pub(super) fn retag_message(bytes: &[u8], batch: Option<BatchTag>) -> Option<Vec<u8>> {
    let (_, Input(rest)) = Input::batched(bytes)?;
    let mut out = Vec::with_capacity(rest.len() + 32);
    put_batch(&mut out, batch);
    out.extend_from_slice(rest);
    Some(out)
}

fn put_batch(out: &mut Vec<u8>, batch: Option<BatchTag>) {
    let Some(BatchTag { id, members, place }) = batch else { return out.push(VERSION) };
    out.push(BATCHED);
    out.extend_from_slice(&id);
    out.extend_from_slice(&members.to_le_bytes());
    out.extend_from_slice(&place.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(text.is_some().into());
    if let Some(text) = text {
        put_text(out, text);
    }
}

/// What is left to decode. Every method is `None` where the bytes do not hold what was asked for.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// An event and the filters that it passed.
    fn passed(bytes: &'a [u8]) -> Option<(Option<Passed>, Self)> {
        let (&version, mut rest) = bytes.split_first()?;
        let passed = match version {
            VERSION => None,
            PASSED => Some(Passed::from_bytes(rest.split_off(..8)?.try_into().ok()?)),
            _ => return None,
        };
        Some((passed, Self(rest)))
    }

    /// A message and the batch that it waits for.
    fn batched(bytes: &'a [u8]) -> Option<(Option<BatchTag>, Self)> {
        let (&version, rest) = bytes.split_first()?;
        let mut input = Self(rest);
        let batch = match version {
            VERSION => None,
            BATCHED => Some(BatchTag {
                id: input.0.split_off(..16)?.try_into().ok()?,
                members: input.number()?,
                place: input.number()?,
            }),
            _ => return None,
        };
        Some((batch, input))
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.0.split_off(..4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let len = self.number()?;
        let bytes = self.0.split_off(..len as usize)?;
        str::from_utf8(bytes).ok().map(str::to_owned)
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.0.split_off_first()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len = u16::from_le_bytes(self.0.split_off(..2)?.try_into().ok()?);
        (0..len).map(|_| read(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn message() -> Message {
        let mut headers = Headers::default();
        headers.append(HeaderName::from_static("content-type"), HeaderValue::from_static("text/plain"));
        Message {
            headers,
            body: Bytes::from_static(b"x"),
            destinations: Some(vec!["a".into(), "b".into()]),
            key: Some("k".into()),
        }
    }

    #[test]
    fn event_keeps_the_filters_that_it_passed_and_one_without_is_written_as_ever() {
        let event = Event::clone(&crate::plugin::fixtures::event("{}"));
        let plain = encode_event(&event);
        assert_eq!((plain[0], decode_event(&plain).unwrap().passed), (VERSION, None));
        let passed = Some(Passed::from_bytes([7; 8]));
        let marked = encode_event(&Event { passed, ..event.clone() });
        let head = decode_event(&marked).unwrap();
        assert_eq!((head.passed, head.path, head.headers), (passed, event.path, event.headers));
        assert!(decode_event(&marked[..8]).is_none());
    }

    #[test]
    fn message_survives_encoding() {
        let message = message();
        let body = message.body.clone();
        assert_eq!(decode_message(&encode_message(&message, None), body), Some((message, None)));
    }

    #[test]
    fn batch_of_a_message_is_kept_replaced_and_taken_away() {
        let (message, body) = (message(), message().body);
        let tag = |place| Some(BatchTag { id: [7; 16], members: 3, place });
        let first = encode_message(&message, tag(1));
        assert_eq!(decode_message(&first, body.clone()), Some((message.clone(), tag(1))));
        let second = retag_message(&first, tag(2)).unwrap();
        assert_eq!(second, encode_message(&message, tag(2)));
        assert_eq!(retag_message(&second, None), Some(encode_message(&message, None)));
        assert_eq!(retag_message(&second[..20], None), None);
    }

    #[test]
    fn truncated_message_is_not_decoded() {
        let bytes = encode_message(&message(), None);
        // The cut right before the headers leaves a whole message without headers.
        let bare = bytes.len() - (2 + "content-type".len() + 4 + "text/plain".len());
        for cut in (0..bytes.len()).filter(|cut| *cut != bare) {
            assert_eq!(decode_message(&bytes[..cut], Bytes::new()), None, "cut at {cut}");
        }
    }
}
