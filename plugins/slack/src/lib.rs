//! Makes a Slack message of an event: a text, and blocks if wanted, from templates.
//!
//! It teaches how to put values of strangers into a markup language: what an event brings is escaped, so that nobody
//! who opens an issue can call everybody in the channel.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluice_plugin::{
    Body, Error, Event, Message, Outcome, Transform,
    json::{Pointers, Raw},
};
use templates::{Facts, Template};

mod blocks;
mod insert;

use blocks::Blocks;
use insert::Insert;

struct Slack {
    text: Template,
    blocks: Option<Blocks>,
    channel: Option<Template>,
    insert: Insert,
    missing: Missing,
    /// Every place in the event's body that something above is made from.
    pointers: Pointers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    text: String,
    blocks: Option<Box<RawValue>>,
    channel: Option<String>,
    #[serde(default = "yes")]
    escape: bool,
    #[serde(default = "two_thousand")]
    max_value: usize,
    #[serde(default)]
    missing: Missing,
}

/// What becomes of a placeholder whose source is not in the event.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Missing {
    #[default]
    Empty,
    /// The event can't be handled.
    Error,
}

fn yes() -> bool {
    true
}

/// Slack takes 3,000 characters in a block's text.
fn two_thousand() -> usize {
    2_000
}

impl Transform for Slack {
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Error> {
        let Config { text, blocks, channel, escape, max_value, missing } = config;
        if text.trim().is_empty() {
            return Err(Error::config(
                "`text`: is empty; Slack shows it in notifications, also beside `blocks`",
            ));
        }
        if max_value == 0 {
            return Err(Error::config("`max_value`: is 0, which would leave nothing of any value"));
        }
        let mut pointers = Pointers::new();
        let blocks =
            blocks.map(|blocks| Blocks::compile(Raw::parse(blocks.get().as_bytes())?, &mut pointers));
        Ok(Self {
            text: Template::parse(&text, "text", &mut pointers)?,
            blocks: blocks.transpose()?,
            channel: channel
                .map(|channel| Template::parse(&channel, "channel", &mut pointers))
                .transpose()?,
            insert: Insert { escape, max_value },
            missing,
            pointers,
        })
    }

    fn transform(&self, event: &Event, body: Body) -> Result<Outcome, Error> {
        let missing = match self.missing {
            Missing::Empty => templates::Missing::Null,
            Missing::Error => templates::Missing::Error,
        };
        let facts = Facts::new(event, &body, &self.pointers, missing)?;
        let message = self.message(&facts)?;
        Ok(Message::new(message).header("content-type", "application/json; charset=utf-8").into())
    }
}

sluice_plugin::transform!(Slack);

impl Slack {
    fn message(&self, facts: &Facts<'_>) -> Result<String, Error> {
        let text = self.insert.fill(&self.text, true, facts)?;
        if text.trim().is_empty() {
            return Err(Error::invalid(
                "nothing is left of `text` for this event, and Slack takes no empty text",
            ));
        }
        let mut out = format!(r#"{{"text":{}"#, serde_json::to_string(&text)?);
        if let Some(channel) = &self.channel {
            let channel = self.insert.fill(channel, false, facts)?;
            if channel.is_empty() {
                return Err(Error::invalid("nothing is left of `channel` for this event"));
            }
            out.push_str(r#","channel":"#);
            out.push_str(&serde_json::to_string(&channel)?);
        }
        if let Some(blocks) = &self.blocks {
            out.push_str(r#","blocks":"#);
            blocks.write(self.insert, facts, &mut out)?;
        }
        out.push('}');
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
