//! `sluice plugin list`: which plugins a running gateway has loaded.

use super::canary;
use crate::{
    admin::api::{CanaryStatus, PluginList, PluginStatus, PluginStep},
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
    let text = table(["PLUGIN", "KIND", "CONTRACT", "SHA256", "ROUTE", "PLACE", "QUARANTINED"], &rows);
    let reasons = steps.clone().filter_map(|(plugin, step)| why(plugin, step));
    let text = reasons.fold(text, |text, line| text + &line + "\n");
    let canaries: Vec<_> = steps.filter_map(|(plugin, step)| canary_row(plugin, step)).collect();
    if canaries.is_empty() { text } else { text + "\n" + &table(CANARIES, &canaries) }
}

const CANARIES: [&str; 10] = [
    "CANARY OF",
    "FILE",
    "SHA256",
    "ROUTE",
    "PLACE",
    "MODE",
    "RUNS",
    "FAILURES",
    "DIFFERENCES",
    "QUARANTINED",
];

fn canary_row(plugin: &PluginStatus, step: &PluginStep) -> Option<[String; 10]> {
    let CanaryStatus { file, sha256, mode, quarantined, candidate, differences, .. } =
        step.canary.as_ref()?;
    Some([
        plugin.name.clone(),
        file.clone(),
        sha256.chars().take(DIGITS).collect(),
        step.route.clone(),
        place(step),
        canary::mode(mode),
        candidate.calls.to_string(),
        candidate.errors.to_string(),
        differences.to_string(),
        quarantined.as_ref().map_or_else(|| "-".to_owned(), |held| held.since.to_string()),
    ])
}

/// `verify`, `edge 1` or `pipeline 2`.
pub(super) fn place(step: &PluginStep) -> String {
    step.step.map_or_else(|| step.place.clone(), |number| format!("{} {number}", step.place))
}

fn row(plugin: &PluginStatus, step: &PluginStep) -> [String; 7] {
    let since = step.quarantined.as_ref().map_or_else(|| "-".to_owned(), |held| held.since.to_string());
    let sha256 = plugin.sha256.chars().take(DIGITS).collect();
    let PluginStatus { name, kind, contract, .. } = plugin;
    [name.clone(), kind.clone(), contract.clone(), sha256, step.route.clone(), place(step), since]
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
    use crate::{
        admin::api::{Calls, CanaryMode, Quarantined},
        clock::Timestamp,
    };

    #[test]
    fn canaries_are_listed_below() {
        let calls = |calls, errors| Calls { calls, keep: 0, drop: 0, messages: 0, errors, mean_micros: None };
        let canary = CanaryStatus {
            file: "redact-2.wasm".to_owned(),
            sha256: "cd".repeat(32),
            mode: CanaryMode::Share { share: 0.05 },
            quarantined: None,
            current: calls(95, 0),
            candidate: calls(5, 2),
            skipped: 0,
            differences: 0,
            last_differences: Vec::new(),
        };
        let step = PluginStep {
            route: "a".to_owned(),
            place: "pipeline".to_owned(),
            step: Some(1),
            quarantined: None,
            canary: Some(canary),
        };
        let plugin = PluginStatus {
            name: "redact".to_owned(),
            kind: "transform".to_owned(),
            contract: "1.0.0".to_owned(),
            file: "redact.wasm".to_owned(),
            sha256: "ab".repeat(32),
            steps: vec![step],
        };
        let text = readable(&PluginList { plugins: vec![plugin] });
        let last: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
        let expected = [
            "redact",
            "redact-2.wasm",
            "cdcdcdcdcdcd",
            "a",
            "pipeline",
            "1",
            "share",
            "0.05",
            "5",
            "2",
            "0",
            "-",
        ];
        assert_eq!(last, expected);
    }

    #[test]
    fn quarantine_is_shown_with_reason_and_way_out() {
        let since = Timestamp::from_millis(1_772_366_400_000);
        let held = Quarantined { since, reason: "trapped: x".to_owned(), probe: since };
        let step = |route: &str, quarantined| PluginStep {
            route: route.to_owned(),
            place: "pipeline".to_owned(),
            step: Some(1),
            quarantined,
            canary: None,
        };
        let plugin = PluginStatus {
            name: "redact".to_owned(),
            kind: "transform".to_owned(),
            contract: "1.0.0".to_owned(),
            file: "redact.wasm".to_owned(),
            sha256: "ab".repeat(32),
            steps: vec![step("a", None), step("b", Some(held))],
        };
        let text = readable(&PluginList { plugins: vec![plugin] });
        let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["redact", "transform", "1.0.0", "abababababab", "a", "pipeline", "1", "-"]);
        assert_eq!(lines[2][3..], ["abababababab", "b", "pipeline", "1", "2026-03-01T12:00:00.000Z"]);
        assert_eq!(
            text.lines().last().unwrap(),
            "`redact` on route `b` is not called: it trapped: x; put its file or config right, or run \
             `sluice plugin resume redact`"
        );
    }
}
