//! The pipeline as it is, and the one with the candidate in it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    ReplayArgs,
    comparison::{Comparison, Ran},
};
use crate::{
    admin::api::{Lineup, LineupStep},
    cli::plugin::{step, unusable},
    config::{self, At, Isolation},
    event::Event,
    pipeline::Pipeline,
    plugin::{Inspection, PluginError, PluginHost},
    telemetry::{Chain, Metrics},
};

/// Both pipelines, loaded on an engine of their own.
pub(super) struct Contest {
    pub(super) route: String,
    /// The plugin whose place the candidate takes.
    pub(super) plugin: String,
    pub(super) files: Pair<PathBuf>,
    pipelines: Pair<Pipeline>,
    notes: Vec<String>,
}

/// Something of the plugin as it is, and of the candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pair<T> {
    pub(super) current: T,
    pub(super) candidate: T,
}

impl Contest {
    /// Loads all plugins of a route, and the candidate.
    ///
    /// # Errors
    /// If it is not clear whose place the candidate takes, or a plugin's file is not here, not the one that the
    /// gateway runs, or cannot be loaded.
    pub(super) fn set_up(lineup: &Lineup, args: &ReplayArgs) -> anyhow::Result<Self> {
        let new = Binary::read(&args.candidate).map_err(unusable)?;
        let plugin = replaced(lineup, args, &new)?;
        let files = files(lineup, &plugin, &args.current)?;
        let host = step::host()?;
        let load = |steps: Vec<config::Step>| load(&host, lineup, steps);
        let current = lineup.steps.iter().map(|step| made(step, &files[&step.plugin], None)).collect();
        let config = args.config.as_deref().map(|given| step::config(Some(given))).transpose()?;
        let candidate = lineup.steps.iter().map(|step| match step.plugin == plugin {
            true => made(step, &args.candidate, config.as_ref()),
            false => made(step, &files[&step.plugin], None),
        });
        let pipelines = Pair {
            current: load(current).map_err(|why| unusable(format!("the pipeline as it is: {why}")))?,
            candidate: load(candidate.collect()).map_err(|why| unusable(format!("the candidate: {why}")))?,
        };
        let old = files.get(&plugin).cloned().unwrap_or_default();
        let notes = notes(&files, &args.candidate);
        let files = Pair { current: old, candidate: args.candidate.clone() };
        Ok(Self { route: lineup.route.clone(), plugin, files, pipelines, notes })
    }

    /// What an operator should know before he trusts the result.
    pub(super) fn notes(&self) -> impl Iterator<Item = String> {
        self.notes.iter().cloned()
    }

    /// Runs an event through both, as a first attempt.
    pub(super) async fn run(&self, event: &Arc<Event>) -> Comparison {
        let Pair { current, candidate } = &self.pipelines;
        let ran = Pair { current: run(current, event).await, candidate: run(candidate, event).await };
        Comparison { event: event.id, ran }
    }
}

async fn run(pipeline: &Pipeline, event: &Arc<Event>) -> Ran {
    let started = Instant::now();
    let outcome = pipeline.run(event, 1).await;
    Ran::new(outcome, started.elapsed())
}

/// A plugin's file, as far as it is looked at before it is loaded.
struct Binary {
    digest: [u8; 32],
    inspection: Inspection,
}

impl Binary {
    fn read(file: &Path) -> Result<Self, String> {
        let bytes =
            fs::read(file).map_err(|error| format!("failed to read `{}`: {error}", file.display()))?;
        Ok(Self { digest: Sha256::digest(&bytes).into(), inspection: Inspection::of(&bytes) })
    }
}

/// The plugin whose place the candidate takes: the one that is named, the only one, the one of the candidate's name,
/// or the only one of its kind.
fn replaced(lineup: &Lineup, args: &ReplayArgs, new: &Binary) -> anyhow::Result<String> {
    let mut names: Vec<&str> = lineup.steps.iter().map(|step| step.plugin.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let listed = || format!("route `{}` runs `{}`", lineup.route, names.join("`, `"));
    if names.is_empty() {
        return Err(unusable(format!(
            "route `{}` runs no plugin, so there is none to replace",
            lineup.route
        )));
    }
    if let Some(named) = &args.plugin {
        let known = names.contains(&named.as_str());
        return if known { Ok(named.clone()) } else { Err(unusable(format!("no `{named}`: {}", listed()))) };
    }
    let stem = args.candidate.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
    let same_kind = |step: &&LineupStep| {
        Binary::read(&step.file).is_ok_and(|old| old.inspection.kinds == new.inspection.kinds)
    };
    let mut fitting: Vec<_> = lineup.steps.iter().filter(same_kind).map(|step| &*step.plugin).collect();
    fitting.dedup();
    match (&names[..], &fitting[..]) {
        ([only], _) => Ok((*only).to_owned()),
        _ if names.contains(&&*stem) => Ok(stem),
        (_, [only]) => Ok((*only).to_owned()),
        _ => Err(unusable(format!("{}; `--plugin NAME` says whose place the candidate takes", listed()))),
    }
}

/// Where the files of the route's plugins are here.
fn files(lineup: &Lineup, replaced: &str, given: &[String]) -> anyhow::Result<HashMap<String, PathBuf>> {
    let known = |name: &str| lineup.steps.iter().any(|step| step.plugin == name);
    let named = given.iter().map(|given| match given.split_once('=') {
        Some((name, file)) if known(name) => (name.to_owned(), PathBuf::from(file)),
        _ => (replaced.to_owned(), PathBuf::from(given)),
    });
    let mut files: HashMap<_, _> = named.collect();
    for step in &lineup.steps {
        if !files.contains_key(&step.plugin) {
            files.insert(step.plugin.clone(), as_the_gateway_runs_it(step)?);
        }
    }
    Ok(files)
}

/// The file that the gateway names, if it is here and what the gateway has loaded.
fn as_the_gateway_runs_it(step: &LineupStep) -> anyhow::Result<PathBuf> {
    let (name, file) = (&step.plugin, step.file.display());
    let give = format!("give the file that it runs: `--current {name}=FILE`");
    let found = Binary::read(&step.file).map_err(|why| {
        unusable(format!("the gateway runs `{name}` from a file that is not here: {why}; {give}"))
    })?;
    match &step.sha256 {
        Some(loaded) if *loaded != hex::encode(found.digest) => Err(unusable(format!(
            "`{file}` is not the file that the gateway has loaded as `{name}`, whose SHA-256 is {loaded}; {give}"
        ))),
        _ => Ok(step.file.clone()),
    }
}

/// A step as the gateway has it, with this file: never in quarantine, and nothing granted.
fn made(step: &LineupStep, file: &Path, config: Option<&Value>) -> config::Step {
    let plugin = config::Plugin {
        limits: step.limits.into(),
        isolation: step.pool.map(Isolation::from).unwrap_or_default(),
        ..config::Plugin::new(&*step.plugin, file.to_owned())
    };
    config::Step {
        plugin: Arc::new(plugin),
        config: config.unwrap_or(&step.config).clone(),
        on_error: step.on_error,
        // All of them are run here, one after the other.
        at: At::Pipeline,
    }
}

fn load(host: &PluginHost, lineup: &Lineup, pipeline: Vec<config::Step>) -> Result<Pipeline, String> {
    let route = config::Route {
        name: lineup.route.as_str().into(),
        host: None,
        path: "/".to_owned(),
        methods: Vec::new(),
        verify: config::Verify::None,
        respond: Default::default(),
        dedupe: None,
        max_body: 0,
        rate: None,
        pipeline,
        batch: None,
        deliver: lineup.deliver.iter().map(|name| name.as_str().into()).collect(),
    };
    Pipeline::build(&route, host, &Metrics::new(), None).map_err(|broken| {
        let why = |(_, error): &(usize, PluginError)| Chain(error).to_string();
        broken.iter().map(why).collect::<Vec<_>>().join("; ")
    })
}

/// What of the plugins' imports is not granted here.
fn notes(files: &HashMap<String, PathBuf>, candidate: &Path) -> Vec<String> {
    let mut all: Vec<&Path> = files.values().map(PathBuf::as_path).chain([candidate]).collect();
    all.sort_unstable();
    all.dedup();
    let note = |file: &&Path| {
        let parts = Binary::read(file).ok()?.inspection.grants();
        (!parts.is_empty()).then(|| {
            let file = file.display();
            format!(
                "`{file}` imports {}; nothing is granted here, so its calls are denied",
                parts.join(" and ")
            )
        })
    };
    all.iter().filter_map(note).collect()
}
