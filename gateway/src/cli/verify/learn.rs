//! `sluice verify learn` and `forget`: secrets that providers hand us themselves.

use super::super::{
    connection::{Connection, ConnectionArgs},
    output::{print, print_json},
};
use crate::admin::api::{Expecting, Forgotten};

#[derive(Clone, Debug, clap::Args)]
pub struct LearnArgs {
    /// The route.
    #[arg(value_name = "ROUTE")]
    route: String,
    /// For how long it takes new ones, up to 24h [default: 10m].
    #[arg(long = "for", value_name = "TIME")]
    time: Option<String>,
    #[command(flatten)]
    gateway: ConnectionArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ForgetArgs {
    /// The route.
    #[arg(value_name = "ROUTE")]
    route: String,
    #[command(flatten)]
    gateway: ConnectionArgs,
}

pub(super) async fn learn(args: LearnArgs) -> anyhow::Result<()> {
    let connection = Connection::new(&args.gateway)?;
    let answer = connection.ask(&["routes", &args.route, "learn"], &[("for", args.time)]).await?;
    let Expecting { route, until } = connection.parse(&answer)?;
    match args.gateway.json {
        true => print_json(&answer)?,
        false => print(&format!("route `{route}` takes secrets that its provider hands it until {until}\n"))?,
    }
    Ok(())
}

pub(super) async fn forget(args: ForgetArgs) -> anyhow::Result<()> {
    let connection = Connection::new(&args.gateway)?;
    let answer = connection.ask(&["routes", &args.route, "forget"], &[]).await?;
    let Forgotten { forgotten } = connection.parse(&answer)?;
    match args.gateway.json {
        true => print_json(&answer)?,
        false => print(&format!("{}\n", summary(forgotten)))?,
    }
    Ok(())
}

fn summary(forgotten: usize) -> String {
    match forgotten {
        0 => "there was none to forget".to_owned(),
        1 => "1 secret is forgotten".to_owned(),
        many => format!("{many} secrets are forgotten"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admin::testing::Bench, cli::connection::to};

    #[tokio::test]
    async fn commands_reach_the_gateway() {
        let bench = Bench::with_learning_route("asana").await;
        let gateway = to(&bench.url());
        let route = "asana".to_owned();
        let args = LearnArgs { route: route.clone(), time: Some("1h".to_owned()), gateway: gateway.clone() };
        learn(args).await.unwrap();
        bench.learned.learn("asana", "first", true, crate::admin::testing::NOW).unwrap();
        forget(ForgetArgs { route, gateway }).await.unwrap();
        assert_eq!(bench.learned.of("asana").secrets().len(), 0);
    }

    #[tokio::test]
    async fn a_route_that_is_not_there_is_named() {
        let bench = Bench::with_learning_route("asana").await;
        let args = ForgetArgs { route: "asna".to_owned(), gateway: to(&bench.url()) };
        assert!(forget(args).await.unwrap_err().to_string().contains("no route `asna`"));
    }

    #[test]
    fn what_was_forgotten_is_counted() {
        let said: Vec<_> = [0, 1, 2].map(summary).to_vec();
        assert_eq!(said, ["there was none to forget", "1 secret is forgotten", "2 secrets are forgotten"]);
    }
}
