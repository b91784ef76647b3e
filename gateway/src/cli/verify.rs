//! `sluice verify`: the secrets that a running gateway checks with.

use std::process::ExitCode;

pub mod learn;

#[derive(Debug, clap::Subcommand)]
pub enum VerifyCommand {
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
        VerifyCommand::Learn(args) => learn::learn(args).await.map(|()| ExitCode::SUCCESS),
        VerifyCommand::Forget(args) => learn::forget(args).await.map(|()| ExitCode::SUCCESS),
    }
}
