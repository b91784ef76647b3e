//! An empty WASI, for components whose toolchain insists on one: no arguments, no environment, no files, no network.
//!
//! What is printed goes to the plugin's log. The clocks and the dice say the same for an event however often it is
//! tried: time is when the event was received, sleeping is over at once, and chance is seeded with the event's id.

use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    WasiCtx, WasiCtxView, WasiView,
    cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView},
    filesystem::{WasiFilesystem, WasiFilesystemView},
    p2::{
        DynPollable, OutputStream, Pollable, StreamResult,
        bindings::{cli, clocks::monotonic_clock, clocks::wall_clock, filesystem, io, random},
        subscribe,
    },
};

use super::{
    bindings::host::Level,
    guest::{Guest, Subject},
    log::Log,
};

/// The interfaces that there are, of every 0.2 release. Their places say nothing.
pub(super) const INTERFACES: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The most resources that a guest may hold: streams, pollables, errors.
const RESOURCES: usize = 1024;
/// The most random bytes of one call, as many as a stream takes at once.
const RANDOM: u64 = 64 << 10;
/// How far the monotonic clock goes on whenever it is read, in nanoseconds: two readings are never the same.
const STEP: u64 = 1_000;

/// Whether this import is one of the empty WASI's.
pub(super) fn has(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    INTERFACES.contains(&interface) && is_of_track(version)
}

/// Releases of 0.2 are compatible with each other; what is older, newer or not released is not.
fn is_of_track(version: &str) -> bool {
    version
        .strip_prefix("0.2.")
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
}

/// Links all of it.
///
/// # Errors
/// Fails only if one of the names is linked already.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<_, HasSelf<ResourceTable>>(linker, Guest::resources)?;
    io::poll::add_to_linker::<_, HasSelf<ResourceTable>>(linker, Guest::resources)?;
    io::streams::add_to_linker::<_, HasSelf<ResourceTable>>(linker, Guest::resources)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)?;
    wall_clock::add_to_linker::<_, HasSelf<Wasi>>(linker, Guest::wasi)?;
    monotonic_clock::add_to_linker::<_, HasSelf<Wasi>>(linker, Guest::wasi)?;
    random::random::add_to_linker::<_, HasSelf<Wasi>>(linker, Guest::wasi)?;
    random::insecure::add_to_linker::<_, HasSelf<Wasi>>(linker, Guest::wasi)?;
    random::insecure_seed::add_to_linker::<_, HasSelf<Wasi>>(linker, Guest::wasi)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Wasi { ctx, table, .. } = self.wasi();
        WasiCtxView { ctx, table }
    }
}

impl Guest {
    fn resources(&mut self) -> &mut ResourceTable {
        &mut self.wasi().table
    }
}

/// All that clocks and dice go by: the same for every try of an event.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// Since the Unix epoch.
    millis: u64,
    seed: u128,
}

impl Moment {
    /// A window is as old as its first message. Where there is nothing yet, it is the beginning of time.
    pub(super) fn of(subject: &Subject) -> Self {
        let (id, received) = match subject {
            Subject::Nothing => return Self::default(),
            Subject::Request(claimed) => (claimed.request().id, claimed.request().received_at),
            Subject::Event(view) => (view.event().id, view.event().received_at),
            Subject::Window(window) => match window.items.first() {
                Some(item) => (item.event, item.received_at),
                None => return Self::default(),
            },
        };
        Self { millis: received.as_millis(), seed: u128::from_le_bytes(*id.as_bytes()) }
    }
}

/// The WASI of one store.
pub(super) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    printed: Arc<Mutex<Printed>>,
    moment: Moment,
    rng: Rng,
    /// Of the monotonic clock, in nanoseconds. It begins with the instance, and never goes back.
    elapsed: u64,
}

impl Wasi {
    pub(super) fn new(moment: Moment) -> Self {
        let printed = Arc::default();
        let stream = |level| Stream { printed: Arc::clone(&printed), level };
        let ctx = WasiCtx::builder().stdout(stream(Level::Info)).stderr(stream(Level::Warn)).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Self { ctx, table, printed, moment, rng: dice(moment), elapsed: 0 }
    }

    /// Goes on to another call. What the guest holds stays its own.
    pub(super) fn restart(&mut self, moment: Moment) {
        self.moment = moment;
        self.rng = dice(moment);
    }

    /// Moves what was printed to the plugin's log. At the end of a call the last line needs no line break.
    pub(super) fn flush(&mut self, log: &mut Log, end: bool) {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        if end {
            printed.end();
        }
        for (level, line) in printed.lines.drain(..) {
            log.write(level, String::from_utf8_lossy(&line).into_owned());
        }
        log.lose(std::mem::take(&mut printed.lost));
    }
}

fn dice(moment: Moment) -> Rng {
    Rng::with_seed(moment.seed as u64 ^ (moment.seed >> 64) as u64)
}

impl wall_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let Moment { millis, .. } = self.moment;
        let nanoseconds = (millis % 1000) as u32 * 1_000_000;
        Ok(wall_clock::Datetime { seconds: millis / 1000, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.elapsed = self.elapsed.saturating_add(STEP);
        Ok(self.elapsed)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.elapsed = self.elapsed.max(when);
        let over = self.table.push(Over)?;
        subscribe(&mut self.table, over)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_instant(self.elapsed.saturating_add(duration))
    }
}

impl random::random::Host for Wasi {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM {
            wasmtime::bail!("it asked for {len} random bytes at once, it may have {RANDOM}");
        }
        let mut bytes = vec![0; len as usize];
        self.rng.fill(&mut bytes);
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.rng.u64(..))
    }
}

impl random::insecure::Host for Wasi {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        random::random::Host::get_random_bytes(self, len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        random::random::Host::get_random_u64(self)
    }
}

impl random::insecure_seed::Host for Wasi {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.moment.seed as u64, (self.moment.seed >> 64) as u64))
    }
}

/// A sleep. The clock was moved on when it was asked for.
struct Over;

#[async_trait::async_trait]
impl Pollable for Over {
    async fn ready(&mut self) {}
}

/// Standard output or error: what is written becomes lines of the log.
#[derive(Clone)]
struct Stream {
    printed: Arc<Mutex<Printed>>,
    level: Level,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    /// For WASI 0.3, which there is not.
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        printed.write(self.level, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(RANDOM as usize)
    }
}

/// What was printed and is not in the log yet: no more than the log would keep.
#[derive(Debug, Default)]
struct Printed {
    /// The line of each stream that has no end yet.
    open: Vec<(Level, Vec<u8>)>,
    lines: Vec<(Level, Vec<u8>)>,
    lost: u64,
}

impl Printed {
    fn write(&mut self, level: Level, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n");
            self.append(level, text.unwrap_or(part));
            if text.is_some() {
                self.close(level);
            }
        }
    }

    fn append(&mut self, level: Level, text: &[u8]) {
        let at = self.open.iter().position(|(open, _)| *open == level);
        let at = at.unwrap_or_else(|| {
            self.open.push((level, Vec::new()));
            self.open.len() - 1
        });
        let line = &mut self.open[at].1;
        // One byte too many tells the log that there was more.
        let room = (Log::LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(&text[..text.len().min(room)]);
    }

    fn close(&mut self, level: Level) {
        let Some(at) = self.open.iter().position(|(open, _)| *open == level) else { return };
        let line = self.open.swap_remove(at);
        if line.1.is_empty() {
            return;
        }
        match self.lines.len() < Log::LINES {
            true => self.lines.push(line),
            false => self.lost += 1,
        }
    }

    fn end(&mut self) {
        while let Some((level, _)) = self.open.first() {
            self.close(*level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(write: impl FnOnce(&mut Printed), end: bool) -> Vec<String> {
        let mut wasi = Wasi::new(Moment::default());
        write(&mut wasi.printed.lock().unwrap());
        let mut log = Log::new("guest".into());
        wasi.flush(&mut log, end);
        log.take()
    }

    #[test]
    fn only_the_empty_interfaces_of_the_track_are_there() {
        assert!(has("wasi:cli/environment@0.2.0") && has("wasi:io/poll@0.2.12"));
        for import in [
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/types@0.2.0",
            "wasi:cli/run@0.2.0",
            "wasi:cli/exit@0.3.0",
            "wasi:cli/exit@0.2.0-rc-2023-11-05",
            "wasi:cli/exit@0.2.",
            "wasi:cli/exit",
        ] {
            assert!(!has(import), "{import}");
        }
    }

    #[test]
    fn what_is_printed_becomes_lines() {
        let lines = logged(
            |printed| {
                printed.write(Level::Info, b"one\ntw");
                printed.write(Level::Warn, b"\noops\n");
                printed.write(Level::Info, b"o\nthr\xffee");
            },
            true,
        );
        assert_eq!(lines, ["info: one", "warn: oops", "info: two", "info: thr\u{fffd}ee"]);
    }

    #[test]
    fn a_line_that_goes_on_is_kept_for_later() {
        assert_eq!(logged(|printed| printed.write(Level::Info, b"one\ntwo"), false), ["info: one"]);
    }

    #[test]
    fn a_flood_is_counted() {
        let lines = logged(|printed| (0..100).for_each(|_| printed.write(Level::Info, b"x\n")), true);
        assert_eq!((lines.len(), &*lines[Log::LINES]), (Log::LINES + 1, "(68 more lines were not kept)"));
        let long = logged(|printed| (0..100).for_each(|_| printed.write(Level::Info, &[b'x'; 999])), true);
        assert!(long.len() == 1 && long[0].ends_with('…'), "{long:?}");
    }

    #[test]
    fn clocks_and_dice_say_the_same_for_every_try() {
        use random::random::Host as _;
        let moment = Moment { millis: 1_700_000_000_123, seed: 42 };
        let [mut first, mut second] = [Wasi::new(moment), Wasi::new(Moment::default())];
        second.restart(moment);
        let now = wall_clock::Host::now(&mut first).unwrap();
        assert_eq!((now.seconds, now.nanoseconds), (1_700_000_000, 123_000_000));
        assert_eq!(first.get_random_bytes(40).unwrap(), second.get_random_bytes(40).unwrap());
        assert_eq!(first.get_random_u64().unwrap(), second.get_random_u64().unwrap());
        second.restart(Moment { seed: 43, ..moment });
        assert_ne!(first.get_random_u64().unwrap(), second.get_random_u64().unwrap());
        assert!(first.get_random_bytes(RANDOM + 1).is_err());
    }

    #[test]
    fn sleep_is_over_at_once_and_the_clock_has_moved_on() {
        use monotonic_clock::Host as _;
        let mut wasi = Wasi::new(Moment::default());
        let before = wasi.now().unwrap();
        wasi.subscribe_duration(3_600_000_000_000).unwrap();
        wasi.restart(Moment::default());
        assert!(wasi.now().unwrap() > before + 3_600_000_000_000);
    }

    #[test]
    fn resources_are_bounded() {
        use monotonic_clock::Host as _;
        let mut wasi = Wasi::new(Moment::default());
        assert!((0..=RESOURCES).any(|_| wasi.subscribe_duration(1).is_err()));
    }
}
