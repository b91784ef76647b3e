//! A generation: one config with everything built from it, immutable. A reload swaps the whole of it; what is in
//! flight finishes in the generation it began in.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    config::{self, About, Config, Mistake, Report, Use},
    dispatch::Turns,
    ingest::{Doorstep, HandshakeLimiter, Prover, Rotation, RouteAnswers, RouteLimiter, RouteMetrics},
    lane::Batcher,
    pipeline::{Pipeline, StepStatus},
    plugin::{PluginError, PluginHost},
    route::{RouteConflict, Router},
    telemetry::{Chain, Metrics},
    verify::{Caller, Handshakes, Keyring, Learned, Verifier},
};

/// The generation in force. Load it once per request or event and keep what was loaded.
pub type Current = Arc<ArcSwap<Generation>>;

pub struct Generation {
    /// 1 for the first, one more with every reload that took effect.
    pub number: u64,
    pub config: Config,
    pub router: Router,
    pub routes: HashMap<Arc<str>, Arc<LiveRoute>>,
}

/// What lives as long as the process and every generation is built with.
#[derive(Clone)]
pub struct Supplies {
    pub plugins: Arc<PluginHost>,
    pub metrics: Arc<Metrics>,
    /// The keys that providers publish.
    pub keyring: Arc<Keyring>,
    /// The secrets that providers have handed us.
    pub learned: Arc<Learned>,
    /// Calls the URLs that providers want called.
    pub caller: Arc<dyn Caller>,
}

/// A route with all that serves it.
pub struct LiveRoute {
    pub config: Arc<config::Route>,
    pub verifier: Verifier,
    /// The plugin that the verifier asks, where it asks one.
    pub prover: Option<Arc<Prover>>,
    pub handshakes: Handshakes,
    /// Bounds what strangers can do with handshakes.
    pub greeting_limiter: HandshakeLimiter,
    /// What its senders are told.
    pub answers: RouteAnswers,
    pub pipeline: Pipeline,
    /// Where its messages are delivered together.
    pub batch: Option<Arc<Batcher>>,
    /// Where the route has a rate. The tokens survive a reload: see [`RouteLimiter::carry_over`].
    pub limiter: Option<Arc<RouteLimiter>>,
    /// Where senders wait while plugins look at their requests. It survives a reload, with all who wait.
    pub doorstep: Arc<Doorstep>,
    /// At the pipeline. They survive a reload, with the line before them.
    pub turns: Arc<Turns>,
    pub metrics: RouteMetrics,
    pub rotation: Rotation,
}

/// What of a route is made of plugins, and the doorstep of those that senders wait for.
struct Loaded {
    prover: Option<Arc<Prover>>,
    pipeline: Pipeline,
    batch: Option<Arc<Batcher>>,
    doorstep: Arc<Doorstep>,
}

/// Why a config that is right by itself cannot be put in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    #[error(transparent)]
    Routes(#[from] RouteConflict),
    /// Every plugin that cannot be used, where the config names it.
    #[error("plugins cannot be used\n{0}")]
    Plugins(Report),
}

/// Why a route cannot use a plugin.
#[derive(Debug, thiserror::Error)]
#[error("route `{route}`")]
struct UseError {
    route: Arc<str>,
    plugin: Arc<str>,
    used: Use,
    source: PluginError,
}

impl Generation {
    /// Loads and configures every plugin and builds every route; what `previous` counts or holds for a route that
    /// is still the same lives on. Blocks while plugins compile: not for async tasks.
    ///
    /// # Errors
    /// Every plugin that cannot be used, at once.
    pub fn build(
        number: u64,
        config: Config,
        supplies: &Supplies,
        previous: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let router = Router::build(&config.routes)?;
        let mut routes = HashMap::with_capacity(config.routes.len());
        let mut broken = Vec::new();
        for route in &config.routes {
            let before = previous.and_then(|previous| previous.routes.get(&route.name));
            match Loaded::load(route, supplies, before) {
                Ok(loaded) => {
                    let live = LiveRoute::new(route.clone(), loaded, supplies, before);
                    routes.insert(route.name.clone(), Arc::new(live));
                }
                Err(uses) => broken.extend(uses),
            }
        }
        if !broken.is_empty() {
            return Err(BuildError::Plugins(config.report(broken.iter().map(UseError::mistake))));
        }
        Ok(Self { number, config, router, routes })
    }

    /// How routes batch, by their names.
    pub fn batchers(&self) -> HashMap<Arc<str>, Arc<Batcher>> {
        let routes = self.routes.iter();
        routes.filter_map(|(name, route)| Some((name.clone(), route.batch.clone()?))).collect()
    }

    /// Says what is over now that this generation is in force, and the `old` one is not.
    pub fn say_in_force(&self, old: &Self) {
        for (name, route) in &old.routes {
            let new = self.routes.get(name);
            route.pipeline.say_replaced_by(new.map(|route| &route.pipeline));
            if let Some(prover) = &route.prover {
                prover.say_replaced_by(new.and_then(|route| route.prover.as_deref()));
            }
            if let Some(batch) = &route.batch {
                batch.say_replaced_by(new.and_then(|route| route.batch.as_deref()));
            }
        }
    }

    /// Every plugin of every route, in the order of the config.
    pub fn steps(&self) -> impl Iterator<Item = (&Arc<str>, StepStatus<'_>)> {
        let routes = self.config.routes.iter().filter_map(|route| self.routes.get(&route.name));
        routes.flat_map(|route| route.steps().map(|step| (&route.config.name, step)))
    }
}

impl LiveRoute {
    fn new(
        config: Arc<config::Route>,
        loaded: Loaded,
        supplies: &Supplies,
        before: Option<&Arc<Self>>,
    ) -> Self {
        let Supplies { keyring, learned, caller, .. } = supplies;
        let Loaded { prover, pipeline, batch, doorstep } = loaded;
        let may_wait = pipeline.steps().any(|step| step.plugin.may_wait());
        Self {
            verifier: match &prover {
                Some(prover) => Verifier::by_judge(prover.clone()),
                None => Verifier::with_learned(&config.verify, keyring, learned.of(&config.name)),
            },
            prover,
            handshakes: Handshakes::new(&config.verify, &config.name, learned, caller),
            greeting_limiter: HandshakeLimiter::default(),
            answers: RouteAnswers::new(&config.respond),
            pipeline,
            batch,
            limiter: RouteLimiter::carry_over(config.rate, before.and_then(|before| before.limiter.as_ref())),
            doorstep,
            turns: Turns::carry_over(before.map(|before| &before.turns), may_wait),
            metrics: RouteMetrics::new(&supplies.metrics, &config.name),
            rotation: Rotation::new(
                &config.name,
                &config.verify,
                &supplies.metrics,
                before.map(|before| &before.rotation),
            ),
            config,
        }
    }

    /// Its plugins: the one that proves its requests, the steps of its pipeline, the one that makes batches.
    pub fn steps(&self) -> impl Iterator<Item = StepStatus<'_>> {
        let proof = self.prover.iter().map(|prover| prover.status());
        let batch = self.batch.iter().filter_map(|batch| batch.status());
        proof.chain(self.pipeline.steps()).chain(batch)
    }

    /// Ends the quarantines of a plugin by hand; whether there was one.
    pub fn resume(&self, plugin: &str) -> bool {
        let is_proof = self.prover.as_ref().is_some_and(|prover| prover.resume(plugin));
        let is_batch = self.batch.as_ref().is_some_and(|batch| batch.resume(plugin));
        self.pipeline.resume(plugin) || is_proof || is_batch
    }
}

impl Loaded {
    /// # Errors
    /// Every plugin of the route that cannot be used.
    fn load(
        route: &config::Route,
        supplies: &Supplies,
        before: Option<&Arc<LiveRoute>>,
    ) -> Result<Self, Vec<UseError>> {
        let Supplies { plugins, metrics, .. } = supplies;
        let (name, proof, batch) = (&route.name, proof(&route.verify), route.batch.as_ref());
        let waits = proof.is_some_and(|proof| !proof.plugin.grants.is_empty());
        let doorstep = Doorstep::carry_over(before.map(|before| &before.doorstep), waits);
        let earlier = before.and_then(|before| before.prover.as_deref());
        let prover = proof.map(|proof| {
            Prover::load(name, proof, plugins, metrics, doorstep.clone(), earlier).map(Arc::new)
        });
        let pipeline = Pipeline::build(route, plugins, metrics, before.map(|before| &before.pipeline));
        let earlier = before.and_then(|before| before.batch.as_deref());
        let batcher = batch.map(|batch| Batcher::load(name, batch, plugins, metrics, earlier));
        match (prover.transpose(), pipeline, batcher.transpose()) {
            (Ok(prover), Ok(pipeline), Ok(batch)) => Ok(Self { prover, pipeline, batch, doorstep }),
            (prover, pipeline, batcher) => {
                let of = |plugin, used, source| UseError::new(route, plugin, used, source);
                let proof = prover.err().zip(proof).map(|(why, proof)| of(&proof.plugin, Use::Verify, why));
                let steps = pipeline.err().into_iter().flatten();
                let steps =
                    steps.map(|(index, why)| of(&route.pipeline[index].plugin, Use::Step(index), why));
                let batch = batcher.err().zip(batch).map(|(why, batch)| of(&batch.plugin, Use::Batch, why));
                Err(proof.into_iter().chain(steps).chain(batch).collect())
            }
        }
    }
}

/// The plugin that proves requests, where one does.
fn proof(verify: &config::Verify) -> Option<&config::PluginProof> {
    match verify {
        config::Verify::Plugin(proof) => Some(proof),
        config::Verify::None | config::Verify::Proof(_) => None,
    }
}

impl UseError {
    fn new(route: &config::Route, plugin: &config::Plugin, used: Use, source: PluginError) -> Self {
        Self { route: route.name.clone(), plugin: plugin.name.clone(), used, source }
    }

    fn mistake(&self) -> Mistake {
        if self.source.is_of_file() {
            let (message, plugin) = (Chain(&self.source).to_string(), self.plugin.clone());
            let about = if self.source.is_of_canary() { About::Canary(plugin) } else { About::File(plugin) };
            return Mistake { message, about };
        }
        let path = self.source.config_path().map(str::to_owned);
        let about = About::Config { route: self.route.clone(), used: self.used, path };
        Mistake { message: Chain(self).to_string(), about }
    }
}
