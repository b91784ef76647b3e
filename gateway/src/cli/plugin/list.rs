//! `sluice plugin list`: which plugins a running gateway has loaded.

use crate::{
    admin::api::{PluginList, PluginStatus, PluginStep},
    cli::{
        connection::{Connection, ConnectionArgs},
        output::{print, print_json, table},
    },
};

/// How many digits of a file's SHA-256 are shown: enough to tell two builds apart.
const DIGITS: usize = 12;

#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    gateway: ConnectionArgs,
}

pub(super) async fn list(args: ListArgs) -> anyhow::Result<()> {
    let connection = Connection::new(&args.gateway)?;
    let answer = connection.get(&["plugins"], &[]).await?;
    let list: PluginList = connection.parse(&answer)?;
    match args.gateway.json {
        true => print_json(&answer)?,
        false => print(&readable(&list))?,
    }
    Ok(())
}

fn readable(list: &PluginList) -> String {
    let steps = list.plugins.iter().flat_map(|plugin| plugin.steps.iter().map(move |step| (plugin, step)));
    let rows: Vec<_> = steps.clone().map(|(plugin, step)| row(plugin, step)).collect();
    let text = table(["PLUGIN", "KIND", "SHA256", "ROUTE", "PLACE", "QUARANTINED"], &rows);
    steps.filter_map(|(plugin, step)| why(plugin, step)).fold(text, |text, line| text + &line + "\n")
}

fn row(plugin: &PluginStatus, step: &PluginStep) -> [String; 6] {
    let since = step.quarantined.as_ref().map_or_else(|| "-".to_owned(), |held| held.since.to_string());
    let sha256 = plugin.sha256.chars().take(DIGITS).collect();
    let place = step.step.map_or_else(|| step.place.clone(), |number| format!("{} {number}", step.place));
    [plugin.name.clone(), plugin.kind.clone(), sha256, step.route.clone(), place, since]
}

fn why(plugin: &PluginStatus, step: &PluginStep) -> Option<String> {
    let held = step.quarantined.as_ref()?;
    Some(format!(
        "`{0}` on route `{1}` is not called: it {2}; put its file or config right, or run `sluice plugin resume {0}`",
        plugin.name, step.route, held.reason
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admin::api::Quarantined, clock::Timestamp};

    #[test]
    fn quarantine_is_shown_with_reason_and_way_out() {
        let since = Timestamp::from_millis(1_772_366_400_000);
        let held = Quarantined { since, reason: "trapped: x".to_owned(), probe: since };
        let step = |route: &str, quarantined| PluginStep {
            route: route.to_owned(),
            place: "pipeline".to_owned(),
            step: Some(1),
            quarantined,
        };
        let plugin = PluginStatus {
            name: "redact".to_owned(),
            kind: "transform".to_owned(),
            file: "redact.wasm".to_owned(),
            sha256: "ab".repeat(32),
            steps: vec![step("a", None), step("b", Some(held))],
        };
        let text = readable(&PluginList { plugins: vec![plugin] });
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["redact", "transform", "abababababab", "a", "pipeline", "1", "-"]);
        assert_eq!(
            lines[2],
            ["redact", "transform", "abababababab", "b", "pipeline", "1", "2026-03-01T12:00:00.000Z"]
        );
        assert_eq!(
            text.lines().last().unwrap(),
            "`redact` on route `b` is not called: it trapped: x; put its file or config right, or run \
             `sluice plugin resume redact`"
        );
    }
}
