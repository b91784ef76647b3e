use std::{net::SocketAddr, process::Command, sync::Arc, time::Duration};

use sluice_tests::{
    drain::Drain,
    load::{Load, Requests},
    process::Process,
    wait,
    webhook::GITHUB_SECRET,
};
use tempfile::TempDir;

#[tokio::test]
async fn floor_accepts_signed_load_and_delivers_all_of_it() {
    let drain = Drain::start().await.unwrap();
    let floor = Floor::start(&["--deliver", &drain.url()]).await;
    let outcome = load(floor.addr, "/github").run().await;
    assert_eq!(outcome.failed, 0);
    assert!(outcome.accepted > 0 && outcome.latencies.len() as u64 == outcome.accepted);
    wait::wait_until("all delivered", async || drain.received() == outcome.accepted).await;
    let db = rusqlite::Connection::open(floor.dir.path().join("journal.db")).unwrap();
    let written: i64 = db.query_row("select count(*) from event", (), |row| row.get(0)).unwrap();
    assert_eq!(written as u64, outcome.accepted);
}

#[tokio::test]
async fn floor_refuses_what_is_not_signed() {
    let floor = Floor::start(&[]).await;
    let answer = sluice_tests::webhook::Webhook::github("issues", "{}").sign_github("wrong");
    let base = format!("http://{}", floor.addr);
    answer.send(&sluice_tests::client::http1(), &base).await.unwrap().expect(401);
}

#[tokio::test]
async fn paced_load_sends_at_its_rate() {
    let floor = Floor::start(&[]).await;
    let outcome = Load { rate: Some(200.0), ..load(floor.addr, "/github") }.run().await;
    assert_eq!(outcome.failed, 0);
    assert!((55..=61).contains(&outcome.accepted), "{} in 0.3 s at 200/s", outcome.accepted);
}

fn load(target: SocketAddr, path: &str) -> Load {
    Load {
        target,
        requests: Arc::new(Requests::github(path, 1024)),
        connections: 4,
        duration: Duration::from_millis(300),
        rate: None,
    }
}

struct Floor {
    addr: SocketAddr,
    dir: TempDir,
    _process: Process,
}

impl Floor {
    async fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_floor"));
        command
            .args(["--secret", GITHUB_SECRET])
            .args(args)
            .arg("--journal")
            .arg(dir.path().join("journal.db"));
        let process = Process::spawn(command);
        let addr = wait::wait_for("floor listens", async || {
            process.stderr().first()?.strip_prefix("listening addr=")?.parse().ok()
        });
        Self { addr: addr.await, dir, _process: process }
    }
}
