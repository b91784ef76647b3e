//! What a plugin may call only where the config grants it: `kv` and `http`.
//!
//! They are linked for every plugin, since some languages import all of the contract, and answer `denied` where they
//! are not granted. The guest waits for them with its clock stopped, and not for longer than `limits.wait`.

use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::{counter::Counter, family::Family};

use super::{
    bindings::{http, kv},
    guest::Guest,
    outbound::{Outbound, OutboundError, OutboundRequest, OutboundResponse},
};
use crate::{
    clock::{Clock, Timestamp},
    config,
    journal::{KvError, KvKey, KvSpace, KvStore, KvValue},
    telemetry::{GrantLabels, Metrics},
};

/// What serves plugins that are granted something.
#[derive(Clone)]
pub struct Services {
    store: Arc<dyn KvStore>,
    outbound: Arc<Outbound>,
    clock: Arc<dyn Clock>,
    calls: Family<GrantLabels, Counter>,
}

impl Services {
    pub fn new(store: Arc<dyn KvStore>, clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        Self { store, outbound: Arc::default(), clock, calls: metrics.plugin_grants.clone() }
    }
}

/// What one plugin is granted, and what serves it.
pub(super) struct Granted {
    plugin: Arc<str>,
    grants: config::Grants,
    /// The plugin's limit, of which responses may take a part.
    memory: usize,
    /// `None`: nobody serves it here, in the tools for authors.
    services: Option<Services>,
}

impl Granted {
    pub(super) fn new(plugin: &config::Plugin, services: Option<&Services>) -> Arc<Self> {
        Arc::new(Self {
            plugin: plugin.name.clone(),
            grants: plugin.grants.clone(),
            memory: plugin.limits.memory,
            services: services.cloned(),
        })
    }

    pub(super) fn grants(&self) -> &config::Grants {
        &self.grants
    }

    /// The values of this plugin on `route`, if it may have any.
    fn shelf(&self, route: &Arc<str>) -> Result<Shelf, kv::KvError> {
        let Some(max_bytes) = self.grants.kv else {
            return Err(kv::KvError::Denied(format!(
                "the config grants it no `kv`; add `grants = {{ kv = \"1MiB\" }}` to [plugins.{}]",
                self.plugin
            )));
        };
        let services = self.services.as_ref().ok_or_else(|| kv::KvError::Denied(unserved("kv")))?;
        let (plugin, route) = (self.plugin.clone(), route.clone());
        Ok(Shelf {
            store: services.store.clone(),
            space: KvSpace { plugin, route, max_bytes },
            now: services.clock.now(),
        })
    }

    /// Sends a request, if it may go where it wants to.
    async fn send(&self, request: http::Request) -> Result<http::Response, http::HttpError> {
        if self.grants.http.is_empty() {
            return Err(http::HttpError::Denied(format!(
                "the config grants it no `http`; add `grants = {{ http = [\"api.example.com\"] }}` to [plugins.{}]",
                self.plugin
            )));
        }
        let services = self.services.as_ref().ok_or_else(|| http::HttpError::Denied(unserved("http")))?;
        let response =
            services.outbound.send(&self.plugin, &self.grants.http, self.memory, request.into()).await?;
        Ok(response.into())
    }

    fn count(&self, grant: &'static str, outcome: &'static str) {
        if let Some(services) = &self.services {
            let labels = GrantLabels { plugin: self.plugin.clone(), grant, outcome };
            services.calls.get_or_create_owned(&labels).inc();
        }
    }
}

/// A plugin's values on a route, now.
struct Shelf {
    store: Arc<dyn KvStore>,
    space: KvSpace,
    now: Timestamp,
}

fn unserved(what: &str) -> String {
    format!("there is no `{what}` here, only in a running gateway")
}

fn configuring(what: &str) -> String {
    format!("`{what}` cannot be used while the plugin is configured; call it with the first event")
}

impl Guest {
    /// Does something with the values of the call's route.
    async fn with_shelf<T, F>(
        &mut self,
        ask: impl FnOnce(Shelf) -> F + Send,
    ) -> wasmtime::Result<Result<T, kv::KvError>>
    where
        F: Future<Output = Result<T, KvError>> + Send,
    {
        let Some((granted, route)) = self.granted() else {
            return Ok(Err(kv::KvError::Denied(configuring("kv"))));
        };
        let done = match granted.shelf(&route) {
            Ok(shelf) => {
                self.wait_for(ask(shelf)).await.inspect_err(|_| granted.count("kv", "wait-limit"))?
            }
            Err(denied) => {
                granted.count("kv", "denied");
                return Ok(Err(denied));
            }
        };
        granted.count("kv", done.as_ref().map_or_else(kv_outcome, |_| "done"));
        Ok(done.map_err(kv::KvError::from))
    }
}

impl kv::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, kv::KvError>> {
        self.with_shelf(|Shelf { store, space, now }| async move {
            Ok(store.get(&space, &KvKey::new(key)?, now).await?.map(Vec::from))
        })
        .await
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), kv::KvError>> {
        self.with_shelf(|Shelf { store, space, now }| async move {
            let (key, value) = (KvKey::new(key)?, KvValue::new(value)?);
            store.set(&space, &key, value, ttl_ms.map(Duration::from_millis), now).await
        })
        .await
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<bool, kv::KvError>> {
        self.with_shelf(|Shelf { store, space, now }| async move {
            store.delete(&space, &KvKey::new(key)?, now).await
        })
        .await
    }

    async fn add(
        &mut self,
        key: String,
        by: i64,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<i64, kv::KvError>> {
        self.with_shelf(|Shelf { store, space, now }| async move {
            store.add(&space, &KvKey::new(key)?, by, ttl_ms.map(Duration::from_millis), now).await
        })
        .await
    }
}

impl http::Host for Guest {
    async fn send(
        &mut self,
        request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::HttpError>> {
        let Some((granted, _)) = self.granted() else {
            return Ok(Err(http::HttpError::Denied(configuring("http"))));
        };
        let sent = self
            .wait_for(granted.send(request))
            .await
            .inspect_err(|_| granted.count("http", "wait-limit"))?;
        granted.count("http", sent.as_ref().map_or_else(http_outcome, |_| "done"));
        Ok(sent)
    }
}

fn kv_outcome(error: &KvError) -> &'static str {
    match error {
        KvError::TooLarge(_) => "too-large",
        KvError::Full { .. } => "full",
        KvError::NotANumber(_) => "not-a-number",
        KvError::Unavailable(_) => "unavailable",
    }
}

fn http_outcome(error: &http::HttpError) -> &'static str {
    match error {
        http::HttpError::Denied(_) => "denied",
        http::HttpError::Invalid(_) => "invalid",
        http::HttpError::Timeout(_) => "timeout",
        http::HttpError::TooLarge(_) => "too-large",
        http::HttpError::Failed(_) => "failed",
    }
}

impl From<KvError> for kv::KvError {
    fn from(error: KvError) -> Self {
        let why = error.to_string();
        match error {
            KvError::TooLarge(_) => Self::TooLarge(why),
            KvError::Full { .. } => Self::Full(why),
            KvError::NotANumber(_) => Self::NotANumber(why),
            KvError::Unavailable(_) => Self::Unavailable(why),
        }
    }
}

impl From<http::Request> for OutboundRequest {
    fn from(request: http::Request) -> Self {
        let http::Request { method, url, headers, body, timeout_ms } = request;
        let timeout = timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        Self { method, url, headers, body, timeout }
    }
}

impl From<OutboundResponse> for http::Response {
    fn from(response: OutboundResponse) -> Self {
        let OutboundResponse { status, headers, body } = response;
        Self { status, headers, body }
    }
}

impl From<OutboundError> for http::HttpError {
    fn from(error: OutboundError) -> Self {
        let why = error.to_string();
        match error {
            OutboundError::Denied(_) => Self::Denied(why),
            OutboundError::Invalid(_) => Self::Invalid(why),
            OutboundError::Timeout(_) => Self::Timeout(why),
            OutboundError::TooLarge(_) => Self::TooLarge(why),
            OutboundError::Failed(_) => Self::Failed(why),
        }
    }
}

#[cfg(test)]
mod tests;
