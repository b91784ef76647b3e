//! Dead letters: list, replay.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::Uri,
};

use super::{
    Admin,
    api::{Dead, DeadLetterList, Replayed},
    query,
    refusal::Refusal,
};

pub(super) async fn list(State(admin): State<Arc<Admin>>, uri: Uri) -> Result<Json<DeadLetterList>, Refusal> {
    let filter = query::dead_letters(&uri, admin.clock.now())?;
    let dead = admin.journal.dead_letters(filter).await?;
    Ok(Json(DeadLetterList { dead_letters: dead.into_iter().map(Dead).collect() }))
}

pub(super) async fn replay(
    State(admin): State<Arc<Admin>>,
    uri: Uri,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Replayed>, Refusal> {
    query::none(&uri)?;
    let now = admin.clock.now();
    let filter = query::replay(&body.map_err(Refusal::BadBody)?, now)?;
    let replayed = admin.journal.replay_dead(filter, now).await?;
    if replayed > 0 {
        admin.control.wake();
    }
    tracing::info!(replayed, "dead letters replayed by request");
    Ok(Json(Replayed { replayed }))
}
