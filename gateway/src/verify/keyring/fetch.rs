//! Fetches documents over HTTPS.

use std::{sync::OnceLock, time::Duration};

use async_trait::async_trait;
use http::{HeaderMap, header::CACHE_CONTROL};
use reqwest::{Client, Response, Url};

use crate::verify::egress::{self, describe};

/// A longer document is nobody's.
const MAX_LEN: usize = 256 << 10;

/// How long a document is fresh that does not say.
pub(super) const DEFAULT_MAX_AGE: Duration = Duration::from_secs(60 * 60);

const MIN_MAX_AGE: Duration = Duration::from_secs(5 * 60);
const MAX_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Asks a URL, which has been checked, for a document.
#[async_trait]
pub(super) trait Fetch: Send + Sync {
    /// # Errors
    /// Why there is none, in a few words.
    async fn fetch(&self, url: &Url) -> Result<Document, String>;
}

pub(super) struct Document {
    pub(super) body: Vec<u8>,
    /// How long it is fresh, where it says.
    pub(super) max_age: Option<Duration>,
}

/// Asks over HTTPS: no redirects, no proxies of the environment, public addresses only, 5 seconds, 256 KiB.
pub(super) struct WebFetch {
    client: OnceLock<Result<Client, String>>,
}

impl WebFetch {
    pub(super) fn new() -> Self {
        Self { client: OnceLock::new() }
    }
}

#[async_trait]
impl Fetch for WebFetch {
    async fn fetch(&self, url: &Url) -> Result<Document, String> {
        // Made at the first need: most processes have none, and it takes the machine's CA certificates.
        let client = self
            .client
            .get_or_init(|| egress::client().build().map_err(describe))
            .as_ref()
            .map_err(String::clone)?;
        read(client.get(url.clone()).send().await.map_err(describe)?).await
    }
}

async fn read(mut response: Response) -> Result<Document, String> {
    let status = response.status();
    if status != http::StatusCode::OK {
        let hint = if status.is_redirection() { ": redirects are not followed" } else { "" };
        return Err(format!("answered {status}{hint}"));
    }
    let max_age = max_age(response.headers());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(describe)? {
        if body.len() + chunk.len() > MAX_LEN {
            return Err(format!("the document is longer than {} KiB", MAX_LEN >> 10));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Document { body, max_age })
}

/// Within bounds: a provider that says 0 is not asked for every request, nor is one that says a year trusted so long.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(CACHE_CONTROL)?.to_str().ok()?.split(',');
    let (_, seconds) = directives
        .filter_map(|directive| directive.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("max-age"))?;
    let seconds = seconds.trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(MIN_MAX_AGE, MAX_MAX_AGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_document_says_of_its_age_counts_within_bounds() {
        let of = |text: &str| {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, text.parse().unwrap())]);
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(of("public, max-age=7200, must-revalidate"), Some(7200));
        assert_eq!(of("Max-Age=\"600\""), Some(600));
        assert_eq!(of("max-age=0"), Some(300));
        assert_eq!(of("max-age=31536000"), Some(86_400));
        assert_eq!(of("no-store"), None);
        assert_eq!(of("max-age=soon"), None);
    }

    fn response(status: u16, body: Vec<u8>) -> Response {
        http::Response::builder().status(status).body(body).unwrap().into()
    }

    #[tokio::test]
    async fn only_an_answer_of_measure_is_a_document() {
        assert_eq!(read(response(200, vec![b'x'; MAX_LEN])).await.unwrap().body.len(), MAX_LEN);
        let error = |response| async { read(response).await.err().unwrap() };
        assert!(error(response(200, vec![b'x'; MAX_LEN + 1])).await.contains("longer than 256 KiB"));
        assert!(error(response(302, Vec::new())).await.contains("redirects are not followed"));
        assert!(error(response(404, Vec::new())).await.contains("404"));
    }

    #[tokio::test]
    async fn neither_plain_http_nor_our_own_network_is_asked() {
        let fetch = WebFetch {
            client: OnceLock::from(egress::client().tls_certs_only([]).build().map_err(describe)),
        };
        let error = |url: &'static str| {
            let fetch = &fetch;
            async move { fetch.fetch(&url.parse().unwrap()).await.err().unwrap() }
        };
        assert!(error("http://localhost/").await.contains("URL scheme is not allowed"));
        assert!(error("https://localhost/").await.contains("no public address"));
    }
}
