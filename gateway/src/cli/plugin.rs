//! `sluice plugin`: what an author of plugins needs, from the first line to the figures, and what an operator does with
//! those of a running gateway.

use std::process::ExitCode;

use clap::Subcommand;

use super::{block_on, success};

mod bench;

mod build;

mod case;

mod diff;

mod inspect;

mod json;

mod list;

mod new;

mod outcome;

mod resume;

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
    /// Lists the plugins that a running gateway has loaded, and which of them are in quarantine.
    List(list::ListArgs),
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
        PluginCommand::List(args) => return block_on(success(list::list(args))),
        PluginCommand::Resume(args) => return block_on(success(resume::resume(args))),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("error: {failure:#}");
        ExitCode::from(if failure.is::<Unusable>() { 2 } else { 1 })
    })
}

/// An error that says what was given that cannot be used.
fn unusable(why: impl Into<String>) -> anyhow::Error {
    Unusable(why.into()).into()
}
