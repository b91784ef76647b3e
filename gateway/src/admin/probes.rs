//! For machines that watch the gateway: is it alive, is it ready, how is it doing.

use std::sync::Arc;

use axum::{Json, extract::State, http::header, response::IntoResponse};

use super::{Admin, api::Status, refusal::Refusal};
use crate::telemetry::CONTENT_TYPE;

pub(super) async fn healthz() -> Json<Status> {
    Json(Status { status: "ok".to_owned() })
}

pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> Result<Json<Status>, Refusal> {
    if let Some(failure) = admin.journal.health().failure {
        return Err(Refusal::NotReady { reason: format!("the journal does not take events: {failure}") });
    }
    admin.control.readiness().map_err(|reason| Refusal::NotReady { reason })?;
    Ok(Json(Status { status: "ready".to_owned() }))
}

pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let number = admin.current.load().number;
    admin.metrics.generation.set(number.try_into().unwrap_or(i64::MAX));
    admin.metrics.set_journal(&admin.journal.health(), admin.clock.now());
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], admin.metrics.encode())
}
