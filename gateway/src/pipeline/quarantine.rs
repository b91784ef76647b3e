//! Keeps events away from a plugin that fails most of what it is called with.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use self::window::Window;
use crate::{clock::Timestamp, config, plugin::CallError};

mod window;

/// How long a plugin in quarantine is left alone before one event is let through to it.
pub(super) const PROBE: Duration = Duration::from_secs(5 * 60);

/// How long an event waits at the least, and at the most, before it looks whether the quarantine is over.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);

/// What is remembered of a configured plugin on a route. It outlives a reload that leaves both as they are.
#[derive(Debug, Default)]
pub struct Quarantine {
    /// Whether a call needs leave. Of a sound plugin only the counting afterwards takes the lock, for a few sums.
    is_on: AtomicBool,
    state: Mutex<State>,
}

/// A plugin in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub since: Timestamp,
    /// The last of its failures then.
    pub reason: String,
    /// When one event is let through.
    pub probe: Timestamp,
}

/// Leave to call the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Free,
    /// It is in quarantine; what comes of this call decides whether it stays there.
    Probe,
}

/// What a call says of the plugin, whatever it says of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Showing {
    Sound,
    /// A trap or a limit.
    Failed(String),
    /// By its own word no event can go through it as it is configured.
    Misconfigured(String),
}

/// What a call has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Begun(Held),
    /// It had been in quarantine, and a probe went well.
    Ended(Held),
}

#[derive(Debug, Default)]
struct State {
    calls: Window,
    held: Option<Held>,
}

impl Quarantine {
    /// The quarantine that the plugin is in.
    pub fn held(&self) -> Option<Held> {
        self.is_on.load(Ordering::Acquire).then(|| self.state().held.clone()).flatten()
    }

    /// Ends the quarantine by hand and forgets the failures.
    pub fn lift(&self) -> Option<Held> {
        let mut state = self.state();
        self.is_on.store(false, Ordering::Release);
        state.calls = Window::default();
        state.held.take()
    }

    /// Asks for leave to call the plugin.
    ///
    /// # Errors
    /// The quarantine that it is in, unless a probe is due and this is it.
    pub(super) fn admit(&self, now: Timestamp) -> Result<Leave, Held> {
        if !self.is_on.load(Ordering::Acquire) {
            return Ok(Leave::Free);
        }
        let mut state = self.state();
        match &mut state.held {
            None => Ok(Leave::Free),
            // A probe that never ends, because its task dies, is followed by another.
            Some(held) if held.probe <= now => {
                held.probe = now + PROBE;
                Ok(Leave::Probe)
            }
            Some(held) => Err(held.clone()),
        }
    }

    /// Takes note of what a call came to.
    pub(super) fn note(
        &self,
        leave: Leave,
        showing: Showing,
        settings: &config::Quarantine,
        now: Timestamp,
    ) -> Option<Change> {
        let mut state = self.state();
        if state.held.is_some() {
            // What began before the quarantine says nothing that is not known.
            let is_cured = leave == Leave::Probe && showing == Showing::Sound;
            if !is_cured {
                return None;
            }
            self.is_on.store(false, Ordering::Release);
            state.calls = Window::default();
            return state.held.take().map(Change::Ended);
        }
        let reason = match showing {
            Showing::Sound => {
                state.calls.count(settings.window, now, false);
                return None;
            }
            Showing::Failed(reason) => {
                state.calls.count(settings.window, now, true);
                let (calls, failures) = state.calls.sums(now);
                if failures < settings.failures || failures * 2 < calls {
                    return None;
                }
                reason
            }
            Showing::Misconfigured(reason) => reason,
        };
        let held = Held { since: now, reason, probe: now + PROBE };
        state.held = Some(held.clone());
        self.is_on.store(true, Ordering::Release);
        Some(Change::Begun(held))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// How long an event is to wait before it tries again: as long as the quarantine has lasted, a second at least
    /// and a minute at most.
    pub(crate) fn wait(&self, now: Timestamp) -> Duration {
        now.since(self.since).clamp(SOONEST, LATEST)
    }
}

impl Showing {
    pub(super) fn of<T>(answer: &Result<T, CallError>) -> Self {
        match answer {
            Err(error @ CallError::Config(_)) => Self::Misconfigured(error.to_string()),
            Err(error) if error.is_plugins_fault() => Self::Failed(error.to_string()),
            Ok(_) | Err(_) => Self::Sound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WhileQuarantined;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const SETTINGS: config::Quarantine =
        config::Quarantine { failures: 3, window: Duration::from_secs(60), then: WhileQuarantined::Wait };

    fn trap() -> Showing {
        Showing::Failed("trapped: x".to_owned())
    }

    fn note(quarantine: &Quarantine, showing: Showing, now: Timestamp) -> Option<Change> {
        let leave = quarantine.admit(now).unwrap();
        quarantine.note(leave, showing, &SETTINGS, now)
    }

    /// A plugin in quarantine since [`NOW`].
    fn quarantined() -> Quarantine {
        let quarantine = Quarantine::default();
        assert_eq!(note(&quarantine, trap(), NOW), None);
        assert_eq!(note(&quarantine, trap(), NOW), None);
        assert!(matches!(note(&quarantine, trap(), NOW), Some(Change::Begun(_))));
        quarantine
    }

    #[test]
    fn as_many_failures_as_configured_begin_it() {
        let quarantine = quarantined();
        let held = quarantine.held().unwrap();
        assert_eq!((held.since, &*held.reason), (NOW, "trapped: x"));
        assert_eq!(quarantine.admit(NOW), Err(held));
    }

    #[test]
    fn failures_further_apart_than_the_window_do_not() {
        let quarantine = Quarantine::default();
        for minute in 0..50 {
            let now = NOW + Duration::from_secs(61) * minute;
            assert_eq!(note(&quarantine, trap(), now), None);
            assert_eq!(note(&quarantine, trap(), now), None);
        }
    }

    #[test]
    fn failures_among_more_calls_that_go_well_do_not() {
        let quarantine = Quarantine::default();
        for _ in 0..50 {
            assert_eq!(note(&quarantine, Showing::Sound, NOW), None);
            assert_eq!(note(&quarantine, Showing::Sound, NOW), None);
            assert_eq!(note(&quarantine, trap(), NOW), None);
        }
        let begun = (0..100).find_map(|_| note(&quarantine, trap(), NOW));
        assert!(begun.is_some(), "half of the calls are enough");
    }

    #[test]
    fn word_that_the_config_is_wrong_begins_it_at_once() {
        let quarantine = Quarantine::default();
        let change = note(&quarantine, Showing::Misconfigured("no key".to_owned()), NOW);
        assert!(matches!(change, Some(Change::Begun(held)) if held.reason == "no key"));
    }

    #[test]
    fn one_event_is_let_through_at_a_time() {
        let quarantine = quarantined();
        assert!(quarantine.admit(NOW + PROBE / 2).is_err());
        assert_eq!(quarantine.admit(NOW + PROBE), Ok(Leave::Probe));
        assert!(quarantine.admit(NOW + PROBE).is_err());
        assert_eq!(quarantine.admit(NOW + PROBE * 2), Ok(Leave::Probe));
    }

    #[test]
    fn probe_that_goes_well_ends_it() {
        let quarantine = quarantined();
        let then = NOW + PROBE;
        assert!(matches!(note(&quarantine, Showing::Sound, then), Some(Change::Ended(_))));
        assert_eq!(quarantine.held(), None);
        assert_eq!(note(&quarantine, trap(), then), None, "what went before is forgotten");
    }

    #[test]
    fn probe_that_fails_does_not() {
        let quarantine = quarantined();
        assert_eq!(note(&quarantine, trap(), NOW + PROBE), None);
        assert!(quarantine.held().is_some());
    }

    #[test]
    fn call_that_began_before_does_not_end_it() {
        let quarantine = Quarantine::default();
        let early = quarantine.admit(NOW).unwrap();
        (0..3).for_each(|_| drop(note(&quarantine, trap(), NOW)));
        assert_eq!(quarantine.note(early, Showing::Sound, &SETTINGS, NOW), None);
        assert!(quarantine.held().is_some());
    }

    #[test]
    fn what_is_lifted_by_hand_begins_anew() {
        let quarantine = quarantined();
        assert!(quarantine.lift().is_some());
        assert_eq!(quarantine.lift(), None);
        assert_eq!(note(&quarantine, trap(), NOW), None);
        assert_eq!(quarantine.held(), None);
    }

    #[test]
    fn waits_grow_up_to_a_minute() {
        let held = quarantined().held().unwrap();
        let waits = [0, 10, 3600].map(|seconds| held.wait(NOW + Duration::from_secs(seconds)).as_secs());
        assert_eq!(waits, [1, 10, 60]);
    }
}
