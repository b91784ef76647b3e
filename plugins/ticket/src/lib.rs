//! Turns newly opened GitHub issues into tickets, and drops everything else.
//!
//! It teaches what a plugin of your own looks like: what it reads and what it makes are plain structs, borrowed
//! from the body where that is possible. What is not named is skipped unread.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sluice_plugin::{Body, Error, Event, Message, Outcome, Transform};

struct Ticket;

#[derive(Deserialize)]
struct Webhook<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    issue: Issue<'a>,
    #[serde(borrow)]
    repository: Repository<'a>,
}

#[derive(Deserialize)]
struct Issue<'a> {
    #[serde(borrow)]
    title: Cow<'a, str>,
    #[serde(borrow)]
    html_url: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Repository<'a> {
    #[serde(borrow)]
    full_name: Cow<'a, str>,
}

#[derive(Serialize)]
struct Made<'a> {
    repo: &'a str,
    title: &'a str,
    url: &'a str,
}

impl Transform for Ticket {
    type Config = ();

    fn configure((): ()) -> Result<Self, Error> {
        Ok(Self)
    }

    fn transform(&self, event: &Event, body: Body) -> Result<Outcome, Error> {
        if event.event_type().as_deref() != Some("issues") {
            return Ok(Outcome::drop("not about an issue"));
        }
        let Webhook { action, issue, repository } = body.json()?;
        if action != "opened" {
            return Ok(Outcome::drop("not a new issue"));
        }
        let made = Made { repo: &repository.full_name, title: &issue.title, url: &issue.html_url };
        Ok(Message::json(&made)?.into())
    }
}

sluice_plugin::transform!(Ticket);

#[cfg(test)]
mod tests;
