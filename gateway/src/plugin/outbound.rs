//! Plugins' own requests: what may be sent where, and how much may come back.

use std::{sync::OnceLock, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};
use reqwest::{Client, Url};

use super::limits::iec;
use crate::{
    config::HttpGrant,
    egress::{self, Reach, root_cause},
};

/// The largest response that a plugin can get, headers included, in bytes.
pub const RESPONSE_MAX: usize = 1 << 20;
/// A response takes a quarter of the plugin's memory at most: it is copied there, and then worked on.
const MEMORY_SHARE: usize = 4;

/// A server that has not taken the connection, TLS included, after this long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection is closed after this long: sooner than most servers would close it under our hands.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle connections kept open to one host.
const IDLE_CONNECTIONS: usize = 8;

/// These say how one request is framed, or who we are to a proxy: not for a plugin to set.
const OURS: [HeaderName; 12] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Sends plugins' requests. Holds the connections of all of them.
///
/// It follows no redirect, asks no proxy, keeps no cookies and inflates nothing.
#[derive(Default)]
pub struct Outbound {
    public: Lazy,
    anywhere: Lazy,
}

/// A client made at the first need: most gateways have none, and it takes the machine's CA certificates.
#[derive(Default)]
struct Lazy(OnceLock<Result<Client, String>>);

/// What a plugin wants sent.
#[derive(Debug)]
pub struct OutboundRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// How long it may take, should the plugin have less patience than its limits.
    pub timeout: Option<Duration>,
}

#[derive(Debug, PartialEq)]
pub struct OutboundResponse {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// Why there is no response. Speaks to the plugin's author, and shows neither queries nor headers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// The config does not grant it, or the name leads where plugins may not go.
    #[error("{0}")]
    Denied(String),
    /// It cannot be sent as it is.
    #[error("{0}")]
    Invalid(String),
    #[error("no response within {}, as the request asked", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("the response is larger than {}, the most that this plugin can get", iec(*.0))]
    TooLarge(usize),
    #[error("{0}")]
    Failed(String),
}

impl Outbound {
    /// Sends a request of `plugin` to a server that `grants` name, and reads the response if it has no more than
    /// [`RESPONSE_MAX`] bytes and a quarter of `memory`. The body's size is for the caller to bound, as is the time
    /// where the request does not. Ends when it is dropped.
    ///
    /// # Errors
    /// Each case of [`OutboundError`] as it says.
    pub async fn send(
        &self,
        plugin: &str,
        grants: &[HttpGrant],
        memory: usize,
        request: OutboundRequest,
    ) -> Result<OutboundResponse, OutboundError> {
        let timeout = request.timeout;
        let (request, reach) = prepare(plugin, grants, request)?;
        let response = self.exchange(request, reach, RESPONSE_MAX.min(memory / MEMORY_SHARE));
        match timeout {
            Some(patience) => tokio::time::timeout(patience, response)
                .await
                .unwrap_or(Err(OutboundError::Timeout(patience))),
            None => response.await,
        }
    }

    async fn exchange(
        &self,
        request: reqwest::Request,
        reach: Reach,
        max: usize,
    ) -> Result<OutboundResponse, OutboundError> {
        let client = match reach {
            Reach::Public => self.public.get(reach),
            Reach::Anywhere => self.anywhere.get(reach),
        }?;
        let response = client.execute(request).await.map_err(failed)?;
        read(response, max).await
    }
}

impl Lazy {
    fn get(&self, reach: Reach) -> Result<&Client, OutboundError> {
        let client = self.0.get_or_init(|| build(reach).map_err(|error| root_cause(&error).to_string()));
        client.as_ref().map_err(|cause| OutboundError::Failed(format!("failed to set up HTTP: {cause}")))
    }
}

fn build(reach: Reach) -> reqwest::Result<Client> {
    let builder = || {
        egress::client(reach)
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
    };
    builder().build().or_else(|error| {
        tracing::warn!(
            error = %root_cause(&error),
            "no CA certificates found: plugins' requests to https servers will fail; install ca-certificates or \
             set SSL_CERT_FILE"
        );
        builder().tls_certs_only([]).build()
    })
}

/// The request as it is sent, and how far it may reach.
fn prepare(
    plugin: &str,
    grants: &[HttpGrant],
    request: OutboundRequest,
) -> Result<(reqwest::Request, Reach), OutboundError> {
    let url = parse_url(&request.url)?;
    let reach = reach(plugin, grants, &url)?;
    let mut prepared = reqwest::Request::new(parse_method(&request.method)?, url);
    *prepared.headers_mut() = parse_headers(request.headers)?;
    if !request.body.is_empty() {
        *prepared.body_mut() = Some(request.body.into());
    }
    Ok((prepared, reach))
}

fn parse_url(text: &str) -> Result<Url, OutboundError> {
    let invalid = |why: &str| OutboundError::Invalid(format!("the URL cannot be used: {why}"));
    let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("it begins with neither `https://` nor `http://`"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it holds credentials; send them as an `authorization` header"));
    }
    Ok(url)
}

fn parse_method(text: &str) -> Result<Method, OutboundError> {
    let refused =
        || OutboundError::Invalid(format!("`{}` is no method that can be sent", text.escape_debug()));
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| refused())?;
    match method {
        Method::CONNECT | Method::TRACE => Err(refused()),
        method => Ok(method),
    }
}

fn parse_headers(headers: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, OutboundError> {
    let mut parsed = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let invalid =
            |why: &str| OutboundError::Invalid(format!("the header `{}` {why}", name.escape_debug()));
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("has no valid name"))?;
        if OURS.contains(&known) {
            return Err(invalid("is set by the gateway"));
        }
        let value =
            HeaderValue::from_bytes(&value).map_err(|_| invalid("has a value that cannot be sent"))?;
        parsed.try_append(known, value).map_err(|_| invalid("is one too many"))?;
    }
    Ok(parsed)
}

/// How far a request to this URL may reach, if the config lets it go out at all.
fn reach(plugin: &str, grants: &[HttpGrant], url: &Url) -> Result<Reach, OutboundError> {
    let granting: Vec<_> = grants.iter().filter(|grant| covers(grant, url)).collect();
    if granting.is_empty() {
        return Err(OutboundError::Denied(not_granted(plugin, url)));
    }
    if granting.iter().any(|grant| grant.private) {
        return Ok(Reach::Anywhere);
    }
    match address(url) {
        Some(address) if !egress::is_public(address) => Err(not_public(&address.to_string())),
        _ => Ok(Reach::Public),
    }
}

fn covers(grant: &HttpGrant, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let named = match grant.host.strip_prefix("*.") {
        Some(parent) => {
            host.strip_suffix(parent).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        }
        None => host == grant.host,
    };
    named && url.scheme() == grant.scheme.to_string() && url.port_or_known_default() == Some(grant.port)
}

/// The address that a URL has in place of a name.
fn address(url: &Url) -> Option<std::net::IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn not_granted(plugin: &str, url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    let grant = match origin.strip_prefix("https://") {
        Some(host) if address(url).is_none() => format!("\"{host}\""),
        _ => format!("{{ url = \"{origin}\", private = true }}"),
    };
    format!("the config does not let it call {origin}; add {grant} to `grants.http` of [plugins.{plugin}]")
}

fn not_public(host: &str) -> OutboundError {
    OutboundError::Denied(format!(
        "{host} is no public address; if it may be called, say `private = true` in its grant"
    ))
}

fn failed(error: reqwest::Error) -> OutboundError {
    if egress::is_refusal(&error) {
        return not_public(error.url().and_then(Url::host_str).unwrap_or("the name"));
    }
    let cause = root_cause(&error);
    OutboundError::Failed(match (error.is_timeout(), error.is_dns(), error.is_connect()) {
        (true, ..) => format!("not connected within {}", humantime::format_duration(CONNECT_TIMEOUT)),
        (_, true, _) => format!("name lookup failed: {cause}"),
        (.., true) => format!("failed to connect: {cause}"),
        _ => format!("no response: {cause}"),
    })
}

/// Reads a response of at most `max` bytes, headers included, as it arrives.
async fn read(mut response: reqwest::Response, max: usize) -> Result<OutboundResponse, OutboundError> {
    let headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let head: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let room = max.checked_sub(head).ok_or(OutboundError::TooLarge(max))?;
    if response.content_length().is_some_and(|len| len > room as u64) {
        return Err(OutboundError::TooLarge(max));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > room {
            return Err(OutboundError::TooLarge(max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(OutboundResponse { status: response.status().as_u16(), headers, body })
}

#[cfg(test)]
mod tests;
