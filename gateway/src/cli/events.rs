//! `sluice events`: list, explain, replay.

use clap::ValueEnum;

use super::{
    connection::{Connection, ConnectionArgs},
    output::{print, print_json, table},
};
use crate::{
    admin::api::{EventList, Record, Replayed, Summary},
    event::EventId,
    journal::EventState,
};

mod timeline;

/// Look at events and replay them.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum EventsCommand {
    /// List events, the newest first.
    List(ListArgs),
    /// Show what happened to one event, step by step.
    Show {
        /// The event's id.
        id: EventId,
    },
    /// Dispatch one event once more, through its route's pipeline as it is now.
    Replay {
        /// The event's id.
        id: EventId,
    },
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ListArgs {
    /// Only events of this route.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only events in this state.
    #[arg(long)]
    state: Option<EventState>,
    /// Only events received since then: an RFC 3339 time, or how long ago, such as `1h`.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most this many, up to 1000 [default: 100].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Runs `sluice events`.
pub async fn run(command: EventsCommand, connection: &ConnectionArgs) -> anyhow::Result<()> {
    let json = connection.json;
    let connection = Connection::new(connection)?;
    let (answer, readable) = match command {
        EventsCommand::List(args) => list(&connection, args).await?,
        EventsCommand::Show { id } => show(&connection, id).await?,
        EventsCommand::Replay { id } => replay(&connection, id).await?,
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

async fn list(connection: &Connection, args: ListArgs) -> Answer {
    let state = args.state.and_then(|state| Some(state.to_possible_value()?.get_name().to_owned()));
    let query = [
        ("route", args.route),
        ("state", state),
        ("since", args.since),
        ("limit", args.limit.map(|limit| limit.to_string())),
    ];
    let answer = connection.get(&["events"], &query).await?;
    let list: EventList = connection.parse(&answer)?;
    Ok((answer, list_table(&list.events)))
}

async fn show(connection: &Connection, id: EventId) -> Answer {
    let answer = connection.get(&["events", &id.to_string()], &[]).await?;
    let record: Record = connection.parse(&answer)?;
    Ok((answer, timeline::render(&record)))
}

async fn replay(connection: &Connection, id: EventId) -> Answer {
    let answer = connection.post(&["events", &id.to_string(), "replay"], &()).await?;
    let Replayed { .. } = connection.parse(&answer)?;
    Ok((answer, format!("event {id} is dispatched once more\n")))
}

fn list_table(events: &[Summary]) -> String {
    if events.is_empty() {
        return "no events match\n".to_owned();
    }
    let rows = events.iter().map(|Summary(event)| {
        let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
        [
            event.id.to_string(),
            event.received_at.to_string(),
            state_name(event.state),
            event.route.clone(),
            text(&event.event_type),
            text(&event.delivery_id),
        ]
    });
    table(["ID", "RECEIVED", "STATE", "ROUTE", "TYPE", "DELIVERY ID"], &rows.collect::<Vec<_>>())
}

fn state_name(state: EventState) -> String {
    state.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::testing::{Bench, EVENT},
        cli::connection::to,
    };

    #[tokio::test]
    async fn list_asks_with_its_filters_and_shows_a_table() {
        let bench = Bench::open().await;
        let connection = Connection::new(&to(&bench.url())).unwrap();
        let args = ListArgs {
            route: Some("a&b".into()),
            state: Some(EventState::Dead),
            since: Some("2026-03-01T12:00:00+01:00".into()),
            limit: Some(3),
        };
        let (_, text) = list(&connection, args).await.unwrap();
        assert_eq!(
            text,
            format!(
                "ID                                    RECEIVED                  STATE  ROUTE   TYPE    DELIVERY ID\n\
                 {EVENT}  2026-03-01T12:00:00.000Z  dead   github  issues  72d3162e\n"
            )
        );
        let asked = bench.journal.events_asked.lock().unwrap().pop().unwrap();
        assert_eq!(
            (asked.route.as_deref(), asked.state, asked.limit),
            (Some("a&b"), Some(EventState::Dead), 3)
        );
        assert_eq!(asked.since.unwrap().to_string(), "2026-03-01T11:00:00.000Z");
    }

    #[tokio::test]
    async fn show_explains_an_event() {
        let bench = Bench::open().await;
        let connection = Connection::new(&to(&bench.url())).unwrap();
        let (answer, text) = show(&connection, EVENT.parse().unwrap()).await.unwrap();
        assert!(answer.starts_with(b"{\"id\":"));
        assert!(text.starts_with(&format!("event     {EVENT}\n")), "{text}");
    }

    #[tokio::test]
    async fn replay_reaches_the_journal() {
        let bench = Bench::open().await;
        let connection = Connection::new(&to(&bench.url())).unwrap();
        let (_, text) = replay(&connection, EVENT.parse().unwrap()).await.unwrap();
        assert_eq!(text, format!("event {EVENT} is dispatched once more\n"));
        assert_eq!(bench.journal.replayed_events.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn unknown_event_is_explained() {
        let bench = Bench::open().await;
        let connection = Connection::new(&to(&bench.url())).unwrap();
        let id = "01930c2e-7b1a-7c3d-9a52-000000000000";
        let error = replay(&connection, id.parse().unwrap()).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("there is no event `{id}`")), "{error}");
    }

    #[test]
    fn empty_list_says_so() {
        assert_eq!(list_table(&[]), "no events match\n");
    }
}
