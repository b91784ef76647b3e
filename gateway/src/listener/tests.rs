use std::path::Path;

use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::{JoinHandle, yield_now},
};

use super::{tls::tests::self_signed, *};
use crate::{
    config,
    ingest::tests::{Bench, route},
};

/// A listener on a free port.
pub(crate) struct Served {
    pub(crate) addr: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(bench: &Bench, tls: Option<Tls>) -> Self {
        Self::serve(bench.ingest(), tls).await
    }

    async fn serve(ingest: Arc<Ingest>, tls: Option<Tls>) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = tcp.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(Listener::new(tcp, tls, ingest).serve(shutdown.clone()));
        Self { addr, shutdown, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends the bytes and reads until the other side closes.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut stream).await
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads one answer whose body is one JSON object.
async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut piece = [0; 1024];
        let len = stream.read(&mut piece).await.unwrap();
        assert!(len > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&piece[..len]).unwrap());
    }
    answer
}

const REQUEST: &str = "POST /in HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}";
const LAST_REQUEST: &str = "POST /in HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";

#[track_caller]
fn assert_answer(answer: &str, status: &str, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(&format!("{{\"code\":\"{code}\"")), "{answer}");
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let bench = Bench::open();
    let served = Served::start(&bench, None).await;
    let mut stream = served.connect().await;
    for _ in 0..3 {
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 202 Accepted"));
    }
    assert_eq!(bench.journal.events().len(), 3);
    assert_eq!(bench.metrics.connections.get(), 1);
}

#[tokio::test]
async fn a_small_refused_body_costs_no_connection() {
    let served = Served::start(&Bench::open(), None).await;
    let mut stream = served.connect().await;
    let elsewhere = REQUEST.replace("/in", "/out");
    stream.write_all(elsewhere.as_bytes()).await.unwrap();
    assert_answer(&read_answer(&mut stream).await, "404", "not_found");
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 202"));
}

#[tokio::test]
async fn slow_headers_are_answered_408() {
    let bench = Bench::open().server(|s| s.header_timeout = Duration::from_millis(50));
    let served = Served::start(&bench, None).await;
    let answer = served.exchange("POST /in HTTP/1.1\r\nhost: ").await;
    assert_answer(&answer, "408", "header_timeout");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(bench.refused("", "header_timeout"), 1);
}

#[tokio::test]
async fn slow_headers_of_a_later_request_are_answered_408() {
    let bench = Bench::open().server(|s| s.header_timeout = Duration::from_millis(50));
    let served = Served::start(&bench, None).await;
    let mut stream = served.connect().await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 202"));
    stream.write_all(b"P").await.unwrap();
    assert_answer(&read_all(&mut stream).await, "408", "header_timeout");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let bench = Bench::open().server(|s| s.header_timeout = Duration::from_millis(50));
    let served = Served::start(&bench, None).await;
    assert_eq!(served.exchange("").await, "");
}

#[tokio::test]
async fn a_slow_body_is_answered_408() {
    let bench = Bench::open().server(|s| s.body_timeout = Duration::from_millis(50));
    let served = Served::start(&bench, None).await;
    let answer = served.exchange("POST /in HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab").await;
    assert_answer(&answer, "408", "body_timeout");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn headers_over_the_limit_are_answered_431() {
    let served = Served::start(&Bench::open(), None).await;
    let with_padding = |len| LAST_REQUEST.replace("host: h", &format!("host: h\r\nx: {}", "x".repeat(len)));
    assert_answer(&served.exchange(with_padding(4 << 10)).await, "431", "headers_too_large");
    // Far over it, hyper answers by itself.
    let answer = served.exchange(with_padding(40 << 10)).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn malformed_requests_are_answered_400() {
    let served = Served::start(&Bench::open(), None).await;
    assert!(served.exchange("NOT HTTP AT ALL\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn an_announced_body_over_the_limit_is_answered_before_it_is_sent() {
    let served = Served::start(&Bench::open(), None).await;
    let head = "POST /in HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2000000\r\n\r\n";
    let answer = served.exchange(head).await;
    assert_answer(&answer, "413", "body_too_large");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_sender_that_goes_on_sending_still_reads_413() {
    let bench = Bench::new(vec![config::Route { max_body: 1000, ..route("in", "/in") }]);
    let served = Served::start(&bench, None).await;
    let mut stream = served.connect().await;
    let (mut read, mut write) = stream.split();
    let sending = async {
        write.write_all(b"POST /in HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        for _ in 0..20 {
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            if write.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        write.shutdown().await
    };
    let mut answer = Vec::new();
    let (_, read) = tokio::join!(sending, read.read_to_end(&mut answer));
    read.unwrap();
    assert_answer(std::str::from_utf8(&answer).unwrap(), "413", "body_too_large");
}

#[tokio::test]
async fn a_body_in_many_pieces_arrives_whole() {
    let bench = Bench::open();
    let served = Served::start(&bench, None).await;
    let body = "0123456789".repeat(50_000);
    let head = format!(
        "POST /in HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    assert!(served.exchange(head + &body).await.starts_with("HTTP/1.1 202"));
    assert_eq!(bench.journal.events()[0].body, body);
}

#[tokio::test]
async fn a_sender_that_closes_its_half_is_still_answered() {
    let bench = Bench::open();
    let served = Served::start(&bench, None).await;
    let gate = bench.journal.gate.acquire_many(100).await.unwrap();
    let mut stream = served.connect().await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    while bench.journal.begun.load(Ordering::Relaxed) == 0 {
        yield_now().await;
    }
    drop(gate);
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 202"));
}

#[tokio::test]
async fn a_sender_that_breaks_off_leaves_no_event() {
    let bench = Bench::open();
    let served = Served::start(&bench, None).await;
    let mut stream = served.connect().await;
    stream.write_all(b"POST /in HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab").await.unwrap();
    drop(stream);
    while bench.metrics.connections.get() > 0 || bench.refused("in", "body_incomplete") == 0 {
        yield_now().await;
    }
    assert!(bench.journal.events().is_empty());
}

#[tokio::test]
async fn a_connection_too_many_is_told_to_come_back() {
    let bench = Bench::open().server(|s| s.max_connections = 1);
    let served = Served::start(&bench, None).await;
    let mut first = served.connect().await;
    first.write_all(REQUEST.as_bytes()).await.unwrap();
    read_answer(&mut first).await;

    let answer = served.exchange(REQUEST).await;
    assert_answer(&answer, "503", "too_many_connections");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");

    drop(first);
    while bench.metrics.connections.get() > 0 {
        yield_now().await;
    }
    assert!(served.exchange(LAST_REQUEST).await.starts_with("HTTP/1.1 202"));
}

#[tokio::test]
async fn a_reload_changes_how_many_connections_there_may_be() {
    let bench = Bench::open().server(|s| s.max_connections = 1);
    let current = Arc::new(ArcSwap::from_pointee(bench.generation()));
    let served = Served::serve(bench.ingest_of(current.clone()), None).await;
    let mut first = served.connect().await;
    first.write_all(REQUEST.as_bytes()).await.unwrap();
    read_answer(&mut first).await;
    assert_answer(&served.exchange(REQUEST).await, "503", "too_many_connections");

    let bench = bench.server(|s| s.max_connections = 2);
    current.store(Arc::new(bench.generation()));
    assert!(served.exchange(LAST_REQUEST).await.starts_with("HTTP/1.1 202"));
}

#[tokio::test]
async fn a_shutdown_lets_requests_in_hand_finish() {
    let bench = Bench::open();
    let served = Served::start(&bench, None).await;
    let gate = bench.journal.gate.acquire_many(100).await.unwrap();
    let mut busy = served.connect().await;
    busy.write_all(REQUEST.as_bytes()).await.unwrap();
    while bench.journal.begun.load(Ordering::Relaxed) == 0 {
        yield_now().await;
    }
    let mut resting = served.connect().await;
    while bench.metrics.connections.get() < 2 {
        yield_now().await;
    }
    served.shutdown.cancel();
    assert_eq!(read_all(&mut resting).await, "");
    drop(gate);
    assert!(read_all(&mut busy).await.starts_with("HTTP/1.1 202"));
    served.task.await.unwrap();
    assert!(TcpStream::connect(served.addr).await.is_err());
}

fn client() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

fn trusting(certificate: &CertificateDer<'_>, served: &Served) -> reqwest::ClientBuilder {
    let root = reqwest::Certificate::from_der(certificate).unwrap();
    client().tls_certs_only([root]).resolve("localhost", served.addr)
}

#[tokio::test]
async fn http2_is_told_by_its_preface() {
    let bench = Bench::open();
    let served = Served::start(&bench, None).await;
    let client = client().http2_prior_knowledge().build().unwrap();
    let answer = client.post(format!("http://{}/in", served.addr)).body("{}").send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (http::Version::HTTP_2, 202));
    assert_eq!(bench.journal.events()[0].headers.get("host").unwrap(), &served.addr.to_string());
}

#[tokio::test]
async fn over_http2_the_same_limits_hold() {
    let bench = Bench::new(vec![config::Route { max_body: 1000, ..route("in", "/in") }]);
    let served = Served::start(&bench, None).await;
    let client = client().http2_prior_knowledge().build().unwrap();
    let post = |body: String, padding| {
        let request = client.post(format!("http://{}/in", served.addr)).header("x", "x".repeat(padding));
        async { request.body(body).send().await.unwrap().status().as_u16() }
    };
    assert_eq!(post("x".repeat(1000), 0).await, 202);
    assert_eq!(post("x".repeat(1001), 0).await, 413);
    assert_eq!(post(String::new(), 4 << 10).await, 431);
}

async fn start_tls(bench: &Bench, dir: &Path) -> (Served, Tls, CertificateDer<'static>) {
    let (files, certificate) = self_signed(dir);
    let tls = Tls::load(&files).unwrap();
    (Served::start(bench, Some(tls.clone())).await, tls, certificate)
}

#[tokio::test]
async fn tls_speaks_both_protocols() {
    let bench = Bench::open();
    let dir = tempfile::tempdir().unwrap();
    let (served, _, certificate) = start_tls(&bench, dir.path()).await;
    let url = format!("https://localhost:{}/in", served.addr.port());
    for (client, version) in [
        (trusting(&certificate, &served).http1_only(), http::Version::HTTP_11),
        (trusting(&certificate, &served), http::Version::HTTP_2),
    ] {
        let answer = client.build().unwrap().post(&url).body("{}").send().await.unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (version, 202));
    }
}

#[tokio::test]
async fn a_new_certificate_counts_from_the_next_handshake() {
    let dir = tempfile::tempdir().unwrap();
    let (served, tls, _) = start_tls(&Bench::open(), dir.path()).await;
    let (files, renewed) = self_signed(dir.path());
    let url = format!("https://localhost:{}/in", served.addr.port());
    let client = || trusting(&renewed, &served).build().unwrap();
    assert!(client().post(&url).body("{}").send().await.is_err());
    tls.install(tls.read(&files).unwrap());
    assert!(client().post(&url).body("{}").send().await.is_ok());
}

#[tokio::test]
async fn a_slow_handshake_loses_its_place() {
    let bench = Bench::open().server(|s| s.header_timeout = Duration::from_millis(50));
    let dir = tempfile::tempdir().unwrap();
    let (served, ..) = start_tls(&bench, dir.path()).await;
    let mut stream = served.connect().await;
    stream.write_all(&[22, 3, 1]).await.unwrap();
    let mut answer = Vec::new();
    // Closed with an alert or a reset: either way it is over.
    let _ = stream.read_to_end(&mut answer).await;
    while bench.metrics.connections.get() > 0 {
        yield_now().await;
    }
}
