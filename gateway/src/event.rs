//! An event: one webhook that has been proven genuine.

use std::{fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Timestamp, verify::Proof};

/// Names one event: a UUIDv7, so ids sort by the time of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// Makes a new id; ids made in one process are strictly increasing.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// When the event was accepted, to the millisecond: a UUIDv7 begins with it. `None` for any other kind of id.
    pub fn accepted_at(&self) -> Option<Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        Some(Timestamp::from_millis(seconds * 1000 + u64::from(nanos / 1_000_000)))
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// One webhook, proven genuine. Only [`verify`](crate::verify) makes one from a request, and only the journal
/// reads one back: both hold a [`Proof`].
#[derive(Clone, Debug)]
pub struct Event {
    pub id: EventId,
    /// The name of the route that accepted it.
    pub route: Arc<str>,
    pub received_at: Timestamp,
    pub method: Method,
    /// The request's path without its query, as received.
    pub path: String,
    /// The request's query without `?`, as received.
    pub query: Option<String>,
    /// The `{name}` segments of the route's path, percent-decoded.
    pub params: Vec<(String, String)>,
    /// As received, without hop-by-hop headers and without the credentials that proved the request.
    pub headers: Headers,
    /// With any content encoding undone: this is what plugins see and destinations get.
    pub body: Bytes,
    /// The provider's event type, where the scheme knows where to find it.
    pub event_type: Option<String>,
    /// The provider's delivery id, where it sends one: what duplicates are known by.
    pub delivery_id: Option<String>,
    /// The filters that kept it before it was written down; `None` where they could not say, or there were none.
    pub passed: Option<Passed>,
    pub proof: Proof,
}

/// Filters at the edge that an event has passed, as a digest of their files and configs: the same ones need not see it
/// again behind the journal. What a filter says of an event never changes, so that holds for retries and replays too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed(u64);

impl Passed {
    /// Those of this SHA-256.
    pub(crate) fn by(digest: &[u8; 32]) -> Self {
        let (first, _) = digest.split_first_chunk().expect("32 bytes begin with 8");
        Self(u64::from_le_bytes(*first))
    }

    pub(crate) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }

    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

/// Header fields: lower-case names, values as bytes, order and repeats within a name kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(HeaderMap);

impl Headers {
    pub fn get(&self, name: &str) -> Option<&HeaderValue> {
        self.0.get(name)
    }

    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a HeaderValue> {
        self.0.get_all(name).iter()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter()
    }

    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.append(name, value);
    }

    pub fn remove(&mut self, name: &HeaderName) {
        self.0.remove(name);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the fields as `name-length:u16 name value-length:u32 value`, little-endian: the journal's form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(name);
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(value);
        }
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if the bytes are not that.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut headers = Self::default();
        while !bytes.is_empty() {
            let name_len = u16::from_le_bytes(bytes.split_off(..2)?.try_into().ok()?);
            let name = HeaderName::from_bytes(bytes.split_off(..name_len as usize)?).ok()?;
            let value_len = u32::from_le_bytes(bytes.split_off(..4)?.try_into().ok()?);
            let value = HeaderValue::from_bytes(bytes.split_off(..value_len as usize)?).ok()?;
            headers.append(name, value);
        }
        Some(headers)
    }
}

impl From<HeaderMap> for Headers {
    fn from(map: HeaderMap) -> Self {
        Self(map)
    }
}

/// Something to deliver: what the pipeline made of an event. Without plugins it is the event's own body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Sent with the message, `content-type` above all.
    pub headers: Headers,
    pub body: Bytes,
    /// Which of the route's destinations get it; `None` means all of them.
    pub destinations: Option<Vec<String>>,
    /// The order key, where a plugin gave one.
    pub key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_knows_when_the_event_was_accepted() {
        let id: EventId = "018f3c2e-7a10-7000-8000-000000000000".parse().unwrap();
        assert_eq!(id.accepted_at(), Some(Timestamp::from_millis(0x018f_3c2e_7a10)));
        assert_eq!(EventId::from_bytes([0; 16]).accepted_at(), None);
    }

    #[test]
    fn headers_survive_encoding() {
        let mut headers = Headers::default();
        headers.append(HeaderName::from_static("x-a"), HeaderValue::from_static("1"));
        headers.append(HeaderName::from_static("x-a"), HeaderValue::from_static("2"));
        headers.append(HeaderName::from_static("x-b"), HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        let mut bytes = Vec::new();
        headers.encode(&mut bytes);
        assert_eq!(Headers::decode(&bytes), Some(headers));
    }

    #[test]
    fn truncated_headers_are_not_decoded() {
        let mut headers = Headers::default();
        headers.append(HeaderName::from_static("x-a"), HeaderValue::from_static("1"));
        let mut bytes = Vec::new();
        headers.encode(&mut bytes);
        for cut in 1..bytes.len() {
            assert_eq!(Headers::decode(&bytes[..cut]), None, "cut at {cut}");
        }
    }
}
