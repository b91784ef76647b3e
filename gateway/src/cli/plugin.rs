//! `sluice plugin`: looks after the plugins of a running gateway.

use clap::Subcommand;

mod list;

mod resume;

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Lists the plugins that a running gateway has loaded, and which of them are in quarantine.
    List(list::ListArgs),
    /// Calls a plugin again that is in quarantine.
    Resume(resume::ResumeArgs),
}

/// Runs one of the commands.
///
/// # Errors
/// When the gateway cannot be asked, or the output cannot be written.
pub async fn run(command: PluginCommand) -> anyhow::Result<()> {
    match command {
        PluginCommand::List(args) => list::list(args).await,
        PluginCommand::Resume(args) => resume::resume(args).await,
    }
}
