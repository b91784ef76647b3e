use super::*;

/// CPU time of the process so far, in microseconds.
fn cpu_micros() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks * 10_000
}

/// Prints what one event costs from append to settlement. Run it optimised, alone:
/// `cargo test --release --lib journal::sqlite::tests::speed -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_an_event_in_and_out() {
    const EVENTS: usize = 100_000;
    for size in [1 << 10, 10 << 10] {
        let bench = Bench::new();
        let body = Bytes::from(vec![b'x'; size]);
        let (cpu, start) = (cpu_micros(), std::time::Instant::now());
        let dispatcher = tokio::spawn(drain(bench.journal().clone(), EVENTS));
        let appenders: Vec<_> = (0..64)
            .map(|lane| {
                let (journal, body, now) = (bench.journal().clone(), body.clone(), bench.now());
                tokio::spawn(async move {
                    for number in (lane..EVENTS).step_by(64) {
                        let event = Event { body: body.clone(), ..(*event("r", number, now)).clone() };
                        journal.append(Arc::new(event), DAY).await.unwrap();
                    }
                })
            })
            .collect();
        for appender in appenders {
            appender.await.unwrap();
        }
        let rate = EVENTS as f64 / start.elapsed().as_secs_f64();
        dispatcher.await.unwrap();
        let cost = (cpu_micros() - cpu) as f64 / EVENTS as f64;
        println!("{size} bytes: {rate:.0} events/s, {cost:.1} µs of CPU each");
    }
}

/// Prints how a large backlog is opened, listed and drained.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_a_large_backlog() {
    const EVENTS: usize = 600_000;
    let mut bench = Bench::new();
    let body = Bytes::from(vec![b'x'; 1 << 10]);
    let appenders: Vec<_> = (0..256)
        .map(|lane| {
            let (journal, body, now) = (bench.journal().clone(), body.clone(), bench.now());
            tokio::spawn(async move {
                for number in (lane..EVENTS).step_by(256) {
                    let event = Event { body: body.clone(), ..(*event("r", number, now)).clone() };
                    journal.append(Arc::new(event), DAY).await.unwrap();
                }
            })
        })
        .collect();
    for appender in appenders {
        appender.await.unwrap();
    }
    let start = std::time::Instant::now();
    bench.crash();
    println!("opened {EVENTS} waiting after a crash in {:?}, {}", start.elapsed(), memory());
    for state in [None, Some(EventState::Open), Some(EventState::Dead)] {
        let start = std::time::Instant::now();
        let filter = crate::journal::EventFilter { state, ..Default::default() };
        let count = bench.journal().events(filter).await.unwrap().len();
        println!("listed {count} of {state:?} in {:?}", start.elapsed());
    }
    let (cpu, start) = (cpu_micros(), std::time::Instant::now());
    drain(bench.journal().clone(), EVENTS).await;
    until(async || bench.journal().health().depth == 0).await;
    let cost = (cpu_micros() - cpu) as f64 / EVENTS as f64;
    println!("drained in {:?}, {cost:.1} µs of CPU each, {}", start.elapsed(), memory());
    let start = std::time::Instant::now();
    bench.crash();
    println!("opened {EVENTS} finished in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let filter = crate::journal::EventFilter { state: Some(EventState::Open), ..Default::default() };
    bench.journal().events(filter).await.unwrap();
    println!("found no open one in {:?}", start.elapsed());
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned()
}

async fn drain(journal: Arc<SqliteJournal>, events: usize) {
    let mut left = events;
    while left > 0 {
        let claims = journal.claim(64).await.unwrap();
        left -= claims.len();
        for claim in claims {
            let trail = vec![step(claim.event.received_at), attempt(claim.event.received_at, 1)];
            journal.settle(Settlement {
                event: claim.event.id,
                trail,
                ending: Ending::Delivered { unfinished: Vec::new() },
            });
        }
    }
}
