//! `sluice verify status`: which secrets of a running gateway are in use.

use anyhow::bail;

use crate::{
    admin::api::{RouteList, RouteStatus, SecretStatus},
    cli::{
        connection::{Connection, ConnectionArgs},
        output::{print, print_json, table},
    },
    config::nearest,
};

/// How many requests others must have proven before a secret is called out of use: fewer may be chance.
const ENOUGH: u64 = 10;

#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    gateway: ConnectionArgs,
    /// Only this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
}

/// Asks a running gateway and prints a table, and which secrets can be retired.
///
/// # Errors
/// When the gateway cannot be asked, or has no such route.
pub(super) async fn run(args: &StatusArgs) -> anyhow::Result<()> {
    let connection = Connection::new(&args.gateway)?;
    let answer = connection.get(&["routes"], &[]).await?;
    let list: RouteList = connection.parse(&answer)?;
    let routes = only(list.routes, args.route.as_deref())?;
    match args.gateway.json {
        true if args.route.is_none() => print_json(&answer)?,
        true => print_json(&serde_json::to_vec(&RouteList { routes })?)?,
        false => print(&readable(&routes))?,
    }
    Ok(())
}

fn only(routes: Vec<RouteStatus>, name: Option<&str>) -> anyhow::Result<Vec<RouteStatus>> {
    let Some(name) = name else { return Ok(routes) };
    if !routes.iter().any(|route| route.name == name) {
        let known = routes.iter().map(|route| route.name.as_str());
        bail!("there is no route `{name}`\nhint: {}", nearest::hint(name, "routes", known));
    }
    Ok(routes.into_iter().filter(|route| route.name == name).collect())
}

fn readable(routes: &[RouteStatus]) -> String {
    let mut rows = Vec::new();
    for route in routes {
        match route.secrets.is_empty() {
            true => rows.push([&*route.name, &*route.verify, "-", "-", "-", "-", "-"].map(str::to_owned)),
            false => rows.extend(route.secrets.iter().map(|secret| row(route, secret))),
        }
    }
    let text = table(["ROUTE", "VERIFY", "SECRET", "ACTIVE", "VALID", "LAST MATCHED", "MATCHED"], &rows);
    routes.iter().flat_map(retirable).fold(text, |text, line| text + &line + "\n")
}

fn row(route: &RouteStatus, secret: &SecretStatus) -> [String; 7] {
    [
        route.name.clone(),
        route.verify.clone(),
        secret.origin.clone(),
        if secret.active { "yes" } else { "no" }.to_owned(),
        window(secret),
        secret.last_matched.map_or_else(|| "never".to_owned(), |at| at.to_string()),
        secret.matched.to_string(),
    ]
}

fn window(secret: &SecretStatus) -> String {
    match (secret.valid_from, secret.valid_until) {
        (None, None) => "always".to_owned(),
        (Some(from), None) => format!("from {from}"),
        (None, Some(until)) => format!("until {until}"),
        (Some(from), Some(until)) => format!("{from} to {until}"),
    }
}

/// A line for every active secret that senders have left for another one.
fn retirable(route: &RouteStatus) -> impl Iterator<Item = String> {
    let left = route.secrets.iter().filter(|secret| secret.active && secret.others_since >= ENOUGH);
    left.map(|secret| {
        let since = match secret.last_matched {
            Some(at) => format!(
                "it last matched at {at}, and others have matched {} times since",
                secret.others_since
            ),
            None => format!(
                "it has not matched since the gateway started, and others have {} times",
                secret.others_since
            ),
        };
        format!("route `{}`: `{}` can be retired: {since}", route.name, secret.origin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admin::testing::Bench, cli::connection::to, clock::Timestamp};

    fn secret(origin: &str, last: Option<u64>, others_since: u64) -> SecretStatus {
        SecretStatus {
            origin: origin.to_owned(),
            valid_from: None,
            valid_until: None,
            active: true,
            last_matched: last.map(Timestamp::from_millis),
            matched: last.map_or(0, |_| 3),
            others_since,
        }
    }

    fn route(name: &str, secrets: Vec<SecretStatus>) -> RouteStatus {
        RouteStatus { name: name.to_owned(), verify: "github".to_owned(), secrets }
    }

    #[test]
    fn a_secret_that_senders_have_left_can_be_retired() {
        let routes = [route("in", vec![secret("env OLD", Some(0), 10), secret("env NEW", Some(5000), 0)])];
        let expected = "\
ROUTE  VERIFY  SECRET   ACTIVE  VALID   LAST MATCHED              MATCHED
in     github  env OLD  yes     always  1970-01-01T00:00:00.000Z  3
in     github  env NEW  yes     always  1970-01-01T00:00:05.000Z  3
route `in`: `env OLD` can be retired: it last matched at 1970-01-01T00:00:00.000Z, and others have matched 10 times since
";
        assert_eq!(readable(&routes), expected);
    }

    #[test]
    fn too_few_matches_of_others_tell_nothing() {
        let routes = [route("in", vec![secret("env OLD", None, 9)]), route("open", Vec::new())];
        assert!(!readable(&routes).contains("can be retired"));
    }

    #[test]
    fn an_unknown_route_is_named_with_the_nearest() {
        let error = only(vec![route("github", Vec::new())], Some("githbu")).unwrap_err().to_string();
        assert_eq!(error, "there is no route `githbu`\nhint: did you mean `github`?");
    }

    #[tokio::test]
    async fn a_running_gateway_is_asked() {
        let bench = Bench::open().await;
        let args = StatusArgs { gateway: to(&bench.url()), route: Some("github".to_owned()) };
        let error = run(&args).await.unwrap_err().to_string();
        assert!(error.starts_with("there is no route `github`"), "{error}");
    }
}
