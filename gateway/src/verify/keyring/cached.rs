//! What is known of one URL.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::OwnedMutexGuard;

use super::{
    fetch::{DEFAULT_MAX_AGE, Document},
    published::PublishedKey,
};
use crate::{
    clock::Timestamp,
    verify::{Refused, scheme::KeyDocument},
};

/// How long keys are used after they ceased to be fresh, while the provider cannot be asked.
const STALE_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a URL is left alone that has been asked, while there are keys ...
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// ... and while there are none.
const ASK_AGAIN_WITHOUT_KEYS: Duration = Duration::from_secs(5);

pub(super) struct Cached {
    document: KeyDocument,
    state: Mutex<State>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    keys: Vec<PublishedKey>,
    fresh_until: Timestamp,
    asked_at: Option<Timestamp>,
    /// Why the last asking came to nothing.
    failure: Option<String>,
    used_at: Timestamp,
}

/// What is found without asking.
pub(super) enum Lookup {
    Found(Vec<PublishedKey>),
    /// The keys are fresh, and this one is not among them.
    Unknown,
    Stale,
}

impl Cached {
    pub(super) fn new(document: KeyDocument) -> Self {
        Self { document, state: Mutex::default(), turn: Arc::default() }
    }

    pub(super) fn find(&self, key_id: Option<&str>, now: Timestamp) -> Lookup {
        let state = self.state();
        if now >= state.fresh_until {
            return Lookup::Stale;
        }
        match state.matching(key_id) {
            keys if keys.is_empty() => Lookup::Unknown,
            keys => Lookup::Found(keys),
        }
    }

    /// The keys as they are, fresh or not.
    pub(super) fn best(&self, key_id: Option<&str>, now: Timestamp) -> Result<Vec<PublishedKey>, Refused> {
        let state = self.state();
        let keys = match now < state.fresh_until + STALE_FOR {
            true => state.matching(key_id),
            false => Vec::new(),
        };
        match (&state.failure, keys.is_empty()) {
            (_, false) => Ok(keys),
            // Whether there is such a key by now nobody can tell.
            (Some(reason), true) => Err(Refused::KeyUnavailable { reason: reason.clone() }),
            (None, true) if now >= state.fresh_until => {
                Err(Refused::KeyUnavailable { reason: "the keys have not been fetched".to_owned() })
            }
            (None, true) => Err(Refused::key_unknown(key_id)),
        }
    }

    pub(super) fn may_ask(&self, now: Timestamp) -> bool {
        let state = self.state();
        let wait = if state.keys.is_empty() { ASK_AGAIN_WITHOUT_KEYS } else { ASK_AGAIN };
        state.asked_at.is_none_or(|asked_at| now.since(asked_at) >= wait)
    }

    /// Held by the one that asks.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Takes in what asking has come to.
    pub(super) fn settle(&self, url: &reqwest::Url, answer: Result<Document, String>, now: Timestamp) {
        let answer = answer.and_then(|document| {
            let keys = PublishedKey::read(&self.document, &document.body)?;
            Ok((keys, document.max_age.unwrap_or(DEFAULT_MAX_AGE)))
        });
        let mut state = self.state();
        state.asked_at = Some(now);
        match answer {
            Ok((keys, max_age)) => {
                tracing::info!(%url, keys = keys.len(), "published keys fetched");
                (state.keys, state.fresh_until, state.failure) = (keys, now + max_age, None);
            }
            Err(error) => {
                tracing::warn!(%url, %error, stale_keys = state.keys.len(), "published keys cannot be fetched");
                state.failure = Some(error);
            }
        }
    }

    pub(super) fn has_keys(&self) -> bool {
        !self.state().keys.is_empty()
    }

    pub(super) fn used_at(&self) -> Timestamp {
        self.state().used_at
    }

    pub(super) fn use_at(&self, now: Timestamp) {
        self.state().used_at = now;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn matching(&self, key_id: Option<&str>) -> Vec<PublishedKey> {
        // A document of one key has it named by its URL.
        let fits = |key: &&PublishedKey| key.id.is_none() || key.answers_to(key_id);
        self.keys.iter().filter(fits).cloned().collect()
    }
}
