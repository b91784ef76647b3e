//! The windows of a lane: deliveries that wait for others to be put together with.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Outcome, batcher::Batcher, capacity::Seat};
use crate::journal::{BatchTag, Delivery, TrailEntry};

/// The most windows that are open in one lane. Beyond it the one closes that has been open longest.
const MOST: usize = 1000;

/// How long a batch that is attempted again waits for those of its members that have not come yet: a moment, for they
/// are due together.
const GATHER: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Windows {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: HashMap<Key, Open>,
    /// Windows opened so far.
    opened: u64,
}

/// What the deliveries of a window have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    New {
        route: Arc<str>,
        order: Option<String>,
    },
    /// A batch that was attempted before.
    Again([u8; 16]),
}

struct Open {
    number: u64,
    batch: Batch,
    bytes: usize,
    /// Closes when there are so many.
    events: usize,
    /// Ends the wait of whoever was to close it in time.
    _timer: DropGuard,
}

/// What a closed window held.
pub(super) struct Batch {
    pub(super) batcher: Arc<Batcher>,
    /// At least one.
    pub(super) members: Vec<Member>,
}

/// A delivery in a window, and then in a batch.
pub(super) struct Member {
    pub(super) delivery: Delivery,
    /// What has happened to it here.
    pub(super) trail: Vec<TrailEntry>,
    /// It had been waiting in the journal.
    pub(super) is_due: bool,
    pub(super) end: oneshot::Sender<Outcome>,
    pub(super) seat: Seat,
}

/// What came of a delivery that joined.
#[derive(Default)]
pub(super) struct Joined {
    pub(super) closed: Vec<Batch>,
    pub(super) opened: Option<Opened>,
}

/// A window that somebody has to close in time.
pub(super) struct Opened {
    key: Key,
    number: u64,
    pub(super) wait: Duration,
    /// Cancelled once it is closed.
    pub(super) timer: CancellationToken,
}

impl Windows {
    /// Puts a delivery into its window, which is opened for it if need be. The timer of a window is a child of
    /// `closing`.
    pub(super) fn join(&self, batcher: &Arc<Batcher>, member: Member, closing: &CancellationToken) -> Joined {
        let key = Key::of(&member.delivery, batcher);
        let mut state = self.state();
        let mut joined = Joined::default();
        if state.open.get(&key).is_some_and(|open| !open.has_room_for(&member)) {
            joined.closed.extend(state.close(&key));
        }
        if !state.open.contains_key(&key) {
            if state.open.len() >= MOST {
                joined.closed.extend(state.close_oldest());
            }
            joined.opened = Some(state.open(key.clone(), batcher, member.delivery.batch, closing));
        }
        if state.open.get_mut(&key).is_some_and(|open| open.add(member)) {
            joined.opened = None;
            joined.closed.extend(state.close(&key));
        }
        joined
    }

    /// Closes a window, unless that has happened.
    pub(super) fn close(&self, opened: &Opened) -> Option<Batch> {
        let mut state = self.state();
        let is_same = state.open.get(&opened.key).is_some_and(|open| open.number == opened.number);
        is_same.then(|| state.close(&opened.key)).flatten()
    }

    /// Closes the window that has been open longest.
    pub(super) fn close_oldest(&self) -> Option<Batch> {
        self.state().close_oldest()
    }

    /// How many deliveries are in open windows.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.state().open.values().map(|open| open.batch.members.len()).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn of(delivery: &Delivery, batcher: &Batcher) -> Self {
        match &delivery.batch {
            Some(tag) => Self::Again(tag.id),
            None => Self::New {
                route: delivery.route.clone(),
                order: delivery.message.key.clone().filter(|_| batcher.settings.by_key),
            },
        }
    }
}

impl State {
    fn open(
        &mut self,
        key: Key,
        batcher: &Arc<Batcher>,
        again: Option<BatchTag>,
        closing: &CancellationToken,
    ) -> Opened {
        self.opened += 1;
        let timer = closing.child_token();
        let open = Open {
            number: self.opened,
            batch: Batch { batcher: batcher.clone(), members: Vec::new() },
            bytes: 0,
            events: again.map_or(batcher.settings.events, |tag| tag.members as usize),
            _timer: timer.clone().drop_guard(),
        };
        self.open.insert(key.clone(), open);
        let wait = if again.is_some() { GATHER } else { batcher.settings.wait };
        Opened { key, number: self.opened, wait, timer }
    }

    fn close(&mut self, key: &Key) -> Option<Batch> {
        let mut batch = self.open.remove(key)?.batch;
        if let Key::Again(_) = key {
            batch.members.sort_by_key(|member| member.delivery.batch.map(|tag| tag.place));
        }
        Some(batch)
    }

    fn close_oldest(&mut self) -> Option<Batch> {
        let oldest = self.open.iter().min_by_key(|(_, open)| open.number)?.0.clone();
        self.close(&oldest)
    }
}

impl Open {
    /// A batch that is attempted again is as large as it was.
    fn has_room_for(&self, member: &Member) -> bool {
        let bytes = self.bytes + member.delivery.message.body.len();
        member.delivery.batch.is_some() || bytes <= self.batch.batcher.settings.bytes
    }

    /// `true`: nothing more fits.
    fn add(&mut self, member: Member) -> bool {
        let is_again = member.delivery.batch.is_some();
        self.bytes += member.delivery.message.body.len();
        self.batch.members.push(member);
        self.batch.members.len() >= self.events
            || (!is_again && self.bytes >= self.batch.batcher.settings.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::{
        batcher::Settings,
        capacity::Capacity,
        testing::{SETTINGS, batcher, delivery},
    };

    struct Bench {
        windows: Windows,
        closing: CancellationToken,
    }

    impl Bench {
        fn new() -> Self {
            Self { windows: Windows::default(), closing: CancellationToken::new() }
        }

        fn join(&self, settings: Settings, delivery: Delivery) -> Joined {
            let seat = Capacity::new(Default::default()).take(&Arc::default(), &delivery).unwrap();
            let end = oneshot::channel().0;
            let member = Member { delivery, trail: Vec::new(), is_due: false, end, seat };
            self.windows.join(&batcher(settings), member, &self.closing)
        }
    }

    fn of_key(key: &str) -> Delivery {
        let mut delivery = delivery("{}");
        delivery.message.key = Some(key.to_owned());
        delivery
    }

    fn again(members: u32, place: u32) -> Delivery {
        Delivery { batch: Some(BatchTag { id: [1; 16], members, place }), ..delivery(&place.to_string()) }
    }

    fn sizes(joined: &Joined) -> Vec<usize> {
        joined.closed.iter().map(|batch| batch.members.len()).collect()
    }

    #[test]
    fn window_closes_when_it_has_all_its_events() {
        let bench = Bench::new();
        let settings = Settings { events: 3, ..SETTINGS };
        let first = bench.join(settings, delivery("1"));
        let opened = first.opened.unwrap();
        assert!(!opened.timer.is_cancelled());
        assert!(bench.join(settings, delivery("2")).closed.is_empty());
        let third = bench.join(settings, delivery("3"));
        assert_eq!((sizes(&third), third.opened.is_none()), (vec![3], true));
        assert!(opened.timer.is_cancelled() && bench.windows.close(&opened).is_none());
    }

    #[test]
    fn window_closes_before_its_bytes_are_too_many() {
        let bench = Bench::new();
        let settings = Settings { bytes: 10, ..SETTINGS };
        assert!(bench.join(settings, delivery("12345")).closed.is_empty());
        assert_eq!(sizes(&bench.join(settings, delivery("123456"))), [1]);
        assert_eq!(sizes(&bench.join(settings, delivery("1234"))), [2], "full to the last byte");
        let alone = bench.join(settings, delivery("12345678901"));
        assert_eq!((sizes(&alone), alone.opened.is_none()), (vec![1], true));
    }

    #[test]
    fn keys_have_windows_of_their_own_only_where_asked() {
        let together = Settings { events: 2, ..SETTINGS };
        let apart = Settings { by_key: true, ..together };
        for (settings, expected) in [(together, vec![2]), (apart, vec![])] {
            let bench = Bench::new();
            bench.join(settings, of_key("a"));
            assert_eq!(sizes(&bench.join(settings, of_key("b"))), expected);
        }
    }

    #[test]
    fn window_keeps_the_settings_that_it_was_opened_with() {
        let bench = Bench::new();
        bench.join(Settings { events: 3, ..SETTINGS }, delivery("1"));
        assert!(bench.join(Settings { events: 2, ..SETTINGS }, delivery("2")).closed.is_empty());
        assert_eq!(sizes(&bench.join(Settings { events: 1, ..SETTINGS }, delivery("3"))), [3]);
    }

    #[test]
    fn batch_of_before_is_put_together_again_in_its_order_whatever_the_settings_are() {
        let bench = Bench::new();
        let settings = Settings { events: 2, bytes: 1, by_key: true, ..SETTINGS };
        let first = bench.join(settings, again(3, 2));
        assert_eq!(first.opened.unwrap().wait, GATHER);
        assert!(bench.join(settings, again(3, 0)).closed.is_empty());
        let [batch] = bench.join(settings, again(3, 1)).closed.try_into().ok().unwrap();
        let bodies: Vec<_> = batch.members.iter().map(|member| &member.delivery.message.body[..]).collect();
        assert_eq!(bodies, [b"0", b"1", b"2"]);
    }

    #[test]
    fn windows_of_a_lane_are_bounded_and_the_oldest_makes_room() {
        let bench = Bench::new();
        let settings = Settings { by_key: true, ..SETTINGS };
        let first = bench.join(settings, of_key("first")).opened.unwrap();
        for key in 1..MOST {
            assert!(bench.join(settings, of_key(&key.to_string())).closed.is_empty());
        }
        assert_eq!(sizes(&bench.join(settings, of_key("one more"))), [1]);
        assert!(first.timer.is_cancelled());
    }
}
