//! What is seen of an attempt: metrics, a log line and an entry in the event's history.

use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use crate::{
    clock::Timestamp,
    deliver::{Answer, Verdict},
    journal::{Delivery, DeliveryState, TrailEntry},
    telemetry::{AttemptLabels, DestinationLabel, Metrics, seconds},
};

/// A lane's metrics, looked up once.
pub(super) struct Recorder {
    delivered: Counter,
    retry: Counter,
    dead: Counter,
    attempt_seconds: Histogram,
    delivery_seconds: Histogram,
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

    /// Takes note of an attempt that began at `at`, and writes the line of history about it.
    pub(super) fn record(
        &self,
        delivery: &Delivery,
        answer: Answer,
        state: Option<&DeliveryState>,
        at: Timestamp,
        took: Duration,
    ) -> TrailEntry {
        log(delivery, &answer, state, took);
        self.attempt_seconds.observe(seconds(took));
        let (counter, outcome) = match state {
            None => (&self.delivered, "delivered"),
            Some(DeliveryState::Waiting { .. }) => (&self.retry, "retry"),
            Some(DeliveryState::Dead { .. }) => (&self.dead, "dead"),
        };
        counter.inc();
        if state.is_none()
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
            next: state.and_then(super::due),
        }
    }
}

fn log(delivery: &Delivery, answer: &Answer, state: Option<&DeliveryState>, took: Duration) {
    let (destination, event) = (&delivery.key.destination, delivery.key.event);
    let attempt = delivery.attempts;
    let status = answer.status.map(|status| status.as_u16());
    let error = match &answer.verdict {
        Verdict::Failed { error, .. } => Some(error.as_str()),
        Verdict::Delivered | Verdict::Gone => None,
    };
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
