//! Secrets that providers hand us: lets a route take another, and gives up those that it has.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::Uri,
};

use super::{
    Admin,
    api::{Expecting, Forgotten},
    query,
    refusal::Refusal,
};
use crate::{config::Verify, verify::scheme::Needs};

pub(super) async fn expect(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Expecting>, Refusal> {
    let time = query::learn(&uri)?;
    match learns(&admin, &name) {
        None => return Err(Refusal::NoSuchRoute { name }),
        Some(false) => return Err(Refusal::LearnsNothing { name }),
        Some(true) => {}
    }
    let until = admin.clock.now() + time;
    admin.learned.expect(&name, until);
    tracing::warn!(route = %name, %until, "route takes new secrets by request");
    Ok(Json(Expecting { route: name, until }))
}

/// Also of a route that the config has no more.
pub(super) async fn forget(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Forgotten>, Refusal> {
    query::none(&uri)?;
    let known = learns(&admin, &name).is_some();
    let (learned, route) = (admin.learned.clone(), name.clone());
    let task = tokio::task::spawn_blocking(move || learned.forget(&route));
    let forgotten = task.await.map_err(|_| Refusal::ForgetInterrupted)?.map_err(Refusal::NotForgotten)?;
    if forgotten == 0 && !known {
        return Err(Refusal::NoSuchRoute { name });
    }
    tracing::warn!(route = %name, forgotten, "learned secrets forgotten by request");
    Ok(Json(Forgotten { forgotten }))
}

/// Whether a route's provider hands us secrets; `None` if there is no such route.
fn learns(admin: &Admin, name: &str) -> Option<bool> {
    let generation = admin.current.load();
    let route = generation.config.routes.iter().find(|route| &*route.name == name)?;
    Some(match &route.verify {
        Verify::None | Verify::Plugin(_) => false,
        Verify::Proof(settings) => settings.scheme.needs() == Needs::LearnedSecrets,
    })
}
