//! For machines that watch the gateway: is it alive, is it ready, how is it doing.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State, http::header, response::IntoResponse};

use super::{
    Admin,
    api::{Degraded, Status},
    refusal::Refusal,
};
use crate::{
    generation::Generation,
    pipeline::{Held, StepStatus},
    telemetry::{CONTENT_TYPE, PluginLabels},
};

pub(super) async fn healthz() -> Json<Status> {
    Json(Status { status: "ok".to_owned(), quarantined: Vec::new(), quarantined_canaries: Vec::new() })
}

pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> Result<Json<Status>, Refusal> {
    if let Some(failure) = admin.journal.health().failure {
        return Err(Refusal::NotReady { reason: format!("the journal does not take events: {failure}") });
    }
    admin.control.readiness().map_err(|reason| Refusal::NotReady { reason })?;
    // The other routes are served, and this one's events are taken in: no reason to send senders elsewhere.
    let generation = admin.current.load();
    let quarantined = degraded(&generation, |step| step.quarantined.clone());
    let quarantined_canaries = degraded(&generation, |step| step.canary?.quarantined());
    let status = if quarantined.is_empty() { "ready" } else { "degraded" };
    Ok(Json(Status { status: status.to_owned(), quarantined, quarantined_canaries }))
}

fn degraded(generation: &Generation, held: impl Fn(&StepStatus<'_>) -> Option<Held>) -> Vec<Degraded> {
    let steps = generation.steps().filter_map(|(route, step)| {
        let since = held(&step)?.since;
        Some(Degraded { route: route.to_string(), plugin: step.plugin.name().to_string(), since })
    });
    steps.collect()
}

pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let number = admin.current.load().number;
    admin.metrics.generation.set(number.try_into().unwrap_or(i64::MAX));
    admin.metrics.set_quarantined(&quarantined(&admin.current.load()));
    admin.metrics.set_journal(&admin.journal.health(), admin.clock.now());
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], admin.metrics.encode())
}

/// Whether the plugin is in quarantine, of every plugin on every route: with any config, where it is there twice.
fn quarantined(generation: &Generation) -> BTreeMap<PluginLabels, bool> {
    let mut steps = BTreeMap::new();
    for (route, step) in generation.steps() {
        let labels = PluginLabels { route: route.clone(), plugin: step.plugin.name().clone() };
        *steps.entry(labels).or_default() |= step.quarantined.is_some();
    }
    steps
}
