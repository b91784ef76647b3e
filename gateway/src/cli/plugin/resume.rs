//! `sluice plugin resume`: calls a plugin again that is in quarantine.

use crate::{
    admin::api::Resumed,
    cli::{
        connection::{Connection, ConnectionArgs},
        output::{print, print_json},
    },
};

#[derive(Clone, Debug, clap::Args)]
pub struct ResumeArgs {
    /// The plugin, as `[plugins]` in the config calls it.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    gateway: ConnectionArgs,
}

pub(super) async fn resume(args: ResumeArgs) -> anyhow::Result<()> {
    let connection = Connection::new(&args.gateway)?;
    let answer = connection.ask(&["plugins", &args.name, "resume"], &[]).await?;
    let resumed: Resumed = connection.parse(&answer)?;
    match args.gateway.json {
        true => print_json(&answer)?,
        false => print(&summary(&resumed))?,
    }
    Ok(())
}

fn summary(Resumed { plugin, routes }: &Resumed) -> String {
    match &routes[..] {
        [] => format!("plugin `{plugin}` is not in quarantine\n"),
        routes => format!(
            "plugin `{plugin}` is called again on `{}`; what waits comes within a minute\n",
            routes.join("`, `")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admin::testing::Bench, cli::connection::to};

    #[tokio::test]
    async fn plugin_that_is_not_there_is_named() {
        let bench = Bench::open().await;
        let args = ResumeArgs { name: "redcat".to_owned(), gateway: to(&bench.url()) };
        let error = resume(args).await.unwrap_err().to_string();
        assert_eq!(error, "there is no plugin `redcat` on any route; `[plugins]` in the config names them");
    }

    #[test]
    fn routes_are_named() {
        let resumed = |routes: &[&str]| Resumed {
            plugin: "redact".to_owned(),
            routes: routes.iter().map(|&route| route.to_owned()).collect(),
        };
        assert_eq!(summary(&resumed(&[])), "plugin `redact` is not in quarantine\n");
        assert_eq!(
            summary(&resumed(&["a", "b"])),
            "plugin `redact` is called again on `a`, `b`; what waits comes within a minute\n"
        );
    }
}
