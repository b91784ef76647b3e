//! Steps whose plugin is quarantined.

use super::{quarantine::PROBE, tests::route, *};
use crate::{
    clock::ManualClock,
    config::{OnError, WhileQuarantined},
    plugin::fixtures::{Rig, event, filter},
};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

/// Traps on an empty body, else keeps.
const TRAPS_ON_NOTHING: &str =
    "(if (i64.eqz (call $body_len (local.get $e))) (then (unreachable))) (call $ok)";
/// Says that its config is wrong.
const MISCONFIGURED: &str = "(call $fail (i32.const 2))";

struct Bench {
    rig: Rig,
    clock: Arc<ManualClock>,
    then: WhileQuarantined,
    on_error: OnError,
}

impl Bench {
    fn new(then: WhileQuarantined, on_error: OnError) -> Self {
        Self { rig: Rig::new(), clock: Arc::new(ManualClock::at(NOW)), then, on_error }
    }

    fn pipeline(&self, call: &str, before: Option<&Pipeline>) -> Pipeline {
        let settings = config::Quarantine { failures: 3, window: MINUTE, then: self.then };
        let route = route(&self.rig, &[(&filter(call), self.on_error)], Some(settings));
        let pipeline = Pipeline::build(&route, &self.rig.host, &self.rig.metrics, before).unwrap();
        pipeline.with_clock(self.clock.clone())
    }

    /// A pipeline of [`TRAPS_ON_NOTHING`], in quarantine since [`NOW`].
    async fn quarantined(&self) -> Pipeline {
        let pipeline = self.pipeline(TRAPS_ON_NOTHING, None);
        for _ in 0..3 {
            assert_eq!(pipeline.held(&event(""), NOW), None);
            assert_eq!(pipeline.run(&event(""), 1).await.trail.len(), 1);
        }
        assert!(is_held(&pipeline));
        pipeline
    }
}

fn is_held(pipeline: &Pipeline) -> bool {
    pipeline.steps().any(|step| step.quarantined.is_some())
}

#[tokio::test]
async fn plugin_in_quarantine_is_not_called_and_its_events_wait() {
    let bench = Bench::new(WhileQuarantined::Wait, OnError::DeadLetter);
    let pipeline = bench.quarantined().await;
    assert_eq!(pipeline.held(&event(""), NOW), Some(Duration::from_secs(1)));
    assert_eq!(pipeline.held(&event(""), NOW + MINUTE * 2), Some(MINUTE));
    let outcome = pipeline.run(&event("{}"), 1).await;
    assert_eq!(outcome.verdict, Err(Failure::Quarantined { wait: Duration::from_secs(1) }));
    assert_eq!(outcome.trail, []);
    let metrics = bench.rig.metrics.encode();
    assert!(metrics.contains("plugin_quarantines_total{route=\"github\",plugin=\"step0\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn on_error_decides_while_it_is_in_quarantine_where_the_config_says_so() {
    let bench = Bench::new(WhileQuarantined::OnError, OnError::Pass);
    let pipeline = bench.quarantined().await;
    assert_eq!(pipeline.held(&event(""), NOW), None);
    let outcome = pipeline.run(&event("{}"), 1).await;
    assert!(matches!(outcome.verdict, Ok(Verdict::Deliver(_))), "{:?}", outcome.verdict);
    let [TrailEntry::Step { outcome, detail: Some(why), .. }] = &outcome.trail[..] else { panic!("no step") };
    assert_eq!(outcome, "quarantined");
    assert!(
        why.starts_with("is in quarantine since 2023-11-14T22:13:20.000Z: it trapped: wasm `unreachable`"),
        "{why}"
    );
    let metrics = bench.rig.metrics.encode();
    assert!(metrics.contains("plugin=\"step0\",outcome=\"quarantined\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn one_event_is_let_through_after_a_while_and_ends_it_if_it_goes_well() {
    let bench = Bench::new(WhileQuarantined::Wait, OnError::DeadLetter);
    let pipeline = bench.quarantined().await;
    bench.clock.advance(PROBE);
    assert_eq!(pipeline.held(&event(""), NOW + PROBE), None);
    assert_eq!(pipeline.run(&event(""), 1).await.trail.len(), 1, "called, and failed");
    assert!(is_held(&pipeline) && pipeline.held(&event(""), NOW + PROBE).is_some());
    bench.clock.advance(PROBE);
    assert!(pipeline.run(&event("{}"), 1).await.verdict.is_ok());
    assert!(!is_held(&pipeline));
}

#[tokio::test]
async fn wrong_config_is_quarantined_at_once_and_costs_no_event() {
    let bench = Bench::new(WhileQuarantined::Wait, OnError::DeadLetter);
    let pipeline = bench.pipeline(MISCONFIGURED, None);
    let outcome = pipeline.run(&event("{}"), 1).await;
    assert_eq!(outcome.verdict, Err(Failure::Quarantined { wait: Duration::ZERO }));
    assert_eq!(outcome.trail.len(), 1, "history tells of the call");
    let held = pipeline.steps().next().unwrap().quarantined.unwrap();
    assert_eq!(held.reason, "says that its config is wrong: reason");
}

#[tokio::test]
async fn quarantine_outlives_a_reload_that_leaves_the_plugin_as_it_is() {
    let bench = Bench::new(WhileQuarantined::Wait, OnError::DeadLetter);
    let before = bench.quarantined().await;
    let same = bench.pipeline(TRAPS_ON_NOTHING, Some(&before));
    before.say_replaced_by(Some(&same));
    assert!(is_held(&same));
    let fixed = bench.pipeline("(call $ok)", Some(&same));
    same.say_replaced_by(Some(&fixed));
    assert!(!is_held(&fixed));
    assert!(fixed.run(&event("{}"), 1).await.verdict.is_ok());
}

#[tokio::test]
async fn steps_with_the_same_plugin_and_config_are_in_it_together() {
    let bench = Bench::new(WhileQuarantined::Wait, OnError::Pass);
    let settings = config::Quarantine { failures: 3, window: MINUTE, then: bench.then };
    let mut route = route(&bench.rig, &[(&filter("(unreachable)"), bench.on_error)], Some(settings));
    route.pipeline.push(route.pipeline[0].clone());
    let pipeline = Pipeline::build(&route, &bench.rig.host, &bench.rig.metrics, None).unwrap();
    for _ in 0..2 {
        pipeline.run(&event("{}"), 1).await.verdict.ok();
    }
    let held: Vec<_> = pipeline.steps().map(|step| (step.place, step.quarantined.is_some())).collect();
    assert_eq!(held, [(Place::Pipeline(1), true), (Place::Pipeline(2), true)]);
}

#[tokio::test]
async fn plugin_is_resumed_by_name() {
    let bench = Bench::new(WhileQuarantined::Wait, OnError::DeadLetter);
    let pipeline = bench.quarantined().await;
    assert!(!pipeline.resume("step1"));
    assert!(pipeline.resume("step0"));
    assert!(!pipeline.resume("step0"), "there is none any more");
    assert!(pipeline.run(&event("{}"), 1).await.verdict.is_ok());
}

#[tokio::test]
async fn errors_that_a_plugin_gives_itself_do_not_quarantine_it() {
    let bench = Bench::new(WhileQuarantined::Wait, OnError::DeadLetter);
    for case in [0, 1, 3] {
        let pipeline = bench.pipeline(&format!("(call $fail (i32.const {case}))"), None);
        for _ in 0..20 {
            assert_eq!(pipeline.run(&event("{}"), 1).await.trail.len(), 1);
        }
        assert!(!is_held(&pipeline), "case {case}");
    }
}
