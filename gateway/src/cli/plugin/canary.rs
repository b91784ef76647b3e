//! `sluice plugin canary`: how a candidate does beside the plugin in force.

use std::time::Duration;

use anyhow::bail;

use crate::{
    admin::api::{
        Calls, CanaryMode, CanaryStatus, Difference, Differing, PluginList, PluginStatus, PluginStep,
    },
    cli::{
        connection::{Connection, ConnectionArgs},
        output::{print, print_json, printable, table},
    },
};

/// How many digits of a file's SHA-256 are shown: enough to tell two builds apart.
const DIGITS: usize = 12;

#[derive(Clone, Debug, clap::Args)]
pub struct CanaryArgs {
    /// The plugin, as `[plugins]` in the config calls it.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    gateway: ConnectionArgs,
}

pub(super) async fn canary(args: CanaryArgs) -> anyhow::Result<()> {
    let connection = Connection::new(&args.gateway)?;
    let answer = connection.get(&["plugins"], &[]).await?;
    let plugin = with_canary(connection.parse(&answer)?, &args.name)?;
    match args.gateway.json {
        true => print_json(&serde_json::to_vec(&plugin)?)?,
        false => print(&readable(&plugin))?,
    }
    Ok(())
}

/// The plugin of that name, with those of its steps that have a canary.
fn with_canary(list: PluginList, name: &str) -> anyhow::Result<PluginStatus> {
    let Some(mut plugin) = list.plugins.into_iter().find(|plugin| plugin.name == name) else {
        bail!("no route has a plugin `{name}`; `sluice plugin list` shows those there are");
    };
    plugin.steps.retain(|step| step.canary.is_some());
    if plugin.steps.is_empty() {
        bail!(
            "plugin `{name}` has no canary; add `canary = {{ file = \"…\", shadow = true }}` to [plugins.{name}]"
        );
    }
    Ok(plugin)
}

fn readable(plugin: &PluginStatus) -> String {
    let steps = plugin.steps.iter().filter_map(|step| Some((step, step.canary.as_ref()?)));
    let parts: Vec<_> = steps.map(|(step, canary)| part(plugin, step, canary)).collect();
    parts.join("\n")
}

fn part(plugin: &PluginStatus, step: &PluginStep, canary: &CanaryStatus) -> String {
    let does = mode(&canary.mode);
    let (route, place) = (&step.route, super::list::place(step));
    let file = &canary.file;
    let mut text = format!("route `{route}`, {place}: {file} is tried out beside {}, {does}\n", plugin.file);
    let rows =
        [row("in force", &plugin.sha256, &canary.current), row("canary", &canary.sha256, &canary.candidate)];
    text += &table(["", "SHA256", "CALLS", "KEEP", "DROP", "MESSAGES", "ERRORS", "MEAN"], &rows);
    if let Some(held) = &canary.quarantined {
        text += &format!(
            "it is in quarantine since {}: it {}; the plugin in force handles all events\n",
            held.since, held.reason
        );
    }
    if canary.mode == CanaryMode::Shadow {
        text += &format!("{} calls differ, {} were skipped\n", canary.differences, canary.skipped);
    }
    let text: String = text.lines().map(|line| printable(line) + "\n").collect();
    canary.last_differences.iter().map(differing).fold(text, |text, call| text + &call)
}

/// What the candidate gets to see, for people.
pub(super) fn mode(mode: &CanaryMode) -> String {
    match mode {
        CanaryMode::Share { share } => format!("share {share}"),
        CanaryMode::Shadow => "shadow".to_owned(),
    }
}

fn row(who: &str, sha256: &str, calls: &Calls) -> [String; 8] {
    let mean = calls.mean_micros.map_or_else(
        || "-".to_owned(),
        |micros| humantime::format_duration(Duration::from_micros(micros)).to_string(),
    );
    let numbers = [calls.calls, calls.keep, calls.drop, calls.messages, calls.errors];
    let [all, keep, drop, messages, errors] = numbers.map(|number| number.to_string());
    let sha256 = sha256.chars().take(DIGITS).collect();
    [who.to_owned(), sha256, all, keep, drop, messages, errors, mean]
}

fn differing(call: &Differing) -> String {
    let head = format!("\n{}  event {}\n", call.at, call.event);
    call.differences.iter().map(lines).fold(head, |text, lines| text + &lines)
}

fn lines(Difference { what, current, candidate }: &Difference) -> String {
    format!("  {what}\n    in force  {}\n    canary    {}\n", printable(current), printable(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn calls(keep: u64, drop: u64, mean_micros: Option<u64>) -> Calls {
        Calls { calls: keep + drop, keep, drop, messages: 0, errors: 0, mean_micros }
    }

    fn list(canary: Option<CanaryStatus>) -> PluginList {
        let step = PluginStep {
            route: "github".to_owned(),
            place: "pipeline".to_owned(),
            step: Some(1),
            quarantined: None,
            canary,
        };
        let plugin = PluginStatus {
            name: "redact".to_owned(),
            kind: "filter".to_owned(),
            contract: "1.0.0".to_owned(),
            file: "redact.wasm".to_owned(),
            sha256: "ab".repeat(32),
            steps: vec![step],
        };
        PluginList { plugins: vec![plugin] }
    }

    fn shadow() -> CanaryStatus {
        let difference = Difference {
            what: "verdict".to_owned(),
            current: "keep".to_owned(),
            candidate: "drop: \u{1b}[2J".to_owned(),
        };
        CanaryStatus {
            file: "redact-2.wasm".to_owned(),
            sha256: "cd".repeat(32),
            mode: CanaryMode::Shadow,
            quarantined: None,
            current: calls(3, 0, Some(38)),
            candidate: calls(1, 1, None),
            skipped: 1,
            differences: 1,
            last_differences: vec![Differing {
                event: "01930c2e-7b1a-7c3d-9a52-5d7f3f0d2c11".parse().unwrap(),
                at: Timestamp::from_millis(1_772_366_400_000),
                differences: vec![difference],
            }],
        }
    }

    #[test]
    fn both_are_shown_side_by_side_and_what_differs_with_its_event() {
        let plugin = with_canary(list(Some(shadow())), "redact").unwrap();
        let expected = "\
route `github`, pipeline 1: redact-2.wasm is tried out beside redact.wasm, shadow
          SHA256        CALLS  KEEP  DROP  MESSAGES  ERRORS  MEAN
in force  abababababab  3      3     0     0         0       38us
canary    cdcdcdcdcdcd  2      1     1     0         0       -
1 calls differ, 1 were skipped

2026-03-01T12:00:00.000Z  event 01930c2e-7b1a-7c3d-9a52-5d7f3f0d2c11
  verdict
    in force  keep
    canary    drop: \\u{1b}[2J
";
        assert_eq!(readable(&plugin), expected);
    }

    #[test]
    fn plugin_without_a_canary_is_told_what_to_write() {
        let error = with_canary(list(None), "redact").unwrap_err().to_string();
        assert!(error.starts_with("plugin `redact` has no canary; add `canary = { file"), "{error}");
        let error = with_canary(list(None), "redcat").unwrap_err().to_string();
        assert!(error.starts_with("no route has a plugin `redcat`"), "{error}");
    }

    #[test]
    fn status_survives_the_trip() {
        let share = CanaryStatus { mode: CanaryMode::Share { share: 0.05 }, ..shadow() };
        for (status, mode) in [(share, "share"), (shadow(), "shadow")] {
            let value = serde_json::to_value(&status).unwrap();
            assert_eq!(value["mode"], mode);
            assert_eq!(serde_json::from_value::<CanaryStatus>(value).unwrap(), status);
        }
    }
}
