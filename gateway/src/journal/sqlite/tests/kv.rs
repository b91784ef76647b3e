//! Plugins' values, one by one and as random sequences against a model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::journal::{KvError, KvKey, KvSpace, KvStore, KvValue};

const ROOMY: u64 = 1 << 20;

fn space(plugin: &str, route: &str, max_bytes: u64) -> KvSpace {
    KvSpace { plugin: plugin.into(), route: route.into(), max_bytes }
}

fn key(text: &str) -> KvKey {
    KvKey::new(text).unwrap()
}

impl Bench {
    async fn put(
        &self,
        space: &KvSpace,
        name: &str,
        value: &str,
        ttl: Option<Duration>,
    ) -> Result<(), KvError> {
        let value = KvValue::new(Bytes::copy_from_slice(value.as_bytes())).unwrap();
        self.journal().set(space, &key(name), value, ttl, self.now()).await
    }

    async fn value(&self, space: &KvSpace, name: &str) -> Option<String> {
        let value = self.journal().get(space, &key(name), self.now()).await.unwrap();
        value.map(|value| String::from_utf8(value.into()).unwrap())
    }

    async fn add(&self, space: &KvSpace, name: &str, by: i64, ttl: Option<Duration>) -> Result<i64, KvError> {
        self.journal().add(space, &key(name), by, ttl, self.now()).await
    }

    async fn remove(&self, space: &KvSpace, name: &str) -> bool {
        self.journal().delete(space, &key(name), self.now()).await.unwrap()
    }

    /// What the database says it holds, and what it holds.
    fn sums(&self) -> (i64, i64) {
        let sums = "SELECT (SELECT coalesce(sum(bytes), 0) FROM kv_space),
                           (SELECT coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0) FROM kv)";
        let conn = self.journal().shared.dispatch_connection();
        conn.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }
}

/// Sets a value, crashes, and expects it to be there.
pub(super) async fn assert_keeps_values(bench: &mut Bench) {
    let space = space("p", "r", ROOMY);
    bench.put(&space, "k", "kept", None).await.unwrap();
    bench.crash();
    assert_eq!(bench.value(&space, "k").await.as_deref(), Some("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn value_survives_a_crash() {
    assert_keeps_values(&mut Bench::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spaces_are_apart() {
    let bench = Bench::new();
    let (a, b, c) = (space("p", "a", ROOMY), space("p", "b", ROOMY), space("q", "a", ROOMY));
    bench.put(&a, "k", "a's", None).await.unwrap();
    assert_eq!((bench.value(&b, "k").await, bench.value(&c, "k").await), (None, None));
    assert!(!bench.remove(&b, "k").await);
    assert!(bench.remove(&a, "k").await);
    assert_eq!(bench.value(&a, "k").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn value_is_gone_once_its_time_is_up() {
    let bench = Bench::new();
    let space = space("p", "r", ROOMY);
    bench.put(&space, "k", "v", Some(HOUR)).await.unwrap();
    bench.clock.advance(HOUR - Duration::from_millis(1));
    assert_eq!(bench.value(&space, "k").await.as_deref(), Some("v"));
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.value(&space, "k").await, None);
    assert!(!bench.remove(&space, "k").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_deletes_what_nobody_asks_for_any_more() {
    let bench = Bench::new();
    let space = space("p", "r", ROOMY);
    for number in 0..300 {
        bench.put(&space, &format!("k{number}"), "v", Some(HOUR)).await.unwrap();
    }
    bench.put(&space, "stays", "v", None).await.unwrap();
    bench.clock.advance(HOUR);
    until(async || bench.sums() == (6, 6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_additions_all_count() {
    let bench = Bench::new();
    let racing = (0..100).map(|_| {
        let (journal, now) = (bench.journal().clone(), bench.now());
        tokio::spawn(async move { journal.add(&space("p", "r", ROOMY), &key("n"), 3, None, now).await })
    });
    let mut seen = Vec::new();
    for addition in racing.collect::<Vec<_>>() {
        seen.push(addition.await.unwrap().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=100).map(|n| n * 3).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn number_keeps_the_time_that_it_began_with() {
    let bench = Bench::new();
    let space = space("p", "r", ROOMY);
    assert_eq!(bench.add(&space, "n", 1, Some(HOUR)).await.unwrap(), 1);
    bench.clock.advance(HOUR / 2);
    assert_eq!(bench.add(&space, "n", 1, Some(HOUR)).await.unwrap(), 2);
    bench.clock.advance(HOUR / 2);
    assert_eq!(bench.add(&space, "n", 1, None).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_number_is_not_added_to() {
    let bench = Bench::new();
    let space = space("p", "r", ROOMY);
    for text in ["", "one", "1.5", "9223372036854775808", "111111111111111111111111111"] {
        bench.put(&space, "n", text, None).await.unwrap();
        let refused = bench.add(&space, "n", 1, None).await;
        assert!(matches!(refused, Err(KvError::NotANumber(_))), "{text}: {refused:?}");
        assert_eq!(bench.value(&space, "n").await.as_deref(), Some(text));
    }
    bench.put(&space, "n", &i64::MAX.to_string(), None).await.unwrap();
    assert!(matches!(bench.add(&space, "n", 1, None).await, Err(KvError::NotANumber(_))));
    assert_eq!(bench.add(&space, "n", -1, None).await.unwrap(), i64::MAX - 1);
    bench.put(&space, "n", "-9223372036854775807", None).await.unwrap();
    assert_eq!(bench.add(&space, "n", -1, None).await.unwrap(), i64::MIN);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_space_takes_no_more_but_may_shrink() {
    let bench = Bench::new();
    let space = space("p", "r", 10);
    bench.put(&space, "a", "1234", None).await.unwrap();
    bench.put(&space, "b", "1234", None).await.unwrap();
    let refused = bench.put(&space, "c", "", None).await;
    assert!(matches!(refused, Err(KvError::Full { wanted: 11, max: 10 })), "{refused:?}");
    assert!(matches!(bench.add(&space, "n", 1, None).await, Err(KvError::Full { .. })));
    assert!(matches!(bench.put(&space, "a", "12345", None).await, Err(KvError::Full { .. })));
    bench.put(&space, "a", "123", None).await.unwrap();
    let less = KvSpace { max_bytes: 5, ..space.clone() };
    bench.put(&less, "b", "12", None).await.unwrap();
    assert!(bench.remove(&less, "b").await);
    bench.put(&less, "c", "", None).await.unwrap();
    assert_eq!(bench.sums(), (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_space_forgets_what_has_had_its_time_first() {
    let bench = Bench::new();
    let space = space("p", "r", 400 * 5);
    for number in 100..500 {
        bench.put(&space, &format!("k{number}"), "v", Some(HOUR)).await.unwrap();
    }
    assert!(matches!(bench.put(&space, "k", "v", None).await, Err(KvError::Full { .. })));
    bench.clock.advance(HOUR);
    bench.put(&space, "k", &"v".repeat(1999), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_at_max_size_takes_no_values_but_deletes_them() {
    let mut bench = Bench::new();
    let space = space("p", "r", ROOMY);
    bench.put(&space, "k", "v", None).await.unwrap();
    bench.config.max_size = 1;
    bench.crash();
    let refused = bench.put(&space, "l", "v", None).await;
    assert!(matches!(refused, Err(KvError::Unavailable(JournalError::Full(_)))), "{refused:?}");
    assert_eq!(bench.value(&space, "k").await.as_deref(), Some("v"));
    assert!(bench.remove(&space, "k").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_journal_neither_takes_nor_shows_values() {
    let bench = Bench::new();
    let space = space("p", "r", ROOMY);
    bench.put(&space, "k", "v", None).await.unwrap();
    bench.journal().shared.poison("fsync failed");
    let refused = bench.put(&space, "k", "w", None).await;
    assert!(matches!(refused, Err(KvError::Unavailable(JournalError::Poisoned(_)))), "{refused:?}");
    let read = bench.journal().get(&space, &key("k"), bench.now()).await;
    assert!(matches!(read, Err(KvError::Unavailable(JournalError::Poisoned(_)))), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_refuses_values_and_takes_them_again_by_itself() {
    let Some(disk) = trouble::SmallDisk::mount(48) else { return };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 20 << 20]).unwrap();
    let mut bench = Bench::with(|config| config.path = disk.path().join("data"));
    let (space, large) = (space("p", "r", 1 << 30), "x".repeat(60 << 10));
    let mut kept = 0;
    let refused = loop {
        match bench.put(&space, &format!("k{kept}"), &large, None).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 1000, "the disk is never full");
    };
    assert!(matches!(refused, KvError::Unavailable(JournalError::Full(_))), "{refused:?}");
    let (said, held) = bench.sums();
    assert_eq!((said, said), (held, bench_size(kept, large.len())));
    std::fs::remove_file(&ballast).unwrap();
    until(async || bench.put(&space, "again", "room", None).await.is_ok()).await;
    bench.crash();
    assert_eq!(bench.value(&space, "again").await.as_deref(), Some("room"));
    assert_eq!(bench.value(&space, &format!("k{kept}")).await, None);
    bench.journal = None;
}

/// The bytes of values `k0` to `k<count - 1>` of `len` bytes each.
fn bench_size(count: usize, len: usize) -> i64 {
    (0..count).map(|number| format!("k{number}").len() + len).sum::<usize>() as i64
}

#[derive(Clone, Debug)]
enum Step {
    Set { space: usize, key: usize, len: usize, minutes: Option<u64> },
    Add { space: usize, key: usize, by: i64, minutes: Option<u64> },
    Delete { space: usize, key: usize },
    Wait { minutes: u64 },
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || (0..2_usize, 0..4_usize);
    let minutes = || proptest::option::of(1..90_u64);
    let step = prop_oneof![
        4 => (place(), 0..12_usize, minutes())
            .prop_map(|((space, key), len, minutes)| Step::Set { space, key, len, minutes }),
        4 => (place(), -500..500_i64, minutes())
            .prop_map(|((space, key), by, minutes)| Step::Add { space, key, by, minutes }),
        2 => place().prop_map(|(space, key)| Step::Delete { space, key }),
        2 => (1..60_u64).prop_map(|minutes| Step::Wait { minutes }),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..50)
}

/// What a space should hold: its values and when each goes.
type Model = BTreeMap<String, (String, Option<Timestamp>)>;

const MODEL_MAX: u64 = 24;

fn size(model: &Model) -> u64 {
    model.iter().map(|(key, (value, _))| (key.len() + value.len()) as u64).sum()
}

/// Puts a value into the model if there is room; whether there was.
fn put(model: &mut Model, key: &str, value: String, expires: Option<Timestamp>) -> bool {
    let mut wanted = model.clone();
    wanted.insert(key.into(), (value, expires));
    let fits = size(&wanted) <= MODEL_MAX;
    if fits {
        *model = wanted;
    }
    fits
}

struct Run {
    bench: Bench,
    spaces: [KvSpace; 2],
    models: [Model; 2],
}

impl Run {
    async fn step(&mut self, step: Step) {
        let now = self.bench.now();
        let expires = |minutes: Option<u64>| minutes.map(|minutes| now + Duration::from_secs(60 * minutes));
        let ttl = |minutes: Option<u64>| minutes.map(|minutes| Duration::from_secs(60 * minutes));
        match step {
            Step::Set { space, key, len, minutes } => {
                let (name, value) = (format!("k{key}"), "v".repeat(len));
                let made = self.bench.put(&self.spaces[space], &name, &value, ttl(minutes)).await;
                let fits = put(&mut self.models[space], &name, value, expires(minutes));
                assert_eq!(made.is_ok(), fits, "{made:?}");
            }
            Step::Add { space, key, by, minutes } => {
                let name = format!("k{key}");
                let made = self.bench.add(&self.spaces[space], &name, by, ttl(minutes)).await;
                self.add_to_model(space, &name, by, expires(minutes), made);
            }
            Step::Delete { space, key } => {
                let name = format!("k{key}");
                let removed = self.models[space].remove(&name).is_some();
                assert_eq!(self.bench.remove(&self.spaces[space], &name).await, removed);
            }
            Step::Wait { minutes } => self.wait(minutes),
            Step::Crash => self.bench.crash(),
        }
    }

    fn add_to_model(
        &mut self,
        space: usize,
        name: &str,
        by: i64,
        expires: Option<Timestamp>,
        made: Result<i64, KvError>,
    ) {
        let model = &mut self.models[space];
        let (old, expires) = match model.get(name) {
            Some((value, kept)) => (value.parse::<i64>(), *kept),
            None => (Ok(0), expires),
        };
        let Ok(old) = old else {
            return assert!(matches!(made, Err(KvError::NotANumber(_))), "{made:?}");
        };
        match put(model, name, (old + by).to_string(), expires) {
            true => assert_eq!(made.unwrap(), old + by),
            false => assert!(matches!(made, Err(KvError::Full { .. })), "{made:?}"),
        }
    }

    fn wait(&mut self, minutes: u64) {
        self.bench.clock.advance(Duration::from_secs(60 * minutes));
        let now = self.bench.now();
        for model in &mut self.models {
            model.retain(|_, (_, expires)| expires.is_none_or(|expires| expires > now));
        }
    }

    async fn check(&self) {
        for (space, model) in self.spaces.iter().zip(&self.models) {
            for name in ["k0", "k1", "k2", "k3"] {
                let expected = model.get(name).map(|(value, _)| value.clone());
                assert_eq!(self.bench.value(space, name).await, expected, "{name}");
            }
        }
        let (said, held) = self.bench.sums();
        assert_eq!(said, held);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn any_history_ends_as_the_model_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let spaces = [space("p", "r", MODEL_MAX), space("p", "s", MODEL_MAX)];
            let mut run = Run { bench: Bench::new(), spaces, models: Default::default() };
            for step in steps {
                run.step(step).await;
                run.check().await;
            }
        });
    }
}
