//! How a route's deliveries are put together: when a window closes, and what folds it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use crate::{
    clock::Timestamp,
    event::{EventId, Message},
    journal::Delivery,
    pipeline::MAX_MESSAGES,
    plugin::CallError,
    telemetry::{Metrics, PluginLabels, PluginOutcomeLabels, seconds},
};

/// When a window closes: at the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many deliveries are in it.
    pub events: usize,
    /// Their bodies have so many bytes together. One that is larger goes alone.
    pub bytes: usize,
    /// So long after the first delivery joined it.
    pub wait: Duration,
    /// Whether deliveries of different order keys go into windows of their own.
    pub by_key: bool,
}

/// Makes messages of what a window holds.
#[async_trait]
pub trait Fold: Send + Sync + 'static {
    /// The plugin's name.
    fn name(&self) -> &Arc<str>;

    /// Folds at least one item.
    async fn fold(&self, source: &Source, items: Vec<Item>) -> Folding;
}

/// Where a batch comes from and goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub route: Arc<str>,
    pub destination: Arc<str>,
}

/// One delivery, as the fold sees it.
#[derive(Clone, Debug)]
pub struct Item {
    pub event: EventId,
    /// The `webhook-id` that it would have alone.
    pub webhook_id: String,
    /// When its event was accepted.
    pub received_at: Timestamp,
    pub message: Message,
}

/// What came of a fold.
#[derive(Debug)]
pub struct Folding {
    pub answer: Result<Vec<Folded>, CallError>,
    pub elapsed: Duration,
    /// What the plugin said.
    pub log: Vec<String>,
}

/// A message that stands for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Its headers and body; the rest is not looked at.
    pub message: Message,
    /// The places, from 0, of the items that are in it; `None` means all of them.
    pub items: Option<Vec<u32>>,
}

/// A message with the items that are in it, in their order.
pub(super) struct Parcel {
    pub(super) message: Message,
    pub(super) items: Vec<usize>,
}

/// A route's way to put deliveries together. Immutable; a window keeps the one that it was opened with.
pub struct Batcher {
    pub(super) settings: Settings,
    fold: Arc<dyn Fold>,
    seconds: Histogram,
    outcomes: Vec<(&'static str, Counter)>,
}

impl Batcher {
    pub fn new(route: &Arc<str>, settings: Settings, fold: Arc<dyn Fold>, metrics: &Metrics) -> Arc<Self> {
        let plugin = fold.name().clone();
        let labels = PluginLabels { route: route.clone(), plugin: plugin.clone() };
        let counter = |outcome| {
            let (route, plugin) = (route.clone(), plugin.clone());
            metrics.plugin_outcomes.get_or_create_owned(&PluginOutcomeLabels { route, plugin, outcome })
        };
        let names = [FOLDED].into_iter().chain(CallError::OUTCOMES);
        Arc::new(Self {
            settings,
            seconds: metrics.plugin_seconds.get_or_create_owned(&labels),
            outcomes: names.map(|name| (name, counter(name))).collect(),
            fold,
        })
    }

    /// The plugin's name.
    pub(super) fn plugin(&self) -> &Arc<str> {
        self.fold.name()
    }

    /// Folds deliveries, and takes note of how that went.
    pub(super) async fn fold(&self, source: &Source, items: Vec<Item>) -> Folds {
        let count = items.len();
        let Folding { answer, elapsed, log } = self.fold.fold(source, items).await;
        let answer = answer.and_then(|folded| parcels(folded, count));
        let outcome = answer.as_ref().map_or_else(CallError::outcome, |_| FOLDED);
        self.seconds.observe(seconds(elapsed));
        if let Some((_, counter)) = self.outcomes.iter().find(|(name, _)| *name == outcome) {
            counter.inc();
        }
        Folds { answer, outcome, elapsed, log }
    }
}

/// What history and metrics call a fold that went well.
const FOLDED: &str = "messages";

/// A fold whose answer can be used as it is.
pub(super) struct Folds {
    pub(super) answer: Result<Vec<Parcel>, CallError>,
    /// What history and metrics call it.
    pub(super) outcome: &'static str,
    pub(super) elapsed: Duration,
    pub(super) log: Vec<String>,
}

impl Item {
    pub(super) fn of(delivery: &Delivery) -> Self {
        Self {
            event: delivery.key.event,
            webhook_id: delivery.key.webhook_id(),
            received_at: delivery.key.event.accepted_at().unwrap_or_default(),
            message: delivery.message.clone(),
        }
    }
}

fn parcels(folded: Vec<Folded>, count: usize) -> Result<Vec<Parcel>, CallError> {
    if folded.len() > MAX_MESSAGES {
        return Err(CallError::MessageLimit { made: folded.len(), limit: MAX_MESSAGES });
    }
    folded.into_iter().map(|folded| Parcel::new(folded, count)).collect()
}

impl Parcel {
    fn new(Folded { message, items }: Folded, count: usize) -> Result<Self, CallError> {
        let Some(named) = items else { return Ok(Self { message, items: (0..count).collect() }) };
        if let Some(stranger) = named.iter().find(|item| **item as usize >= count) {
            let last = count.saturating_sub(1);
            return Err(unusable(format!("is of item {stranger}, and the last one is {last}")));
        }
        let items: BTreeSet<_> = named.iter().map(|item| *item as usize).collect();
        match items.len() {
            0 => Err(unusable("is of no items: leave out the message".to_owned())),
            distinct if distinct < named.len() => Err(unusable("names an item twice".to_owned())),
            _ => Ok(Self { message, items: items.into_iter().collect() }),
        }
    }
}

fn unusable(why: String) -> CallError {
    CallError::Invalid(format!("it made a message that {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Headers;

    fn places(items: Option<&[u32]>) -> Result<Vec<usize>, String> {
        let message =
            Message { headers: Headers::default(), body: bytes::Bytes::new(), destinations: None, key: None };
        let folded = Folded { message, items: items.map(<[u32]>::to_vec) };
        Parcel::new(folded, 3).map(|parcel| parcel.items).map_err(|error| error.to_string())
    }

    #[test]
    fn message_is_of_the_items_that_it_names_or_of_all() {
        assert_eq!(places(None), Ok(vec![0, 1, 2]));
        assert_eq!(places(Some(&[2, 0])), Ok(vec![0, 2]));
    }

    #[test]
    fn message_of_no_item_of_one_twice_or_of_one_that_is_not_there_is_refused() {
        for (items, why) in [(&[][..], "no items"), (&[1, 1], "twice"), (&[3], "item 3")] {
            assert!(places(Some(items)).unwrap_err().contains(why), "{items:?}");
        }
    }
}
