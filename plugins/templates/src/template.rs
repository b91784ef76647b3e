//! Text with placeholders: `#{{/issue/number}} by {{header:x-author}} on {{event.route}}`.

use sluice_plugin::{
    Error,
    json::{Kind, Pointers},
};

use crate::{
    Missing,
    facts::{Facts, Place, Property, Source},
};

/// Text with placeholders, which events fill.
#[derive(Clone, Debug)]
pub struct Template {
    /// Where it stands in the config, for errors.
    path: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text {
        text: String,
        /// As within a JSON string.
        escaped: String,
    },
    Placeholder(Source),
}

impl Template {
    /// Reads a template. `{{` opens a placeholder, `}}` closes it, and `{{{{` stands for `{{`. `path` is where it
    /// stands in the config; the places of the body that it names are added to `pointers`.
    ///
    /// # Errors
    /// [`Error::Config`] that names the path and the placeholder at fault.
    pub fn parse(template: &str, path: &str, pointers: &mut Pointers) -> Result<Self, Error> {
        let wrong = |what: String| Error::config(format_args!("`{path}`: {what}"));
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            text.push_str(before);
            if let Some(after) = after.strip_prefix("{{") {
                text.push_str("{{");
                rest = after;
                continue;
            }
            // One placeholder in another is one that was not closed.
            let closed = after.split_once("}}").filter(|(placeholder, _)| !placeholder.contains("{{"));
            let Some((placeholder, after)) = closed else {
                let open = after.split_once("{{").map_or(after, |(open, _)| open);
                return Err(wrong(format!(
                    "`{{{{{open}` is not closed; add `}}}}`, or write `{{{{{{{{` for `{{{{`"
                )));
            };
            push_text(&mut parts, &mut text)?;
            parts.push(Part::Placeholder(source(placeholder.trim(), pointers).map_err(wrong)?));
            rest = after;
        }
        text.push_str(rest);
        push_text(&mut parts, &mut text)?;
        Ok(Self { path: path.to_owned(), parts })
    }

    /// Writes the text as a JSON string; `false`, having written some of it, if it is to be left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a source is missing and [`Missing::Error`] asks for it.
    pub fn write_json(&self, facts: &Facts<'_>, out: &mut Vec<u8>) -> Result<bool, Error> {
        out.push(b'"');
        for part in &self.parts {
            let source = match part {
                Part::Text { escaped, .. } => {
                    out.extend_from_slice(escaped.as_bytes());
                    continue;
                }
                Part::Placeholder(source) => source,
            };
            // Strings of the body are escaped already, and numbers need no escapes.
            if let Some(escaped) = escaped_in_body(source, facts) {
                out.extend_from_slice(escaped.as_bytes());
            } else if let Some(text) = facts.text(source) {
                out.extend_from_slice(escape(&text)?.as_bytes());
            } else if !self.without(source, facts.missing)? {
                return Ok(false);
            }
        }
        out.push(b'"');
        Ok(true)
    }

    /// The text itself; `None` if it is to be left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a source is missing and [`Missing::Error`] asks for it.
    pub fn text(&self, facts: &Facts<'_>) -> Result<Option<String>, Error> {
        self.text_with(facts, &|value, out| out.push_str(value))
    }

    /// The same, where `insert` writes the values in the place of placeholders: escaped, say.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn text_with(
        &self,
        facts: &Facts<'_>,
        insert: &dyn Fn(&str, &mut String),
    ) -> Result<Option<String>, Error> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text { text, .. } => out.push_str(text),
                Part::Placeholder(source) => match facts.text(source) {
                    Some(text) => insert(&text, &mut out),
                    None if self.without(source, facts.missing)? => {}
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(out))
    }

    /// Whether to go on without a source that is missing.
    fn without(&self, source: &Source, missing: Missing) -> Result<bool, Error> {
        match missing {
            Missing::Null => Ok(true),
            Missing::Omit => Ok(false),
            Missing::Error => {
                Err(Error::invalid(format_args!("event has no {source}, which `{}` is made from", self.path)))
            }
        }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &mut String) -> Result<(), Error> {
    if !text.is_empty() {
        let text = std::mem::take(text);
        parts.push(Part::Text { escaped: escape(&text)?, text });
    }
    Ok(())
}

fn escaped_in_body<'a>(source: &Source, facts: &Facts<'a>) -> Option<&'a str> {
    let Source::Body(place) = source else { return None };
    let value = facts.value(place)?;
    match value.kind() {
        Kind::String => value.escaped_text(),
        Kind::Number | Kind::Bool => Some(value.json()),
        Kind::Null | Kind::Array | Kind::Object => None,
    }
}

fn escape(text: &str) -> Result<String, Error> {
    let mut quoted = serde_json::to_string(text)?;
    quoted.pop();
    quoted.remove(0);
    Ok(quoted)
}

fn source(placeholder: &str, pointers: &mut Pointers) -> Result<Source, String> {
    if placeholder.starts_with('/') {
        let pointer = placeholder.parse().map_err(|e| format!("{e}"))?;
        return Ok(Source::Body(Place::new(pointer, pointers)));
    }
    let property = Property::NAMED.iter().find(|(name, _)| *name == placeholder);
    let named = placeholder.split_once(':').map(|(kind, name)| (kind, name.trim().to_owned()));
    match (property, named) {
        (Some((_, property)), _) => Ok(Source::Event(*property)),
        (_, Some(("header", name))) => Ok(Source::Header(name)),
        (_, Some(("query", name))) => Ok(Source::Query(name)),
        (_, Some(("param", name))) => Ok(Source::Param(name)),
        _ => Err(format!(
            "`{{{{{placeholder}}}}}` is not a placeholder; write a pointer like `/issue/title`, `header:NAME`, \
             `query:NAME`, `param:NAME`, or `event.` with id, type, route, received_ms, method or path"
        )),
    }
}
