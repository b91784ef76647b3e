//! The keys that providers publish: fetched, kept, and asked for again when an unknown one turns up.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedMutexGuard, Semaphore};

use self::{
    cached::{Cached, Lookup},
    fetch::{Fetch, WebFetch},
};
use super::{
    Refused,
    reader::Reader,
    scheme::{KeyDocument, KeySource},
};
use crate::clock::{Clock, SystemClock, Timestamp};

pub(super) use self::published::PublishedKey;

mod cached;
mod fetch;
mod published;
mod url;

/// How many URLs are kept: requests name some of them. Of those beyond, the one longest unused goes, those without
/// keys first.
const MAX_URLS: usize = 256;

/// How many are asked at the same time: requests could have us ask for as many as they like.
const MAX_FETCHES: usize = 8;

/// How long one waits for its turn among these.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Fetches and keeps published keys, for all routes of the process.
///
/// What is fetched is fresh for an hour, or as long as the provider's `cache-control: max-age` says, within 5 minutes
/// and 24 hours; while the provider is away it is used for 24 hours more. An unknown key id has a URL asked again, at
/// most once a minute. The default keyring fetches nothing.
pub struct Keyring {
    clock: Arc<dyn Clock>,
    fetch: Option<Arc<dyn Fetch>>,
    urls: Mutex<HashMap<String, Arc<Cached>>>,
    fetches: Arc<Semaphore>,
}

impl Keyring {
    /// Fetches over HTTPS, from public addresses only.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { fetch: Some(Arc::new(WebFetch::new())), ..Self::without_fetch(clock) }
    }

    fn without_fetch(clock: Arc<dyn Clock>) -> Self {
        let fetches = Arc::new(Semaphore::new(MAX_FETCHES));
        Self { clock, fetch: None, urls: Mutex::default(), fetches }
    }

    /// The keys that may have signed a request: of this id, or any where there is none.
    ///
    /// # Errors
    /// [`Refused::KeyNotAllowed`]: the request names a host that is not the provider's, or a certificate that is not
    /// valid now. [`Refused::KeyUnknown`]: the provider has none of this id. [`Refused::KeyUnavailable`]: the provider
    /// cannot be asked, so that the sender has to try again.
    pub(super) async fn keys(
        &self,
        source: &KeySource,
        reader: &Reader<'_>,
        key_id: Option<&str>,
        now: Option<Timestamp>,
    ) -> Result<Arc<[PublishedKey]>, Refused> {
        let named = match &source.key_id {
            Some(field) if key_id.is_none() => reader.read(field)?,
            _ => None,
        };
        let key_id = key_id.or(named.as_deref());
        let url = url::of(source, reader, key_id)?;
        let keys = self.lookup(&url, &source.document, key_id).await?;
        let valid: Arc<[_]> = keys.iter().filter(|key| key.is_valid_at(now)).cloned().collect();
        match valid.is_empty() {
            true => Err(Refused::KeyNotAllowed { reason: "the certificate is not valid now".to_owned() }),
            false => Ok(valid),
        }
    }

    async fn lookup(
        &self,
        url: &reqwest::Url,
        document: &KeyDocument,
        key_id: Option<&str>,
    ) -> Result<Vec<PublishedKey>, Refused> {
        let nobody = || Refused::KeyUnavailable { reason: "no keys are fetched here".to_owned() };
        let fetch = self.fetch.as_ref().ok_or_else(nobody)?;
        let cached = self.cached(url, document);
        if let Lookup::Found(keys) = cached.find(key_id, self.clock.now()) {
            return Ok(keys);
        }
        if cached.may_ask(self.clock.now()) {
            // Others that want the same wait here, and then find what the first has fetched.
            let turn = cached.turn().await;
            let now = self.clock.now();
            if !matches!(cached.find(key_id, now), Lookup::Found(_)) && cached.may_ask(now) {
                self.ask(fetch.clone(), cached.clone(), url.clone(), turn).await;
            }
        }
        cached.best(key_id, self.clock.now())
    }

    /// In a task of its own: a sender that hangs up does not end it for the others.
    async fn ask(
        &self,
        fetch: Arc<dyn Fetch>,
        cached: Arc<Cached>,
        url: reqwest::Url,
        turn: OwnedMutexGuard<()>,
    ) {
        let (clock, fetches) = (self.clock.clone(), self.fetches.clone());
        let asking = tokio::spawn(async move {
            let answer = match tokio::time::timeout(MAX_WAIT, fetches.acquire_owned()).await {
                Ok(_place) => fetch.fetch(&url).await,
                Err(_) => Err(format!("{MAX_FETCHES} others are being asked already")),
            };
            cached.settle(&url, answer, clock.now());
            drop(turn);
        });
        // A panic in there leaves no keys, which `best` then says.
        let _ = asking.await;
    }

    fn cached(&self, url: &reqwest::Url, document: &KeyDocument) -> Arc<Cached> {
        let now = self.clock.now();
        // One URL can be read in several ways, by schemes that a config writes out.
        let name = format!("{url} {document:?}");
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        if !urls.contains_key(&name) && urls.len() >= MAX_URLS {
            let oldest = urls.iter().min_by_key(|(_, cached)| (cached.has_keys(), cached.used_at()));
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.map(|name| urls.remove(&name));
        }
        let cached = urls.entry(name).or_insert_with(|| Arc::new(Cached::new(document.clone())));
        cached.use_at(now);
        cached.clone()
    }
}

impl Default for Keyring {
    fn default() -> Self {
        Self::without_fetch(Arc::new(SystemClock))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("fetches", &self.fetch.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
