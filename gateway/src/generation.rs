//! A generation: one config with everything built from it, immutable. A reload swaps the whole of it; what is in
//! flight finishes in the generation it began in.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    config::{self, Config},
    ingest::{RouteLimiter, RouteMetrics},
    pipeline::Pipeline,
    route::Router,
    verify::Verifier,
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

/// A route with all that serves it.
pub struct LiveRoute {
    pub config: Arc<config::Route>,
    pub verifier: Verifier,
    pub pipeline: Pipeline,
    /// Where the route has a rate. The tokens survive a reload: see [`RouteLimiter::carry_over`].
    pub limiter: Option<Arc<RouteLimiter>>,
    pub metrics: RouteMetrics,
}
