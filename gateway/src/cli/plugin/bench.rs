//! `sluice plugin bench`: what a plugin costs for each event.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use clap::value_parser;
use serde::Serialize;
use serde_json::Value;

use self::{
    figures::{Figures, Ratio},
    report::{Load, Report},
};
use super::{
    case::{self, Subject},
    diff::diff,
    limits::Limits,
    outcome,
    step::{self, Lives},
    unusable,
};
use crate::{
    cli::output::{print, print_json},
    config,
    plugin::{Given, Pages, Plugin, PluginError, PluginHost, Role, block_on},
    telemetry::{Chain, Metrics},
};

mod figures;

mod report;

/// Measures what a plugin costs for each event.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// A `.wasm` file.
    file: PathBuf,
    /// What to call it with: a file written as the `event.json`, `request.json`, `request.http` or `window.json` of a
    /// case; by default something small and made up.
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// The step's config: JSON in braces, or a file of JSON or TOML.
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
    /// Limits other than the gateway's defaults, as in `time=1s,memory=64MiB,output=1MiB`.
    #[arg(long, value_name = "LIMITS", value_parser = Limits::flag)]
    limits: Option<Limits>,
    /// Another `.wasm` file to compare it with: both are measured in turns.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// As the config's `isolation`: whether every event has an instance of its own, or instances are kept.
    #[arg(long, value_enum, default_value_t = Lives::Event)]
    isolation: Lives,
    /// How long to measure, in seconds, 60 at most.
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Calls of one round: in fresh instances, and in one that is reused. Not many of those where the gateway does none:
/// an instance that gives nothing back must not fill up.
fn calls(lives: Lives) -> (usize, usize) {
    match lives {
        Lives::Event => (50, 16),
        Lives::Pooled => (2, 200),
    }
}

/// How often loading from a cache is measured; the middle one is told.
const LOADS: usize = 5;

/// # Errors
/// If a plugin or the event cannot be loaded.
pub(super) fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let trial = Trial {
        config: step::config(args.config.as_deref())?,
        lives: args.isolation,
        limits: args.limits.unwrap_or_default().over(config::Limits::default()),
        event: args.event.as_deref().map(case::file).transpose()?,
    };
    let host = step::host()?;
    let files = [Some(&args.file), args.against.as_ref()];
    let loaded = files.into_iter().flatten().map(|file| Contender::load(&host, file, &trial));
    let mut contenders = loaded.collect::<anyhow::Result<Vec<_>>>()?;
    if cfg!(debug_assertions) {
        eprintln!("note: this `sluice` is a debug build; the times below are longer than those of a release");
    }
    measure(&mut contenders, Duration::from_secs(args.seconds));
    let told = Told {
        plugins: contenders.iter().map(|contender| contender.report(&trial)).collect(),
        compared: match &contenders[..] {
            [one, other] => Some(Compared::of(one, other)),
            _ => None,
        },
    };
    match args.json {
        true => print_json(&serde_json::to_vec_pretty(&told)?)?,
        false => print(&told.text())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What every plugin is measured with.
struct Trial {
    config: Value,
    lives: Lives,
    limits: config::Limits,
    /// `None`: something made up for its kind.
    event: Option<Subject>,
}

impl Trial {
    fn given(&self, plugin: &Plugin) -> anyhow::Result<Given> {
        let kind = plugin.kind();
        let given = match &self.event {
            Some(subject) => subject.given(kind),
            None => case::made_up(kind)?.given(kind),
        };
        given.map_err(|why| unusable(format!("`{}` cannot be called with it: {why}", plugin.name())))
    }

    fn plugin(&self, file: &Path) -> config::Plugin {
        step::plugin_as(file, self.lives, self.limits)
    }
}

/// A plugin under the clock.
struct Contender {
    file: PathBuf,
    plugin: Arc<Plugin>,
    given: Given,
    lives: Lives,
    load: Load,
    pages: Option<Pages>,
    figures: Figures,
}

impl Contender {
    fn load(host: &PluginHost, file: &Path, trial: &Trial) -> anyhow::Result<Self> {
        let began = Instant::now();
        let plugin = step::load(host, &trial.plugin(file), &trial.config).map_err(|error| match &error {
            PluginError::Read { .. } => unusable(Chain(&error).to_string()),
            PluginError::Config { .. } => unusable(format!("{}; `--config` gives it another", Chain(&error))),
            _ => anyhow!("{}", Chain(&error)),
        })?;
        let compiled = began.elapsed();
        let given = trial.given(&plugin)?;
        let cached = cached_load(&trial.plugin(file), &trial.config);
        Ok(Self {
            file: file.to_owned(),
            pages: host.pages(&trial.plugin(file), &trial.config, &given),
            plugin,
            given,
            lives: trial.lives,
            load: Load::new(compiled, cached),
            figures: Figures::default(),
        })
    }

    /// One round: fresh instances, then a reused one.
    fn round(&mut self) {
        let (fresh, again) = calls(self.lives);
        let (probes, cpu) = self.plugin.probe(&self.given, fresh);
        let reused = self.plugin.reuse(&self.given, again);
        self.figures.add(&probes, cpu, &reused);
    }

    fn report(&self, trial: &Trial) -> Report {
        let about = (self.file.clone(), self.plugin.kind().name());
        Report::new(about, self.lives, &self.figures, self.pages, self.load, &trial.limits)
    }

    /// What an event costs in each round.
    fn rounds(&self) -> &[u64] {
        match self.lives {
            Lives::Event => self.figures.fresh_rounds(),
            Lives::Pooled => self.figures.reused_rounds(),
        }
    }

    /// What comes of a call, as the `expected.json` of a case has it.
    fn outcome(&self) -> String {
        outcome::of(&block_on(self.plugin.answer(&self.given)), None).sorted().to_string()
    }
}

/// How long a gateway that has loaded the plugin before takes for it at its next start.
fn cached_load(plugin: &config::Plugin, config: &Value) -> Option<Duration> {
    let dir = tempfile::tempdir().ok()?;
    let host = || PluginHost::new(dir.path().join("cache"), Arc::new(Metrics::new())).ok();
    host()?.load(plugin, config, Role::Any).ok()?;
    let load = || {
        let host = host()?;
        let began = Instant::now();
        host.load(plugin, config, Role::Any).ok().map(|_| began.elapsed())
    };
    let mut loads: Vec<_> = (0..LOADS).filter_map(|_| load()).collect();
    loads.sort_unstable();
    loads.get(loads.len() / 2).copied()
}

/// All that is told.
#[derive(Debug, Serialize)]
struct Told {
    plugins: Vec<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<Compared>,
}

impl Told {
    fn text(&self) -> String {
        let plugins: String = self.plugins.iter().map(Report::text).collect();
        plugins + &self.compared.as_ref().map_or_else(String::new, Compared::text)
    }
}

/// The first plugin beside the second.
#[derive(Debug, Serialize)]
struct Compared {
    #[serde(flatten)]
    ratio: Ratio,
    same_outcome: bool,
    /// Where the outcomes differ: - is the second's, + the first's.
    #[serde(skip)]
    difference: String,
}

impl Compared {
    fn of(one: &Contender, other: &Contender) -> Self {
        let difference = diff(&other.outcome(), &one.outcome());
        let ratio = Ratio::of(one.rounds(), other.rounds());
        Self { ratio, same_outcome: difference.is_empty(), difference }
    }

    fn text(&self) -> String {
        let Ratio { ratio, low, high, rounds } = self.ratio;
        let cost = format!(
            "the first costs {ratio:.2} × the second for each event (median of {rounds} rounds in turns; half of them \
             between {low:.2} and {high:.2})\n"
        );
        match self.same_outcome {
            true => cost + "their outcomes are the same\n",
            false => cost + "their outcomes differ: - is the second's, + the first's\n" + &self.difference,
        }
    }
}

/// Rounds in turns, the one that begins changing, so that whatever disturbs the machine disturbs all alike.
fn measure(contenders: &mut [Contender], time: Duration) {
    // Once for the processor's caches, the allocator's pages, and the slots of the pool.
    for contender in &mut *contenders {
        contender.round();
        contender.figures = Figures::default();
    }
    let end = Instant::now() + time;
    let mut forwards = true;
    // One round at least, however long it takes.
    loop {
        match forwards {
            true => contenders.iter_mut().for_each(Contender::round),
            false => contenders.iter_mut().rev().for_each(Contender::round),
        }
        forwards = !forwards;
        if Instant::now() >= end {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{
        Kind,
        fixtures::{self, Rig, Wat},
    };

    fn trial() -> Trial {
        Trial { config: Value::Null, lives: Lives::Event, limits: config::Limits::default(), event: None }
    }

    fn contender(rig: &Rig, module: &[u8]) -> Contender {
        let plugin = rig.plugin("guest", module);
        Contender::load(&rig.host, &plugin.file, &trial()).unwrap()
    }

    fn measured(module: &[u8]) -> String {
        let rig = Rig::new();
        let mut contenders = [contender(&rig, module)];
        measure(&mut contenders, Duration::ZERO);
        contenders[0].report(&trial()).text()
    }

    #[test]
    fn every_kind_is_measured_and_every_row_is_there() {
        for (kind, outcome) in [
            (Kind::Verify, "accept (100 %)"),
            (Kind::Filter, "keep (100 %)"),
            (Kind::Transform, "0 messages (100 %)"),
            (Kind::Batch, "0 messages of 20 (100 %)"),
        ] {
            let text = measured(&Wat { kind, ..Wat::default() }.module());
            assert!(text.contains(&format!("outcome: {outcome}\n")), "{text}");
            for row in ["an event ", "a reused instance ", "pages ", "memory.grow ", "log ", "load "] {
                assert!(text.lines().any(|line| line.starts_with(row)), "`{row}` is missing from\n{text}");
            }
        }
    }

    #[test]
    fn a_pooled_plugin_costs_what_a_reused_instance_does() {
        let rig = Rig::new();
        let plugin = rig.plugin("guest", &fixtures::filter("(call $ok)"));
        let trial = Trial { lives: Lives::Pooled, ..trial() };
        let mut contenders = [Contender::load(&rig.host, &plugin.file, &trial).unwrap()];
        measure(&mut contenders, Duration::ZERO);
        let text = contenders[0].report(&trial).text();
        assert!(text.contains("this is what an event costs"), "{text}");
    }

    #[test]
    fn a_plugin_that_traps_is_measured_and_says_so() {
        let text = measured(&fixtures::filter("unreachable"));
        assert!(text.contains("outcome: trap: trapped: "), "{text}");
        assert!(text.contains("a reused instance  -"), "{text}");
    }

    #[test]
    fn two_are_compared_by_cost_and_outcome() {
        let rig = Rig::new();
        let mut contenders =
            ["(call $drop)", "(call $ok)"].map(|call| contender(&rig, &fixtures::filter(call)));
        measure(&mut contenders, Duration::ZERO);
        let compared = Compared::of(&contenders[0], &contenders[1]);
        assert!(!compared.same_outcome && compared.text().contains("+   \"verdict\": \"drop\""));
        assert!(Compared::of(&contenders[0], &contenders[0]).same_outcome);
    }

    #[test]
    fn an_event_of_another_kind_is_refused() {
        let rig = Rig::new();
        let plugin = rig.plugin("guest", &Wat { kind: Kind::Batch, ..Wat::default() }.module());
        let trial = Trial { event: Some(case::made_up(Kind::Filter).unwrap()), ..trial() };
        let refused = Contender::load(&rig.host, &plugin.file, &trial).err().unwrap();
        assert!(refused.to_string().contains("a batch plugin's case has a `window.json`"), "{refused}");
    }
}
