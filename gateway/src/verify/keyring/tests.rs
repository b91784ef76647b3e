use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;

use super::{
    fetch::{DEFAULT_MAX_AGE, Document},
    *,
};
use crate::{
    clock::ManualClock,
    verify::{Unverified, Vars, tests::request},
};

/// Answers what it was told to, in that order, and the last answer from then on.
struct Scripted {
    answers: Mutex<VecDeque<Result<String, &'static str>>>,
    max_age: Option<Duration>,
    /// Every answer takes one.
    gate: Semaphore,
    asked: AtomicUsize,
}

#[async_trait]
impl Fetch for Scripted {
    async fn fetch(&self, _: &reqwest::Url) -> Result<Document, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        };
        let body = answer.map_err(str::to_owned)?.into_bytes();
        Ok(Document { body, max_age: self.max_age })
    }
}

struct Bench {
    clock: Arc<ManualClock>,
    fetch: Arc<Scripted>,
    keyring: Arc<Keyring>,
    source: KeySource,
    request: Unverified,
}

impl Bench {
    fn new(answers: impl IntoIterator<Item = Result<String, &'static str>>) -> Self {
        Self::with_max_age(answers, None)
    }

    fn with_max_age(
        answers: impl IntoIterator<Item = Result<String, &'static str>>,
        max_age: Option<Duration>,
    ) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)));
        let answers = Mutex::new(answers.into_iter().collect());
        let (gate, asked) = (Semaphore::new(1000), AtomicUsize::new(0));
        let fetch = Arc::new(Scripted { answers, max_age, gate, asked });
        let keyring = Keyring { fetch: Some(fetch.clone()), ..Keyring::without_fetch(clock.clone()) };
        let source = source("url = 'https://keys.test/jwks'\nhosts = ['keys.test']\ndocument = 'jwks'");
        Self { clock, fetch, keyring: Arc::new(keyring), source, request: request() }
    }

    /// How many keys are found, or why none.
    async fn keys(&self, key_id: Option<&str>) -> Result<usize, &'static str> {
        let vars = Vars::default();
        let reader = Reader::new(&self.request, &vars);
        let keys = self.keyring.keys(&self.source, &reader, key_id, Some(self.clock.now())).await;
        keys.map(|keys| keys.len()).map_err(|refused| refused.code())
    }

    fn asked(&self) -> usize {
        self.fetch.asked.load(Ordering::SeqCst)
    }

    fn advance(&self, secs: u64) {
        self.clock.advance(Duration::from_secs(secs));
    }
}

fn source(text: &str) -> KeySource {
    toml::from_str(text).unwrap()
}

/// A key set with keys of these ids.
fn jwks(ids: &[&str]) -> Result<String, &'static str> {
    const X: &str = "C7FHjbiePLAhWgYXUYCXClazW9O-mLaFmm2KSwUpepQ";
    const Y: &str = "amQJfDBCAtBlFaJBoRaC6lnIy4ev9QwC7Mo5J_-GRIU";
    let key = |id: &&str| json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": X, "y": Y });
    Ok(json!({ "keys": ids.iter().map(key).collect::<Vec<_>>() }).to_string())
}

const HOUR: u64 = 60 * 60;

#[tokio::test]
async fn keys_are_fetched_once_and_are_fresh_for_an_hour() {
    let bench = Bench::new([jwks(&["a", "b"])]);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    assert_eq!(bench.keys(Some("b")).await, Ok(1));
    assert_eq!(bench.keys(None).await, Ok(2));
    bench.advance(HOUR - 1);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    assert_eq!(bench.asked(), 1);
    bench.advance(1);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    assert_eq!(bench.asked(), 2);
    assert_eq!(DEFAULT_MAX_AGE.as_secs(), HOUR);
}

#[tokio::test]
async fn keys_are_fresh_as_long_as_the_provider_says() {
    let bench = Bench::with_max_age([jwks(&["a"])], Some(Duration::from_secs(300)));
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    bench.advance(299);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    assert_eq!(bench.asked(), 1);
    bench.advance(1);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn an_unknown_id_asks_again_once_a_minute() {
    let bench = Bench::new([jwks(&["a"]), jwks(&["a", "b"])]);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    for _ in 0..5 {
        assert_eq!(bench.keys(Some("b")).await, Err("key_unknown"));
    }
    assert_eq!(bench.asked(), 1);
    bench.advance(60);
    assert_eq!(bench.keys(Some("b")).await, Ok(1));
    for _ in 0..5 {
        assert_eq!(bench.keys(Some("c")).await, Err("key_unknown"));
    }
    assert_eq!(bench.asked(), 2);
}

#[tokio::test]
async fn a_key_that_the_provider_withdraws_no_longer_counts() {
    let bench = Bench::new([jwks(&["a"]), jwks(&["b"])]);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    bench.advance(HOUR);
    assert_eq!(bench.keys(Some("a")).await, Err("key_unknown"));
}

#[tokio::test]
async fn while_the_provider_is_away_keys_are_used_for_a_day_more() {
    let bench = Bench::new([jwks(&["a"]), Err("away")]);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    bench.advance(HOUR);
    for _ in 0..5 {
        assert_eq!(bench.keys(Some("a")).await, Ok(1));
    }
    assert_eq!(bench.asked(), 2, "it is left alone for a minute");
    // Nobody can tell whether there is such a key by now.
    assert_eq!(bench.keys(Some("b")).await, Err("key_unavailable"));
    bench.advance(24 * HOUR - 1);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    bench.advance(1);
    assert_eq!(bench.keys(Some("a")).await, Err("key_unavailable"));
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_as_good_as_none() {
    let bench = Bench::new([jwks(&["a"]), Ok("<html>".to_owned()), Ok("{\"keys\":[]}".to_owned())]);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    for _ in 0..2 {
        bench.advance(HOUR);
        assert_eq!(bench.keys(Some("a")).await, Ok(1));
    }
    assert_eq!(bench.asked(), 3);
}

#[tokio::test]
async fn without_any_keys_it_is_asked_again_after_5_seconds() {
    let bench = Bench::new([Err("away"), jwks(&["a"])]);
    assert_eq!(bench.keys(Some("a")).await, Err("key_unavailable"));
    bench.advance(4);
    assert_eq!(bench.keys(Some("a")).await, Err("key_unavailable"));
    assert_eq!(bench.asked(), 1);
    bench.advance(1);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
}

#[tokio::test]
async fn one_asks_and_the_others_wait_for_it() {
    let bench = Bench::new([jwks(&["a"])]);
    bench.fetch.gate.forget_permits(1000);
    let asking = async {
        let found = tokio::join!(bench.keys(Some("a")), bench.keys(Some("a")), bench.keys(None));
        assert_eq!(found, (Ok(1), Ok(1), Ok(1)));
    };
    let answering = async {
        while bench.asked() == 0 {
            tokio::task::yield_now().await;
        }
        bench.fetch.gate.add_permits(1);
    };
    tokio::join!(asking, answering);
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn a_sender_that_hangs_up_does_not_end_the_fetch() {
    let bench = Bench::new([jwks(&["a"])]);
    bench.fetch.gate.forget_permits(1000);
    {
        let mut asking = std::pin::pin!(bench.keys(Some("a")));
        while bench.asked() == 0 {
            assert!(futures_util::poll!(&mut asking).is_pending());
            tokio::task::yield_now().await;
        }
    }
    bench.fetch.gate.add_permits(1);
    assert_eq!(bench.keys(Some("a")).await, Ok(1));
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn urls_are_bounded_and_those_without_keys_go_first() {
    let bench = |answer| Bench {
        source: source(
            "url = 'https://keys.test/{id}'\nhosts = ['keys.test']\ndocument = { json = { key = '/key' } }",
        ),
        ..Bench::new([answer])
    };
    let pem = rcgen::KeyPair::generate().unwrap().public_key_pem();
    let bench = bench(Ok(json!({ "key": pem }).to_string()));
    assert_eq!(bench.keys(Some("kept")).await, Ok(1));
    *bench.fetch.answers.lock().unwrap() = VecDeque::from([Err("no such key")]);
    for forged in 0..MAX_URLS * 2 {
        bench.advance(1);
        assert_eq!(bench.keys(Some(&format!("forged-{forged}"))).await, Err("key_unavailable"));
    }
    assert_eq!(bench.keyring.urls.lock().unwrap().len(), MAX_URLS);
    let asked = bench.asked();
    assert_eq!(bench.keys(Some("kept")).await, Ok(1));
    assert_eq!(bench.asked(), asked);
}

#[tokio::test]
async fn a_certificate_counts_while_it_is_valid() {
    let certificate = rcgen::generate_simple_self_signed(["sns.test".to_owned()]).unwrap().cert.pem();
    let mut bench = Bench::new([Ok(certificate)]);
    bench.source = source("from = 'header:X-Cert-Url'\nhosts = ['keys.test']\ndocument = 'certificate'");
    bench.request.headers.insert("x-cert-url", "https://keys.test/c.pem".parse().unwrap());
    assert_eq!(bench.keys(None).await, Ok(1));
    assert_eq!(bench.keys(Some("whatever")).await, Ok(1));
    // The year 4097.
    bench.advance(2073 * 366 * 24 * HOUR);
    assert_eq!(bench.keys(None).await, Err("key_not_allowed"));
    bench.request.headers.insert("x-cert-url", "https://evil.test/c.pem".parse().unwrap());
    assert_eq!(bench.keys(None).await, Err("key_not_allowed"));
    bench.request.headers.remove("x-cert-url");
    assert_eq!(bench.keys(None).await, Err("field_missing"));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_are_asked_at_the_same_time() {
    let mut bench = Bench::new([jwks(&["a"])]);
    bench.source = source("url = 'https://keys.test/{id}'\nhosts = ['keys.test']\ndocument = 'jwks'");
    bench.fetch.gate.forget_permits(1000);
    let ids: Vec<_> = (0..=MAX_FETCHES).map(|id| id.to_string()).collect();
    let mut asking: Vec<_> = ids.iter().map(|id| Box::pin(bench.keys(Some(id)))).collect();
    let (last, first) = asking.split_last_mut().unwrap();
    for asking in first {
        assert!(futures_util::poll!(asking).is_pending());
    }
    assert_eq!(last.await, Err("key_unavailable"));
    assert_eq!(bench.asked(), MAX_FETCHES);
}

#[tokio::test]
async fn the_request_may_name_the_key() {
    let mut bench = Bench::new([jwks(&["a", "b"])]);
    bench.source.key_id = Some("header:X-Key-Id".parse().unwrap());
    bench.request.headers.insert("x-key-id", "b".parse().unwrap());
    assert_eq!(bench.keys(None).await, Ok(1));
    bench.request.headers.insert("x-key-id", "c".parse().unwrap());
    assert_eq!(bench.keys(None).await, Err("key_unknown"));
}

#[tokio::test]
async fn the_default_keyring_fetches_nothing() {
    let bench = Bench { keyring: Arc::default(), ..Bench::new([jwks(&["a"])]) };
    assert_eq!(bench.keys(Some("a")).await, Err("key_unavailable"));
    assert_eq!(bench.asked(), 0);
}
