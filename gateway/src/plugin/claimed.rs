//! What a `verify` plugin sees of a request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::HeaderValue;

use crate::{config::Secret, verify::Unverified};

/// A request of which nothing is proven yet, as its sender claims it to be. Cheap to clone.
#[derive(Clone)]
pub struct Claimed {
    request: Arc<Unverified>,
    /// Those that are valid now.
    secrets: Arc<[Secret]>,
    url: Option<Arc<str>>,
    matched: Matched,
}

/// Which secret a plugin has last found to match. Shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct Matched(Arc<AtomicUsize>);

impl Matched {
    /// Its place among the secrets that the plugin could ask about, from 0.
    pub fn get(&self) -> Option<usize> {
        self.0.load(Ordering::Relaxed).checked_sub(1)
    }

    fn set(&self, index: usize) {
        self.0.store(index + 1, Ordering::Relaxed);
    }
}

impl Claimed {
    /// `secrets` are those of the route that are valid now, `url` is ours as the sender knows it, with path and query.
    pub fn new(request: Arc<Unverified>, secrets: Arc<[Secret]>, url: Option<Arc<str>>) -> Self {
        Self { request, secrets, url, matched: Matched::default() }
    }

    pub fn request(&self) -> &Unverified {
        &self.request
    }

    /// Tells which secret the plugin has last found to match, also after the call.
    pub fn matched(&self) -> Matched {
        self.matched.clone()
    }

    /// Remembers a match; whether it is one.
    pub(super) fn note(&self, index: Option<usize>) -> bool {
        index.inspect(|index| self.matched.set(*index)).is_some()
    }

    pub(super) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    pub(super) fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    pub(super) fn header_values(&self, name: &str) -> impl Iterator<Item = &HeaderValue> {
        self.request.headers.get_all(name).iter()
    }
}
