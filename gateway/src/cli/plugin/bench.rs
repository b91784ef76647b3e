//! `sluice plugin bench`: what a plugin costs for each event.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use bytesize::ByteSize;
use clap::value_parser;
use figures::Figures;
use serde_json::Value;

use super::{
    case,
    step::{self, Lives},
    unusable,
};
use crate::{
    cli::output::{print, printable},
    config::Limits,
    plugin::{Plugin, PluginError, PluginHost, Role, View},
    telemetry::Chain,
};

mod faults;

mod figures;

/// Measures what a plugin costs for each event.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// A `.wasm` file.
    file: PathBuf,
    /// The event to call it with, written as the `event.json` of a case; by default a small made-up one.
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// The step's config: JSON in braces, or a file of JSON or TOML.
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
    /// Another `.wasm` file to compare it with: both are measured in turns.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// As the config's `isolation`: whether every event has an instance of its own, or instances are kept.
    #[arg(long, value_enum, default_value_t = Lives::Event)]
    isolation: Lives,
    /// How long to measure, in seconds, 60 at most.
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// Calls of one round: in fresh instances, and in one that is reused. Not many of those where the gateway does none:
/// an instance that gives nothing back must not fill up.
fn calls(lives: Lives) -> (usize, usize) {
    match lives {
        Lives::Event => (50, 16),
        Lives::Pooled => (2, 200),
    }
}

const KEPT: &str =
    "             pooled: an event costs what a reused instance does; a fresh one is made now and then\n";

/// # Errors
/// If a plugin or the event cannot be loaded.
pub(super) fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let config = step::config(args.config.as_deref())?;
    let view = match &args.event {
        Some(file) => case::view(file)?,
        None => case::made_up()?,
    };
    let host = step::host()?;
    let files = [Some(&args.file), args.against.as_ref()];
    let loaded = files.into_iter().flatten().map(|file| Subject::load(&host, file, args.isolation, &config));
    let mut subjects = loaded.collect::<anyhow::Result<Vec<_>>>()?;
    if cfg!(debug_assertions) {
        eprintln!("note: this `sluice` is a debug build; the times below are longer than those of a release");
    }
    measure(&mut subjects, &view, Duration::from_secs(args.seconds));
    for subject in &subjects {
        print(&subject.text())?;
    }
    if let [one, other] = &subjects[..] {
        print(&format!("{}\n", figures::compared(&one.figures, &other.figures)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A plugin under the clock.
struct Subject {
    file: PathBuf,
    plugin: Arc<Plugin>,
    lives: Lives,
    /// Compiled and configured, without a cache.
    load: Duration,
    figures: Figures,
}

impl Subject {
    fn load(host: &PluginHost, file: &Path, lives: Lives, config: &Value) -> anyhow::Result<Self> {
        let began = Instant::now();
        let plugin = step::load(host, file, lives, config, Role::Step).map_err(|error| match &error {
            PluginError::Read { .. } => unusable(Chain(&error).to_string()),
            PluginError::Config { .. } => unusable(format!("{}; `--config` gives it another", Chain(&error))),
            _ => anyhow!("{}", Chain(&error)),
        })?;
        Ok(Self { file: file.to_owned(), plugin, lives, load: began.elapsed(), figures: Figures::default() })
    }

    /// One round: fresh instances, then a reused one.
    fn round(&mut self, view: &View) {
        let before = faults::of_this_thread();
        let (fresh, reused) = calls(self.lives);
        let probes: Vec<_> = (0..fresh).map(|_| self.plugin.probe(view)).collect();
        let faults = before.and_then(|before| Some(faults::of_this_thread()? - before));
        let reused = self.plugin.reuse(view, reused);
        self.figures.add(&probes, faults, reused, self.lives == Lives::Pooled);
    }

    fn text(&self) -> String {
        let limits = Limits::default();
        let Self { file, load, lives, figures, .. } = self;
        format!(
            "{file}\n{table}{kept}\
             outcome      {outcome}\n\
             memory       {memory} at most, of {memory_limit}; asked for more {grown} times in a call\n\
             page faults  {faults}\n\
             output       {output} at most, of {output_limit}\n\
             load         {load:.1} ms, compiled and configured; a gateway keeps what comes of it\n\n",
            file = printable(&file.display().to_string()),
            table = figures.table(),
            kept = match lives {
                Lives::Event => "",
                Lives::Pooled => KEPT,
            },
            outcome = printable(&figures.outcome()),
            memory = iec(figures.memory()),
            memory_limit = iec(limits.memory),
            grown = figures.grown(),
            faults = figures.faults(),
            output = iec(figures.output()),
            output_limit = iec(limits.output),
            load = load.as_secs_f64() * 1000.0,
        )
    }
}

/// Rounds in turns, the one that begins changing, so that whatever disturbs the machine disturbs all alike.
fn measure(subjects: &mut [Subject], view: &View, time: Duration) {
    // Once for the processor's caches, the allocator's pages, and the slots of the pool.
    for subject in &mut *subjects {
        subject.round(view);
        subject.figures = Figures::default();
    }
    let end = Instant::now() + time;
    let mut forwards = true;
    while Instant::now() < end {
        match forwards {
            true => subjects.iter_mut().for_each(|subject| subject.round(view)),
            false => subjects.iter_mut().rev().for_each(|subject| subject.round(view)),
        }
        forwards = !forwards;
    }
}

fn iec(bytes: usize) -> impl std::fmt::Display {
    ByteSize::b(bytes as u64).display().iec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::fixtures::{self, Rig};

    fn subject(rig: &Rig, call: &str) -> Subject {
        living(rig, call, Lives::Event)
    }

    fn living(rig: &Rig, call: &str, lives: Lives) -> Subject {
        let plugin = rig.plugin("guest", &fixtures::filter(call));
        Subject::load(&rig.host, &plugin.file, lives, &Value::Null).unwrap()
    }

    #[test]
    fn a_subject_tells_what_it_was_measured_at() {
        let rig = Rig::new();
        let mut subjects = [subject(&rig, "(call $drop)"), subject(&rig, "(call $ok)")];
        measure(&mut subjects, &case::made_up().unwrap(), Duration::from_millis(1));
        let text = subjects[0].text();
        for part in ["per event", "reused instance", "outcome      drop: reason (100 %)", "192.0 KiB at most"]
        {
            assert!(text.contains(part), "`{part}` is missing from\n{text}");
        }
        assert!(subjects[1].text().contains("outcome      keep (100 %)"), "{}", subjects[1].text());
        assert!(figures::compared(&subjects[0].figures, &subjects[1].figures).contains(" × "));
    }

    #[test]
    fn a_pooled_subject_is_measured_by_what_is_reused() {
        let rig = Rig::new();
        let mut subjects = [living(&rig, "(call $ok)", Lives::Pooled)];
        measure(&mut subjects, &case::made_up().unwrap(), Duration::from_millis(1));
        assert!(subjects[0].text().contains("an event costs what a reused instance does"));
    }

    #[test]
    fn a_plugin_that_traps_is_measured_and_says_so() {
        let rig = Rig::new();
        let mut subjects = [subject(&rig, "unreachable")];
        measure(&mut subjects, &case::made_up().unwrap(), Duration::from_millis(1));
        let text = subjects[0].text();
        assert!(text.contains("outcome      trap: trapped: "), "{text}");
        assert!(text.contains("reused instance  -"), "{text}");
    }
}
