use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use sluice_tests::{
    gateway::{Gateway, Setup},
    guest,
    sink::Sink,
    webhook::{Webhook, unix_now},
};

use crate::common::{LOUD, place};

const SECRET: &str = "a-secret-that-only-tests-know";

/// A route that `field-hmac` proves, the example of a verifier.
const PAYMENTS: &str = r#"
[plugins.field-hmac]
file = "$PLUGINS/field-hmac.wasm"

[destinations.sink]
url = "$SINK/in"

[[routes]]
name = "payments"
path = "/payments"
verify = { plugin = "field-hmac", config = { fields = ["id", "amount"], id = "id", type = "event" }, secrets = [
  { env = "OLD_SECRET" }, { env = "NEW_SECRET" },
] }
deliver = ["sink"]
"#;

/// A route that the guest under test proves, and one that shares nothing with it but the gateway.
const HOSTILE: &str = r#"
[plugins.guest]
file = "$DIR/guest.wasm"
limits = { time = "50ms", memory = "16MiB", output = "1MiB" }
quarantine = $QUARANTINE

[destinations.sink]
url = "$SINK/in"

[destinations.calm]
url = "$SINK/calm"

[[routes]]
name = "hostile"
path = "/hostile"
verify = { plugin = "guest" }
deliver = ["sink"]

[[routes]]
name = "calm"
path = "/calm"
verify = "none"
deliver = ["calm"]
"#;

/// The slowest that the calm route may be while verifiers rage beside it; see `plugins`.
const CALM: Duration = Duration::from_millis(500);

async fn payments(sink: &Sink) -> Gateway {
    let setup = Setup::new().env("OLD_SECRET", SECRET).env("NEW_SECRET", "another-secret");
    setup.sink(sink).plugins().config(PAYMENTS).start().await
}

async fn hostile(sink: &Sink, wasm: &[u8], quarantine: &str) -> Gateway {
    let config = HOSTILE.replace("$QUARANTINE", quarantine);
    Setup::new().sink(sink).guest("guest", wasm).config(&config).start().await
}

fn hmac(secret: &str, text: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(text);
    hex::encode(mac.finalize().into_bytes())
}

/// A payment as its provider sends it.
fn payment(id: &str, secret: &str) -> Webhook {
    let (body, now) = (json!({ "event": "paid", "id": id, "amount": 1250 }), unix_now());
    let signature = hmac(secret, &format!("amount=1250\nid={id}\ntimestamp={now}"));
    let webhook = Webhook::plain("/payments", body.to_string());
    webhook.header("x-signature", &signature).header("x-timestamp", &now.to_string())
}

#[tokio::test]
async fn genuine_request_is_delivered_with_what_the_plugin_knows_of_it() {
    let sink = Sink::start().await;
    let gateway = payments(&sink).await;
    let id = gateway.accept(payment("p1", SECRET)).await;
    assert_eq!(sink.wait_received("/in", 1).await[0].json()["amount"], 1250);
    let event = gateway.admin().wait_state(&id, "delivered").await;
    assert_eq!((&event["delivery_id"], &event["event_type"]), (&json!("p1"), &json!("paid")), "{event}");
    let again = gateway.send(payment("p1", SECRET)).await.expect(200);
    assert_eq!(again.id(), id, "its delivery id tells a duplicate");
}

#[tokio::test]
async fn what_the_plugin_rejects_is_401_and_only_the_log_has_its_reason() {
    let sink = Sink::start().await;
    let gateway = payments(&sink).await;
    let tampered =
        Webhook { body: r#"{"event":"paid","id":"p1","amount":1}"#.into(), ..payment("p1", SECRET) };
    let answer = gateway.send(tampered).await.expect(401);
    assert_eq!(answer.code(), "signature_invalid");
    assert!(!answer.text().contains("secrets"), "{}", answer.text());
    let line = gateway.wait_log("by none of the secrets").await;
    assert!(line.contains("plugin_refused") && line.contains("field-hmac"), "{line}");
    gateway.send(Webhook::plain("/payments", "no JSON")).await.expect(401);
    assert!(gateway.admin().get("/events").await.expect(200).json()["events"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn challenge_is_answered_a_few_times_a_second_and_leaves_no_event() {
    let sink = Sink::start().await;
    let gateway = payments(&sink).await;
    let ask = || Webhook::plain("/payments", r#"{"challenge":"abc123"}"#);
    let answer = gateway.send(ask()).await.expect(200);
    assert_eq!(answer.text(), hmac(SECRET, "challenge:abc123"), "by the first secret");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let mut limited = None;
    for _ in 0..100 {
        let answer = gateway.send(ask()).await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    assert!(!limited.expect("it is bounded").header("retry-after").is_empty());
    assert!(gateway.admin().metric("sluice_handshakes_total", "outcome=\"answered\"").await >= 1.0);
    assert!(gateway.admin().get("/events").await.expect(200).json()["events"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn secrets_are_counted_can_be_rotated_and_are_never_shown() {
    let sink = Sink::start().await;
    let gateway = payments(&sink).await;
    gateway.accept(payment("p1", "another-secret")).await;
    let matched = gateway.admin().metric("sluice_verified_total", "secret=\"env NEW_SECRET\"").await;
    assert_eq!(matched, 1.0);
    let status = gateway.setup().run(&["verify", "status", "--admin", gateway.admin().url()]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("payments") && status.contains("env OLD_SECRET"), "{status}");

    let only_new = PAYMENTS.replace("{ env = \"OLD_SECRET\" }, ", "");
    gateway.setup().rename_config_over(&only_new);
    gateway.admin().reload().await.expect(200);
    gateway.send(payment("p2", SECRET)).await.expect(401);
    gateway.accept(payment("p3", "another-secret")).await;
    let shown = gateway.logs().join("\n") + &status + &gateway.admin().get("/routes").await.text();
    assert!(!shown.contains(SECRET) && !shown.contains("another-secret"), "{shown}");
}

#[tokio::test]
async fn reload_with_another_config_judges_by_it_and_a_wrong_one_is_refused_at_its_place() {
    let sink = Sink::start().await;
    let gateway = payments(&sink).await;
    gateway.setup().rename_config_over(&PAYMENTS.replace("[\"id\", \"amount\"], id", "[\"amount\"], id"));
    let refused = gateway.admin().reload().await.expect(422).text();
    assert!(refused.contains("`id` is not one of `fields`"), "{refused}");
    assert!(refused.contains(&place(gateway.setup(), "id = \"id\", type")), "{refused}");
    gateway.accept(payment("p1", SECRET)).await;

    gateway
        .setup()
        .rename_config_over(&PAYMENTS.replace("[\"id\", \"amount\"]", "[\"id\", \"amount\", \"event\"]"));
    gateway.admin().reload().await.expect(200);
    gateway.send(payment("p2", SECRET)).await.expect(401);
}

#[tokio::test]
async fn plugin_of_another_kind_proves_nobody() {
    let config = HOSTILE.replace("$QUARANTINE", "false").replace("$SINK", "http://127.0.0.1:9");
    let setup = Setup::new().guest("guest", &guest::keeps()).config(&config);
    let said = setup.start_refused(2).await;
    assert!(said.contains("exports `filter`, but `verify` takes plugins that export `verify`"), "{said}");
    assert!(said.contains(&place(&setup, "\"guest\" }")), "{said}");
}

#[tokio::test]
async fn plugin_in_quarantine_is_not_called_until_a_reload_puts_it_right() {
    let sink = Sink::start().await;
    let gateway = hostile(&sink, &guest::verifier_that_traps(), "{ failures = 3 }").await;
    for _ in 0..3 {
        gateway.send(Webhook::plain("/hostile", "{}")).await.expect(503);
    }
    let line = gateway.wait_log("plugin is in quarantine").await;
    assert!(line.contains("the route's requests are answered 503"), "{line}");
    gateway.send(Webhook::plain("/hostile", "{}")).await.expect(503);
    let admin = gateway.admin();
    assert_eq!(admin.metric("sluice_plugin_outcomes_total", "outcome=\"quarantined\"").await, 1.0);
    assert_eq!(admin.metric("sluice_plugin_quarantined", "plugin=\"guest\"").await, 1.0);
    let ready = admin.get("/readyz").await.expect(200).json();
    assert_eq!(
        (&ready["status"], &ready["quarantined"][0]["route"]),
        (&json!("degraded"), &json!("hostile"))
    );
    let plugin = &admin.get("/plugins").await.expect(200).json()["plugins"][0];
    assert_eq!((&plugin["kind"], &plugin["steps"][0]["place"]), (&json!("verify"), &json!("verify")));

    let resumed = gateway.setup().run(&["plugin", "resume", "guest", "--admin", admin.url()]);
    assert!(String::from_utf8_lossy(&resumed.stdout).contains("on `hostile`"));
    std::fs::write(gateway.setup().path("guest.wasm"), guest::verifier_that_accepts()).unwrap();
    admin.reload().await.expect(200);
    gateway.accept(Webhook::plain("/hostile", "{}")).await;
    sink.wait_received("/in", 1).await;
}

#[tokio::test]
async fn trap_is_our_fault_and_told_with_its_functions() {
    check_contained(&guest::verifier_that_traps(), "trap").await;
}

#[tokio::test]
async fn endless_loop_is_stopped_and_others_keep_their_latency() {
    check_contained(&guest::verifier_that_loops(), "time-limit").await;
}

#[tokio::test]
async fn hoarding_is_stopped_and_others_keep_their_latency() {
    check_contained(&guest::verifier_that_hoards(), "memory-limit").await;
}

#[tokio::test]
async fn endless_recursion_is_stopped_and_others_keep_their_latency() {
    check_contained(&guest::verifier_that_recurses(), "trap").await;
}

#[tokio::test]
async fn flood_is_stopped_and_others_keep_their_latency() {
    check_contained(&guest::verifier_that_floods(), "output-limit").await;
}

/// However many requests the verifier rages at, each is answered 503 with a time to come back, none becomes an event, and
/// the calm route goes on as ever.
async fn check_contained(wasm: &[u8], outcome: &str) {
    let _alone = LOUD.lock().await;
    let sink = Sink::start().await;
    let gateway = hostile(&sink, wasm, "false").await;
    let rage = async {
        let ask = || gateway.send(Webhook::plain("/hostile", "{}"));
        for _ in 0..10 {
            let answers = tokio::join!(ask(), ask(), ask(), ask(), ask(), ask());
            for answer in <[_; 6]>::from(answers) {
                assert!(!answer.header("retry-after").is_empty());
                answer.expect(503);
            }
        }
    };
    let calm = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..40 {
            let begun = Instant::now();
            gateway.accept(Webhook::plain("/calm", "{}")).await;
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    };
    let ((), slowest) = tokio::join!(rage, calm);
    assert!(slowest < CALM, "the calm route took {slowest:?} to an acknowledgement");
    let labels = format!("outcome=\"{outcome}\"");
    assert!(gateway.admin().metric("sluice_plugin_outcomes_total", &labels).await >= 1.0);
    let line = gateway.wait_log("plugin failed").await;
    assert!(line.contains("\"guest\"") && line.contains("hostile"), "{line}");
    sink.wait_received("/calm", 40).await;
    assert!(sink.received("/in").is_empty());
}
