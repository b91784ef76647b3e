//! `sluice verify`: explains how a request is checked, and shows which secrets are in use.

use std::process::ExitCode;

pub mod capture;

pub mod explain;

mod given;

mod narrator;

pub mod status;

#[derive(Debug, clap::Subcommand)]
pub enum VerifyCommand {
    /// Checks a captured request, read from standard input, and says step by step how it went.
    Explain(explain::ExplainArgs),
    /// Shows which secrets of a running gateway are in use, and which can be retired.
    Status(status::StatusArgs),
}

/// Runs `sluice verify`.
///
/// # Errors
/// When the gateway cannot be asked, or the output cannot be written.
pub async fn run(command: VerifyCommand) -> anyhow::Result<ExitCode> {
    match command {
        VerifyCommand::Explain(args) => explain::run(&args).await,
        VerifyCommand::Status(args) => status::run(&args).await.map(|()| ExitCode::SUCCESS),
    }
}
