use std::{
    fs::File,
    process::Command,
    time::{Duration, Instant},
};

use sluice_tests::{
    gateway::Setup,
    raw::Raw,
    sink::{Reply, Sink},
    wait,
};

use crate::common::{RELAY, hook};

fn with_grace(grace: &str) -> String {
    format!("[server]\nlisten = \"127.0.0.1:0\"\ngrace = \"{grace}\"\n{RELAY}")
}

#[tokio::test]
async fn delivery_in_hand_is_finished_and_not_repeated_after_a_restart() {
    let sink = Sink::start().await;
    sink.answer("/in", Reply::status(200).after(Duration::from_secs(1)));
    let gateway = Setup::new().sink(&sink).config(&with_grace("10s")).start().await;
    let id = gateway.accept(hook(1)).await;
    sink.wait_received("/in", 1).await;
    let (status, setup) = gateway.stop().await;
    assert_eq!(status.code(), Some(0));
    let gateway = setup.start().await;
    gateway.admin().wait_state(&id, "delivered").await;
    assert_eq!(sink.received("/in").len(), 1);
}

#[tokio::test]
async fn request_in_hand_is_answered_and_new_connections_are_not_taken() {
    let sink = Sink::start().await;
    let mut gateway = Setup::new().sink(&sink).config(&with_grace("10s")).start().await;
    let webhook = hook(1);
    let head = format!(
        "POST /github HTTP/1.1\r\nhost: x\r\nx-github-event: issues\r\nx-github-delivery: in-hand\r\n\
         x-hub-signature-256: {}\r\ncontent-length: {}\r\n\r\n",
        webhook.headers["x-hub-signature-256"].to_str().unwrap(),
        webhook.body.len()
    );
    let mut connection = gateway.connect().await;
    connection.write(&head).await.unwrap();
    connection.write(&webhook.body[..1]).await.unwrap();
    // An answer on a second connection shows that the first one's head has been read.
    gateway.accept(hook(2)).await;
    gateway.signal("TERM");
    let addr = gateway.addr();
    wait::wait_until("no new connections", async || Raw::connect(addr).await.is_err()).await;
    connection.write(&webhook.body[1..]).await.unwrap();
    connection.answer().await.unwrap().expect("an answer").expect(202);
    assert_eq!(gateway.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_not_finished_within_the_grace_is_left_in_the_journal() {
    let sink = Sink::start().await;
    sink.answer_in_turn("/in", [Reply::hang(), Reply::status(200)]);
    let config = with_grace("500ms").replace("timeout = \"2s\"", "timeout = \"60s\"");
    let gateway = Setup::new().sink(&sink).config(&config).start().await;
    let id = gateway.accept(hook(1)).await;
    sink.wait_received("/in", 1).await;
    let begun = Instant::now();
    let (status, setup) = gateway.stop().await;
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let gateway = setup.start().await;
    gateway.admin().wait_state(&id, "delivered").await;
    let received = sink.received("/in");
    assert_eq!(received[0].webhook_id(), received[1].webhook_id());
}

#[tokio::test]
async fn second_signal_stops_at_once() {
    let sink = Sink::start().await;
    sink.answer("/in", Reply::hang());
    let config = with_grace("60s").replace("timeout = \"2s\"", "timeout = \"60s\"");
    let mut gateway = Setup::new().sink(&sink).config(&config).start().await;
    gateway.accept(hook(1)).await;
    sink.wait_received("/in", 1).await;
    gateway.signal("TERM");
    gateway.wait_log("shutting down").await;
    gateway.signal("INT");
    assert_eq!(gateway.wait_exit().await.code(), Some(1));
}

/// A pipe that nobody closes stands in for a network file system that hangs.
#[tokio::test]
async fn reload_that_hangs_does_not_hold_up_a_shutdown() {
    let sink = Sink::start().await;
    let mut gateway = Setup::new().sink(&sink).config(&with_grace("1s")).start().await;
    let pipe = gateway.setup().path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let hanging = with_grace("1s").replace("{ env = \"GITHUB_SECRET\" }", "{ file = \"$DIR/pipe\" }");
    gateway.setup().write_config(&hanging);
    gateway.signal("HUP");
    // Opens once the reload reads from it.
    let _open = tokio::task::spawn_blocking(move || File::options().write(true).open(pipe)).await.unwrap();
    gateway.signal("TERM");
    assert_eq!(gateway.wait_exit().await.code(), Some(0));
}
