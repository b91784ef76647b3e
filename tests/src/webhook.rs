//! Webhooks as their providers send them, signed independently of the gateway.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use sha2::Sha256;

use crate::client::Answer;

/// The secret that the tests' GitHub shares with the gateway.
pub const GITHUB_SECRET: &str = "it-is-a-secret-to-everybody";

/// A Standard Webhooks secret: what the gateway signs with, and what its receivers check with.
pub const SIGNING_SECRET: &str = "whsec_c2x1aWNlLXRlc3RzLXNpZ24td2l0aC10aGlzISE=";

/// One request of a provider.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Webhook {
    /// A POST without a signature.
    pub fn plain(path: &str, body: impl Into<Bytes>) -> Self {
        let webhook =
            Self { method: Method::POST, path: path.into(), headers: HeaderMap::new(), body: body.into() };
        webhook.header("content-type", "application/json")
    }

    /// A GitHub event, with a delivery id of its own, posted to `/github`.
    pub fn github(event: &str, body: impl Into<Bytes>) -> Self {
        Self::plain("/github", body)
            .header("x-github-event", event)
            .delivery(&fresh_delivery_id())
            .sign_github(GITHUB_SECRET)
    }

    /// A Standard Webhooks message with a fresh id, posted to `/standard`.
    pub fn standard(body: impl Into<Bytes>, secret: &str) -> Self {
        let (id, timestamp) = (format!("msg_{}", fresh_delivery_id()), unix_now().to_string());
        let webhook = Self::plain("/standard", body);
        let signature = standard_signature(secret, &id, &timestamp, &webhook.body);
        webhook
            .header("webhook-id", &id)
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", &signature)
    }

    pub fn to(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sets a header, in place of any it had.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("header name");
        self.headers.insert(name, HeaderValue::from_str(value).expect("header value"));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// GitHub's delivery id.
    pub fn delivery(self, id: &str) -> Self {
        self.header("x-github-delivery", id)
    }

    /// Signs the body as it is now, as GitHub does.
    pub fn sign_github(self, secret: &str) -> Self {
        let signature = github_signature(secret, &self.body);
        self.header("x-hub-signature-256", &signature)
    }

    /// Encodes the body and signs it as sent.
    pub fn encoded(mut self, encoding: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-encoding", encoding).sign_github(GITHUB_SECRET)
    }

    /// Sends it to `base`, e.g. `http://127.0.0.1:8080`.
    pub async fn send(self, client: &Client, base: &str) -> reqwest::Result<Answer> {
        let request =
            client.request(self.method, format!("{base}{}", self.path)).headers(self.headers).body(self.body);
        Answer::read(request.send().await?).await
    }
}

/// `sha256=` and the hex HMAC of the body.
pub fn github_signature(secret: &str, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac_sha256(secret.as_bytes(), &[body])))
}

/// `v1,` and the base64 HMAC of id, timestamp and body.
pub fn standard_signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = BASE64.decode(secret.trim_start_matches("whsec_")).expect("secret is base64");
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    format!("v1,{}", BASE64.encode(hmac_sha256(&key, &parts)))
}

/// Seconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a sender has a clock of its own")]
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length will do");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// In a UUID's shape, as GitHub's are. Unlike any other of this run and, by the time in it, of an earlier one.
fn fresh_delivery_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id() & 0xffff;
    format!("{:08x}-{process:04x}-11ef-8000-{next:012x}", unix_now() & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's own documentation.
    #[test]
    fn github_signature_is_githubs() {
        let signature = github_signature("It's a Secret to Everybody", b"Hello, World!");
        assert_eq!(signature, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }

    /// The example of the Standard Webhooks reference libraries.
    #[test]
    fn standard_signature_is_the_references() {
        let signature = standard_signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn delivery_ids_differ() {
        assert_ne!(fresh_delivery_id(), fresh_delivery_id());
    }
}
