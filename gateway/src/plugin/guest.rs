//! The host's side of one run of a guest: what it is lent, what it has used, and what it may call.

use std::{sync::Arc, time::Duration};

use wasmtime::{
    Engine, Store,
    component::{HasSelf, Linker, Resource},
};

use super::{
    bindings::{batching, host, http, incoming, kv, requests, secrets, types, v0_1},
    claimed::Claimed,
    granted::Granted,
    limits::{LimitHit, Patience, Room, Stopwatch},
    log::Log,
    view::View,
    wasi::{self, Moment, Wasi},
    window::Window,
};
use crate::config::Limits;

/// The longest name of a counter, in bytes.
const COUNTER_NAME: usize = 64;
/// The most counters that one call may touch.
const COUNTERS: usize = 16;

/// The state of a store: everything the host knows of one run.
pub(super) struct Guest {
    subject: Subject,
    /// `None` while the plugin is configured.
    granted: Option<Arc<Granted>>,
    stopwatch: Stopwatch,
    patience: Patience,
    pub(super) room: Room,
    log: Log,
    counts: Vec<(String, u64)>,
    /// Made when the guest first asks for any of it.
    wasi: Option<Box<Wasi>>,
}

/// What a guest leaves behind at the end of a run.
pub(super) struct Remains {
    pub(super) log: Vec<String>,
    pub(super) counts: Vec<(String, u64)>,
}

/// What a run is about: the one thing that the guest is lent.
#[derive(Clone)]
pub(super) enum Subject {
    /// The plugin is configured, or tried out.
    Nothing,
    Request(Claimed),
    Event(View),
    Window(Window),
}

impl Guest {
    /// A store for one run of `plugin`; it may use what `limits` says.
    pub(super) fn store(
        engine: &Engine,
        plugin: &Arc<str>,
        limits: &Limits,
        subject: Subject,
    ) -> Store<Self> {
        let guest = Self {
            subject,
            granted: None,
            stopwatch: Stopwatch::new(limits.time),
            patience: Patience::new(limits.wait),
            room: Room::new(limits.memory),
            log: Log::new(Arc::clone(plugin)),
            counts: Vec::new(),
            wasi: None,
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.room);
        store.set_hostcall_fuel(limits.output);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().stopwatch.tick()?));
        store
    }

    /// Readies the store of an instance that has run before for another run. What the instance has in its memory
    /// stays; what it said so far is part of the new run.
    pub(super) fn renew(store: &mut Store<Self>, limits: &Limits, subject: Subject) {
        store.set_hostcall_fuel(limits.output);
        store.set_epoch_deadline(1);
        let guest = store.data_mut();
        guest.stopwatch = Stopwatch::new(limits.time);
        guest.patience = Patience::new(limits.wait);
        if let Some(wasi) = &mut guest.wasi {
            wasi.restart(Moment::of(&subject));
        }
        guest.subject = subject;
    }

    /// Ends a run.
    pub(super) fn finish(&mut self) -> Remains {
        if let Some(wasi) = &mut self.wasi {
            wasi.flush(&mut self.log, true);
        }
        self.subject = Subject::Nothing;
        Remains { log: self.log.take(), counts: std::mem::take(&mut self.counts) }
    }

    pub(super) fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(Moment::of(&self.subject))))
    }

    /// Starts the time limit anew.
    pub(super) fn restart_clock(&mut self, limit: Duration) {
        self.stopwatch = Stopwatch::new(limit);
    }

    /// From here on the guest may use what it is granted.
    pub(super) fn grant(&mut self, granted: Arc<Granted>) {
        self.granted = Some(granted);
    }

    /// What the guest is granted, and the route of the call; `None` while the plugin is configured.
    pub(super) fn granted(&self) -> Option<(Arc<Granted>, Arc<str>)> {
        let route = match &self.subject {
            Subject::Nothing => return None,
            Subject::Request(claimed) => &claimed.request().route,
            Subject::Event(view) => &view.event().route,
            Subject::Window(window) => &window.route,
        };
        self.granted.clone().map(|granted| (granted, route.clone()))
    }

    /// Waits for the host to do something, with the guest's clock stopped.
    pub(super) async fn wait_for<T>(&mut self, work: impl Future<Output = T>) -> Result<T, LimitHit> {
        self.patience.wait_for(&mut self.stopwatch, work).await
    }

    fn view(&self) -> wasmtime::Result<&View> {
        match &self.subject {
            Subject::Event(view) => Ok(view),
            Subject::Nothing | Subject::Request(_) | Subject::Window(_) => Err(absent("event")),
        }
    }

    pub(super) fn claimed(&self) -> wasmtime::Result<&Claimed> {
        match &self.subject {
            Subject::Request(claimed) => Ok(claimed),
            Subject::Nothing | Subject::Event(_) | Subject::Window(_) => Err(absent("request")),
        }
    }

    pub(super) fn window(&self) -> wasmtime::Result<&Window> {
        match &self.subject {
            Subject::Window(window) => Ok(window),
            Subject::Nothing | Subject::Request(_) | Subject::Event(_) => Err(absent("window")),
        }
    }
}

/// A handle that the host did not give: the guest has made it up, or kept it from another call.
fn absent(what: &str) -> wasmtime::Error {
    wasmtime::format_err!("there is no {what} in this call")
}

/// Links everything that a plugin may call.
///
/// # Errors
/// Fails only if the contract defines a name twice.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    incoming::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    requests::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    batching::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    types::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    host::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    secrets::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    kv::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    http::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    v0_1::incoming::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    v0_1::types::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    v0_1::host::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    wasi::link(&mut linker)?;
    Ok(linker)
}

impl types::Host for Guest {}

impl incoming::Host for Guest {}

/// There is one event per store, so the handle says nothing that the store does not know.
impl incoming::HostEvent for Guest {
    fn id(&mut self, _: Resource<View>) -> wasmtime::Result<String> {
        Ok(self.view()?.event().id.to_string())
    }

    fn route(&mut self, _: Resource<View>) -> wasmtime::Result<String> {
        Ok(self.view()?.event().route.to_string())
    }

    fn event_type(&mut self, _: Resource<View>) -> wasmtime::Result<Option<String>> {
        Ok(self.view()?.event().event_type.clone())
    }

    fn received_ms(&mut self, _: Resource<View>) -> wasmtime::Result<u64> {
        Ok(self.view()?.event().received_at.as_millis())
    }

    fn attempt(&mut self, _: Resource<View>) -> wasmtime::Result<u32> {
        Ok(self.view()?.attempt())
    }

    fn method(&mut self, _: Resource<View>) -> wasmtime::Result<String> {
        Ok(self.view()?.event().method.to_string())
    }

    fn path(&mut self, _: Resource<View>) -> wasmtime::Result<String> {
        Ok(self.view()?.event().path.clone())
    }

    fn query(&mut self, _: Resource<View>) -> wasmtime::Result<Option<String>> {
        Ok(self.view()?.event().query.clone())
    }

    fn param(&mut self, _: Resource<View>, name: String) -> wasmtime::Result<Option<String>> {
        let params = &self.view()?.event().params;
        Ok(params.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
    }

    fn header(&mut self, _: Resource<View>, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.view()?.header_values(&name).next().map(|value| value.as_bytes().to_vec()))
    }

    fn header_values(&mut self, _: Resource<View>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.view()?.header_values(&name).map(|value| value.as_bytes().to_vec()).collect())
    }

    fn headers(&mut self, _: Resource<View>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        let headers = self.view()?.headers();
        Ok(headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn body(&mut self, _: Resource<View>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.view()?.body().to_vec())
    }

    fn body_text(&mut self, _: Resource<View>) -> wasmtime::Result<Option<String>> {
        Ok(str::from_utf8(self.view()?.body()).ok().map(str::to_owned))
    }

    fn body_len(&mut self, _: Resource<View>) -> wasmtime::Result<u64> {
        Ok(self.view()?.body().len() as u64)
    }

    fn attribute(&mut self, _: Resource<View>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.view()?.attribute(&name).map(str::to_owned))
    }

    /// Never called: the event is only ever lent.
    fn drop(&mut self, _: Resource<View>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl host::Host for Guest {
    fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        if let Some(wasi) = &mut self.wasi {
            // In the order in which it was said.
            wasi.flush(&mut self.log, false);
        }
        self.log.write(level, message);
        Ok(())
    }

    fn count(&mut self, name: String, by: u64) -> wasmtime::Result<()> {
        if let Some((_, sum)) = self.counts.iter_mut().find(|(known, _)| *known == name) {
            *sum = sum.saturating_add(by);
        } else if !is_counter_name(&name) {
            self.log
                .write(host::Level::Warn, format!("`{name}` is no name for a counter, it was not counted"));
        } else if self.counts.len() == COUNTERS {
            self.log
                .write(host::Level::Warn, format!("`{name}` is one counter too many, it was not counted"));
        } else {
            self.counts.push((name, by));
        }
        Ok(())
    }
}

fn is_counter_name(name: &str) -> bool {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=COUNTER_NAME).contains(&name.len()) && name.bytes().all(known)
}
