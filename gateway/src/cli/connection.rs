//! How the command line reaches a running gateway: over its admin listener.

use std::{env, error::Error, time::Duration};

use bytes::Bytes;
use reqwest::{Client, Method, StatusCode, Url, header, redirect};
use serde::{Serialize, de::DeserializeOwned};

use crate::{admin::api::Problem, telemetry::Chain};

/// The variable that the token is read from unless another is named.
const TOKEN_ENV: &str = "SLUICE_ADMIN_TOKEN";

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take: a replay can be of a million dead letters.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Which gateway to ask, and how to show its answer.
#[derive(Clone, Debug, clap::Args)]
pub struct ConnectionArgs {
    /// The gateway's admin listener.
    #[arg(
        long = "admin",
        global = true,
        value_name = "URL",
        env = "SLUICE_ADMIN",
        default_value = "http://127.0.0.1:9090"
    )]
    url: Url,
    /// The environment variable that holds the admin token [default: SLUICE_ADMIN_TOKEN].
    #[arg(long, global = true, value_name = "NAME")]
    token_env: Option<String>,
    /// Print the answer as the gateway gave it, in JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    #[error(
        "`{url}` is not an http or https address\nhint: an admin address looks like http://127.0.0.1:9090"
    )]
    BadUrl { url: Url },
    #[error(
        "environment variable `{name}` is not set, or is not text; --token-env names it for the admin token"
    )]
    NoToken { name: String },
    #[error("failed to set up the HTTP client")]
    Client(#[source] reqwest::Error),
    #[error(
        "failed to reach the admin listener at {url}: {why}\n\
         hint: is the gateway running? --admin gives the address that its `[admin] listen` says"
    )]
    Unreachable { url: Url, why: String },
    #[error("{message}\nhint: give the gateway's admin token in the environment variable `{TOKEN_ENV}`")]
    TokenRequired { message: String },
    #[error("{message}")]
    Refused { code: String, message: String },
    #[error("{url} answered {status}, but not as a Sluice admin listener does")]
    Stranger { url: Url, status: StatusCode },
}

impl ConnectionError {
    /// Whether the gateway answered with this code.
    pub(super) fn is(&self, expected: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == expected)
    }
}

/// One admin listener.
pub(super) struct Connection {
    client: Client,
    url: Url,
    token: Option<String>,
}

impl Connection {
    pub(super) fn new(args: &ConnectionArgs) -> Result<Self, ConnectionError> {
        let url = args.url.clone();
        if url.cannot_be_a_base() || !matches!(url.scheme(), "http" | "https") {
            return Err(ConnectionError::BadUrl { url });
        }
        let client = http_client(&url).map_err(ConnectionError::Client)?;
        Ok(Self { client, url, token: token(args.token_env.as_deref())? })
    }

    /// Asks for what is at `path`, with those of the `query` pairs that have a value.
    pub(super) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, Option<String>)],
    ) -> Result<Bytes, ConnectionError> {
        self.send(Method::GET, self.at_with(path, query), Vec::new()).await
    }

    /// Asks for something to be done that needs no more words than a query has.
    pub(super) async fn ask(
        &self,
        path: &[&str],
        query: &[(&str, Option<String>)],
    ) -> Result<Bytes, ConnectionError> {
        self.send(Method::POST, self.at_with(path, query), Vec::new()).await
    }

    pub(super) async fn post(&self, path: &[&str], body: &impl Serialize) -> Result<Bytes, ConnectionError> {
        let url = self.at(path);
        let body = serde_json::to_vec(body).map_err(|error| unreachable(&url, &error))?;
        self.send(Method::POST, url, body).await
    }

    /// Reads an answer of [`get`](Self::get) or [`post`](Self::post).
    pub(super) fn parse<T: DeserializeOwned>(&self, answer: &[u8]) -> Result<T, ConnectionError> {
        serde_json::from_slice(answer)
            .map_err(|_| ConnectionError::Stranger { url: self.url.clone(), status: StatusCode::OK })
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        // `new` has made sure that the URL has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn at_with(&self, path: &[&str], query: &[(&str, Option<String>)]) -> Url {
        let mut url = self.at(path);
        for (key, value) in query {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(key, value);
            }
        }
        url
    }

    async fn send(&self, method: Method, url: Url, body: Vec<u8>) -> Result<Bytes, ConnectionError> {
        let mut request =
            self.client.request(method, url.clone()).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.body(body).send().await.map_err(|error| unreachable(&url, &error))?;
        let status = response.status();
        let answer = response.bytes().await.map_err(|error| unreachable(&url, &error))?;
        if status.is_success() { Ok(answer) } else { Err(refused(url, status, &answer)) }
    }
}

/// A client for `url`: straight to it, whatever proxies the environment names; redirects are not followed, for
/// the token is meant for `url` alone.
pub(crate) fn http_client(url: &Url) -> Result<Client, reqwest::Error> {
    // Fails only if a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT);
    if url.scheme() == "http" {
        // Plain HTTP must work where the machine has no root certificates to load.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn token(named: Option<&str>) -> Result<Option<String>, ConnectionError> {
    let name = named.unwrap_or(TOKEN_ENV);
    match env::var(name) {
        Ok(token) => Ok(Some(token)),
        Err(env::VarError::NotPresent) if named.is_none() => Ok(None),
        Err(_) => Err(ConnectionError::NoToken { name: name.to_owned() }),
    }
}

fn unreachable(url: &Url, error: &(dyn Error + 'static)) -> ConnectionError {
    // The outermost message only repeats the URL.
    let why = error.source().map_or_else(|| error.to_string(), |cause| Chain(cause).to_string());
    let mut url = url.clone();
    url.set_query(None);
    ConnectionError::Unreachable { url, why }
}

fn refused(url: Url, status: StatusCode, answer: &[u8]) -> ConnectionError {
    match serde_json::from_slice(answer) {
        Ok(Problem { message, .. }) if status == StatusCode::UNAUTHORIZED => {
            ConnectionError::TokenRequired { message }
        }
        Ok(Problem { code, message }) => ConnectionError::Refused { code, message },
        Err(_) => ConnectionError::Stranger { url, status },
    }
}

#[cfg(test)]
pub(super) fn to(url: &str) -> ConnectionArgs {
    ConnectionArgs { url: url.parse().unwrap(), token_env: None, json: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::testing::Bench;

    async fn events(args: &ConnectionArgs) -> Result<Bytes, ConnectionError> {
        Connection::new(args)
            .unwrap()
            .get(&["events"], &[("state", Some("dead".into())), ("route", None)])
            .await
    }

    #[tokio::test]
    async fn answers_come_back_as_given() {
        let bench = Bench::open().await;
        let answer = events(&to(&bench.url())).await.unwrap();
        assert!(answer.starts_with(b"{\"events\":[{"), "{answer:?}");
    }

    #[tokio::test]
    async fn path_of_the_address_is_kept() {
        let connection = Connection::new(&to("https://ops.example/sluice/")).unwrap();
        let url = connection.at(&["events", "a/b"]);
        assert_eq!(url.as_str(), "https://ops.example/sluice/events/a%2Fb");
    }

    #[tokio::test]
    async fn missing_token_is_explained() {
        let bench = Bench::with_token(Some("open sesame")).await;
        let error = events(&to(&bench.url())).await.unwrap_err().to_string();
        assert!(error.ends_with(
            "hint: give the gateway's admin token in the environment variable `SLUICE_ADMIN_TOKEN`"
        ));
    }

    #[tokio::test]
    async fn token_opens() {
        let bench = Bench::with_token(Some("open sesame")).await;
        let mut connection = Connection::new(&to(&bench.url())).unwrap();
        connection.token = Some("open sesame".into());
        assert!(connection.get(&["events"], &[]).await.is_ok());
    }

    #[tokio::test]
    async fn named_variable_must_be_set() {
        let args = ConnectionArgs { token_env: Some("SLUICE_TEST_UNSET".into()), ..to("http://127.0.0.1:1") };
        let error = Connection::new(&args).err().unwrap().to_string();
        assert!(error.starts_with("environment variable `SLUICE_TEST_UNSET` is not set"), "{error}");
    }

    #[tokio::test]
    async fn silent_address_is_named_with_the_cause() {
        // Bound and not listening: the port is ours, and refuses.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let unused = socket.local_addr().unwrap();
        let error = events(&to(&format!("http://{unused}"))).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("failed to reach the admin listener at http://{unused}/events: ")),
            "{error}"
        );
        assert!(error.contains("onnection refused"), "{error}");
    }

    #[test]
    fn other_schemes_are_refused() {
        let error = Connection::new(&to("ftp://127.0.0.1")).err().unwrap().to_string();
        assert!(error.starts_with("`ftp://127.0.0.1/` is not an http or https address"), "{error}");
    }

    #[test]
    fn stranger_is_told_from_a_gateway() {
        let url: Url = "http://127.0.0.1:1/events".parse().unwrap();
        let error = refused(url, StatusCode::NOT_FOUND, b"<html>").to_string();
        assert_eq!(
            error,
            "http://127.0.0.1:1/events answered 404 Not Found, but not as a Sluice admin listener does"
        );
    }
}
