//! `sluice plugin`: what an author of plugins needs, from the first line to the figures, and what an operator does with
//! those of a running gateway.

use std::process::ExitCode;

use clap::Subcommand;

use super::{block_on, success};

mod bench;

mod build;

mod canary;

mod case;

mod diff;

mod inspect;

mod json;

mod limits;

mod list;

mod new;

mod outcome;

mod record;

mod replay;

mod resume;

mod source;

pub(in crate::cli) mod step;

mod test;

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Makes a crate for a plugin that builds, tests and runs at once.
    New(new::NewArgs),
    /// Builds a plugin's crate to WebAssembly, and inspects what it made.
    Build(build::BuildArgs),
    /// Tells what a plugin's file is, what it needs, and whether this gateway would run it.
    Inspect(inspect::InspectArgs),
    /// Runs a plugin on a folder of cases and compares what comes of them with what is expected.
    Test(test::TestArgs),
    /// Measures what a plugin costs for each event.
    Bench(bench::BenchArgs),
    /// Runs events of a running gateway through its pipeline as it is and with a candidate in it, and shows what
    /// differs.
    Replay(replay::ReplayArgs),
    /// Turns an event of a running gateway into a case for `test`, with its secrets masked.
    Record(record::RecordArgs),
    /// Lists the plugins that a running gateway has loaded, and which of them are in quarantine.
    List(list::ListArgs),
    /// Tells how the canary of a plugin does beside the one in force, and what it does otherwise.
    Canary(canary::CanaryArgs),
    /// Calls a plugin again that is in quarantine.
    Resume(resume::ResumeArgs),
}

/// Something that was given cannot be used: the exit code is that of bad usage.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unusable(String);

/// Runs one of the commands. 0: done, 1: failed, differs or would be refused, 2: what was given cannot be used.
pub fn run(command: PluginCommand) -> ExitCode {
    let done = match command {
        PluginCommand::New(args) => new::new(&args),
        PluginCommand::Build(args) => build::run(&args),
        PluginCommand::Inspect(args) => inspect::inspect(&args),
        PluginCommand::Test(args) => test::test(&args),
        PluginCommand::Bench(args) => bench::bench(&args),
        PluginCommand::Replay(args) => run_async(replay::replay(args)),
        PluginCommand::Record(args) => run_async(record::record(args)),
        PluginCommand::List(args) => return block_on(success(list::list(args))),
        PluginCommand::Canary(args) => return block_on(success(canary::canary(args))),
        PluginCommand::Resume(args) => return block_on(success(resume::resume(args))),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure:#}");
        ExitCode::from(if failure.is::<Unusable>() { 2 } else { 1 })
    })
}

/// Runs a command that asks a gateway.
fn run_async(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// An error that says what was given that cannot be used.
fn unusable(why: impl Into<String>) -> anyhow::Error {
    Unusable(why.into()).into()
}
