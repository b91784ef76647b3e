//! Plugins: which are loaded, which are in quarantine, and their way out of it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::Uri,
};

use super::{
    Admin,
    api::{
        Calls, CanaryMode, CanaryStatus, Difference, Differing, PluginList, PluginStatus, PluginStep,
        Quarantined, Resumed,
    },
    query,
    refusal::Refusal,
};
use crate::{
    config,
    generation::Generation,
    pipeline::{self, Canary, Held, Place, StepStatus, Tally},
};

pub(super) async fn list(State(admin): State<Arc<Admin>>, uri: Uri) -> Result<Json<PluginList>, Refusal> {
    query::none(&uri)?;
    Ok(Json(loaded(&admin.current.load())))
}

pub(super) async fn resume(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Resumed>, Refusal> {
    query::none(&uri)?;
    let generation = admin.current.load();
    if !generation.steps().any(|(_, step)| **step.plugin.name() == *name) {
        return Err(Refusal::NoSuchPlugin { name });
    }
    let routes = generation.config.routes.iter().filter_map(|route| generation.routes.get(&route.name));
    let resumed = routes.filter(|route| route.resume(&name));
    let routes = resumed.map(|route| route.config.name.to_string()).collect();
    Ok(Json(Resumed { plugin: name, routes }))
}

fn loaded(generation: &Generation) -> PluginList {
    let mut plugins = BTreeMap::new();
    for (route, step) in generation.steps() {
        let name = step.plugin.name().to_string();
        let status = plugins.entry(name).or_insert_with(|| status(&step));
        let (place, number) = place(step.place);
        let (route, place) = (route.to_string(), place.to_owned());
        let (quarantined, canary) = (step.quarantined.map(shown), step.canary.map(tried_out));
        status.steps.push(PluginStep { route, place, step: number, quarantined, canary });
    }
    PluginList { plugins: plugins.into_values().collect() }
}

fn status(step: &StepStatus<'_>) -> PluginStatus {
    PluginStatus {
        name: step.plugin.name().to_string(),
        kind: step.plugin.kind().name().to_owned(),
        contract: step.plugin.contract().version().to_owned(),
        file: step.plugin.file().display().to_string(),
        sha256: hex::encode(step.plugin.sha256()),
        steps: Vec::new(),
    }
}

fn place(place: Place) -> (&'static str, Option<usize>) {
    match place {
        Place::Verify => ("verify", None),
        Place::Edge(step) => ("edge", Some(step)),
        Place::Pipeline(step) => ("pipeline", Some(step)),
        Place::Batch => ("batch", None),
    }
}

fn shown(held: Held) -> Quarantined {
    let Held { since, reason, probe } = held;
    Quarantined { since, reason, probe }
}

fn tried_out(canary: &Canary) -> CanaryStatus {
    let figures = canary.figures();
    CanaryStatus {
        file: canary.plugin().file().display().to_string(),
        sha256: hex::encode(canary.plugin().sha256()),
        mode: match canary.mode() {
            config::CanaryMode::Share(share) => CanaryMode::Share { share },
            config::CanaryMode::Shadow => CanaryMode::Shadow,
        },
        quarantined: canary.quarantined().map(shown),
        current: calls(&figures.current),
        candidate: calls(&figures.candidate),
        skipped: figures.skipped,
        differences: figures.differences,
        last_differences: figures.last.into_iter().map(differing).collect(),
    }
}

fn calls(tally: &Tally) -> Calls {
    let Tally { keep, drop, messages, errors, time: _ } = *tally;
    let mean_micros = tally.mean().and_then(|mean| u64::try_from(mean.as_micros()).ok());
    Calls { calls: tally.calls(), keep, drop, messages, errors, mean_micros }
}

fn differing(call: pipeline::Differing) -> Differing {
    let pipeline::Differing { event, at, differences } = call;
    let shown = |pipeline::Difference { what, current, candidate }| {
        let what = what.name().to_owned();
        Difference { what, current, candidate }
    };
    Differing { event, at, differences: differences.into_iter().map(shown).collect() }
}
