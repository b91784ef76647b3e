//! HTTP clients: plain, h2c, and TLS with one trusted certificate.

use std::{sync::Once, time::Duration};

use bytes::Bytes;
use http::HeaderMap;
use reqwest::{Certificate, Client, ClientBuilder};

/// How long an answer may take: a reload compiles plugins.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("answer {} is not JSON: {error}: {}", self.status, self.text()),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The id of the event that an acceptance names.
    #[track_caller]
    pub fn id(&self) -> String {
        match self.json()["id"].as_str() {
            Some(id) => id.to_owned(),
            None => panic!("answer {} names no event: {}", self.status, self.text()),
        }
    }

    /// The code of a refusal: `{code, message, request_id}`.
    #[track_caller]
    pub fn code(&self) -> String {
        let json = self.json();
        assert!(json["request_id"].is_string(), "refusal {} has no request id: {json}", self.status);
        assert!(json["message"].is_string(), "refusal {} has no message: {json}", self.status);
        json["code"]
            .as_str()
            .unwrap_or_else(|| panic!("refusal {} has no code: {json}", self.status))
            .to_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    pub(crate) async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, body: response.bytes().await? })
    }
}

/// HTTP/1.1 with keep-alive.
pub fn http1() -> Client {
    build(builder().http1_only())
}

/// HTTP/2 over cleartext, without an upgrade.
pub fn h2c() -> Client {
    build(builder().http2_prior_knowledge())
}

/// TLS, trusting this PEM certificate and no other; HTTP/2 where the server offers it.
pub fn tls(certificate: &str) -> Client {
    let certificate = Certificate::from_pem(certificate.as_bytes()).expect("certificate is PEM");
    build(builder().tls_certs_only([certificate]))
}

fn builder() -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that another part of this program has installed one: just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    // `tls_certs_only` without any: the system's roots are of no use here and slow to load.
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        .timeout(TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(5))
}

fn build(builder: ClientBuilder) -> Client {
    builder.build().expect("client can be built")
}
