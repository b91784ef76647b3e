//! The command line. The only part that speaks on stdout.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod check;

pub mod connection;

pub mod dead;

pub mod events;

mod known;

mod output;

pub mod plugin;
pub mod presets;

pub mod run;

pub mod schema;

pub mod send;

pub mod verify;

/// Receives webhooks, proves who sent them, writes them down, shapes them with WebAssembly plugins, and delivers
/// the result until it has arrived.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway until SIGTERM or SIGINT; SIGHUP reloads.
    Run(run::RunArgs),
    /// Checks a config file and its plugins, and reports every mistake in one go.
    Check(check::CheckArgs),
    /// Prints the JSON Schema of the config file, for editors.
    Schema(schema::SchemaArgs),
    /// Lists the providers that Sluice knows, and explains what each needs.
    Presets(presets::PresetsArgs),
    /// Signs a test webhook and posts it.
    Send(send::SendArgs),
    /// Explains how a request is checked, and shows which secrets are in use.
    Verify {
        #[command(subcommand)]
        command: verify::VerifyCommand,
    },
    /// Makes, builds, inspects, tests and measures plugins; lists those of a running gateway.
    Plugin {
        #[command(subcommand)]
        command: plugin::PluginCommand,
    },
    /// Lists, explains and replays events of a running gateway.
    Events {
        #[command(flatten)]
        gateway: connection::ConnectionArgs,
        #[command(subcommand)]
        command: events::EventsCommand,
    },
    /// Lists and replays dead letters of a running gateway.
    Dead {
        #[command(flatten)]
        gateway: connection::ConnectionArgs,
        #[command(subcommand)]
        command: dead::DeadCommand,
    },
}

/// Runs the command line. 0: done, 1: failed while running, 2: bad usage or config.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(&args, run::check_plugins),
        Command::Schema(args) => schema::schema(&args),
        Command::Presets(args) => done(presets::run(&args)),
        Command::Send(args) => block_on(send::send(args)),
        Command::Plugin { command } => plugin::run(command),
        Command::Events { gateway, command } => block_on(success(events::run(command, &gateway))),
        Command::Dead { gateway, command } => block_on(success(dead::run(command, &gateway))),
        Command::Verify { command } => block_on(verify::run(command)),
    }
}

/// Runs one of the commands that talk to a gateway and are then done.
fn block_on(command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    done(runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(command)))
}

fn done(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

async fn success(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    command.await.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_reference_names_every_command_and_option() {
        let reference = include_str!("../../docs/reference/command-line.md");
        let missing: Vec<_> = names(&Cli::command()).filter(|name| !reference.contains(name)).collect();
        assert_eq!(missing, [""; 0], "not in docs/reference/command-line.md");
    }

    /// Every command as it is typed, and every option, in backticks.
    fn names(command: &clap::Command) -> impl Iterator<Item = String> {
        let mut names = Vec::new();
        let mut open = vec![("sluice".to_owned(), command)];
        while let Some((typed, command)) = open.pop() {
            let options = command.get_arguments().filter_map(|option| option.get_long());
            names.extend(options.map(|long| format!("`--{long}`")));
            if !command.has_subcommands() {
                names.push(format!("`{typed}`"));
            }
            open.extend(command.get_subcommands().map(|sub| (format!("{typed} {}", sub.get_name()), sub)));
        }
        names.into_iter()
    }
}
