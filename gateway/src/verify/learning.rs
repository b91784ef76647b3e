//! A check with secrets that are learned while it is in use.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Check, Keyring, Settings, learned::LearnedSecrets};
use crate::config::Secret;

/// Makes its check anew as soon as another secret has been learned.
pub(super) struct Learning {
    settings: Settings,
    keyring: Arc<Keyring>,
    learned: Arc<LearnedSecrets>,
    made: ArcSwap<Made>,
}

/// A check, and the learned secrets that it was made with.
pub(super) struct Made {
    of: Arc<Vec<Secret>>,
    pub(super) check: Check,
}

impl Learning {
    pub(super) fn new(settings: &Settings, keyring: &Arc<Keyring>, learned: Arc<LearnedSecrets>) -> Self {
        let made = ArcSwap::from_pointee(Made::new(settings, keyring, learned.secrets()));
        Self { settings: settings.clone(), keyring: keyring.clone(), learned, made }
    }

    pub(super) fn current(&self) -> Arc<Made> {
        let (made, of) = (self.made.load_full(), self.learned.secrets());
        if Arc::ptr_eq(&made.of, &of) {
            return made;
        }
        let made = Arc::new(Made::new(&self.settings, &self.keyring, of));
        self.made.store(made.clone());
        made
    }
}

impl Made {
    fn new(settings: &Settings, keyring: &Arc<Keyring>, of: Arc<Vec<Secret>>) -> Self {
        let secrets = settings.secrets.iter().chain(&*of).cloned().collect();
        let check = Check::new(&Settings { secrets, ..settings.clone() }, keyring);
        Self { of, check }
    }
}
