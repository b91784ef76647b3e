//! What a sender is told: one total match from the reason to the answer.

use std::{borrow::Cow, error::Error, io, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;

use crate::{
    event::EventId,
    journal::JournalError,
    verify::{Refused, Unanswered},
};

/// How long a sender is asked to wait when the fault is ours and nobody knows how long it will last.
const RETRY_AFTER_OURS: Duration = Duration::from_secs(30);
/// How long a sender is asked to wait for a free connection.
const RETRY_AFTER_BUSY: Duration = Duration::from_secs(1);

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A webhook that was let in. It is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    New(EventId),
    /// It had been let in before, as this event.
    Duplicate(EventId),
}

/// Why a webhook was not let in. `Display` is for the log; [`answer`](Self::answer) is for the sender.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    #[error("no route for `{path}`")]
    NotFound { path: String },
    #[error("the route does not take {method}")]
    MethodNotAllowed { method: Method, allow: HeaderValue },
    #[error("headers took longer than {} s", .limit.as_secs_f64())]
    HeaderTimeout { limit: Duration },
    #[error("headers are {size} bytes, the limit is {limit}")]
    HeadersTooLarge { size: usize, limit: usize },
    #[error("neither `content-length` nor `transfer-encoding`")]
    LengthRequired,
    #[error("content encoding `{encoding}` is not known")]
    UnsupportedEncoding { encoding: String },
    #[error("body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("body took longer than {} s", .limit.as_secs_f64())]
    BodyTimeout { limit: Duration },
    #[error("body ended early")]
    BodyIncomplete { source: Box<dyn Error + Send + Sync> },
    #[error("body cannot be inflated")]
    BodyUndecodable { source: io::Error },
    #[error("the route's rate is used up")]
    RateLimited { wait: Duration },
    #[error("all {limit} connections are taken")]
    TooManyConnections { limit: usize },
    #[error("bodies that are still coming in take all the memory there is for them")]
    Busy,
    #[error(transparent)]
    Refused(Refused),
    /// A question that the route will not answer; `about` is what it was for.
    #[error("{about}")]
    Handshake { about: String, source: Unanswered },
    #[error(transparent)]
    Journal(JournalError),
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    Operator,
    Sender,
    /// The internet is full of such requests, and a line for each would fill the log.
    Nobody,
}

/// What the sender gets to see: nothing that would help to get past a check.
struct Told {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Accepted {
    pub fn id(&self) -> EventId {
        match self {
            Self::New(id) | Self::Duplicate(id) => *id,
        }
    }

    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Duplicate(_))
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::New(_) => StatusCode::ACCEPTED,
            Self::Duplicate(_) => StatusCode::OK,
        }
    }

    pub(super) fn answer(&self, request: EventId) -> Response<Full<Bytes>> {
        match self {
            Self::New(id) => respond(self.status(), format!(r#"{{"id":"{id}"}}"#), request),
            Self::Duplicate(id) => {
                respond(self.status(), format!(r#"{{"id":"{id}","duplicate":true}}"#), request)
            }
        }
    }
}

impl Rejection {
    /// The answer for the sender; `refused` is what the route answers instead of 401.
    pub fn answer(&self, request: EventId, refused: Option<StatusCode>) -> Response<Full<Bytes>> {
        if let Self::Handshake { source, .. } = self
            && let Some(status) = source.refusal()
        {
            return empty(status, request);
        }
        let Told { status, code, message, header } = self.told();
        let status = match status {
            StatusCode::UNAUTHORIZED => refused.unwrap_or(status),
            other => other,
        };
        let body = format!(r#"{{"code":"{code}","message":"{message}","request_id":"{request}"}}"#);
        let mut response = respond(status, body, request);
        response.headers_mut().extend(header);
        response
    }

    fn told(&self) -> Told {
        use StatusCode as S;
        match self {
            Self::NotFound { .. } => Told::new(S::NOT_FOUND, "not_found", "there is nothing here"),
            Self::MethodNotAllowed { allow, .. } => {
                Told::new(S::METHOD_NOT_ALLOWED, "method_not_allowed", "method is not allowed")
                    .with(ALLOW, allow.clone())
            }
            Self::HeaderTimeout { .. } => {
                Told::new(S::REQUEST_TIMEOUT, "header_timeout", "headers took too long")
            }
            Self::HeadersTooLarge { limit, .. } => Told::new(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                format!("headers are larger than {}", size(*limit)),
            ),
            Self::LengthRequired => {
                Told::new(S::LENGTH_REQUIRED, "length_required", "content-length is required")
            }
            Self::UnsupportedEncoding { .. } => Told::new(
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                "content-encoding must be gzip, zstd or none",
            )
            .with(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd")),
            Self::BodyTooLarge { limit } => Told::new(
                S::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("body is larger than {}", size(*limit)),
            ),
            Self::BodyTimeout { .. } => Told::new(S::REQUEST_TIMEOUT, "body_timeout", "body took too long"),
            Self::BodyIncomplete { .. } => Told::new(S::BAD_REQUEST, "body_incomplete", "body ended early"),
            Self::BodyUndecodable { .. } => {
                Told::new(S::BAD_REQUEST, "body_undecodable", "body is not what content-encoding says")
            }
            Self::RateLimited { wait } => {
                Told::new(S::TOO_MANY_REQUESTS, "rate_limited", "too many requests").retry_after(*wait)
            }
            Self::TooManyConnections { .. } => {
                Told::new(S::SERVICE_UNAVAILABLE, "too_many_connections", "too many connections")
                    .retry_after(RETRY_AFTER_BUSY)
            }
            Self::Busy => Told::busy(),
            Self::Refused(refused) => told_of_refusal(refused),
            Self::Handshake { source, .. } => {
                let status = source.refusal().unwrap_or(S::SERVICE_UNAVAILABLE);
                Told::new(status, "unavailable", "not ready for this route").retry_after(RETRY_AFTER_OURS)
            }
            Self::Journal(error) => told_of_journal(error),
        }
    }

    /// The rejection's name in logs and metrics. It says more than the sender's code does.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refused) => refused.code(),
            Self::Handshake { source, .. } => source.code(),
            Self::Journal(error) => match error {
                JournalError::Full(_) => "journal_full",
                JournalError::Poisoned(_) => "journal_poisoned",
                JournalError::Closed => "journal_closed",
                JournalError::Locked { .. }
                | JournalError::Damaged { .. }
                | JournalError::Format { .. }
                | JournalError::Open { .. }
                | JournalError::Query(_) => "journal_unavailable",
            },
            Self::NotFound { .. }
            | Self::MethodNotAllowed { .. }
            | Self::HeaderTimeout { .. }
            | Self::HeadersTooLarge { .. }
            | Self::LengthRequired
            | Self::UnsupportedEncoding { .. }
            | Self::BodyTooLarge { .. }
            | Self::BodyTimeout { .. }
            | Self::BodyIncomplete { .. }
            | Self::BodyUndecodable { .. }
            | Self::RateLimited { .. }
            | Self::TooManyConnections { .. }
            | Self::Busy => self.told().code,
        }
    }

    /// The whole story, causes included, for the log.
    pub(super) fn detail(&self) -> String {
        let mut detail = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            detail = format!("{detail}: {error}");
            cause = error.source();
        }
        detail
    }

    pub(super) fn audience(&self) -> Audience {
        match self {
            Self::Journal(_)
            | Self::Refused(
                Refused::NoActiveSecret | Refused::KeyUnavailable { .. } | Refused::PluginUnavailable { .. },
            ) => Audience::Operator,
            Self::Handshake { source, .. } if source.refusal().is_none() => Audience::Operator,
            Self::NotFound { .. }
            | Self::MethodNotAllowed { .. }
            | Self::HeaderTimeout { .. }
            | Self::TooManyConnections { .. }
            | Self::Busy
            | Self::Refused(Refused::PluginBusy { .. }) => Audience::Nobody,
            Self::HeadersTooLarge { .. }
            | Self::LengthRequired
            | Self::UnsupportedEncoding { .. }
            | Self::BodyTooLarge { .. }
            | Self::BodyTimeout { .. }
            | Self::BodyIncomplete { .. }
            | Self::BodyUndecodable { .. }
            | Self::RateLimited { .. }
            | Self::Handshake { .. }
            | Self::Refused(_) => Audience::Sender,
        }
    }

    /// Whether reading on to the end of the body could save the connection.
    pub(super) fn leaves_a_body_worth_reading(&self) -> bool {
        !matches!(self, Self::BodyTimeout { .. } | Self::BodyIncomplete { .. })
    }
}

/// One answer whichever check failed; only a mistake of our operator is told apart, so that the sender retries.
fn told_of_refusal(refused: &Refused) -> Told {
    match refused {
        Refused::SignatureMissing { .. }
        | Refused::SignatureMalformed { .. }
        | Refused::SignatureInvalid
        | Refused::TimestampMissing { .. }
        | Refused::TimestampMalformed { .. }
        | Refused::TimestampStale { .. }
        | Refused::TimestampFuture { .. }
        | Refused::FieldMissing { .. }
        | Refused::Repeated { .. }
        | Refused::Unreadable { .. }
        | Refused::RequirementFailed { .. }
        | Refused::AlgorithmUnknown { .. }
        | Refused::BodyHashInvalid { .. }
        | Refused::BodyNotCovered
        | Refused::ListEmpty { .. }
        | Refused::TokenMissing { .. }
        | Refused::TokenInvalid
        | Refused::UrlHashInvalid { .. }
        | Refused::ClaimMissing { .. }
        | Refused::ClaimInvalid { .. }
        | Refused::Expired { .. }
        | Refused::NotYetValid { .. }
        | Refused::ComponentMissing { .. }
        | Refused::ComponentUnsupported { .. }
        | Refused::KeyUnknown { .. }
        | Refused::KeyNotAllowed { .. }
        | Refused::PluginRefused { .. } => {
            Told::new(StatusCode::UNAUTHORIZED, "signature_invalid", "signature does not match")
        }
        Refused::NoActiveSecret | Refused::KeyUnavailable { .. } | Refused::PluginUnavailable { .. } => {
            Told::unavailable("unavailable", "not ready for this route")
        }
        Refused::PluginBusy { .. } => Told::busy(),
    }
}

fn told_of_journal(error: &JournalError) -> Told {
    match error {
        JournalError::Full(_) => Told::unavailable("journal_full", "journal is full"),
        JournalError::Poisoned(_)
        | JournalError::Closed
        | JournalError::Locked { .. }
        | JournalError::Damaged { .. }
        | JournalError::Format { .. }
        | JournalError::Open { .. }
        | JournalError::Query(_) => Told::unavailable("unavailable", "events cannot be stored now"),
    }
}

impl Told {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    fn unavailable(code: &'static str, message: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(RETRY_AFTER_OURS)
    }

    fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too much at once").retry_after(RETRY_AFTER_BUSY)
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// In whole seconds, at least one.
    fn retry_after(self, wait: Duration) -> Self {
        let secs = wait.as_millis().div_ceil(1000).clamp(1, u128::from(u32::MAX));
        self.with(RETRY_AFTER, HeaderValue::from(secs as u32))
    }
}

fn respond(status: StatusCode, body: String, request: EventId) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    with_id(response, request)
}

/// Who asks in the wrong way learns nothing, and a provider looks at the status alone.
fn empty(status: StatusCode, request: EventId) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    with_id(response, request)
}

/// The answer with the request's id, which the log has too.
pub(super) fn with_id(mut response: Response<Full<Bytes>>, request: EventId) -> Response<Full<Bytes>> {
    if let Ok(id) = HeaderValue::try_from(request.to_string()) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

/// A limit as people write it: `1 MiB`, `1000 bytes`.
fn size(bytes: usize) -> String {
    const UNITS: [(usize, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::verify::LearnError;

    const HTTP_API: &str = include_str!("../../../docs/reference/http-api.md");

    /// Status, the header that goes with it, and the body with the id cut out.
    async fn told(rejection: Rejection) -> (u16, Option<String>, String) {
        let id = EventId::from_bytes([7; 16]);
        let response = rejection.answer(id, None);
        assert_eq!(response.headers()[X_REQUEST_ID], id.to_string());
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let status = response.status().as_u16();
        let extra = [ALLOW, RETRY_AFTER, ACCEPT_ENCODING]
            .iter()
            .find_map(|name| Some(format!("{name}: {}", response.headers().get(name)?.to_str().ok()?)));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.into()).unwrap();
        let end = format!(r#","request_id":"{id}"}}"#);
        (status, extra, body.strip_suffix(&end).unwrap().replace('"', ""))
    }

    #[tokio::test]
    async fn every_answer_is_what_it_was() {
        let field = || "header:x".to_owned();
        let io = || io::Error::other("gone");
        for (rejection, status, extra, body) in [
            (
                Rejection::NotFound { path: "/x".to_owned() },
                404,
                "",
                "{code:not_found,message:there is nothing here",
            ),
            (
                Rejection::MethodNotAllowed { method: Method::GET, allow: HeaderValue::from_static("POST") },
                405,
                "allow: POST",
                "{code:method_not_allowed,message:method is not allowed",
            ),
            (
                Rejection::HeaderTimeout { limit: Duration::from_secs(10) },
                408,
                "",
                "{code:header_timeout,message:headers took too long",
            ),
            (
                Rejection::HeadersTooLarge { size: 40_000, limit: 32 << 10 },
                431,
                "",
                "{code:headers_too_large,message:headers are larger than 32 KiB",
            ),
            (Rejection::LengthRequired, 411, "", "{code:length_required,message:content-length is required"),
            (
                Rejection::UnsupportedEncoding { encoding: "br".to_owned() },
                415,
                "accept-encoding: gzip, zstd",
                "{code:unsupported_encoding,message:content-encoding must be gzip, zstd or none",
            ),
            (
                Rejection::BodyTooLarge { limit: 1 << 20 },
                413,
                "",
                "{code:body_too_large,message:body is larger than 1 MiB",
            ),
            (
                Rejection::BodyTimeout { limit: Duration::from_secs(30) },
                408,
                "",
                "{code:body_timeout,message:body took too long",
            ),
            (
                Rejection::BodyIncomplete { source: Box::new(io()) },
                400,
                "",
                "{code:body_incomplete,message:body ended early",
            ),
            (
                Rejection::BodyUndecodable { source: io() },
                400,
                "",
                "{code:body_undecodable,message:body is not what content-encoding says",
            ),
            (
                Rejection::RateLimited { wait: Duration::from_millis(1001) },
                429,
                "retry-after: 2",
                "{code:rate_limited,message:too many requests",
            ),
            (
                Rejection::TooManyConnections { limit: 1 },
                503,
                "retry-after: 1",
                "{code:too_many_connections,message:too many connections",
            ),
            (Rejection::Busy, 503, "retry-after: 1", "{code:busy,message:too much at once"),
            (
                Rejection::Refused(Refused::TimestampMissing { field: field() }),
                401,
                "",
                "{code:signature_invalid,message:signature does not match",
            ),
            (
                Rejection::Refused(Refused::NoActiveSecret),
                503,
                "retry-after: 30",
                "{code:unavailable,message:not ready for this route",
            ),
            (
                Rejection::Refused(Refused::KeyUnavailable { reason: field() }),
                503,
                "retry-after: 30",
                "{code:unavailable,message:not ready for this route",
            ),
            (
                Rejection::Refused(Refused::PluginUnavailable { plugin: "p".into(), reason: field() }),
                503,
                "retry-after: 30",
                "{code:unavailable,message:not ready for this route",
            ),
            (
                Rejection::Refused(Refused::PluginBusy { plugin: "p".into() }),
                503,
                "retry-after: 1",
                "{code:busy,message:too much at once",
            ),
            (
                Rejection::Journal(JournalError::Full("disk".to_owned())),
                503,
                "retry-after: 30",
                "{code:journal_full,message:journal is full",
            ),
            (
                Rejection::Journal(JournalError::Poisoned("EIO".to_owned())),
                503,
                "retry-after: 30",
                "{code:unavailable,message:events cannot be stored now",
            ),
        ] {
            let row = format!("| {status} | `{}` |", rejection.told().code);
            assert!(HTTP_API.contains(&row), "docs/reference/http-api.md has no row `{row}`");
            let expected = (status, Some(extra.to_owned()).filter(|e| !e.is_empty()), body.to_owned());
            assert_eq!(told(rejection).await, expected);
        }
    }

    #[tokio::test]
    async fn the_answer_is_the_same_whichever_check_failed() {
        let field = || "header:x".to_owned();
        let first = told(Rejection::Refused(Refused::SignatureInvalid)).await;
        for refused in [
            Refused::SignatureMissing { field: field() },
            Refused::SignatureMalformed { field: field() },
            Refused::AlgorithmUnknown { field: field() },
            Refused::BodyHashInvalid { field: field() },
            Refused::UrlHashInvalid { field: field() },
            Refused::ClaimMissing { claim: field() },
            Refused::ClaimInvalid { claim: field() },
            Refused::Expired { since: 1 },
            Refused::NotYetValid { ahead: 1 },
            Refused::ComponentMissing { component: field() },
            Refused::ComponentUnsupported { component: field() },
            Refused::KeyUnknown { key_id: field() },
            Refused::KeyNotAllowed { reason: field() },
            Refused::TimestampMissing { field: field() },
            Refused::TimestampMalformed { field: field() },
            Refused::TimestampStale { age: 400, tolerance: 300 },
            Refused::TimestampFuture { ahead: 400, tolerance: 300 },
            Refused::FieldMissing { field: field() },
            Refused::Repeated { field: field() },
            Refused::Unreadable { field: field() },
            Refused::RequirementFailed { field: field() },
            Refused::BodyNotCovered,
            Refused::ListEmpty { list: field() },
            Refused::TokenMissing { field: field() },
            Refused::TokenInvalid,
            Refused::PluginRefused { plugin: "p".into(), reason: field() },
        ] {
            assert!(
                HTTP_API.contains(&format!("`{}`", refused.code())),
                "`{}` is not documented",
                refused.code()
            );
            assert_eq!(told(Rejection::Refused(refused)).await, first);
        }
    }

    #[test]
    fn a_route_may_refuse_with_a_status_of_its_own_but_not_for_our_mistakes() {
        let id = EventId::from_bytes([7; 16]);
        let status =
            |rejection: Rejection| rejection.answer(id, StatusCode::from_u16(498).ok()).status().as_u16();
        assert_eq!(status(Rejection::Refused(Refused::SignatureInvalid)), 498);
        assert_eq!(status(Rejection::Refused(Refused::NoActiveSecret)), 503);
        assert_eq!(status(Rejection::Busy), 503);
    }

    #[test]
    fn every_reason_not_to_answer_a_handshake_is_documented() {
        let field = || "query:x".to_owned();
        for (source, status) in [
            (Unanswered::Demand { field: field(), why: "", status: StatusCode::BAD_REQUEST }, 400),
            (Unanswered::Unexpected(LearnError::NotExpected), 403),
            (Unanswered::ForeignUrl { field: field() }, 403),
            (Unanswered::NotKept(LearnError::NotExpected), 503),
            (Unanswered::Unconfirmed { field: field(), why: String::new() }, 503),
            (Unanswered::NoActiveSecret, 503),
        ] {
            let rejection = Rejection::Handshake { about: "x".to_owned(), source };
            let answer = rejection.answer(EventId::from_bytes([7; 16]), None);
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers().contains_key(RETRY_AFTER), status == 503);
            assert!(HTTP_API.contains(&format!("`{}`", rejection.code())), "{}", rejection.code());
        }
    }

    #[test]
    fn the_log_is_told_which_check_failed_and_why() {
        let stale = Rejection::Refused(Refused::TimestampStale { age: 412, tolerance: 300 });
        assert_eq!(stale.code(), "timestamp_stale");
        assert_eq!(stale.detail(), "timestamp is 412 s old, tolerance is 300 s");
        let broken = Rejection::BodyUndecodable { source: io::Error::other("bad header") };
        assert_eq!(broken.detail(), "body cannot be inflated: bad header");
    }

    #[test]
    fn limits_are_shown_as_people_write_them() {
        assert_eq!(size(3 << 20), "3 MiB");
        assert_eq!(size((1 << 20) + 1024), "1025 KiB");
        assert_eq!(size(1000), "1000 bytes");
        assert_eq!(size(0), "0 bytes");
    }
}
