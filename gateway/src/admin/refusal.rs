//! Why a request to the admin listener was not answered with what it asked for.

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{api::Problem, query::QueryError};
use crate::{event::EventId, journal::JournalError, telemetry::Chain, verify::LearnError};

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Refusal {
    #[error("a valid token is required: send `authorization: Bearer TOKEN`")]
    TokenRequired,
    #[error(
        "host `{host}` is not an IP address or `localhost`, which is what a listener without a token answers to; \
         set `[admin] token` to use other names"
    )]
    ForeignHost { host: String },
    #[error(
        "a listener without a token takes no changes from web pages (the request has an `origin` header)"
    )]
    FromWebPage,
    #[error("there is nothing at this path")]
    NoSuchPath,
    #[error("this path does not take that method")]
    MethodNotAllowed,
    #[error(transparent)]
    BadQuery(#[from] QueryError),
    #[error("the request's body could not be read: {}", .0.body_text())]
    BadBody(BytesRejection),
    #[error("`{text}` is not an event id: an id looks like `01930c2e-7b1a-7c3d-9a52-5d7f3f0d2c11`")]
    BadId { text: String },
    #[error("there is no event `{id}`: it was never accepted here, or is older than `[journal] retain`")]
    NoSuchEvent { id: EventId },
    #[error("there is no route `{name}`; `[[routes]]` in the config names them")]
    NoSuchRoute { name: String },
    #[error("there is no plugin `{name}` on any route; `[plugins]` in the config names them")]
    NoSuchPlugin { name: String },
    #[error("the provider of route `{name}` hands over no secrets; give them to the route in `secrets`")]
    LearnsNothing { name: String },
    #[error("the secrets are not forgotten")]
    NotForgotten(#[source] LearnError),
    #[error("the secrets may or may not be forgotten: the gateway is shutting down")]
    ForgetInterrupted,
    #[error("{reason}")]
    ReloadRefused { reason: String },
    #[error("{reason}")]
    NotReady { reason: String },
    #[error("the journal could not answer")]
    Journal(#[from] JournalError),
}

impl Refusal {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::TokenRequired => (StatusCode::UNAUTHORIZED, "token_required"),
            Self::ForeignHost { .. } => (StatusCode::FORBIDDEN, "host_refused"),
            Self::FromWebPage => (StatusCode::FORBIDDEN, "origin_refused"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "path_not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::BadQuery(_) => (StatusCode::BAD_REQUEST, "bad_query"),
            Self::BadBody(rejection) => (rejection.status(), "bad_body"),
            Self::BadId { .. } => (StatusCode::BAD_REQUEST, "bad_id"),
            Self::NoSuchEvent { .. } => (StatusCode::NOT_FOUND, "event_not_found"),
            Self::NoSuchRoute { .. } => (StatusCode::NOT_FOUND, "route_not_found"),
            Self::NoSuchPlugin { .. } => (StatusCode::NOT_FOUND, "plugin_not_found"),
            Self::LearnsNothing { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "learns_nothing"),
            Self::NotForgotten(_) => (StatusCode::INTERNAL_SERVER_ERROR, "not_forgotten"),
            Self::ForgetInterrupted => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::ReloadRefused { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "reload_refused"),
            Self::NotReady { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_ready"),
            Self::Journal(error) => journal_status(error),
        }
    }
}

fn journal_status(error: &JournalError) -> (StatusCode, &'static str) {
    match error {
        JournalError::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "journal_full"),
        JournalError::Poisoned(_) => (StatusCode::SERVICE_UNAVAILABLE, "journal_stopped"),
        JournalError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
        JournalError::Query(_)
        | JournalError::Locked { .. }
        | JournalError::Damaged { .. }
        | JournalError::Format { .. }
        | JournalError::Open { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "journal_failed"),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let message = Chain(&self).to_string();
        if matches!(self, Self::Journal(_)) {
            tracing::warn!(code, error = message, "admin request failed");
        }
        let mut response = (status, Json(Problem { code: code.to_owned(), message })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
