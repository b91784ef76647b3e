//! Every vector through everything that a real request goes through: config, socket, listener, route, proof, journal.

use std::collections::{BTreeMap, HashMap};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::{
    vector::{Vector, nowhere},
    *,
};
use crate::{
    listener::Listener,
    verify::{
        Settings,
        scheme::{Family, Scheme, Tolerance, Unlimited},
    },
};

/// A gateway's taking-in half, whose routes and clock can be changed.
struct Gate {
    addr: std::net::SocketAddr,
    bench: Bench,
    current: Current,
    clock: Arc<ManualClock>,
}

#[tokio::test]
async fn every_vector_comes_out_right_over_tcp() {
    let gate = Gate::open().await;
    let mut wrong = Vec::new();
    for ((now, config), vectors) in grouped(Vector::all()) {
        let routes = routes(&config, now);
        gate.turn_to(routes.as_deref().unwrap_or_default(), now);
        for vector in vectors {
            let outcome = match &routes {
                Ok(_) => gate.outcome(&vector).await,
                Err(report) => Outcome::Config(report.clone()),
            };
            wrong.extend(outcome.objection(&vector).map(|why| format!("{}: {why}", vector.id)));
        }
    }
    assert!(wrong.is_empty(), "{} came out wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Those that need the same clock and config, in the order of the clock, which only goes forward.
fn grouped(vectors: Vec<Vector>) -> BTreeMap<(Option<u64>, String), Vec<Vector>> {
    let count = vectors.len();
    assert!(count >= 909, "vectors got lost: {count}");
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for vector in vectors {
        groups.entry((vector.now, vector.config())).or_default().push(vector);
    }
    groups
}

/// The config's routes, or what is wrong with it.
fn routes(config: &str, now: Option<u64>) -> Result<Vec<config::Route>, String> {
    let parsed = Config::parse(config, nowhere(), &HashMap::new());
    let (config, _) = parsed.map_err(|report| report.to_string())?;
    let mut routes: Vec<_> = config.routes.iter().map(|route| (**route).clone()).collect();
    if now.is_none() {
        routes.iter_mut().for_each(timeless);
    }
    Ok(routes)
}

/// Makes a route look at no time: some requests are signed, but nobody says when.
fn timeless(route: &mut config::Route) {
    if let config::Verify::Proof(settings) = &mut route.verify {
        let Settings { scheme, .. } = &mut **settings;
        let scheme = Arc::make_mut(scheme);
        let unlimited = Tolerance::Unlimited(Unlimited::Unlimited);
        match &mut scheme.family {
            Family::Signature(scheme) => {
                if let Some(timestamp) = &mut scheme.timestamp {
                    (timestamp.past, timestamp.future) = (unlimited, Some(unlimited));
                }
            }
            Family::Jws(scheme) => (scheme.max_age, scheme.leeway) = (None, 1 << 40),
            Family::Rfc9421(scheme) => scheme.max_age = 1 << 40,
            Family::Token(_) | Family::Basic(_) | Family::None {} => {}
        }
    }
}

impl Gate {
    async fn open() -> Self {
        let (bench, clock) = (Bench::new(Vec::new()), Arc::new(ManualClock::default()));
        let current: Current = Arc::new(ArcSwap::from_pointee(bench.generation()));
        let ingest =
            Ingest::new(current.clone(), bench.journal.clone(), clock.clone(), bench.metrics.clone());
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = tcp.local_addr().unwrap();
        tokio::spawn(Listener::new(tcp, None, Arc::new(ingest)).serve(CancellationToken::new()));
        Self { addr, bench, current, clock }
    }

    fn turn_to(&self, routes: &[config::Route], now: Option<u64>) {
        let bench = Bench { routes: routes.to_vec(), ..Bench::new(Vec::new()) };
        self.current.store(Arc::new(bench.generation()));
        let now = Timestamp::from_millis(now.unwrap_or_default() * 1000);
        self.clock.advance(now.since(self.clock.now()));
    }

    async fn outcome(&self, vector: &Vector) -> Outcome {
        let before = self.bench.journal.events().len();
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(&vector.request()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap().replace("\r\n", " ");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let taken_in = self.bench.journal.events().len() > before;
        Outcome::Answer { status: status.unwrap_or_default(), answer, taken_in }
    }
}

/// Reasons for which there cannot even be such a route.
const UNUSABLE_KEY: [&str; 3] = ["empty-key", "bad-base64", "bad-hex"];

/// What became of a vector.
enum Outcome {
    /// There can be no such route.
    Config(String),
    Answer {
        status: u16,
        answer: String,
        taken_in: bool,
    },
}

impl Outcome {
    /// Why that is not what had to become of it.
    fn objection(&self, vector: &Vector) -> Option<String> {
        let reason = vector.reason.as_deref().unwrap_or_default();
        match self {
            Self::Config(report) if !UNUSABLE_KEY.contains(&reason) => {
                Some(format!("config is refused: {report}"))
            }
            Self::Config(_) => None,
            Self::Answer { status, taken_in, answer } if vector.valid => {
                let right = (200..300).contains(status) && *taken_in;
                (!right).then(|| format!("must be let in, but: {answer}"))
            }
            Self::Answer { status, taken_in, answer } => {
                let right = refusals(&vector.scheme).contains(status) && !taken_in;
                (!right).then(|| format!("must be refused ({reason}), but: {answer}"))
            }
        }
    }
}

/// The statuses by which a wrong proof is refused. 400 is for what is no HTTP, such as control bytes in a header.
fn refusals(preset: &str) -> [u16; 2] {
    let scheme: &Scheme = &crate::verify::scheme::preset(preset).unwrap().scheme;
    [400, scheme.common.respond.refused.unwrap_or(401)]
}
