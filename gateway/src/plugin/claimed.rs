//! What a `verify` plugin sees of a request.

use std::sync::Arc;

use http::HeaderValue;

use crate::{config::Secret, verify::Unverified};

/// A request of which nothing is proven yet, as its sender claims it to be. Cheap to clone.
#[derive(Clone)]
pub struct Claimed {
    request: Arc<Unverified>,
    /// Those that are valid now.
    secrets: Arc<[Secret]>,
    url: Option<Arc<str>>,
}

impl Claimed {
    /// `secrets` are those of the route that are valid now, `url` is ours as the sender knows it, with path and query.
    pub fn new(request: Arc<Unverified>, secrets: Arc<[Secret]>, url: Option<Arc<str>>) -> Self {
        Self { request, secrets, url }
    }

    pub fn request(&self) -> &Unverified {
        &self.request
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
