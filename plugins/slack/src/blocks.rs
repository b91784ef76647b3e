//! Slack's blocks: JSON in which every string is a template.

use sluice_plugin::{
    Error,
    json::{Kind, Pointers, Raw},
};
use templates::{Facts, Template};

use crate::insert::Insert;

/// The most blocks that Slack takes in a message.
const MOST: usize = 50;

/// The blocks of a message.
#[derive(Clone, Debug)]
pub(crate) struct Blocks(Part);

#[derive(Clone, Debug)]
enum Part {
    /// JSON that is the same for every event.
    Fixed(String),
    Text {
        template: Template,
        /// Whether Slack reads it as mrkdwn.
        markup: bool,
    },
    Array(Vec<Self>),
    /// The name as JSON with its colon, and the value.
    Object(Vec<(String, Self)>),
}

impl Blocks {
    pub(crate) fn compile(raw: Raw<'_>, pointers: &mut Pointers) -> Result<Self, Error> {
        let blocks = raw.elements().count();
        if raw.kind() != Kind::Array || !(1..=MOST).contains(&blocks) {
            return Err(Error::config(format_args!("`blocks`: expected a list of 1 to {MOST} blocks")));
        }
        Part::compile(raw, "blocks", false, pointers).map(Self)
    }

    /// Writes the blocks as JSON.
    pub(crate) fn write(&self, insert: Insert, facts: &Facts<'_>, out: &mut String) -> Result<(), Error> {
        self.0.write(insert, facts, out)
    }
}

impl Part {
    /// `path` is where it stands in the config.
    fn compile(raw: Raw<'_>, path: &str, markup: bool, pointers: &mut Pointers) -> Result<Self, Error> {
        match raw.kind() {
            Kind::String => {
                let template = Template::parse(&raw.text().unwrap_or_default(), path, pointers)?;
                Ok(Self::Text { template, markup })
            }
            Kind::Array => {
                let elements = raw.elements().enumerate();
                let parts =
                    elements.map(|(i, raw)| Self::compile(raw, &format!("{path}[{i}]"), false, pointers));
                parts.collect::<Result<_, _>>().map(Self::Array)
            }
            Kind::Object => {
                let mrkdwn = is_mrkdwn(raw);
                let members = raw.members().map(|(name, value)| {
                    let text = name.text().unwrap_or_default();
                    let (path, markup) = (format!("{path}.{text}"), mrkdwn && text == "text");
                    Ok((format!("{}:", name.json()), Self::compile(value, &path, markup, pointers)?))
                });
                members.collect::<Result<_, _>>().map(Self::Object)
            }
            Kind::Null | Kind::Bool | Kind::Number => Ok(Self::Fixed(raw.json().to_owned())),
        }
    }

    fn write(&self, insert: Insert, facts: &Facts<'_>, out: &mut String) -> Result<(), Error> {
        match self {
            Self::Fixed(json) => out.push_str(json),
            Self::Text { template, markup } => {
                out.push_str(&serde_json::to_string(&insert.fill(template, *markup, facts)?)?);
            }
            Self::Array(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    out.push(if i == 0 { '[' } else { ',' });
                    part.write(insert, facts, out)?;
                }
                out.push_str(if parts.is_empty() { "[]" } else { "]" });
            }
            Self::Object(members) => {
                for (i, (name, part)) in members.iter().enumerate() {
                    out.push(if i == 0 { '{' } else { ',' });
                    out.push_str(name);
                    part.write(insert, facts, out)?;
                }
                out.push_str(if members.is_empty() { "{}" } else { "}" });
            }
        }
        Ok(())
    }
}

/// Whether it is a text object whose `text` Slack reads as mrkdwn. Anywhere else, a URL say, escapes would do harm.
fn is_mrkdwn(object: Raw<'_>) -> bool {
    object.members().any(|(name, value)| {
        name.text().as_deref() == Some("type") && value.text().as_deref() == Some("mrkdwn")
    })
}
