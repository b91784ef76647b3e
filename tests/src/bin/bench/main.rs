//! The benchmark: the real binary beside the floor program, same work, same run, interleaved.
//!
//! CPU time per event is the figure to trust: user and system of the process under test, all threads, load and
//! drain, divided by the events it accepted. Rates and latencies share the machine with the load generator.

//!
//! Behind the table: what plugins cost, and what they can do to others, each with its target.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::{
    env,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use sluice_tests::{
    admin::Admin,
    drain::Drain,
    gateway::{Gateway, Setup},
    load::{Load, Outcome, Requests},
    process::Process,
    usage, wait,
    webhook::GITHUB_SECRET,
};
use tempfile::TempDir;
use tokio::time::sleep;

mod hostile;

mod plugins;

mod target;

const SIZES: [(&str, usize); 2] = [("1 KiB", 1024), ("10 KiB", 10240)];
const CONNECTIONS: usize = 64;
const PROBES: usize = 300;
/// The downstream has got everything once nothing has come for this long.
const QUIET: Duration = Duration::from_millis(250);

/// Measures acks/s, latency, CPU per event and memory.
#[derive(Parser)]
struct Args {
    /// One short pass.
    #[arg(long)]
    quick: bool,
    /// How long each cell is under load, after a warm-up of a quarter of that.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How often everything is measured; the table shows medians.
    #[arg(long, default_value_t = 2)]
    passes: usize,
    /// Only subjects and figures whose name contains this, and the floor that a subject is compared with. Those of
    /// plugins are `plugin: cost`, `plugin: load`, `plugin: steps` and `plugin: hostile NAME`.
    #[arg(long, default_value = "")]
    only: String,
}

/// What is measured.
#[derive(Clone, Copy)]
struct Subject {
    name: &'static str,
    program: Program,
    /// The floor's subject that it is compared with.
    floor: usize,
}

#[derive(Clone, Copy)]
enum Program {
    Floor { delivers: bool },
    Sluice { pipeline: &'static str, delivers: bool },
}

const SUBJECTS: [Subject; 7] = [
    Subject { name: "floor: accept only", program: Program::Floor { delivers: false }, floor: 0 },
    Subject { name: "floor: accept and deliver", program: Program::Floor { delivers: true }, floor: 1 },
    Subject {
        name: "sluice: accept only",
        program: Program::Sluice { pipeline: "", delivers: false },
        floor: 0,
    },
    Subject {
        name: "sluice: no plugin",
        program: Program::Sluice { pipeline: "", delivers: true },
        floor: 1,
    },
    Subject { name: "sluice: map", program: Program::Sluice { pipeline: MAP, delivers: true }, floor: 1 },
    Subject {
        name: "sluice: filter, map",
        program: Program::Sluice { pipeline: FILTER_MAP, delivers: true },
        floor: 1,
    },
    Subject {
        name: "sluice: ticket",
        program: Program::Sluice { pipeline: TICKET, delivers: true },
        floor: 1,
    },
];

/// The whole work in one step: drop what is not `opened`, make three fields of the rest.
const TICKET: &str = r#"{ plugin = "ticket" }"#;
const MAP: &str = r#"{ plugin = "map", config = { body = { repo = { pointer = "/repository/full_name" }, title = "{{/issue/title}}", url = { pointer = "/issue/html_url" } } } }"#;
const FILTER_MAP: &str = r#"{ plugin = "filter", config = { where = { body = "/action", equals = "opened" } } }, { plugin = "map", config = { body = { repo = { pointer = "/repository/full_name" }, title = "{{/issue/title}}", url = { pointer = "/issue/html_url" } } } }"#;

const CONFIG: &str = r#"
[plugins.filter]
file = "$PLUGINS/filter.wasm"

[plugins.map]
file = "$PLUGINS/map.wasm"

[plugins.ticket]
file = "$PLUGINS/ticket.wasm"

[destinations.sink]
url = "$DRAIN"
concurrency = 64
sign = { secrets = [{ env = "SIGNING_SECRET" }] }

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
dedupe = "24h"
pipeline = [$PIPELINE]
deliver = [$DELIVER]
"#;

/// One subject at one size, in every pass.
#[derive(Default)]
struct Cell {
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
    /// Share of the accepted events that reached the downstream.
    delivered: Vec<f64>,
    rss: Vec<f64>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut args = Args::parse();
    if args.quick {
        (args.seconds, args.passes) = (1.0, 1);
    }
    if SUBJECTS.iter().any(|subject| args.wants(subject)) {
        compare(&args).await?;
    }
    plugins::measure(&args).await?;
    hostile::measure(&args).await
}

/// Everything that is compared with the floor.
async fn compare(args: &Args) -> Result<()> {
    let mut syncs = Vec::new();
    let mut cells: Vec<Vec<Cell>> = SIZES.map(|_| SUBJECTS.map(|_| Cell::default()).into()).into();
    for pass in 1..=args.passes {
        syncs.push(millis(usage::fdatasync(&env::temp_dir(), PROBES)?.1));
        for (size, cells) in SIZES.iter().zip(&mut cells) {
            for (subject, cell) in SUBJECTS.iter().zip(cells).filter(|(subject, _)| args.wants(subject)) {
                eprintln!("pass {pass} of {}: {}, {}", args.passes, size.0, subject.name);
                measure(*subject, size.1, args, cell).await?;
            }
        }
    }
    print_table(&cells);
    println!(
        "\nfdatasync of 4 KiB on this disk: p99 {:.1} ms ({})",
        median(&syncs),
        env::temp_dir().display()
    );
    print_half_rate(&cells, args, median(&syncs)).await
}

impl Args {
    fn wants(&self, subject: &Subject) -> bool {
        let is_floor = matches!(subject.program, Program::Floor { .. });
        let compared = || SUBJECTS.iter().filter(|other| SUBJECTS[other.floor].name == subject.name);
        self.names(subject.name) || (is_floor && compared().any(|other| self.names(other.name)))
    }

    fn names(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// One cell, once: start, warm up, load, drain.
async fn measure(subject: Subject, size: usize, args: &Args, cell: &mut Cell) -> Result<()> {
    let running = Running::start(subject.program).await?;
    let load = running.load(size, args.duration());
    Load { duration: args.duration() / 4, ..load.clone() }.run().await;
    running.drained().await;
    let (cpu, received) = (usage::cpu(running.pid())?, running.drain.received());
    let outcome = load.run().await;
    running.drained().await;
    let cpu = usage::cpu(running.pid())? - cpu;
    ensure!(outcome.accepted > 0, "`{}` accepted nothing of {} requests", subject.name, outcome.failed);
    ensure!(outcome.failed == 0, "`{}` failed {} requests", subject.name, outcome.failed);
    let arrived = (running.drain.received() - received) as f64;
    cell.record(&outcome, cpu, arrived, usage::memory(running.pid())?.1);
    Ok(())
}

impl Cell {
    fn record(&mut self, outcome: &Outcome, cpu: Duration, arrived: f64, rss: u64) {
        let accepted = outcome.accepted as f64;
        self.rates.push(outcome.per_second());
        self.p50.push(millis(outcome.percentile(0.5)));
        self.p99.push(millis(outcome.percentile(0.99)));
        self.cpu.push(cpu.as_secs_f64() * 1e6 / accepted);
        self.delivered.push(arrived / accepted);
        self.rss.push(rss as f64 / f64::from(1 << 20));
    }
}

/// A program under test and its downstream.
struct Running {
    program: Started,
    drain: Drain,
}

enum Started {
    Floor { process: Process, addr: SocketAddr, _dir: TempDir },
    Sluice(Box<Gateway>),
}

impl Running {
    async fn start(program: Program) -> Result<Self> {
        let drain = Drain::start().await?;
        let program = match program {
            Program::Floor { delivers } => start_floor(delivers.then(|| drain.url())).await?,
            Program::Sluice { pipeline, delivers } => start_sluice(pipeline, delivers, &drain).await,
        };
        Ok(Self { program, drain })
    }

    fn load(&self, size: usize, duration: Duration) -> Load {
        let requests = Arc::new(Requests::github("/github", size));
        Load { target: self.addr(), requests, connections: CONNECTIONS, duration, rate: None }
    }

    fn addr(&self) -> SocketAddr {
        match &self.program {
            Started::Floor { addr, .. } => *addr,
            Started::Sluice(gateway) => gateway.addr(),
        }
    }

    fn pid(&self) -> u32 {
        match &self.program {
            Started::Floor { process, .. } => process.pid(),
            Started::Sluice(gateway) => gateway.pid(),
        }
    }

    /// Waits until nothing is on its way any more. Asks the gateway as seldom as can be: asking costs CPU.
    async fn drained(&self) {
        loop {
            self.quiet().await;
            let Started::Sluice(gateway) = &self.program else { return };
            if is_empty(gateway.admin()).await {
                return;
            }
        }
    }

    async fn quiet(&self) {
        let mut seen = (self.drain.received(), Instant::now());
        while seen.1.elapsed() < QUIET {
            sleep(QUIET / 10).await;
            let received = self.drain.received();
            if received != seen.0 {
                seen = (received, Instant::now());
            }
        }
    }
}

async fn is_empty(admin: &Admin) -> bool {
    admin.metric("sluice_journal_depth", "").await == 0.0
}

async fn start_floor(deliver: Option<String>) -> Result<Started> {
    let dir = tempfile::tempdir()?;
    let program: PathBuf = env::current_exe()?.with_file_name("floor");
    let mut command = Command::new(&program);
    command.args(["--secret", GITHUB_SECRET]).arg("--journal").arg(dir.path().join("journal.db"));
    command.args(deliver.iter().flat_map(|url| ["--deliver", url]));
    let process = Process::spawn(command);
    let listening = || process.stderr().first()?.strip_prefix("listening addr=")?.parse().ok();
    let addr = wait::poll(wait::PATIENCE, async || listening()).await.context("floor does not listen")?;
    Ok(Started::Floor { process, addr, _dir: dir })
}

async fn start_sluice(pipeline: &str, delivers: bool, drain: &Drain) -> Started {
    let deliver = if delivers { "\"sink\"" } else { "" };
    let setup = Setup::new().plugins().value("$DRAIN", drain.url());
    let setup = setup.value("$PIPELINE", pipeline).value("$DELIVER", deliver);
    Started::Sluice(Box::new(setup.config(CONFIG).start().await))
}

fn print_table(cells: &[Vec<Cell>]) {
    println!(
        "\n| body | subject | acks/s | p50 / p99 ms | CPU µs/event (range) | × floor | delivered | RSS MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for ((size, _), cells) in SIZES.iter().zip(cells) {
        for (subject, cell) in SUBJECTS.iter().zip(cells).filter(|(_, cell)| !cell.cpu.is_empty()) {
            let floor = median(&cells[subject.floor].cpu);
            println!("| {size} | {} | {} |", subject.name, cell.columns(floor));
        }
    }
}

impl Cell {
    fn columns(&self, floor: f64) -> String {
        let (least, most) = self.cpu.iter().fold((f64::MAX, 0.0_f64), |(a, b), &x| (a.min(x), b.max(x)));
        format!(
            "{:.0} | {:.1} / {:.1} | **{:.0}** ({least:.0}–{most:.0}) | {:.2} | {:.0} % | {:.0}",
            median(&self.rates),
            median(&self.p50),
            median(&self.p99),
            median(&self.cpu),
            median(&self.cpu) / floor,
            100.0 * median(&self.delivered),
            median(&self.rss),
        )
    }
}

/// The ack latency of the whole work at half of its highest rate, against the disk's own.
async fn print_half_rate(cells: &[Vec<Cell>], args: &Args, sync: f64) -> Result<()> {
    let (last, subject) = (SUBJECTS.len() - 1, SUBJECTS[SUBJECTS.len() - 1]);
    for ((name, size), cells) in SIZES.iter().zip(cells).filter(|(_, cells)| !cells[last].rates.is_empty()) {
        let rate = median(&cells[last].rates) / 2.0;
        let running = Running::start(subject.program).await?;
        let load = Load { rate: Some(rate), ..running.load(*size, args.duration()) };
        let p99 = millis(load.run().await.percentile(0.99));
        println!(
            "{}, {name}, at {rate:.0}/s: ack p99 {p99:.1} ms, {:.1} × fdatasync p99",
            subject.name,
            p99 / sync
        );
    }
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}
