//! The demo: GitHub's own payloads through `examples/github-to-slack`, with an account of what became of each.
//! Ends with 0 only if all of it happened.

#![expect(clippy::print_stdout, reason = "the account is what this program is for")]

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sluice_tests::{
    gateway::{Gateway, Setup, plugins_dir},
    payload::{Example, github_example},
    sink::Sink,
    wait,
    webhook::Webhook,
};

/// Where Slack would be.
const SLACK: &str = "/services/T000/B000/XXXX";

const OPENED: [&str; 2] = ["issues.opened.15", "issues.opened.17"];
const OTHERS: [&str; 4] = ["issues.labeled.09", "issues.reopened.20", "push.none.03", "star.created.00"];
/// Filtered out until the filter is told otherwise.
const REOPENED: &str = "issues.reopened.20";

#[tokio::main]
async fn main() -> Result<()> {
    let config = fs::read_to_string(example_file()).context("examples/github-to-slack is there")?;
    let sink = Sink::start().await;
    let gateway = start(&config, &sink).await;
    let demo = Demo { gateway, sink, config };
    demo.introduce();
    let opened = demo.accept_opened().await?;
    demo.refuse_and_recognise(&opened).await?;
    demo.drop_others().await?;
    demo.show_arrived(&opened).await?;
    demo.edit_filter().await?;
    demo.show_history()?;
    point_further();
    Ok(())
}

struct Demo {
    gateway: Gateway,
    sink: Sink,
    config: String,
}

impl Demo {
    fn introduce(&self) {
        println!("Sluice runs examples/github-to-slack/sluice.toml.");
        println!("  webhooks come in at   {}/github", self.gateway.url());
        println!("  operators look at     {}", self.gateway.admin().url());
        println!("  Slack is played by    {}{SLACK}", self.sink.url());
    }

    async fn accept_opened(&self) -> Result<Vec<Accepted>> {
        heading("GitHub posts two newly opened issues. Each is on disk before the 202 goes out.");
        let mut accepted = Vec::new();
        for name in OPENED {
            accepted.push(self.accept(name).await?);
        }
        Ok(accepted)
    }

    async fn refuse_and_recognise(&self, opened: &[Accepted]) -> Result<()> {
        heading("One comes with a signature that is not GitHub's, and one comes a second time.");
        let forged = webhook(&github_example(OPENED[0])).sign_github("not the secret");
        let answer = self.gateway.send(forged).await;
        ensure!(answer.status == 401, "a forged webhook was answered {}", answer.status);
        line(OPENED[0], &format!("401 refused: {}", answer.code()));
        let first = &opened[0];
        let answer = self.gateway.send(first.webhook.clone()).await;
        ensure!(
            answer.status == 200 && answer.id() == first.id,
            "a duplicate was answered {}",
            answer.text()
        );
        line(first.name, &format!("200 known already as {}", first.id));
        Ok(())
    }

    async fn drop_others(&self) -> Result<()> {
        heading("Other events are accepted too; the plugin `filter` drops them and says why.");
        for name in OTHERS {
            let accepted = self.accept(name).await?;
            let event = self.gateway.admin().wait_state(&accepted.id, "dropped").await;
            line("", &format!("dropped: {}", reason(&event)));
        }
        Ok(())
    }

    async fn show_arrived(&self, opened: &[Accepted]) -> Result<()> {
        heading(
            "The plugin `map` makes Slack messages of the rest. This is what arrived, and under which id:",
        );
        for accepted in opened {
            self.gateway.admin().wait_state(&accepted.id, "delivered").await;
            self.show_message(accepted)?;
        }
        let count = self.sink.received(SLACK).len();
        ensure!(count == opened.len(), "{count} messages arrived instead of {}", opened.len());
        Ok(())
    }

    async fn edit_filter(&self) -> Result<()> {
        heading("The filter's rule is edited in sluice.toml while all this runs:");
        let (old, new) = (r#"in = ["opened"]"#, r#"in = ["opened", "reopened"]"#);
        ensure!(self.config.contains(old), "the example's filter no longer says `{old}`");
        println!("  - {old}\n  + {new}");
        self.gateway.setup().write_config(&self.config.replace(old, new));
        let generation = async || Some(self.gateway.admin().generation().await).filter(|number| *number > 1);
        let generation = wait::wait_for("reload", generation).await;
        println!(
            "  Sluice noticed: config generation {generation} is in force, no restart, no request refused."
        );
        let accepted = self.accept(REOPENED).await?;
        self.gateway.admin().wait_state(&accepted.id, "delivered").await;
        self.show_message(&accepted)
    }

    fn show_history(&self) -> Result<()> {
        heading("`sluice events list` has the whole story:");
        let output = self.gateway.setup().run(&["events", "list", "--admin", self.gateway.admin().url()]);
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for event in String::from_utf8_lossy(&output.stdout).lines() {
            println!("  {event}");
        }
        Ok(())
    }

    async fn accept(&self, name: &'static str) -> Result<Accepted> {
        let webhook = webhook(&github_example(name));
        let answer = self.gateway.send(webhook.clone()).await;
        ensure!(answer.status == 202, "{name} was answered {}: {}", answer.status, answer.text());
        let id = answer.id();
        line(name, &format!("202 accepted as {id}"));
        Ok(Accepted { name, webhook, id })
    }

    /// Shows what arrived of an event, which must be one message that names the issue.
    fn show_message(&self, accepted: &Accepted) -> Result<()> {
        let received = self.sink.received(SLACK);
        let mut own = received.iter().filter(|message| message.webhook_id().starts_with(&accepted.id));
        let message = own.next().with_context(|| format!("{} did not arrive", accepted.name))?;
        ensure!(own.next().is_none(), "{} arrived twice", accepted.name);
        let text = message.json()["text"].as_str().unwrap_or_default().to_owned();
        let title =
            github_example(accepted.name).json()["issue"]["title"].as_str().unwrap_or_default().to_owned();
        ensure!(text.contains(&title), "the message for {} is `{text}`", accepted.name);
        line(accepted.name, message.webhook_id());
        line("", &String::from_utf8_lossy(&message.body));
        Ok(())
    }
}

struct Accepted {
    name: &'static str,
    webhook: Webhook,
    id: String,
}

/// The example as it is, but for the addresses, which are free ones, and the plugins' place.
async fn start(config: &str, sink: &Sink) -> Gateway {
    Setup::new()
        .value("127.0.0.1:8080", "127.0.0.1:0")
        .value("127.0.0.1:9090", "127.0.0.1:0")
        .value("http://127.0.0.1:9000", sink.url())
        .value("../../target/plugins", plugins_dir().display().to_string())
        .config(config)
        .start()
        .await
}

fn example_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/github-to-slack/sluice.toml")
}

fn webhook(example: &Example) -> Webhook {
    Webhook::github(&example.event, example.body.clone())
}

/// Why a plugin dropped it.
fn reason(event: &Value) -> &str {
    let mut trail = event["trail"].as_array().into_iter().flatten();
    let step = trail.find(|entry| entry["outcome"] == "drop");
    step.and_then(|step| step["detail"].as_str()).unwrap_or("no reason given")
}

fn heading(text: &str) {
    println!("\n{text}");
}

fn line(name: &str, text: &str) {
    println!("  {name:<20}  {text}");
}

fn point_further() {
    println!("\nAll of it happened as it should. Where to look next:");
    println!("  examples/github-to-slack   the config, and how to run it by hand");
    println!("  plugins/                   the plugins, each small enough to read in a sitting");
    println!("  ARCHITECTURE.md            how an event flows");
}
