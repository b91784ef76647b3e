//! Calls to other servers. Only where the config grants them: `grants = { http = ["api.example.com"] }`.
//!
//! A call takes as long as the server does, at most what is left of `limits.wait`, and the event waits meanwhile.
//! Redirects are not followed. The plugin can't use it in `configure`.
//!
//! ```
//! # use sluice_plugin::{Body, Error, Event, Message, Outcome, Transform};
//! use sluice_plugin::http::Request;
//!
//! /// Adds who it is about.
//! struct Enrich;
//!
//! impl Transform for Enrich {
//!     type Config = ();
//!     # fn configure((): ()) -> Result<Self, Error> { Ok(Self) }
//!
//!     fn transform(&self, event: &Event, body: Body) -> Result<Outcome, Error> {
//!         let user = event.param("user").ok_or_else(|| Error::invalid("no user"))?;
//!         let found = Request::get(format!("https://api.example.com/users/{user}")).send()?;
//!         if found.status != 200 {
//!             return Err(Error::retry(format!("api.example.com answered {}", found.status)));
//!         }
//!         Ok(Message::new(found.body).into())
//!     }
//! }
//!
//! use sluice_plugin::{http::Response, testing};
//!
//! testing::answer_http(|request| {
//!     assert_eq!(request.url, "https://api.example.com/users/ada");
//!     Ok(Response { status: 200, headers: Vec::new(), body: b"Ada".to_vec() })
//! });
//! let event = Event::builder().param("user", "ada").build();
//! let outcome = Enrich.transform(&event, Body::default()).unwrap();
//! assert_eq!(outcome, Message::new("Ada").into());
//! ```

use std::{fmt, time::Duration};

use crate::Error;

/// A request to another server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// `https://host/path?query`.
    pub url: String,
    /// Sent with it; the gateway sets `host`, `content-length` and what belongs to a connection.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Empty for no body.
    pub body: Vec<u8>,
    /// How long it may take; never longer than what is left of the call's limit for waiting. Kept to the millisecond.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A request with this method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { method: method.into(), url: url.into(), headers, body, timeout: None }
    }

    /// A `GET` request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `POST` request with a body.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", url) }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with a limit of its own for its time.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        Self { timeout: Some(limit), ..self }
    }

    /// Sends it and waits for the response, whatever its status.
    ///
    /// # Errors
    /// All of [`HttpError`].
    pub fn send(self) -> Result<Response, HttpError> {
        host::send(self)
    }
}

/// How a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code: 200, 404 and so on.
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, Vec<u8>)>,
    /// As it was sent: a content encoding is still in place.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    }
}

/// Why there is no response; the text is the gateway's.
///
/// `?` makes of it an [`Error`]: [`Denied`](HttpError::Denied) is the operator's to mend, [`Timeout`](
/// HttpError::Timeout) and [`Failed`](HttpError::Failed) are tried again, the others are up to the step's `on_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// The config does not grant it, or the name leads to an address that plugins may not reach.
    Denied(String),
    /// The request cannot be sent as it is.
    Invalid(String),
    /// There was no response in the time that the request allowed.
    Timeout(String),
    /// The response is larger than a plugin may get: 1 MiB, or a quarter of its memory.
    TooLarge(String),
    /// It could not be sent, or no response came.
    Failed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Denied(why)
        | Self::Invalid(why)
        | Self::Timeout(why)
        | Self::TooLarge(why)
        | Self::Failed(why)) = self;
        write!(f, "http: {why}")
    }
}

impl std::error::Error for HttpError {}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Denied(_) => Self::config(error),
            HttpError::Timeout(_) | HttpError::Failed(_) => Self::retry(error),
            HttpError::Invalid(_) | HttpError::TooLarge(_) => Self::other(error),
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use super::{HttpError, Request, Response};
    use crate::bindings::imports::sluice::plugin::http;

    pub(super) fn send(request: Request) -> Result<Response, HttpError> {
        let Request { method, url, headers, body, timeout } = request;
        let timeout_ms = timeout.map(|limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX));
        let http::Response { status, headers, body } =
            http::send(&http::Request { method, url, headers, body, timeout_ms })?;
        Ok(Response { status, headers, body })
    }

    impl From<http::HttpError> for HttpError {
        fn from(error: http::HttpError) -> Self {
            match error {
                http::HttpError::Denied(why) => Self::Denied(why),
                http::HttpError::Invalid(why) => Self::Invalid(why),
                http::HttpError::Timeout(why) => Self::Timeout(why),
                http::HttpError::TooLarge(why) => Self::TooLarge(why),
                http::HttpError::Failed(why) => Self::Failed(why),
            }
        }
    }
}

/// Without a host, the test that runs on this thread answers.
#[cfg(not(target_arch = "wasm32"))]
mod host {
    use super::{HttpError, Request, Response};

    pub(super) fn send(request: Request) -> Result<Response, HttpError> {
        crate::testing::answer(&request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn request_is_answered_by_the_test() {
        testing::answer_http(|request| match request.header_count() {
            1 => Ok(Response { status: 204, headers: vec![("x-a".into(), b"1".to_vec())], body: Vec::new() }),
            _ => Err(HttpError::Failed("no header".into())),
        });
        let response = Request::post("https://a.test/", "body").header("x-b", "2").send().unwrap();
        assert_eq!((response.status, response.header("X-A")), (204, Some(&b"1"[..])));
        let error = Request::get("https://a.test/").send().unwrap_err();
        assert_eq!(Error::from(error), Error::retry("http: no header"));
    }

    #[test]
    fn nothing_is_sent_where_no_test_answers() {
        let error = Request::get("https://a.test/").send().unwrap_err();
        assert!(matches!(error, HttpError::Denied(_)), "{error:?}");
    }

    impl Request {
        fn header_count(&self) -> usize {
            self.headers.len()
        }
    }
}
