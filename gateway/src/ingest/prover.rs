//! A plugin that proves who sends a route's requests.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::Instrument;

use super::Doorstep;
use crate::{
    clock::Timestamp,
    config::{self, Secret},
    pipeline::{Held, Place, QUARANTINED, StepStatus, Watched},
    plugin::{CallError, Claimed, Judgement, PluginError, PluginHost, Role},
    telemetry::Metrics,
    verify::{Accepted, Hearing, Judge, PublicUrl, Refused, Reply, Said, Unverified},
};

/// The outcomes that a call has in metrics, beside errors.
const ANSWERS: [&str; 3] = ["accept", "reject", "respond"];

/// A route's plugin with what belongs to it there, ready to be asked.
pub struct Prover {
    watched: Watched,
    secrets: Arc<[Secret]>,
    url: Option<PublicUrl>,
    doorstep: Arc<Doorstep>,
}

/// What a plugin answers, checked.
enum Answer {
    Accept { delivery_id: Option<String>, event_type: Option<String> },
    Reject(String),
    Respond(Reply),
}

impl Prover {
    /// Loads the plugin; as slow as [`PluginHost::load`]. It waits for its turns on the `doorstep`. If it was there
    /// `before`, and is still the same, it stays in its quarantine.
    ///
    /// # Errors
    /// If the plugin cannot be loaded.
    pub fn load(
        route: &Arc<str>,
        proof: &config::PluginProof,
        host: &PluginHost,
        metrics: &Metrics,
        doorstep: Arc<Doorstep>,
        before: Option<&Self>,
    ) -> Result<Self, PluginError> {
        let config::PluginProof { plugin, config, secrets, url } = proof;
        let settings = plugin.quarantine.map(|settings| (settings, "the route's requests are answered 503"));
        let plugin = host.load(plugin, config, Role::Verify)?;
        let known = before.map(|before| &before.watched).into_iter();
        Ok(Self {
            watched: Watched::new(route, plugin, settings, &ANSWERS, metrics, known),
            secrets: secrets.as_slice().into(),
            url: url.clone(),
            doorstep,
        })
    }

    /// The plugin, with the quarantine that it is in.
    pub fn status(&self) -> StepStatus<'_> {
        let quarantined = self.watched.quarantined();
        StepStatus { place: Place::Verify, plugin: self.watched.plugin(), quarantined, canary: None }
    }

    /// Ends the quarantine of the plugin of this name by hand; whether there was one.
    pub fn resume(&self, plugin: &str) -> bool {
        **self.watched.plugin().name() == *plugin && self.watched.resume("by hand")
    }

    /// Says whether the quarantine is over now that `new` is in its place.
    pub fn say_replaced_by(&self, new: Option<&Self>) {
        self.watched.replaced_by(new.map(|new| &new.watched).into_iter());
    }

    async fn ask(
        &self,
        request: Unverified,
        now: Option<Timestamp>,
        log: &mut Vec<String>,
    ) -> Result<Said, Refused> {
        let turn = self.doorstep.turn().await;
        let _turn = turn.ok_or_else(|| Refused::PluginBusy { plugin: self.name() })?;
        let at = now.unwrap_or(request.received_at);
        let leave = self.watched.admit(at).map_err(|held| self.held(&held))?;
        let secrets = self.secrets_at(now)?;
        let request = Arc::new(request);
        let claimed = Claimed::new(request.clone(), secrets, self.url_of(&request));
        let matched = claimed.matched();
        let call = self.watched.plugin().judge(claimed).await;
        let answer = call.answer.and_then(Answer::checked);
        *log = call.log;
        self.watched.note(leave, &answer, log, at);
        self.watched.record(answer.as_ref().map_or_else(CallError::outcome, Answer::name), call.elapsed);
        let matched = matched.get().and_then(|place| self.index_of(place, now));
        self.said(answer, Arc::unwrap_or_clone(request), matched)
    }

    fn said(
        &self,
        answer: Result<Answer, CallError>,
        request: Unverified,
        matched: Option<usize>,
    ) -> Result<Said, Refused> {
        let refused = |reason| Err(Refused::PluginRefused { plugin: self.name(), reason });
        match answer {
            Ok(Answer::Accept { delivery_id, event_type }) => {
                Ok(Said::Genuine(Accepted { request, matched, delivery_id, event_type }))
            }
            Ok(Answer::Respond(reply)) => Ok(Said::Question(reply)),
            Ok(Answer::Reject(reason)) | Err(CallError::Invalid(reason)) => refused(reason),
            Err(error) => Err(self.unavailable(format!("it {error}"))),
        }
    }

    fn held(&self, held: &Held) -> Refused {
        self.watched.count(QUARANTINED);
        self.unavailable(format!("it is in quarantine since {}: it {}", held.since, held.reason))
    }

    fn unavailable(&self, reason: String) -> Refused {
        Refused::PluginUnavailable { plugin: self.name(), reason }
    }

    fn name(&self) -> Arc<str> {
        self.watched.plugin().name().clone()
    }

    /// The secrets that count now. A route may have none at all; one that has does not go without.
    fn secrets_at(&self, now: Option<Timestamp>) -> Result<Arc<[Secret]>, Refused> {
        if self.secrets.iter().all(|secret| secret.is_active_at(now)) {
            return Ok(self.secrets.clone());
        }
        let active: Arc<[_]> =
            self.secrets.iter().filter(|secret| secret.is_active_at(now)).cloned().collect();
        if active.is_empty() { Err(Refused::NoActiveSecret) } else { Ok(active) }
    }

    /// The place in the config of the secret that is at this place among those that count now.
    fn index_of(&self, place: usize, now: Option<Timestamp>) -> Option<usize> {
        let active = self.secrets.iter().enumerate().filter(|(_, secret)| secret.is_active_at(now));
        active.map(|(index, _)| index).nth(place)
    }

    fn url_of(&self, request: &Unverified) -> Option<Arc<str>> {
        self.url.as_ref().map(|url| url.of(&request.path, request.query.as_deref()).into())
    }
}

#[async_trait]
impl Judge for Prover {
    async fn hear(&self, request: Unverified, now: Option<Timestamp>) -> Hearing {
        let span = tracing::info_span!("verify", request = %request.id, route = %request.route);
        let mut log = Vec::new();
        let said = self.ask(request, now, &mut log).instrument(span).await;
        Hearing { said, log }
    }
}

impl Answer {
    fn checked(judgement: Judgement) -> Result<Self, CallError> {
        match judgement {
            Judgement::Accept { delivery_id, event_type } => Ok(Self::Accept { delivery_id, event_type }),
            Judgement::Reject(reason) => Ok(Self::Reject(reason)),
            Judgement::Respond { status, headers, body } => Reply::of_plugin(status, headers, body)
                .map(Self::Respond)
                .map_err(|why| CallError::Other(format!("it answered with {why}"))),
        }
    }

    /// What metrics call it.
    fn name(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "accept",
            Self::Reject(_) => "reject",
            Self::Respond(_) => "respond",
        }
    }
}

#[cfg(test)]
mod tests;
