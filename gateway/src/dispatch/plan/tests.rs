use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::*;
use crate::{
    clock::ManualClock,
    config::{Config, Destination},
    dispatch::testing::{FakeJournal, config, destination, event},
    event::Headers,
    telemetry::Metrics,
};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn message(destinations: Option<&[&str]>) -> Message {
    Message {
        headers: Headers::default(),
        body: Bytes::from_static(b"{}"),
        destinations: destinations.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        key: None,
    }
}

fn plan(config: &Config, messages: Vec<Message>) -> Plan {
    let (journal, clock) = (Arc::new(FakeJournal::default()), Arc::new(ManualClock::at(NOW)));
    let lanes = Lanes::with_patience(journal, clock, Arc::new(Metrics::new()), Duration::ZERO).unwrap();
    lanes.apply(config).unwrap();
    Plan::new(&event("{}"), &config.routes[0], messages, &lanes, NOW)
}

fn ready(plan: &Plan) -> Vec<(String, u32)> {
    plan.ready
        .iter()
        .map(|(_, delivery)| (delivery.key.destination.to_string(), delivery.key.index))
        .collect()
}

fn two() -> Config {
    config(vec![destination("a", "http://127.0.0.1:1/"), destination("b", "http://127.0.0.1:1/")])
}

#[tokio::test]
async fn every_message_goes_to_every_destination_of_the_route() {
    let plan = plan(&two(), vec![message(None), message(None)]);
    let expected = [("a", 0), ("b", 0), ("a", 1), ("b", 1)].map(|(name, index)| (name.to_owned(), index));
    assert_eq!(ready(&plan), expected);
    assert!(plan.unfinished.is_empty());
}

#[tokio::test]
async fn plugin_chooses_among_the_route_s_destinations_only() {
    let plan = plan(&two(), vec![message(Some(&["elsewhere", "b", "b", "elsewhere"]))]);
    assert_eq!(ready(&plan), [("b".to_owned(), 0)]);
    let [refused] = plan.unfinished.as_slice() else { panic!("{:?}", plan.unfinished) };
    assert_eq!(&*refused.key.destination, "elsewhere");
    let DeliveryState::Dead { reason, .. } = &refused.state else { panic!("{refused:?}") };
    assert_eq!(reason, "a plugin chose destination `elsewhere`, which route `github` does not deliver to");
}

#[tokio::test]
async fn forwarded_headers_become_part_of_the_message_unless_a_plugin_set_them() {
    let name = HeaderName::from_static("x-github-event");
    let a = Destination { forward_headers: vec![name.clone()], ..destination("a", "http://127.0.0.1:1/") };
    let config = config(vec![a, destination("b", "http://127.0.0.1:1/")]);
    let mut set = message(Some(&["a"]));
    set.headers.append(name, HeaderValue::from_static("changed"));
    let plan = plan(&config, vec![message(None), set]);
    let seen: Vec<_> =
        plan.ready.iter().map(|(_, delivery)| delivery.message.headers.get("x-github-event")).collect();
    let (issues, changed) = (HeaderValue::from_static("issues"), HeaderValue::from_static("changed"));
    assert_eq!(seen, [Some(&issues), None, Some(&changed)]);
}
