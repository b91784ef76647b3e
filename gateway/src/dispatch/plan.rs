//! Which message goes where.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    clock::Timestamp,
    config::Route,
    event::{Event, Message},
    journal::{Delivery, DeliveryKey, DeliveryState},
    lane::{Lanes, Way, gone},
};

/// One delivery for every message and destination.
pub(super) struct Plan {
    pub(super) ready: Vec<(Way, Delivery)>,
    /// Dead before the first attempt: there is nowhere to send them.
    pub(super) unfinished: Vec<Delivery>,
}

impl Plan {
    pub(super) fn new(
        event: &Event,
        route: &Route,
        messages: Vec<Message>,
        lanes: &Lanes,
        now: Timestamp,
    ) -> Self {
        let mut plan = Self { ready: Vec::with_capacity(messages.len()), unfinished: Vec::new() };
        for (index, mut message) in (0..).zip(messages) {
            let chosen = message.destinations.take();
            for name in strangers(route, chosen.as_deref()) {
                let reason = not_of_route(name, route);
                plan.refuse(delivery(event, name.into(), index, message.clone(), now), reason, now);
            }
            let names: Vec<_> = destinations(route, chosen.as_deref()).collect();
            let Some((last, others)) = names.split_last() else { continue };
            for name in others {
                plan.add(event, delivery(event, (*name).clone(), index, message.clone(), now), lanes, now);
            }
            plan.add(event, delivery(event, (*last).clone(), index, message, now), lanes, now);
        }
        plan
    }

    fn add(&mut self, event: &Event, mut delivery: Delivery, lanes: &Lanes, now: Timestamp) {
        match lanes.way(&delivery.key.destination) {
            Some(way) => {
                way.target.forward(&event.headers, &mut delivery.message.headers);
                self.ready.push((way, delivery));
            }
            None => {
                let reason = gone(&delivery.key.destination);
                self.refuse(delivery, reason, now);
            }
        }
    }

    fn refuse(&mut self, delivery: Delivery, reason: String, now: Timestamp) {
        tracing::warn!(destination = %delivery.key.destination, reason, "delivery given up");
        self.unfinished.push(Delivery { state: DeliveryState::Dead { at: now, reason }, ..delivery });
    }
}

fn delivery(event: &Event, destination: Arc<str>, index: u32, message: Message, now: Timestamp) -> Delivery {
    Delivery {
        key: DeliveryKey { event: event.id, destination, index },
        route: event.route.clone(),
        message,
        attempts: 0,
        batch: None,
        state: DeliveryState::Waiting { due: now },
    }
}

/// The route's destinations that a message goes to.
fn destinations<'a>(route: &'a Route, chosen: Option<&'a [String]>) -> impl Iterator<Item = &'a Arc<str>> {
    let is_chosen = move |name: &str| chosen.is_none_or(|chosen| chosen.iter().any(|one| one == name));
    route.deliver.iter().filter(move |name| is_chosen(name))
}

/// What a plugin chose though the route does not deliver there: a plugin may choose among what it was given.
/// Each once, however often it was named: they are the keys of dead letters.
fn strangers<'a>(route: &Route, chosen: Option<&'a [String]>) -> BTreeSet<&'a str> {
    let chosen = chosen.unwrap_or_default().iter().map(String::as_str);
    chosen.filter(|name| !route.deliver.iter().any(|known| **known == **name)).collect()
}

fn not_of_route(destination: &str, route: &Route) -> String {
    format!("a plugin chose destination `{destination}`, which route `{}` does not deliver to", route.name)
}

#[cfg(test)]
mod tests;
