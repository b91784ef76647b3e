use std::time::Duration;

use super::*;
use crate::{
    config::{PluginProof, WhileQuarantined},
    plugin::{
        Kind,
        fixtures::{Rig, Wat},
    },
    verify::tests::request,
};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Accepts who knows `b2`, as one of the secrets.
const ASKS: &str = "(if (result i32) (call $equals (i32.const 2048) (i32.const 2))
    (then (call $ok)) (else (call $drop)))";
const EQUALS: &str = r#"
    (import "sluice:plugin/secrets@1.0.0" "equals" (func $equals (param i32 i32) (result i32)))
    (data (i32.const 2048) "b2")"#;

/// Answers with this status and the six bytes `reason`.
fn responds(status: u32) -> String {
    format!(
        "(drop (call $ok))
         (i32.store (i32.const 516) (i32.const 2))
         (i32.store (i32.const 520) (i32.const {status}))
         (i32.store (i32.const 532) (i32.const 1024))
         (i32.store (i32.const 536) (i32.const 6))
         (i32.const 512)"
    )
}

fn guest(fields: &str, call: &str) -> Vec<u8> {
    Wat { kind: Kind::Verify, fields, call, ..Wat::default() }.module()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes(), "test")
}

struct Bench {
    rig: Rig,
    doorstep: Arc<Doorstep>,
}

impl Bench {
    fn new() -> Self {
        Self { rig: Rig::new(), doorstep: Doorstep::new() }
    }

    fn load(&self, guest: &[u8], secrets: Vec<Secret>, before: Option<&Prover>) -> Prover {
        let quarantine = Some(config::Quarantine {
            failures: 3,
            window: Duration::from_secs(60),
            then: WhileQuarantined::Wait,
        });
        let plugin = config::Plugin { quarantine, ..self.rig.plugin("prover", guest) };
        let (plugin, config, url) = (Arc::new(plugin), serde_json::Value::Null, None);
        let proof = PluginProof { plugin, config, secrets, url };
        let Rig { host, metrics, .. } = &self.rig;
        Prover::load(&"in".into(), &proof, host, metrics, self.doorstep.clone(), before).unwrap()
    }

    async fn hear(&self, call: &str) -> Result<Said, Refused> {
        hear(&self.load(&guest("", call), Vec::new(), None), NOW).await
    }
}

async fn hear(prover: &Prover, now: Timestamp) -> Result<Said, Refused> {
    prover.hear(request(), Some(now)).await.said
}

fn why(said: Result<Said, Refused>) -> (&'static str, String) {
    let refused = said.err().expect("it is refused");
    (refused.code(), refused.to_string())
}

fn matched(said: Result<Said, Refused>) -> Option<usize> {
    match said {
        Ok(Said::Genuine(accepted)) => accepted.matched,
        Ok(Said::Question(_)) => panic!("it is no question"),
        Err(refused) => panic!("{refused}"),
    }
}

#[tokio::test]
async fn plugin_accepts_rejects_and_answers() {
    let bench = Bench::new();
    assert_eq!(matched(bench.hear("(call $ok)").await), None);
    let rejected = ("plugin_refused", "plugin `prover` refuses it: reason".to_owned());
    assert_eq!(why(bench.hear("(call $drop)").await), rejected);
    assert_eq!(why(bench.hear("(call $fail (i32.const 0))").await), rejected, "`invalid` is the same");
    let Ok(Said::Question(reply)) = bench.hear(&responds(204)).await else { panic!("no answer") };
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (204, &b"reason"[..]));
    let metrics = bench.rig.metrics.encode();
    for outcome in ["accept", "reject", "respond", "invalid"] {
        let line = format!("plugin=\"prover\",outcome=\"{outcome}\"}} 1\n");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

/// Whatever the sender can do nothing about is not held against it.
#[tokio::test]
async fn failures_are_ours_and_say_why() {
    let bench = Bench::new();
    for (call, reason) in [
        ("(call $fail (i32.const 1))", "it wants to be called again: reason"),
        ("(call $fail (i32.const 2))", "it says that its config is wrong: reason"),
        ("(call $fail (i32.const 3))", "it failed: reason"),
        ("(unreachable)", "it trapped: wasm `unreachable` instruction executed"),
        ("(loop $again (br $again)) (unreachable)", "it was stopped: it ran for longer than 50ms"),
        (&responds(503), "it failed: it answered with status 503; 200 to 499 can be answered"),
    ] {
        let (code, text) = why(bench.hear(call).await);
        assert_eq!(code, "plugin_unavailable", "{text}");
        assert!(text.contains(reason), "{text}");
    }
}

#[tokio::test]
async fn secret_that_matched_is_told_by_its_place_in_the_config() {
    let bench = Bench::new();
    let later = secret("a1").valid_between(Some(NOW + Duration::from_secs(1)), None);
    let prover = bench.load(&guest(EQUALS, ASKS), vec![later, secret("c3"), secret("b2")], None);
    assert_eq!(matched(hear(&prover, NOW).await), Some(2));
    assert_eq!(matched(hear(&prover, NOW + Duration::from_secs(1)).await), Some(2));
}

#[tokio::test]
async fn only_secrets_that_are_valid_now_count() {
    let bench = Bench::new();
    let old = secret("b2").valid_between(None, Some(NOW));
    let prover = bench.load(&guest(EQUALS, ASKS), vec![old.clone(), secret("c3")], None);
    assert_eq!(why(hear(&prover, NOW).await).0, "plugin_refused");
    assert_eq!(matched(prover.hear(request(), None).await.said), Some(0), "without a clock all do");
    let prover = bench.load(&guest(EQUALS, ASKS), vec![old], None);
    assert_eq!(why(hear(&prover, NOW).await).0, "no_active_secret");
}

#[tokio::test]
async fn plugin_in_quarantine_is_not_called_until_it_is_resumed_or_replaced() {
    let bench = Bench::new();
    let broken = guest("", "(unreachable)");
    let prover = bench.load(&broken, Vec::new(), None);
    for _ in 0..3 {
        hear(&prover, NOW).await.err().unwrap();
    }
    let held = why(hear(&prover, NOW).await).1;
    assert!(held.contains("it is in quarantine since 2023-11-14T22:13:20.000Z: it trapped"), "{held}");
    assert!(bench.rig.metrics.encode().contains("outcome=\"quarantined\"} 1\n"));

    let same = bench.load(&broken, Vec::new(), Some(&prover));
    prover.say_replaced_by(Some(&same));
    assert!(same.status().quarantined.is_some(), "a reload that changes nothing does not end it");
    assert!(!same.resume("another") && same.resume("prover") && !same.resume("prover"));

    hear(&same, NOW).await.err().unwrap();
    let sound = bench.load(&guest("", "(call $ok)"), Vec::new(), Some(&same));
    assert!(hear(&sound, NOW).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn sender_that_finds_no_turn_is_told_to_come_back() {
    let bench = Bench::new();
    let prover = bench.load(&guest("", "(call $ok)"), Vec::new(), None);
    let mut turns = Vec::new();
    while let Some(Some(turn)) = futures_util::FutureExt::now_or_never(bench.doorstep.turn()) {
        turns.push(turn);
    }
    assert_eq!(why(hear(&prover, NOW).await).0, "plugin_busy");
    drop(turns);
    assert!(hear(&prover, NOW).await.is_ok());
}
