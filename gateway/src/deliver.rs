//! One attempt at one delivery: a request is built, signed and sent, and the answer is judged.

use std::{io, time::Duration};

use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use reqwest::{Response, redirect};

pub use target::{Target, TargetError};

use crate::{clock::Timestamp, egress::root_cause, event::Message};

pub mod retry;

pub mod signing;

mod target;

/// A receiver that has not taken the connection, TLS included, after this long is not there. A destination's own
/// timeout counts where it is shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An idle connection is closed after this long: sooner than most receivers would close it under our hands.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an answer is read so that its connection can be used again; a longer answer closes it.
const ANSWER_READ: usize = 16 << 10;

/// How much of an answer is kept for the event's history.
const ANSWER_KEPT: usize = 256;

/// Sends what is to be delivered. Holds the connections to every destination; cheap to clone.
///
/// It follows no redirect, asks no proxy of the environment, and speaks HTTP/2 where TLS agrees on it.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
}

/// How a receiver answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub verdict: Verdict,
    /// `None`: there was no answer.
    pub status: Option<StatusCode>,
    /// The first 256 bytes of the answer's body, as text.
    pub text: Option<String>,
}

/// What an answer means for the delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// 2xx: the receiver has it. What follows in the answer's body does not change that.
    Delivered,
    /// Anything else, worth another attempt: a receiver that answers 401 or 404 today may be put right tomorrow.
    Failed { error: String, retry_after: Option<Duration> },
    /// 410: the receiver says that it will never want it.
    Gone,
}

impl Client {
    /// # Errors
    /// Where the HTTP client cannot be built. A machine without CA certificates is no error: only `https`
    /// destinations fail then, and a warning says so.
    pub fn new() -> Result<Self, ClientError> {
        // Another part of the process may have installed it already: it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = builder().build().or_else(|cause| {
            tracing::warn!(
                error = %root_cause(&cause),
                "no CA certificates found: deliveries to https destinations will fail; install ca-certificates \
                 or set SSL_CERT_FILE"
            );
            builder().tls_certs_only([]).build()
        });
        Ok(Self { http: http.map_err(|source| ClientError { source })? })
    }

    /// Makes one attempt at `now`, with `id` as its `webhook-id`. Takes as long as the destination's timeout at most.
    pub async fn attempt(&self, target: &Target, id: String, message: &Message, now: Timestamp) -> Answer {
        let request = match target.request(id, message, now) {
            Ok(request) => request,
            Err(error) => return Answer::none(error.to_string()),
        };
        match self.http.execute(request).await {
            Ok(response) => Answer::read(response, now).await,
            Err(error) => Answer::none(describe(&error.without_url(), target.timeout)),
        }
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        // What reaches a destination is said in the config, not in the environment.
        .no_proxy()
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        // Lanes bound the connections; what they opened may stay open.
        .pool_max_idle_per_host(usize::MAX)
        .pool_idle_timeout(IDLE_TIMEOUT)
}

impl Answer {
    async fn read(response: Response, now: Timestamp) -> Self {
        let status = response.status();
        let verdict = judge(status, response.headers(), now);
        Self { verdict, status: Some(status), text: drain(response).await }
    }

    /// Why it was no success.
    pub(crate) fn error(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Failed { error, .. } => Some(error),
            Verdict::Delivered | Verdict::Gone => None,
        }
    }

    fn none(error: String) -> Self {
        Self { verdict: Verdict::Failed { error, retry_after: None }, status: None, text: None }
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Verdict {
    if status.is_success() {
        return Verdict::Delivered;
    }
    if status == StatusCode::GONE {
        return Verdict::Gone;
    }
    let hint = if status.is_redirection() { ": redirects are not followed" } else { "" };
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Verdict::Failed {
        error: format!("answered {status}{hint}"),
        retry_after: retry_after.and_then(|value| retry::retry_after(value, now)),
    }
}

/// Reads an answer's body to its end, or as far as is worth a connection, and returns its beginning.
async fn drain(mut response: Response) -> Option<String> {
    let (mut read, mut kept) = (0, Vec::new());
    while read < ANSWER_READ
        && let Ok(Some(chunk)) = response.chunk().await
    {
        read += chunk.len();
        let wanted = chunk.len().min(ANSWER_KEPT - kept.len());
        kept.extend_from_slice(&chunk[..wanted]);
    }
    (!kept.is_empty()).then(|| String::from_utf8_lossy(&kept).into_owned())
}

/// Says in a few words why there was no answer. Never names the URL, which may hold a secret.
fn describe(error: &reqwest::Error, timeout: Duration) -> String {
    let cause = root_cause(error);
    if error.is_timeout() {
        let (after, what) = match error.is_connect() {
            true => (CONNECT_TIMEOUT.min(timeout), "connecting"),
            false => (timeout, "waiting for response headers"),
        };
        return format!("timed out after {} {what}", humantime::format_duration(after));
    }
    if error.is_dns() {
        return format!("name lookup failed: {cause}");
    }
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(io::ErrorKind::ConnectionReset) => "connection reset by the receiver".to_owned(),
        _ if error.is_connect() => format!("failed to connect: {cause}"),
        _ => cause.to_string(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("failed to set up the client for deliveries")]
pub struct ClientError {
    source: reqwest::Error,
}
