//! A candidate beside the plugin in force: it handles a share of the events itself, or sees copies of all of them as a
//! shadow, of which nothing is ever delivered.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{
    Figures, Held, Known, Step,
    actor::{Actor, Part},
    figures::Ledger,
    reach::{Reach, Room},
};
use crate::{
    clock::Clock,
    config::{self, CanaryMode},
    event::EventId,
    plugin::{Call, Plugin, PluginError, PluginHost, Role, View},
    telemetry::Metrics,
};

use self::shadow::{Duplicate, Shadow};

mod shadow;

/// A candidate at a step.
pub struct Canary {
    mode: Mode,
    ledger: Arc<Ledger>,
}

enum Mode {
    /// It handles this part of the events.
    Share(f64, Actor),
    Shadow(Arc<Shadow>),
}

impl Canary {
    /// Loads the candidate of a step's plugin, if it has one. The figures of one that was there before, beside the same
    /// plugin, go on.
    ///
    /// # Errors
    /// It cannot be loaded, refuses the step's config, or is of another kind than the plugin.
    pub(super) fn build(
        route: &Arc<str>,
        step: &config::Step,
        current: &Plugin,
        reach: &Arc<Reach>,
        host: &PluginHost,
        metrics: &Metrics,
        known: &Known<'_>,
    ) -> Result<Option<Arc<Self>>, PluginError> {
        let Some(canary) = &step.plugin.canary else { return Ok(None) };
        let plugin = load(step, canary, current, host).map_err(|source| PluginError::Canary {
            plugin: current.name().clone(),
            source: Box::new(source),
        })?;
        let ledger = known.ledger(current, &plugin).unwrap_or_default();
        let actors = known.all().filter_map(Step::canary).map(Self::actor);
        let name = name(canary.mode);
        let actor = Actor::candidate(route, plugin, step.plugin.quarantine, name, metrics, actors);
        let mode = match canary.mode {
            CanaryMode::Share(share) => Mode::Share(share, actor),
            CanaryMode::Shadow => Mode::Shadow(Arc::new(Shadow::new(route, actor, reach, &ledger, metrics))),
        };
        Ok(Some(Arc::new(Self { mode, ledger })))
    }

    pub fn mode(&self) -> CanaryMode {
        match &self.mode {
            Mode::Share(share, _) => CanaryMode::Share(*share),
            Mode::Shadow(_) => CanaryMode::Shadow,
        }
    }

    pub fn plugin(&self) -> &Plugin {
        self.actor().plugin()
    }

    /// The quarantine that it is in; the plugin in force handles all events meanwhile.
    pub fn quarantined(&self) -> Option<Held> {
        self.actor().held()
    }

    /// What has come of it so far, and of the plugin in force beside it.
    pub fn figures(&self) -> Figures {
        self.ledger.figures()
    }

    pub(super) fn actor(&self) -> &Actor {
        match &self.mode {
            Mode::Share(_, actor) => actor,
            Mode::Shadow(shadow) => shadow.actor(),
        }
    }

    /// The candidate, if the event is one of its share.
    pub(super) fn chosen(&self, event: EventId) -> Option<&Actor> {
        match &self.mode {
            Mode::Share(share, actor) => (lot(actor.plugin().name(), event) < *share).then_some(actor),
            Mode::Shadow(_) => None,
        }
    }

    /// Takes note of a call at the step. A shadow does the same in its own time.
    pub(super) fn saw(&self, part: Part, call: &Call, view: &View, room: Room, clock: &Arc<dyn Clock>) {
        self.ledger.add(part, &call.answer, call.elapsed);
        if let Mode::Shadow(shadow) = &self.mode {
            shadow.offer(view, || Duplicate {
                view: view.clone(),
                room,
                answer: call.answer.clone(),
                clock: clock.clone(),
            });
        }
    }
}

impl Known<'_> {
    /// The figures that a step before kept of the same two plugins. No two steps have the same.
    fn ledger(&self, current: &Plugin, candidate: &Plugin) -> Option<Arc<Ledger>> {
        let same = self.before.iter().filter(|step| step.current().plugin().is_same(current));
        let canaries = same.filter_map(Step::canary).filter(|canary| canary.plugin().is_same(candidate));
        let taken = |ledger: &Arc<Ledger>| {
            self.here.iter().filter_map(Step::canary).any(|canary| Arc::ptr_eq(&canary.ledger, ledger))
        };
        canaries.map(|canary| canary.ledger.clone()).find(|ledger| !taken(ledger))
    }
}

fn load(
    step: &config::Step,
    canary: &config::Canary,
    current: &Plugin,
    host: &PluginHost,
) -> Result<Arc<Plugin>, PluginError> {
    let (file, sha256) = (canary.file.clone(), canary.sha256);
    let candidate = config::Plugin { file, sha256, canary: None, ..(*step.plugin).clone() };
    let role = match canary.mode {
        CanaryMode::Share(_) => Role::Step,
        CanaryMode::Shadow => Role::Shadow,
    };
    let plugin = host.load(&candidate, &step.config, role)?;
    if plugin.kind() != current.kind() {
        let kinds = [current.kind(), plugin.kind()];
        return Err(PluginError::OtherKind { plugin: candidate.name, kinds });
    }
    Ok(plugin)
}

/// What metrics call it.
fn name(mode: CanaryMode) -> &'static str {
    match mode {
        CanaryMode::Share(_) => "share",
        CanaryMode::Shadow => "shadow",
    }
}

/// A number from 0 up to 1 that an event draws for a plugin: the same in every step, attempt, replay and version of
/// Sluice, so that no event goes to and fro between two versions of a plugin. Whoever raises a share adds to it.
pub(super) fn lot(plugin: &str, event: EventId) -> f64 {
    let digest = Sha256::new().chain_update(event.as_bytes()).chain_update(plugin).finalize();
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
    f64::from(u32::from_be_bytes([a, b, c, d])) / 2_f64.powi(32)
}
