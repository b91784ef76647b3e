//! What is seen of an attempt: metrics, a log line and an entry in the event's history.

use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use crate::{
    clock::Timestamp,
    deliver::{Answer, Verdict},
    journal::{Delivery, DeliveryState, TrailEntry},
    telemetry::{AttemptLabels, DestinationLabel, Metrics, seconds},
};

pub(super) const DELIVERED: &str = "delivered";
pub(super) const RETRY: &str = "retry";
pub(super) const DEAD: &str = "dead";

/// A lane's metrics, looked up once.
pub(super) struct Recorder {
    delivered: Counter,
    retry: Counter,
    dead: Counter,
    attempt_seconds: Histogram,
    delivery_seconds: Histogram,
}

/// An attempt, which began at `at`.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) answer: Answer,
    pub(super) at: Timestamp,
    pub(super) took: Duration,
    /// How many deliveries it was made for, where that was in a batch.
    pub(super) batch: Option<u32>,
}

impl Recorder {
    pub(super) fn new(destination: &Arc<str>, metrics: &Metrics) -> Self {
        let attempts = |outcome| {
            let labels = AttemptLabels { destination: destination.clone(), outcome };
            metrics.attempts.get_or_create_owned(&labels)
        };
        let label = DestinationLabel { destination: destination.clone() };
        Self {
            delivered: attempts("delivered"),
            retry: attempts("retry"),
            dead: attempts("dead"),
            attempt_seconds: metrics.attempt_seconds.get_or_create_owned(&label),
            delivery_seconds: metrics.delivery_seconds.get_or_create_owned(&label),
        }
    }

    /// Takes note of an attempt at one delivery, and writes the line of history about it.
    pub(super) fn record(
        &self,
        delivery: &Delivery,
        made: Made,
        state: Option<&DeliveryState>,
    ) -> TrailEntry {
        log(delivery, &made, state);
        let outcome = outcome(state);
        self.count(outcome, made.took);
        self.entry(delivery, made, outcome, state.and_then(super::due))
    }

    /// Takes note of an attempt that ended like this.
    pub(super) fn count(&self, outcome: &str, took: Duration) {
        self.attempt_seconds.observe(seconds(took));
        let counter = match outcome {
            DELIVERED => &self.delivered,
            DEAD => &self.dead,
            // Split as well: it is attempted again, in parts.
            _ => &self.retry,
        };
        counter.inc();
    }

    /// The line of history about an attempt that this delivery was in.
    pub(super) fn entry(
        &self,
        delivery: &Delivery,
        made: Made,
        outcome: &str,
        next: Option<Timestamp>,
    ) -> TrailEntry {
        let Made { answer, at, took, batch } = made;
        if outcome == DELIVERED
            && let Some(accepted) = delivery.key.event.accepted_at()
        {
            self.delivery_seconds.observe(seconds((at + took).since(accepted)));
        }
        TrailEntry::Attempt {
            at,
            destination: delivery.key.destination.to_string(),
            index: delivery.key.index,
            number: delivery.attempts,
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            outcome: outcome.to_owned(),
            status: answer.status.map(|status| status.as_u16()),
            error: match answer.verdict {
                Verdict::Failed { error, .. } => Some(error),
                Verdict::Delivered | Verdict::Gone => None,
            },
            answer: answer.text,
            next,
            batch,
        }
    }
}

/// What a state is called that an attempt left a delivery in.
pub(super) fn outcome(state: Option<&DeliveryState>) -> &'static str {
    match state {
        None => DELIVERED,
        Some(DeliveryState::Waiting { .. }) => RETRY,
        Some(DeliveryState::Dead { .. }) => DEAD,
    }
}

fn log(delivery: &Delivery, made: &Made, state: Option<&DeliveryState>) {
    let Made { answer, took, .. } = made;
    let (destination, event) = (&delivery.key.destination, delivery.key.event);
    let attempt = delivery.attempts;
    let status = answer.status.map(|status| status.as_u16());
    let error = answer.error();
    match state {
        None => tracing::debug!(%destination, %event, attempt, status, ?took, "delivered"),
        Some(DeliveryState::Waiting { due }) => {
            tracing::warn!(%destination, %event, attempt, status, error, next = %due, "attempt failed, will retry");
        }
        Some(DeliveryState::Dead { reason, .. }) => {
            tracing::warn!(%destination, %event, attempt, status, error, reason, "attempt failed, dead letter");
        }
    }
}
