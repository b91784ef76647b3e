//! What proving one request costs: `cargo bench --workspace --bench verify`.
//!
//! Prints microseconds per verification of a 1 KiB body, the median of several rounds, for presets that differ in
//! what they do. The proof that most routes have, HMAC-SHA256 as GitHub writes it, is held to a budget in release builds.

use std::{
    hint::black_box,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Method};
use sluice::{
    clock::Timestamp,
    config::{Secret, Verify},
    event::EventId,
    verify::{Settings, Signer, Unverified, Verifier, scheme::preset},
};

/// 1 KiB, as JSON.
const BODY_LEN: usize = 1 << 10;
/// One request in this many microseconds, at most.
const BUDGET: (&str, f64) = ("github", 3.0);
const ROUNDS: usize = 11;
const PRESETS: [&str; 6] = ["github", "gitlab", "shopify", "slack", "standard-webhooks", "stripe"];
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn main() -> ExitCode {
    // Without optimisations it only shows that it works.
    let per_round = if cfg!(debug_assertions) { 200 } else { 20_000 };
    let mut within = true;
    for name in PRESETS {
        let cost = cost(name, per_round);
        eprintln!("{name:>20} {cost:8.2} µs");
        within &= name != BUDGET.0 || cost <= BUDGET.1 || cfg!(debug_assertions);
    }
    if within {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: `{}` must take {} µs at most", BUDGET.0, BUDGET.1);
    ExitCode::FAILURE
}

/// Microseconds for one verification.
fn cost(name: &str, per_round: usize) -> f64 {
    let (verifier, request) = genuine(name);
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| round(&verifier, &request, per_round)).collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2].as_secs_f64() * 1e6 / per_round as f64
}

/// The copies of the request are made beforehand: ingest does not copy what it verifies.
fn round(verifier: &Verifier, request: &Unverified, count: usize) -> Duration {
    let requests = vec![request.clone(); count];
    let begun = Instant::now();
    for request in requests {
        let now = request.received_at;
        let outcome = verifier.verify(black_box(request), now).now_or_never();
        assert!(outcome.is_some_and(|outcome| black_box(outcome).is_ok()), "a genuine request was refused");
    }
    begun.elapsed()
}

fn genuine(name: &str) -> (Verifier, Unverified) {
    let scheme = &preset(name).expect("a shipped preset").scheme;
    let mut request = request();
    let signer = Signer::new(scheme, SECRET.as_bytes()).expect("the secret fits every preset here");
    signer.sign(&mut request, None).expect("the request has all that is signed");
    let settings = Settings::new(scheme.clone(), vec![Secret::new(SECRET.as_bytes(), "bench")]);
    (Verifier::new(&Verify::Proof(Box::new(settings)), &Arc::default()), request)
}

fn request() -> Unverified {
    let body = format!(r#"{{"id":"evt_1","pad":"{}"}}"#, "x".repeat(BODY_LEN - 23));
    Unverified {
        id: EventId::generate(),
        route: "in".into(),
        received_at: Timestamp::from_millis(1_700_000_000_000),
        method: Method::POST,
        path: "/in".to_owned(),
        query: None,
        params: Vec::new(),
        headers: HeaderMap::new(),
        body: Bytes::from(body),
    }
}
