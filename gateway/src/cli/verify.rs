//! `sluice verify`: explains how a request is checked, and looks after the secrets that a running gateway checks with.

use std::process::ExitCode;

pub mod capture;

pub mod explain;

mod given;

pub mod learn;

mod narrator;

pub mod status;

#[derive(Debug, clap::Subcommand)]
pub enum VerifyCommand {
    /// Checks a captured request, read from standard input, and says step by step how it went.
    Explain(explain::ExplainArgs),
    /// Shows which secrets of a running gateway are in use, and which can be retired.
    Status(status::StatusArgs),
    /// Lets a route take a secret that its provider hands it, beside those that it has.
    Learn(learn::LearnArgs),
    /// Gives up the secrets that a route's provider has handed it.
    Forget(learn::ForgetArgs),
}

/// Runs `sluice verify`.
///
/// # Errors
/// When the gateway cannot be asked, or the output cannot be written.
pub async fn run(command: VerifyCommand) -> anyhow::Result<ExitCode> {
    match command {
        VerifyCommand::Explain(args) => explain::run(&args).await,
        VerifyCommand::Status(args) => status::run(&args).await.map(|()| ExitCode::SUCCESS),
        VerifyCommand::Learn(args) => learn::learn(args).await.map(|()| ExitCode::SUCCESS),
        VerifyCommand::Forget(args) => learn::forget(args).await.map(|()| ExitCode::SUCCESS),
    }
}
