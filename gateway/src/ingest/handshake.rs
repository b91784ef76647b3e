//! Answers handshakes: no event comes of them, and nothing is written to the journal.

use std::{num::NonZeroU32, time::Duration};

use http::Response;
use tracing::info;

use super::{Answered, Ingest, RouteLimiter, rejection::Rejection};
use crate::{
    clock::Timestamp,
    config::Rate,
    generation::LiveRoute,
    telemetry::HandshakeLabels,
    verify::{Judged, Reply, Rule, Unverified},
};

/// How often strangers may have something signed or kept, or try a token: providers do so a few times an hour.
const DELICATE: Rate = Rate { events: NonZeroU32::new(10).unwrap(), per: Duration::from_secs(1) };

/// The bound of a route's delicate handshakes.
#[derive(Debug)]
pub struct HandshakeLimiter(RouteLimiter);

impl Default for HandshakeLimiter {
    fn default() -> Self {
        Self(RouteLimiter::new(DELICATE))
    }
}

impl Ingest {
    pub(super) async fn shake_hands(
        &self,
        route: &LiveRoute,
        rule: &Rule,
        request: Unverified,
        now: Timestamp,
    ) -> Result<Answered, Rejection> {
        let outcome = carry_out(route, rule, request, now).await;
        self.shaken(route, rule.about(), outcome)
    }

    /// Answers what a plugin takes for a question. It does not say whether anything proves it, so it counts as one that
    /// nothing proves.
    pub(super) fn answer_question(&self, route: &LiveRoute, reply: Reply) -> Result<Answered, Rejection> {
        let leave = route.greeting_limiter.0.check().map_err(|wait| Rejection::RateLimited { wait });
        self.shaken(route, "as the plugin says", leave.map(|()| reply))
    }

    fn shaken(
        &self,
        route: &LiveRoute,
        about: &str,
        outcome: Result<Reply, Rejection>,
    ) -> Result<Answered, Rejection> {
        let told = match &outcome {
            Ok(_) => "answered",
            Err(Rejection::Handshake { source, .. }) if source.refusal().is_none() => "failed",
            Err(_) => "refused",
        };
        let labels = HandshakeLabels { route: route.config.name.clone(), outcome: told };
        self.metrics.handshakes.get_or_create(&labels).inc();
        let Reply { status, headers, body } = outcome?;
        info!(route = %route.config.name, about, %status, "handshake answered");
        let mut response = Response::new(body.into());
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(Answered::Handshake(response))
    }
}

/// A request that looks as if it handed us a secret, but is proven by one that we hold, is an event.
pub(super) async fn is_event_after_all(
    route: &LiveRoute,
    rule: &Rule,
    request: &Unverified,
    now: Timestamp,
) -> bool {
    rule.learns() && matches!(route.verifier.verify(request.clone(), now).await, Ok(Judged::Genuine(_)))
}

async fn carry_out(
    route: &LiveRoute,
    rule: &Rule,
    request: Unverified,
    now: Timestamp,
) -> Result<Reply, Rejection> {
    let unanswered = |source| Rejection::Handshake { about: rule.about().to_owned(), source };
    if rule.is_proven() {
        return match route.verifier.verify(request, now).await.map_err(Rejection::Refused)? {
            Judged::Genuine(genuine) => {
                route.handshakes.carry_out(rule, genuine.request(), now).await.map_err(unanswered)
            }
            Judged::Question(reply) => Ok(reply),
        };
    }
    let limited = |wait| Rejection::RateLimited { wait };
    if rule.is_delicate() {
        route.greeting_limiter.0.check().map_err(limited)?;
    }
    if rule.signs_for_anybody()
        && let Some(limiter) = &route.limiter
    {
        limiter.check().map_err(limited)?;
    }
    route.handshakes.carry_out(rule, &request, now).await.map_err(unanswered)
}

#[cfg(test)]
mod tests;
