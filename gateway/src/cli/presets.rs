//! `sluice presets`: the providers that Sluice knows, and what each needs.

use std::process::ExitCode;

use serde::Serialize;

use super::{
    known::known,
    output::{print, table},
};
use crate::verify::scheme::{Preset, presets};

pub mod page;

mod route;

mod sheet;

pub mod words;

/// Lists the providers that Sluice knows, and what each needs.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PresetsArgs {
    #[command(subcommand)]
    command: Option<PresetsCommand>,
    /// Print the list in JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the page of providers of the documentation
    #[arg(long)]
    markdown: bool,
}

#[derive(Debug, clap::Subcommand)]
enum PresetsCommand {
    /// Explains one of them: what is signed, where things are, what to copy from where.
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The preset's name, or another name it is found under
    #[arg(value_name = "NAME", value_parser = known)]
    preset: &'static Preset,
}

/// Runs `sluice presets`.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &PresetsArgs) -> anyhow::Result<ExitCode> {
    let text = match &args.command {
        Some(PresetsCommand::Show(ShowArgs { preset })) => sheet::sheet(preset),
        None if args.json => {
            serde_json::to_string_pretty(&presets().map(Row::of).collect::<Vec<_>>())? + "\n"
        }
        None if args.markdown => page::page(),
        None => list(),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What there is to say of a preset in one line.
#[derive(Serialize)]
pub(super) struct Row {
    name: &'static str,
    provider: &'static str,
    aliases: &'static [String],
    family: String,
    needs: Vec<String>,
    handshake: bool,
    covers_body: bool,
    can_be_signed: bool,
}

impl Row {
    fn of(preset: &'static Preset) -> Self {
        let scheme = &preset.scheme;
        Self {
            name: &preset.name,
            provider: &preset.about.provider,
            aliases: &preset.about.aliases,
            family: words::family(scheme),
            needs: words::needs(scheme),
            handshake: !scheme.common.handshake.is_empty(),
            covers_body: words::covers_body(scheme),
            can_be_signed: scheme.can_be_signed(),
        }
    }
}

fn list() -> String {
    let rows: Vec<_> = presets()
        .map(Row::of)
        .map(|row| {
            let handshake = if row.handshake { "yes" } else { "" };
            let provider = if row.provider.is_empty() { "-" } else { row.provider };
            [row.name.into(), provider.into(), row.family, row.needs.join(", "), handshake.into()]
        })
        .collect();
    table(["PRESET", "PROVIDER", "PROOF", "NEEDS", "HANDSHAKE"], &rows)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: PresetsArgs,
    }

    #[test]
    fn every_preset_is_listed_with_what_it_needs() {
        let list = list();
        assert_eq!(list.lines().count(), presets().count() + 1);
        let line = |name: &str| list.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        assert!(line("stripe").contains("HMAC-SHA256"), "{}", line("stripe"));
        assert!(line("stripe").contains("secrets"), "{}", line("stripe"));
        assert!(line("paypal").contains("published keys, vars.webhook_id"), "{}", line("paypal"));
        assert!(line("square").contains("secrets, url"), "{}", line("square"));
        assert!(line("slack").ends_with("yes"), "{}", line("slack"));
    }

    #[test]
    fn an_unknown_name_is_bad_usage_with_the_nearest_one() {
        let error = Cli::try_parse_from(["presets", "show", "githbu"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("did you mean `github`?"), "{error}");
    }
}
