//! `sluice plugin replay`: events of a running gateway through its pipeline as it is, and with a candidate in it.

use std::{num::NonZeroUsize, path::PathBuf, process::ExitCode};

use clap::ValueEnum;
use futures_util::{StreamExt, stream};

use self::{contest::Contest, report::Report};
use super::{
    source::{Source, Wanted},
    unusable,
};
use crate::{
    cli::{
        connection::ConnectionArgs,
        output::{print, print_json, printable},
    },
    journal::EventState,
};

mod comparison;

mod contest;

mod report;

/// Runs events of a running gateway through their route's pipeline as it is and with a candidate in it, in this
/// process, and shows what differs. Nothing is delivered, and nothing is granted to plugins.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// The candidate: a `.wasm` file.
    candidate: PathBuf,
    /// The route whose events and pipeline are taken.
    #[arg(long, value_name = "NAME")]
    route: String,
    /// Only events received since then: an RFC 3339 time, or how long ago, such as `1h`.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only events in this state.
    #[arg(long)]
    state: Option<EventState>,
    /// At most this many events, the newest.
    #[arg(long, value_name = "N", default_value = "1000")]
    limit: NonZeroUsize,
    /// The plugin whose place the candidate takes; needed where the route's pipeline leaves it open.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// The candidate's config, instead of the plugin's: JSON in braces, or a file of JSON or TOML.
    #[arg(long, value_name = "FILE|JSON")]
    config: Option<String>,
    /// The file of a plugin as the gateway runs it, where that file is not on this machine. Without a name: of the
    /// plugin whose place the candidate takes.
    #[arg(long, value_name = "[NAME=]FILE")]
    current: Vec<String>,
    /// Show at most this many of the differences.
    #[arg(long, value_name = "N", default_value_t = 10)]
    show: usize,
    #[command(flatten)]
    gateway: ConnectionArgs,
}

/// The most events that one question may ask for.
const PAGE: usize = 1000;
/// How many events are fetched ahead of the one that is run.
const AHEAD: usize = 8;

/// 1 if anything differs or the candidate fails.
///
/// # Errors
/// If the gateway cannot be asked, a plugin cannot be loaded, or there is no such event.
pub(super) async fn replay(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let source = Source::new(&args.gateway)?;
    let contest = Contest::set_up(&source.lineup(&args.route).await?, &args)?;
    for note in contest.notes() {
        eprintln!("note: {}", printable(&note));
    }
    let mut report = Report::new(args.show);
    run(&args, &source, &contest, &mut report).await?;
    if report.is_empty() {
        return Err(unusable(format!(
            "no event of route `{}` fits, so nothing was compared; try an earlier `--since`, or another `--state`",
            args.route
        )));
    }
    match args.gateway.json {
        true => print_json(&report.json(&contest)?)?,
        false => print(&report.summary(&contest))?,
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every event that is wanted, page by page.
async fn run(
    args: &ReplayArgs,
    source: &Source,
    contest: &Contest,
    report: &mut Report,
) -> anyhow::Result<()> {
    let state = args.state.and_then(|state| Some(state.to_possible_value()?.get_name().to_owned()));
    let wanted = Wanted { route: args.route.clone(), state, since: args.since.clone() };
    let (mut left, mut last) = (args.limit.get(), None);
    while left > 0 {
        let asked = left.min(PAGE);
        let ids = source.page(&wanted, last, asked).await?;
        (left, last) = (if ids.len() < asked { 0 } else { left - asked }, ids.last().copied());
        let mut events = stream::iter(ids).map(|id| source.event(id)).buffered(AHEAD);
        while let Some(event) = events.next().await {
            // One that the gateway gave up meanwhile is not missed.
            let Some(event) = event? else { continue };
            let difference = report.take(contest.run(&event).await);
            if let Some(difference) = difference.filter(|_| !args.gateway.json) {
                print(&difference)?;
            }
        }
    }
    Ok(())
}
