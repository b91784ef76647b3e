//! The operator's side: health, metrics, events, dead letters, replays and reloads, over HTTP.
//!
//! It reads the journal and asks [`Control`] for everything else, so it can stall or fail without touching an
//! event. [`router`] needs no socket; [`serve`] is handed one.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::Uri,
    middleware,
    routing::{get, post},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, generation, journal::Journal, telemetry::Metrics, verify::Learned};

use refusal::Refusal;

pub mod api;

mod dead_letters;

mod events;

mod guard;

mod learned;

mod lineup;

mod moment;

mod plugins;

mod probes;

mod query;

mod refusal;

mod routes;

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;

/// The largest request body that is read, in bytes: replay filters are small.
const MAX_BODY: usize = 64 << 10;

/// How long a shutdown waits for answers in hand.
const LINGER: Duration = Duration::from_secs(5);

/// What the admin listener shows and steers.
#[derive(Clone)]
pub struct Admin {
    pub journal: Arc<dyn Journal>,
    pub metrics: Arc<Metrics>,
    /// The token is read from here for every request, so a reload can change it.
    pub current: generation::Current,
    pub clock: Arc<dyn Clock>,
    /// The secrets that providers have handed us.
    pub learned: Arc<Learned>,
    pub control: Arc<dyn Control>,
}

/// What an operator can ask of the running gateway.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// Reads the config again and puts it in force, all or nothing. Returns the number of the generation now in
    /// force, or why the old one stays, fit to be shown.
    async fn reload(&self) -> Result<u64, String>;

    /// Tells the dispatcher and the lanes that a replay has put work into the journal.
    fn wake(&self);

    /// Whether the gateway takes events; if not, why. The journal's own health is looked at apart from this.
    fn readiness(&self) -> Result<(), String>;
}

/// Builds the routes of the admin listener. All but the two probes are for those that the guard lets in.
pub fn router(admin: Admin) -> Router {
    let admin = Arc::new(admin);
    let guarded = Router::new()
        .route("/metrics", get(probes::metrics))
        .route("/events", get(events::list))
        .route("/events/{id}", get(events::show))
        .route("/events/{id}/whole", get(events::whole))
        .route("/events/{id}/replay", post(events::replay))
        .route("/plugins", get(plugins::list))
        .route("/plugins/{name}/resume", post(plugins::resume))
        .route("/routes", get(routes::list))
        .route("/routes/{name}/pipeline", get(lineup::show))
        .route("/dead-letters", get(dead_letters::list))
        .route("/dead-letters/replay", post(dead_letters::replay))
        .route("/routes/{name}/learn", post(learned::expect))
        .route("/routes/{name}/forget", post(learned::forget))
        .route("/reload", post(reload))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), guard::guard));
    Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .merge(guarded)
        .fallback(async || Refusal::NoSuchPath)
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
        .with_state(admin)
}

/// Serves until `shutdown`, then gives answers in hand a few seconds. Keep it up while the gateway drains, so that
/// `/readyz` can say so.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        result = served => result,
        () = overdue => Ok(()),
    }
}

async fn reload(State(admin): State<Arc<Admin>>, uri: Uri) -> Result<Json<api::Reloaded>, Refusal> {
    query::none(&uri)?;
    let generation = admin.control.reload().await.map_err(|reason| Refusal::ReloadRefused { reason })?;
    Ok(Json(api::Reloaded { generation }))
}
