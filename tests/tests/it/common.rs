//! Configs that more than one theme uses.

use std::fs;

use serde_json::Value;
use sluice_tests::{
    gateway::{Gateway, Setup},
    sink::Sink,
    webhook::Webhook,
};
use tokio::sync::Mutex;

/// Held while guests rage, and by tests that load a gateway as hard as they can: what one test measures must not be
/// the noise of another, in a gateway of its own.
pub(crate) static LOUD: Mutex<()> = Mutex::const_new(());

/// GitHub events to one destination, retried soon.
pub(crate) const RELAY: &str = r#"
[destinations.sink]
url = "$SINK/in"
timeout = "2s"
retry = ["100ms", "100ms", "100ms", "200ms", "200ms", "500ms", "500ms"]
sign = { secrets = [{ env = "SIGNING_SECRET" }] }

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
dedupe = "1h"
deliver = ["sink"]
"#;

/// A gateway on [`RELAY`].
pub(crate) async fn relay(sink: &Sink) -> Gateway {
    Setup::new().sink(sink).config(RELAY).start().await
}

/// [`RELAY`] with a schedule that does not end while a test runs: an event that keeps meeting the failures of a
/// destination which fails now and then is delivered all the same.
pub(crate) fn patient_relay() -> String {
    RELAY.replace("retry = [", &format!("retry = [{}", "\"50ms\", ".repeat(60)))
}

/// A small issue event, unlike any other.
pub(crate) fn hook(number: usize) -> Webhook {
    Webhook::github("issues", format!(r#"{{"action":"opened","n":{number}}}"#))
}

/// A value as TOML writes it: JSON's texts and lists are TOML's too, its tables are not.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let pairs: Vec<_> =
                table.iter().map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        value => value.to_string(),
    }
}

/// Where a text stands first in the config file, as it is shown beside a mistake.
pub(crate) fn place(setup: &Setup, text: &str) -> String {
    let config = fs::read_to_string(setup.config_file()).expect("config can be read");
    let before = config.split_once(text).expect("the text is there").0;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("sluice.toml:{}:{column}", before.matches('\n').count() + 1)
}
