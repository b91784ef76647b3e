//! What takes the gateway's place where a plugin under test uses what it is granted.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use crate::{
    http::{HttpError, Request, Response},
    kv::KvError,
};

const KEY_MAX: usize = 512;
const VALUE_MAX: usize = 64 * 1024;

/// Grants so many bytes to the [`kv`](crate::kv) of this thread; `None` denies it. 1 MiB unless this says otherwise.
pub fn grant_kv(max_bytes: impl Into<Option<usize>>) {
    STORE.with_borrow_mut(|store| store.max_bytes = max_bytes.into());
}

/// Lets time go by for the values in the [`kv`](crate::kv) of this thread.
pub fn pass_time(time: Duration) {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    STORE.with_borrow_mut(|store| store.now = store.now.saturating_add(millis));
}

/// Answers the [`http`](crate::http) requests that are sent on this thread from now on. Without it all are denied.
pub fn answer_http(answer: impl FnMut(&Request) -> Result<Response, HttpError> + 'static) {
    ANSWER.set(Some(Box::new(answer)));
}

type Answer = Box<dyn FnMut(&Request) -> Result<Response, HttpError>>;

thread_local! {
    static STORE: RefCell<Store> = const { RefCell::new(Store::new()) };
    static ANSWER: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

pub(crate) fn with_store<T>(ask: impl FnOnce(&mut Store) -> T) -> T {
    STORE.with_borrow_mut(ask)
}

pub(crate) fn answer(request: &Request) -> Result<Response, HttpError> {
    ANSWER.with_borrow_mut(|answer| match answer {
        Some(answer) => answer(request),
        None => Err(HttpError::Denied("no answer in this test; give one with `testing::answer_http`".into())),
    })
}

/// Values in memory, with the gateway's limits.
pub(crate) struct Store {
    values: BTreeMap<String, Value>,
    max_bytes: Option<usize>,
    now: u64,
}

struct Value {
    bytes: Vec<u8>,
    expires: Option<u64>,
}

impl Store {
    const fn new() -> Self {
        Self { values: BTreeMap::new(), max_bytes: Some(1 << 20), now: 0 }
    }

    pub(crate) fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.look_up(key)?;
        Ok(self.values.get(key).map(|value| value.bytes.clone()))
    }

    pub(crate) fn set(&mut self, key: &str, bytes: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        let max = self.look_up(key)?;
        if bytes.len() > VALUE_MAX {
            return Err(KvError::TooLarge(format!("the value has {} bytes", bytes.len())));
        }
        let expires = ttl_ms.map(|ttl| self.now.saturating_add(ttl));
        self.put(key, Value { bytes: bytes.to_vec(), expires }, max)
    }

    pub(crate) fn delete(&mut self, key: &str) -> Result<bool, KvError> {
        self.look_up(key)?;
        Ok(self.values.remove(key).is_some())
    }

    pub(crate) fn add(&mut self, key: &str, by: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        let max = self.look_up(key)?;
        let not_a_number = || KvError::NotANumber(format!("`{key}` and {by} make no number of 64 bits"));
        let (old, expires) = match self.values.get(key) {
            Some(value) => {
                let text = str::from_utf8(&value.bytes).ok();
                (text.and_then(|text| text.parse().ok()).ok_or_else(not_a_number)?, value.expires)
            }
            None => (0_i64, ttl_ms.map(|ttl| self.now.saturating_add(ttl))),
        };
        let sum = old.checked_add(by).ok_or_else(not_a_number)?;
        self.put(key, Value { bytes: sum.to_string().into_bytes(), expires }, max)?;
        Ok(sum)
    }

    /// Forgets what has had its time; how much the store may hold.
    fn look_up(&mut self, key: &str) -> Result<usize, KvError> {
        let max = self.max_bytes.ok_or_else(|| KvError::Denied("this test grants no `kv`".to_owned()))?;
        if !(1..=KEY_MAX).contains(&key.len()) {
            return Err(KvError::TooLarge(format!("the key has {} bytes", key.len())));
        }
        self.values.retain(|_, value| value.expires.is_none_or(|expires| expires > self.now));
        Ok(max)
    }

    fn put(&mut self, key: &str, value: Value, max: usize) -> Result<(), KvError> {
        let others = self.values.iter().filter(|(known, _)| *known != key);
        let held: usize = others.map(|(known, value)| known.len() + value.bytes.len()).sum();
        let wanted = held + key.len() + value.bytes.len();
        if wanted > max {
            return Err(KvError::Full(format!("the store would hold {wanted} bytes of {max}")));
        }
        self.values.insert(key.to_owned(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv;

    #[test]
    fn values_are_kept_until_their_time_is_up() {
        kv::set("k", "v", Some(Duration::from_secs(1))).unwrap();
        assert_eq!(kv::get("k"), Ok(Some(b"v".to_vec())));
        pass_time(Duration::from_secs(1));
        assert_eq!((kv::get("k"), kv::delete("k")), (Ok(None), Ok(false)));
    }

    #[test]
    fn numbers_keep_their_time() {
        assert_eq!(kv::add("n", 2, Some(Duration::from_secs(1))), Ok(2));
        assert_eq!(kv::add("n", -5, None), Ok(-3));
        pass_time(Duration::from_secs(1));
        assert_eq!(kv::add("n", 1, None), Ok(1));
        kv::set("n", "one", None).unwrap();
        assert!(matches!(kv::add("n", 1, None), Err(KvError::NotANumber(_))));
    }

    #[test]
    fn store_has_the_limits_that_the_test_grants() {
        assert!(matches!(kv::get(""), Err(KvError::TooLarge(_))));
        assert!(matches!(kv::set("k", vec![0; VALUE_MAX + 1], None), Err(KvError::TooLarge(_))));
        grant_kv(3);
        kv::set("k", "12", None).unwrap();
        assert!(matches!(kv::set("k", "123", None), Err(KvError::Full(_))));
        grant_kv(None);
        assert!(matches!(kv::get("k"), Err(KvError::Denied(_))));
    }
}
