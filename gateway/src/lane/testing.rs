//! What tests of windows and batches stand on: a fold that joins bodies by commas.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::batcher::{Batcher, Fold, Settings};
use crate::{
    clock::Timestamp,
    event::{EventId, Headers, Message},
    journal::{Delivery, DeliveryKey, DeliveryState},
    plugin::{Call, CallError, Folded, Window},
};

/// A window that nothing closes but its time.
pub(crate) const SETTINGS: Settings =
    Settings { events: 100, bytes: 1 << 20, wait: Duration::from_secs(3600), by_key: false };

pub(crate) fn delivery(body: &str) -> Delivery {
    Delivery {
        key: DeliveryKey { event: EventId::generate(), destination: "crm".into(), index: 0 },
        route: crate::dispatch::testing::ROUTE.into(),
        message: message(body.to_owned()),
        attempts: 0,
        batch: None,
        state: DeliveryState::Waiting { due: Timestamp::default() },
    }
}

pub(crate) fn message(body: impl Into<Bytes>) -> Message {
    Message { headers: Headers::default(), body: body.into(), destinations: None, key: None }
}

pub(crate) fn batcher(settings: Settings) -> Arc<Batcher> {
    Joining::new(|bodies| Ok(vec![joined(bodies)])).batcher(settings)
}

/// All bodies in one message.
pub(crate) fn joined(bodies: &[String]) -> Folded {
    Folded { message: message(bodies.join(",")), items: (0..bodies.len()).collect() }
}

type Answer = dyn Fn(&[String]) -> Result<Vec<Folded>, CallError> + Send + Sync;

/// A fold that answers as a test says, given the bodies.
pub(crate) struct Joining {
    name: Arc<str>,
    answer: Box<Answer>,
    pub(crate) calls: AtomicUsize,
    pub(crate) windows: Mutex<Vec<Window>>,
}

impl Joining {
    pub(crate) fn new(
        answer: impl Fn(&[String]) -> Result<Vec<Folded>, CallError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (calls, windows) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { name: "joining".into(), answer: Box::new(answer), calls, windows })
    }

    pub(crate) fn batcher(self: Arc<Self>, settings: Settings) -> Arc<Batcher> {
        Batcher::new(settings, self)
    }
}

#[async_trait]
impl Fold for Joining {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    async fn fold(&self, window: &Window) -> Call<Vec<Folded>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.windows.lock().unwrap().push(window.clone());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let bodies: Vec<_> = window.items.iter().map(|item| text(&item.message.body)).collect();
        Call {
            answer: (self.answer)(&bodies),
            elapsed: Duration::ZERO,
            log: vec!["info: here".to_owned()],
            counts: Vec::new(),
        }
    }
}
