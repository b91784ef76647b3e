//! Configs that more than one theme uses.

use sluice_tests::{
    gateway::{Gateway, Setup},
    sink::Sink,
    webhook::Webhook,
};

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

/// A small issue event, unlike any other.
pub(crate) fn hook(number: usize) -> Webhook {
    Webhook::github("issues", format!(r#"{{"action":"opened","n":{number}}}"#))
}
