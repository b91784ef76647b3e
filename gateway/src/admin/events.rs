//! Events: list, explain, hand out, replay.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::Uri,
};

use super::{
    Admin,
    api::{EventList, Record, Replayed, Summary, Whole},
    query,
    refusal::Refusal,
};
use crate::event::EventId;

pub(super) async fn list(State(admin): State<Arc<Admin>>, uri: Uri) -> Result<Json<EventList>, Refusal> {
    let filter = query::events(&uri, admin.clock.now())?;
    let events = admin.journal.events(filter).await?;
    Ok(Json(EventList { events: events.into_iter().map(Summary).collect() }))
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Record>, Refusal> {
    query::none(&uri)?;
    let id = event_id(id)?;
    let record = admin.journal.event(id).await?.ok_or(Refusal::NoSuchEvent { id })?;
    Ok(Json(record.into()))
}

/// Hands out an event as plugins see it, for those who try a plugin out on it.
pub(super) async fn whole(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Whole>, Refusal> {
    query::none(&uri)?;
    let id = event_id(id)?;
    let record = admin.journal.event(id).await?.ok_or(Refusal::NoSuchEvent { id })?;
    Ok(Json((&*record.event).into()))
}

pub(super) async fn replay(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Replayed>, Refusal> {
    query::none(&uri)?;
    let id = event_id(id)?;
    if !admin.journal.replay_event(id, admin.clock.now()).await? {
        return Err(Refusal::NoSuchEvent { id });
    }
    admin.control.wake();
    tracing::info!(event = %id, "event replayed by request");
    Ok(Json(Replayed { replayed: 1 }))
}

fn event_id(text: String) -> Result<EventId, Refusal> {
    text.parse().map_err(|_| Refusal::BadId { text })
}
