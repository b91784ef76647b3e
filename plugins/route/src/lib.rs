//! Sends an event to the destinations that rules choose; drops what no rule wants, unless there is an `else`.
//!
//! It teaches how a plugin decides where a message goes. Nothing is made anew: the body is handed on as it came, and
//! is read only if a rule is about it.

use std::cell::OnceCell;

use rules::Facts;
use serde_json::value::RawValue;
use sluice_plugin::{Body, Error, Event, Message, Outcome, Transform, json::Pointers};

mod choice;
mod config;

use choice::Choice;
use config::{Config, Mode};

struct Route {
    choices: Vec<Choice>,
    /// Where an event goes that no choice is for; nowhere, if empty.
    otherwise: Vec<String>,
    mode: Mode,
    /// Names of headers that go along.
    headers: Vec<String>,
    /// Every place in the body that some rule is about.
    pointers: Pointers,
}

impl Transform for Route {
    type Config = Box<RawValue>;

    fn configure(config: Box<RawValue>) -> Result<Self, Error> {
        let mut pointers = Pointers::new();
        let Config { choices, otherwise, mode, headers } = Config::read(&config, &mut pointers)?;
        Ok(Self { choices, otherwise, mode, headers, pointers })
    }

    fn transform(&self, event: &Event, body: Body) -> Result<Outcome, Error> {
        let body = OnceCell::from(body);
        let facts = Facts::new(event, &self.pointers, &body);
        let destinations = self.destinations(&facts)?;
        if destinations.is_empty() {
            return Ok(Outcome::Drop(self.why_nowhere(&facts)?));
        }
        drop(facts);
        let mut message = Message::with_content_type_of(event, body.into_inner().unwrap_or_default());
        for name in &self.headers {
            message = event
                .header_values(name)
                .into_iter()
                .fold(message.without_header(name), |message, value| message.add_header(name, value));
        }
        Ok(message.to(destinations).into())
    }
}

sluice_plugin::transform!(Route);

impl Route {
    /// Where an event goes: each destination once, in the config's order.
    fn destinations(&self, facts: &Facts<'_>) -> Result<Vec<&str>, Error> {
        let mut chosen: Vec<&str> = Vec::new();
        for choice in &self.choices {
            if !choice.when.holds(facts)? {
                continue;
            }
            for name in &choice.to {
                if !chosen.contains(&name.as_str()) {
                    chosen.push(name);
                }
            }
            if self.mode == Mode::First {
                break;
            }
        }
        if chosen.is_empty() {
            chosen.extend(self.otherwise.iter().map(String::as_str));
        }
        Ok(chosen)
    }

    fn why_nowhere(&self, facts: &Facts<'_>) -> Result<String, Error> {
        let reasons: Result<Vec<_>, _> =
            self.choices.iter().map(|choice| choice.when.why_not(facts)).collect();
        Ok(reasons?.join("; and "))
    }
}

#[cfg(test)]
mod tests;
