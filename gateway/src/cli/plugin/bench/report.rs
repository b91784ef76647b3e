//! What is shown of one plugin's figures: a table for people, the same for programs.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::Serialize;

use super::{
    super::step::Lives,
    figures::{Figures, Most, Times},
};
use crate::{
    cli::output::{printable, table},
    config::Limits,
    pipeline::MAX_MESSAGES,
    plugin::{LOG_BYTES, LOG_LINES, Pages},
};

/// What is told of a plugin. Times are in microseconds where nothing else is said, sizes in bytes.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: PathBuf,
    kind: &'static str,
    /// Whether an event costs what a reused instance does.
    pooled: bool,
    fresh_cpu_us: Option<Times>,
    reused_cpu_us: Option<Times>,
    reused_us: Option<Times>,
    start_us: Option<Times>,
    call_us: Option<Times>,
    end_us: Option<Times>,
    pages: Option<Pages>,
    most: Most,
    limits: Bounds,
    load_ms: Load,
    outcomes: BTreeMap<String, usize>,
    #[serde(skip)]
    outcome: String,
}

/// What [`Most`] is measured against.
#[derive(Debug, Serialize)]
struct Bounds {
    memory: usize,
    output: usize,
    messages: usize,
    log_lines: usize,
    log_bytes: usize,
}

/// How long loading takes, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Load {
    /// Checked, configured and compiled.
    compiled: f64,
    /// From a gateway's cache; `None` where there was none.
    cached: Option<f64>,
}

impl Load {
    pub(super) fn new(compiled: Duration, cached: Option<Duration>) -> Self {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        Self { compiled: millis(compiled), cached: cached.map(millis) }
    }
}

impl Report {
    pub(super) fn new(
        (file, kind): (PathBuf, &'static str),
        lives: Lives,
        figures: &Figures,
        pages: Option<Pages>,
        load: Load,
        limits: &Limits,
    ) -> Self {
        Self {
            file,
            kind,
            pooled: lives == Lives::Pooled,
            fresh_cpu_us: figures.fresh_cpu(),
            reused_cpu_us: figures.reused_cpu(),
            reused_us: figures.reused(),
            start_us: figures.start(),
            call_us: figures.call(),
            end_us: figures.end(),
            pages,
            most: figures.most,
            limits: Bounds {
                memory: limits.memory,
                output: limits.output,
                messages: MAX_MESSAGES,
                log_lines: LOG_LINES,
                log_bytes: LOG_BYTES,
            },
            load_ms: load,
            outcomes: figures.outcomes.clone(),
            outcome: figures.outcome(),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut rows = self.times();
        rows.extend(self.sizes());
        format!(
            "{}: {}\n{}outcome: {}\n\n",
            printable(&self.file.display().to_string()),
            self.kind,
            table(["", "MEDIAN", "P90", ""], &rows),
            printable(&self.outcome)
        )
    }

    fn times(&self) -> Vec<[String; 4]> {
        let row = |name: &str, times: Option<Times>, what: &str| {
            let shown = |value: f64| format!("{value:.1} µs");
            let [median, p90] =
                times.map_or(["-".into(), String::new()], |times| [times.median, times.p90].map(shown));
            [name.to_owned(), median, p90, what.to_owned()]
        };
        let (fresh, reused) = match self.pooled {
            false => ("an event", "of CPU: the call alone, in one called before"),
            true => {
                ("a fresh instance", "of CPU: the call in one called before; this is what an event costs")
            }
        };
        vec![
            row(fresh, self.fresh_cpu_us, "of CPU: a fresh instance, the call, throwing it away"),
            row("a reused instance", self.reused_cpu_us, reused),
            row("- start", self.start_us, "on the clock: making a fresh instance"),
            row("- call", self.call_us, "on the clock: the call in it"),
            row("- end", self.end_us, "on the clock: throwing it away"),
        ]
    }

    fn sizes(&self) -> Vec<[String; 4]> {
        let Self { most, limits, load_ms, .. } = self;
        let row = |name: &str, value: String, what: String| [name.to_owned(), value, String::new(), what];
        let pages = self.pages.map_or_else(
            || ("-".to_owned(), "of 4 KiB; it cannot be looked into".to_owned()),
            |pages| {
                let what = format!("of its {}, of 4 KiB each, that a call changes", pages.all);
                (pages.changed.to_string(), what)
            },
        );
        let log = format!("{} lines", most.log_lines);
        let log_limit = format!(
            "{} at most; kept are {} lines and {}",
            iec(most.log_bytes),
            limits.log_lines,
            iec(limits.log_bytes)
        );
        vec![
            row("pages", pages.0, pages.1),
            row("memory", iec(most.memory), format!("at most, of {}", iec(limits.memory))),
            row("memory.grow", most.grown.to_string(), "calls at most, in one event".to_owned()),
            row("output", iec(most.output), format!("at most, of {}", iec(limits.output))),
            row("messages", most.messages.to_string(), format!("at most, of {}", limits.messages)),
            row("log", log, log_limit),
            row("load", format!("{:.1} ms", load_ms.compiled), load_ms.what()),
        ]
    }
}

impl Load {
    fn what(&self) -> String {
        let what = "checked, configured and compiled".to_owned();
        self.cached.map_or(what.clone(), |cached| format!("{what}; {cached:.1} ms from a gateway's cache"))
    }
}

fn iec(bytes: usize) -> String {
    ByteSize::b(bytes as u64).display().iec().to_string()
}
