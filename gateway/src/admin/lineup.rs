//! What a route's plugins are and what they are given, for those who try another one in a plugin's place.

use std::{path, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::Uri,
};

use super::{
    Admin,
    api::{Lineup, LineupStep, StepPool},
    query,
    refusal::Refusal,
};
use crate::{config, generation::Generation};

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Lineup>, Refusal> {
    query::none(&uri)?;
    let generation = admin.current.load();
    let route = generation.config.routes.iter().find(|route| *route.name == *name);
    let route = route.ok_or(Refusal::NoSuchRoute { name })?;
    Ok(Json(Lineup {
        route: route.name.to_string(),
        deliver: route.deliver.iter().map(ToString::to_string).collect(),
        steps: route.pipeline.iter().map(|step| shown(&generation, step)).collect(),
    }))
}

fn shown(generation: &Generation, step: &config::Step) -> LineupStep {
    let config::Plugin { name, file, limits, isolation, .. } = &*step.plugin;
    let loaded = generation.steps().find(|(_, step)| step.plugin.name() == name);
    LineupStep {
        plugin: name.to_string(),
        file: path::absolute(file).unwrap_or_else(|_| file.clone()),
        sha256: loaded.map(|(_, loaded)| hex::encode(loaded.plugin.sha256())),
        config: step.config.clone(),
        on_error: step.on_error,
        at: step.at,
        limits: (*limits).into(),
        pool: StepPool::of(*isolation),
    }
}
