//! `sluice dead`: list and replay dead letters.

use super::{
    connection::{Connection, ConnectionArgs},
    output::{print, print_json, table},
};
use crate::{
    admin::api::{Dead, DeadLetterList, ReplayRequest, Replayed},
    event::EventId,
};

/// Look at dead letters and replay them.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum DeadCommand {
    /// List dead letters, the newest first.
    List(ListArgs),
    /// Give dead letters another full schedule of attempts.
    Replay(ReplayArgs),
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// At most this many, up to 1000 [default: 100].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    filter: Filter,
    /// Every dead letter there is.
    #[arg(long, required_unless_present = "Filter", conflicts_with = "Filter")]
    all: bool,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filter {
    /// Only those of this event.
    #[arg(long, value_name = "ID")]
    event: Option<EventId>,
    /// Only those of this route.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only those for this destination.
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Only those that died since then: an RFC 3339 time, or how long ago, such as `1h`.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that died before then, written as for --since.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Runs `sluice dead`.
pub async fn run(command: DeadCommand, connection: &ConnectionArgs) -> anyhow::Result<()> {
    let json = connection.json;
    let connection = Connection::new(connection)?;
    let (answer, readable) = match command {
        DeadCommand::List(args) => list(&connection, args).await?,
        DeadCommand::Replay(args) => replay(&connection, args).await?,
    };
    if json {
        print_json(&answer)?
    } else {
        print(&readable)?
    }
    Ok(())
}

/// What the gateway answered, and the same for people.
type Answer = anyhow::Result<(bytes::Bytes, String)>;

async fn list(connection: &Connection, ListArgs { filter, limit }: ListArgs) -> Answer {
    let query = [
        ("event", filter.event.map(|id| id.to_string())),
        ("route", filter.route),
        ("destination", filter.destination),
        ("since", filter.since),
        ("until", filter.until),
        ("limit", limit.map(|limit| limit.to_string())),
    ];
    let answer = connection.get(&["dead-letters"], &query).await?;
    let list: DeadLetterList = connection.parse(&answer)?;
    Ok((answer, list_table(&list.dead_letters)))
}

async fn replay(connection: &Connection, ReplayArgs { filter, all }: ReplayArgs) -> Answer {
    let Filter { event, route, destination, since, until } = filter;
    let request = ReplayRequest { event, route, destination, since, until, all };
    let answer = connection.post(&["dead-letters", "replay"], &request).await?;
    let Replayed { replayed } = connection.parse(&answer)?;
    Ok((answer, summary(replayed)))
}

fn summary(replayed: u64) -> String {
    match replayed {
        0 => "no dead letters match\n".to_owned(),
        1 => "1 dead letter gets another schedule of attempts\n".to_owned(),
        many => format!("{many} dead letters get another schedule of attempts\n"),
    }
}

fn list_table(dead: &[Dead]) -> String {
    if dead.is_empty() {
        return "no dead letters match\n".to_owned();
    }
    let rows = dead.iter().map(|Dead(letter)| {
        let destination = match (&letter.destination, letter.index) {
            (Some(destination), Some(index)) => format!("{destination} #{index}"),
            (Some(destination), None) => destination.clone(),
            (None, _) => "- (pipeline)".to_owned(),
        };
        [
            letter.event.to_string(),
            letter.died_at.to_string(),
            letter.route.clone(),
            destination,
            letter.attempts.to_string(),
            letter.reason.clone(),
        ]
    });
    table(["EVENT", "DIED", "ROUTE", "DESTINATION", "ATTEMPTS", "REASON"], &rows.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{
        admin::testing::{Bench, EVENT, NOW},
        cli::connection::to,
        journal::DeadLetter,
    };

    #[derive(Debug, Parser)]
    struct TestCli {
        #[command(flatten)]
        connection: ConnectionArgs,
        #[command(subcommand)]
        command: DeadCommand,
    }

    fn parse(words: &str) -> Result<DeadCommand, clap::error::ErrorKind> {
        let parsed = TestCli::try_parse_from(["dead"].into_iter().chain(words.split_whitespace()));
        parsed.map(|parsed| parsed.command).map_err(|error| error.kind())
    }

    #[test]
    fn replay_wants_a_filter_or_all() {
        use clap::error::ErrorKind::{ArgumentConflict, MissingRequiredArgument};
        assert_eq!(parse("replay").unwrap_err(), MissingRequiredArgument);
        assert_eq!(parse("replay --all --route a").unwrap_err(), ArgumentConflict);
        assert!(parse("replay --all").is_ok());
        assert!(parse("replay --route a --since 1h").is_ok());
        assert!(parse("list").is_ok());
    }

    #[test]
    fn connection_is_given_before_or_after_the_command() {
        assert!(parse("--json list --admin http://127.0.0.1:9999").is_ok());
        assert!(parse("list --json --token-env TOKEN").is_ok());
    }

    #[tokio::test]
    async fn list_asks_with_its_filters() {
        let bench = Bench::open().await;
        let connection = Connection::new(&to(&bench.url())).unwrap();
        let filter =
            Filter { destination: Some("tracker".into()), until: Some("1h".into()), ..Filter::default() };
        list(&connection, ListArgs { filter, limit: Some(5) }).await.unwrap();
        let asked = bench.journal.dead_asked.lock().unwrap().pop().unwrap();
        assert_eq!((asked.destination.as_deref(), asked.limit), (Some("tracker"), 5));
        assert_eq!(asked.until.unwrap().to_string(), "2026-03-01T11:00:00.000Z");
    }

    #[tokio::test]
    async fn replay_says_how_many() {
        let bench = Bench::open().await;
        let connection = Connection::new(&to(&bench.url())).unwrap();
        let all = ReplayArgs { all: true, ..ReplayArgs::default() };
        let (answer, text) = replay(&connection, all).await.unwrap();
        assert_eq!(&answer[..], b"{\"replayed\":4}");
        assert_eq!(text, "4 dead letters get another schedule of attempts\n");
    }

    #[test]
    fn table_tells_deliveries_from_pipelines() {
        let delivery = DeadLetter {
            event: EVENT.parse().unwrap(),
            route: "github".into(),
            destination: Some("tracker".into()),
            index: Some(0),
            received_at: NOW,
            died_at: NOW,
            attempts: 8,
            reason: "503\nbusy".into(),
        };
        let event = DeadLetter { destination: None, index: None, attempts: 1, ..delivery.clone() };
        assert_eq!(
            list_table(&[Dead(delivery), Dead(event)]),
            format!(
                "EVENT                                 DIED                      ROUTE   DESTINATION   ATTEMPTS  REASON\n\
                 {EVENT}  2026-03-01T12:00:00.000Z  github  tracker #0    8         503\\nbusy\n\
                 {EVENT}  2026-03-01T12:00:00.000Z  github  - (pipeline)  1         503\\nbusy\n"
            )
        );
    }
}
