use std::{
    io::Write,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use reqwest::Method;
use sluice_tests::{
    client::{self, Answer},
    disk::SmallDisk,
    gateway::{Gateway, Setup},
    sink::{Reply, Sink},
    wait,
    webhook::{GITHUB_SECRET, Webhook},
};

use crate::common::{RELAY, hook, relay};

/// Small limits, short times, and routes of every kind.
const STRICT: &str = r#"
[server]
listen = "127.0.0.1:0"
max_connections = 8
max_headers = "8KiB"
header_timeout = "500ms"
body_timeout = "500ms"

[destinations.sink]
url = "$SINK/in"

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
max_body = "64KiB"
deliver = ["sink"]

[[routes]]
name = "open"
path = "/open/{tenant}"
methods = ["POST", "PUT"]
verify = "none"
max_body = "64KiB"
deliver = ["sink"]

[[routes]]
name = "wild"
path = "/wild/*"
verify = "none"
deliver = ["sink"]

[[routes]]
name = "hosted"
host = "hooks.example.com"
path = "/hosted"
verify = "none"
deliver = ["sink"]

[[routes]]
name = "limited"
path = "/limited"
verify = "none"
rate = "2/s"
deliver = ["sink"]
"#;

const FULL: &str = r#"
[journal]
path = "$DIR/journal"
max_size = "16MiB"

[destinations.sink]
url = "$SINK/in"
$RETRY

[[routes]]
name = "github"
path = "/github"
verify = { preset = "github", secrets = [{ env = "GITHUB_SECRET" }] }
deliver = ["sink"]
"#;

async fn strict(sink: &Sink) -> Gateway {
    Setup::new().sink(sink).config(STRICT).start().await
}

#[tokio::test]
async fn accepted_event_is_answered_202_with_its_id_and_arrives_as_it_was() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let webhook = hook(1);
    let body = webhook.body.clone();
    let answer = gateway.send(webhook).await.expect(202);
    assert!(!answer.header("x-request-id").is_empty());
    let id = answer.id();
    let received = sink.wait_received("/in", 1).await;
    assert_eq!(received[0].body, body);
    assert!(received[0].webhook_id().starts_with(&id), "{}", received[0].webhook_id());
}

#[tokio::test]
async fn repeated_delivery_is_answered_200_with_the_first_ones_id() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let webhook = hook(1);
    let id = gateway.accept(webhook.clone()).await;
    let again = gateway.send(webhook).await.expect(200);
    assert_eq!(again.id(), id);
    assert_eq!(again.json()["duplicate"], true);
}

#[tokio::test]
async fn refused_request_does_not_burn_its_delivery_id() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let webhook = hook(1).delivery("once");
    gateway.send(webhook.clone().sign_github("wrong")).await.expect(401);
    gateway.send(webhook).await.expect(202);
}

#[tokio::test]
async fn every_failed_check_is_answered_alike() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let signature = |value: &str| hook(1).header("x-hub-signature-256", value);
    let forged = [
        hook(1).without("x-hub-signature-256"),
        hook(1).sign_github("another secret"),
        hook(1).sign_github(""),
        signature(""),
        signature("sha256="),
        signature("sha256=zz"),
        signature(&format!("sha256={}", "0".repeat(64))),
        signature(&"0".repeat(64)),
        signature(&format!("sha1={}", "0".repeat(40))),
    ];
    let mut answers = Vec::new();
    for webhook in forged {
        let answer = gateway.send(webhook).await.expect(401);
        answers.push((answer.code(), answer.json()["message"].clone()));
    }
    answers.dedup();
    assert_eq!(answers, [("signature_invalid".to_owned(), answers[0].1.clone())]);
    gateway.wait_log("signature_missing").await;
    gateway.wait_log("signature_invalid").await;
    assert!(sink.received("/in").is_empty());
}

#[tokio::test]
async fn body_changed_after_signing_is_401() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let mut webhook = hook(1);
    webhook.body = [webhook.body.as_ref(), b" "].concat().into();
    gateway.send(webhook).await.expect(401);
}

#[tokio::test]
async fn standard_webhooks_are_checked_with_their_timestamp() {
    let secret = sluice_tests::webhook::SIGNING_SECRET;
    let config = RELAY.replace("/github", "/standard").replace("\"github\"", "\"standard-webhooks\"");
    let config = config.replace("GITHUB_SECRET", "SIGNING_SECRET");
    let sink = Sink::start().await;
    let gateway = Setup::new().sink(&sink).config(&config).start().await;
    let webhook = Webhook::standard("{}", secret);
    gateway.send(webhook.clone()).await.expect(202);
    gateway.send(webhook.header("webhook-timestamp", "1600000000")).await.expect(401);
}

#[tokio::test]
async fn unknown_path_and_unknown_host_are_404() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    for path in ["/", "/github/", "/open", "/open/a/b", "/nowhere"] {
        assert_eq!(gateway.send(Webhook::plain(path, "{}")).await.expect(404).code(), "not_found", "{path}");
    }
    gateway.send(Webhook::plain("/hosted", "{}")).await.expect(404);
    let host = Webhook::plain("/hosted", "{}").header("host", "hooks.example.com");
    gateway.send(host).await.expect(202);
}

#[tokio::test]
async fn segments_and_prefixes_are_matched() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    for path in ["/open/acme", "/wild/a", "/wild/a/b?c=d"] {
        gateway.send(Webhook::plain(path, "{}")).await.expect(202);
    }
}

#[tokio::test]
async fn wrong_method_is_405_and_says_which_are_allowed() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let answer = gateway.send(Webhook::plain("/open/acme", "{}").method(Method::DELETE)).await.expect(405);
    let allowed: Vec<_> = answer.header("allow").split(", ").collect();
    assert_eq!(allowed, ["POST", "PUT"]);
    assert_eq!(answer.code(), "method_not_allowed");
}

#[tokio::test]
async fn body_without_length_is_411() {
    let answer = raw(b"POST /github HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answer.expect(411).code(), "length_required");
}

/// Before any of the body is sent: the answer comes although the body never does.
#[tokio::test]
async fn body_that_says_it_is_too_large_is_413_at_once() {
    let answer = raw(b"POST /github HTTP/1.1\r\nhost: x\r\ncontent-length: 65537\r\n\r\n").await;
    assert_eq!(answer.expect(413).code(), "body_too_large");
}

#[tokio::test]
async fn body_that_turns_out_too_large_is_413() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let mut connection = gateway.connect().await;
    connection.write("POST /github HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    for _ in 0..5 {
        connection.write(&chunk).await.unwrap();
    }
    let answer = connection.answer().await.unwrap().expect("an answer");
    assert_eq!(answer.expect(413).code(), "body_too_large");
}

#[tokio::test]
async fn chunked_body_is_accepted() {
    let chunked =
        "POST /open/a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    raw(chunked.as_bytes()).await.expect(202);
}

#[tokio::test]
async fn headers_over_the_limit_are_431() {
    let long = "x".repeat(20_000);
    let answer = raw(format!("POST /open/a HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n").as_bytes()).await;
    assert_eq!(answer.expect(431).code(), "headers_too_large");
}

#[tokio::test]
async fn slow_headers_are_408() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let mut connection = gateway.connect().await;
    connection.write("POST /open/a HTTP/1.1\r\nhost: ").await.unwrap();
    let begun = Instant::now();
    let answer = connection.answer().await.unwrap().expect("an answer");
    assert_eq!(answer.expect(408).code(), "header_timeout");
    connection.closed().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn slow_body_is_408() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let mut connection = gateway.connect().await;
    connection.write("POST /open/a HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    let answer = connection.answer().await.unwrap().expect("an answer");
    assert_eq!(answer.expect(408).code(), "body_timeout");
    connection.closed().await.unwrap();
}

#[tokio::test]
async fn slow_senders_do_not_hold_their_slots_for_ever() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut connection = gateway.connect().await;
        connection.write("POST /open/a HTTP/1.1\r\nhost: ").await.unwrap();
        slow.push(connection);
    }
    let (client, base) = (client::http1(), gateway.url());
    wait::wait_until("a slot for a good sender", async || {
        let answer = Webhook::plain("/open/a", "{}").send(&client, &base).await;
        answer.is_ok_and(|answer| answer.status == 202)
    })
    .await;
}

#[tokio::test]
async fn connection_over_the_limit_is_503_with_a_time_to_come_back() {
    let sink = Sink::start().await;
    let config = STRICT.replace("header_timeout = \"500ms\"", "header_timeout = \"60s\"");
    let gateway = Setup::new().sink(&sink).config(&config).start().await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut connection = gateway.connect().await;
        connection.write("POST /open/a HTTP/1.1\r\nhost: ").await.unwrap();
        open.push(connection);
    }
    let mut late = gateway.connect().await;
    let answer = late.answer().await.unwrap().expect("an answer");
    assert_eq!(answer.code(), "too_many_connections");
    assert!(!answer.expect(503).header("retry-after").is_empty());
    late.closed().await.unwrap();
}

#[tokio::test]
async fn gzip_and_zstd_are_inflated_and_signed_as_sent() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let body = r#"{"action":"opened"}"#;
    gateway.accept(hook(1).encoded("gzip", gzip(body.as_bytes()))).await;
    gateway.accept(hook(2).encoded("zstd", zstd::encode_all(body.as_bytes(), 3).unwrap())).await;
    for received in sink.wait_received("/in", 2).await {
        assert_eq!(received.body, body);
        assert_eq!(received.header("content-encoding"), "");
    }
}

#[tokio::test]
async fn body_that_inflates_beyond_the_limit_is_413() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let bomb = vec![0; 32 << 20];
    gateway.send(hook(1).encoded("gzip", gzip(&bomb))).await.expect(413);
    gateway.send(hook(1).encoded("zstd", zstd::encode_all(&bomb[..], 3).unwrap())).await.expect(413);
    gateway.send(hook(2)).await.expect(202);
}

#[tokio::test]
async fn unknown_encoding_is_415() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let answer = gateway.send(hook(1).encoded("br", "{}")).await.expect(415);
    assert_eq!(answer.code(), "unsupported_encoding");
}

#[tokio::test]
async fn events_over_the_rate_are_429_with_a_time_to_come_back() {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(gateway.send(Webhook::plain("/limited", "{}")).await);
    }
    let refused = answers.iter().find(|answer| answer.status == 429).expect("one is refused");
    assert_eq!(refused.code(), "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(answers[0].status, 202);
    wait::wait_until("let in again", async || {
        gateway.send(Webhook::plain("/limited", "{}")).await.status == 202
    })
    .await;
}

/// Nothing gets out, so nothing can be given back: senders are told to come again, until something gets out.
#[tokio::test]
async fn full_journal_is_503_until_there_is_room() {
    let sink = Sink::start().await;
    sink.answer("/in", Reply::status(503));
    let retry = format!("retry = [{}]", "\"300ms\", ".repeat(100));
    let config = FULL.replace("$RETRY", &retry);
    let gateway = Setup::new().sink(&sink).config(&config).start().await;
    let refused = fill(&gateway).await;
    assert_eq!(refused.code(), "journal_full");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    sink.answer("/in", Reply::status(200));
    wait::wait_until("accepted again", async || gateway.send(hook(1)).await.status == 202).await;
}

/// A disk of 16 MiB, as root: a file takes what is left, and is removed again.
#[tokio::test]
async fn full_disk_is_503_until_there_is_room() {
    let sink = Sink::start().await;
    let setup = Setup::new().sink(&sink).config(RELAY);
    let Some(disk) = SmallDisk::mount(&setup.path("journal"), "16m") else {
        eprintln!("left out: mounting a small disk needs root");
        return;
    };
    let gateway = setup.start().await;
    gateway.accept(hook(0)).await;
    let filler = disk.fill();
    let refused = fill(&gateway).await;
    assert_eq!(refused.code(), "journal_full");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    std::fs::remove_file(filler).unwrap();
    wait::wait_until("accepted again", async || gateway.send(hook(1)).await.status == 202).await;
    // Unmounted first, so that the directory around it can be removed.
    drop(disk);
    drop(gateway);
}

#[tokio::test]
async fn tls_is_served_with_the_configured_certificate() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = certified.cert.pem();
    let sink = Sink::start().await;
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ntls = {{ cert = \"$DIR/cert.pem\", key = \"$DIR/key.pem\" }}\n{RELAY}"
    );
    let setup = Setup::new().sink(&sink).config(&config);
    std::fs::write(setup.path("cert.pem"), &pem).unwrap();
    std::fs::write(setup.path("key.pem"), certified.signing_key.serialize_pem()).unwrap();
    let gateway = setup.start().await;
    let base = format!("https://localhost:{}", gateway.addr().port());
    hook(1).send(&client::tls(&pem), &base).await.unwrap().expect(202);
    let plain = hook(2).send(&client::http1(), &gateway.url()).await;
    assert!(plain.is_err_and(|error| !error.is_timeout()));
}

#[tokio::test]
async fn http2_without_tls_is_served() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let client = client::h2c();
    for number in 0..3 {
        hook(number).send(&client, &gateway.url()).await.unwrap().expect(202);
    }
}

#[tokio::test]
async fn refusals_say_nothing_of_secrets_or_routes() {
    let sink = Sink::start().await;
    let gateway = relay(&sink).await;
    let answers = [
        gateway.send(hook(1).sign_github("wrong")).await,
        gateway.send(Webhook::plain("/nowhere", "{}")).await,
        gateway.send(Webhook::plain("/github", "{}").method(Method::GET)).await,
    ];
    for answer in answers {
        let text = answer.text();
        for word in [GITHUB_SECRET, "GITHUB_SECRET", "sha256", "/github", "sink"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}

/// Sends bytes to a gateway on [`STRICT`] and reads the answer.
async fn raw(request: &[u8]) -> Answer {
    let sink = Sink::start().await;
    let gateway = strict(&sink).await;
    let mut connection = gateway.connect().await;
    connection.write(request).await.unwrap();
    connection.answer().await.unwrap().expect("an answer")
}

/// Sends 100 KiB events until one is refused with 503.
async fn fill(gateway: &Gateway) -> Answer {
    for number in 0..500 {
        let body = format!(r#"{{"n":{number},"fill":"{}"}}"#, "x".repeat(100 << 10));
        let answer = gateway.send(Webhook::github("issues", body)).await;
        match answer.status {
            202 => {}
            503 => return answer,
            other => panic!("answered {other}: {}", answer.text()),
        }
    }
    panic!("50 MB went into a journal of 16 MiB");
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}
