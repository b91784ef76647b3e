//! A destination made ready: what can be prepared once is not done for every attempt.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE, USER_AGENT,
    },
};
use reqwest::{Method, Request, Url};

use super::signing::{Signer, SigningError};
use crate::{
    clock::Timestamp,
    config::Destination,
    event::{Headers, Message},
};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// These say how one request is framed, or are ours to set: neither a plugin nor a sender has a say in them.
const OURS: [HeaderName; 12] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    WEBHOOK_ID,
    WEBHOOK_TIMESTAMP,
    WEBHOOK_SIGNATURE,
];

/// A destination's config, ready for attempts.
pub struct Target {
    pub(crate) concurrency: usize,
    pub(crate) retry: Vec<Duration>,
    pub(crate) timeout: Duration,
    url: Url,
    /// Sent with every message, `user-agent` included.
    headers: HeaderMap,
    forward: Vec<HeaderName>,
    signer: Option<Signer>,
}

impl Target {
    pub fn new(destination: &Destination) -> Result<Self, TargetError> {
        let signer = match destination.sign.as_slice() {
            [] => None,
            secrets => Some(
                Signer::new(secrets)
                    .map_err(|source| TargetError { destination: destination.name.clone(), source })?,
            ),
        };
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Sluice/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in &destination.headers {
            headers.insert(name, value.clone());
        }
        Ok(Self {
            concurrency: destination.concurrency,
            retry: destination.retry.clone(),
            timeout: destination.timeout,
            url: destination.url.clone(),
            headers,
            forward: destination.forward_headers.clone(),
            signer,
        })
    }

    /// Adds the headers of the original request that this destination is to see. What a plugin has set stays.
    ///
    /// They become part of the message, so a retry long after still has them.
    pub(crate) fn forward(&self, received: &Headers, message: &mut Headers) {
        for name in &self.forward {
            // The body that is passed on has been inflated.
            if *name == CONTENT_ENCODING || message.get(name.as_str()).is_some() {
                continue;
            }
            for value in received.get_all(name.as_str()) {
                message.append(name.clone(), value.clone());
            }
        }
    }

    /// The request of one attempt, made at `now`.
    pub(super) fn request(
        &self,
        id: String,
        message: &Message,
        now: Timestamp,
    ) -> Result<Request, RequestError> {
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = self.request_headers(id, message, now)?;
        *request.body_mut() = Some(message.body.clone().into());
        *request.timeout_mut() = Some(self.timeout);
        Ok(request)
    }

    fn request_headers(
        &self,
        id: String,
        message: &Message,
        now: Timestamp,
    ) -> Result<HeaderMap, RequestError> {
        let timestamp = now.as_secs().to_string();
        let mut headers = HeaderMap::with_capacity(message.headers.len() + self.headers.len() + 4);
        for (name, value) in message.headers.iter().filter(|(name, _)| !OURS.contains(name)) {
            headers.try_append(name, value.clone()).map_err(|_| RequestError::TooManyHeaders)?;
        }
        for (name, value) in &self.headers {
            headers.try_insert(name, value.clone()).map_err(|_| RequestError::TooManyHeaders)?;
        }
        headers.entry(CONTENT_TYPE).or_insert(const { HeaderValue::from_static("application/octet-stream") });
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&id, &timestamp, &message.body, now);
            headers.insert(WEBHOOK_SIGNATURE, signature.ok_or(RequestError::NoActiveSecret)?);
        }
        headers.insert(WEBHOOK_ID, HeaderValue::try_from(id).map_err(|_| RequestError::InvalidName)?);
        headers.insert(
            WEBHOOK_TIMESTAMP,
            HeaderValue::try_from(timestamp).map_err(|_| RequestError::InvalidName)?,
        );
        Ok(headers)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("destination `{destination}` cannot be signed for")]
pub struct TargetError {
    pub destination: Arc<str>,
    pub source: SigningError,
}

/// Why there is nothing that could be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum RequestError {
    #[error(
        "no signing secret is valid now: look at `valid_from` and `valid_until` of the destination's secrets"
    )]
    NoActiveSecret,
    #[error("the message has more headers than a request can carry")]
    TooManyHeaders,
    #[error("the destination's name does not fit in a header: rename it without control characters")]
    InvalidName,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{config::Secret, dispatch::testing::destination, event::EventId, journal::DeliveryKey};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn id() -> String {
        let event = EventId::from_bytes([7; 16]);
        DeliveryKey { event, destination: "crm".into(), index: 2 }.webhook_id()
    }

    fn message(sent: &[(&'static str, &'static str)]) -> Message {
        let mut headers = Headers::default();
        for (name, value) in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Message { headers, body: Bytes::new(), destinations: None, key: None }
    }

    fn headers(destination: &Destination, sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let target = Target::new(destination).unwrap();
        target.request_headers(id(), &message(sent), NOW).unwrap()
    }

    #[test]
    fn message_cannot_set_what_is_ours() {
        let sent = [
            ("host", "internal"),
            ("content-length", "0"),
            ("transfer-encoding", "chunked"),
            ("webhook-id", "forged"),
            ("webhook-signature", "v1,forged"),
            ("x-own", "kept"),
        ];
        let headers = headers(&destination("crm", "http://127.0.0.1/"), &sent);
        for name in ["host", "content-length", "transfer-encoding", "webhook-signature"] {
            assert_eq!(headers.get(name), None, "{name}");
        }
        assert_eq!(headers["webhook-id"], "07070707-0707-0707-0707-070707070707_crm_2");
        assert_eq!(headers["x-own"], "kept");
    }

    #[test]
    fn headers_of_the_destination_replace_those_of_the_message() {
        let headers_of_config = vec![(HeaderName::from_static("x-team"), HeaderValue::from_static("ops"))];
        let crm = Destination { headers: headers_of_config, ..destination("crm", "http://127.0.0.1/") };
        let headers = headers(&crm, &[("x-team", "a"), ("x-team", "b"), ("content-type", "text/plain")]);
        assert_eq!(headers.get_all("x-team").iter().collect::<Vec<_>>(), ["ops"]);
        assert_eq!(headers["content-type"], "text/plain");
    }

    #[test]
    fn message_without_a_type_is_bytes() {
        let headers = headers(&destination("crm", "http://127.0.0.1/"), &[]);
        assert_eq!(headers["content-type"], "application/octet-stream");
    }

    #[test]
    fn nothing_is_sent_unsigned_where_a_signature_is_asked_for() {
        let expired = Secret::new(&b"key"[..], "inline").valid_between(None, Some(NOW));
        let crm = Destination { sign: vec![expired], ..destination("crm", "http://127.0.0.1/") };
        let error = Target::new(&crm).unwrap().request_headers(id(), &message(&[]), NOW).unwrap_err();
        assert!(matches!(error, RequestError::NoActiveSecret));
    }

    #[test]
    fn encoding_of_the_received_body_is_not_forwarded() {
        let names = ["content-encoding", "x-kept"].map(HeaderName::from_static);
        let crm = Destination { forward_headers: names.to_vec(), ..destination("crm", "http://127.0.0.1/") };
        let received = message(&[("content-encoding", "gzip"), ("x-kept", "1"), ("x-other", "2")]).headers;
        let mut message = Headers::default();
        Target::new(&crm).unwrap().forward(&received, &mut message);
        assert_eq!(message.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x-kept"]);
    }
}
