//! Steps whose plugin has a candidate beside it.

use std::collections::HashSet;

use super::{quarantine::PROBE, tests::route, *};
use crate::{
    clock::ManualClock,
    config::{CanaryMode, OnError},
    event::EventId,
    plugin::fixtures::{Rig, event, filter, transform},
};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const KEEP: &str = "(call $ok)";
const DROP: &str = "(call $drop)";
const SPIN: &str = "(loop $again (br $again)) (unreachable)";
/// Counts for itself, then keeps.
const COUNT: &str = "(call $count (i32.const 1024) (i32.const 6) (i64.const 1)) (call $ok)";

struct Bench {
    rig: Rig,
    clock: Arc<ManualClock>,
    on_error: OnError,
}

impl Bench {
    fn new() -> Self {
        Self { rig: Rig::new(), clock: Arc::new(ManualClock::at(NOW)), on_error: OnError::DeadLetter }
    }

    /// A route whose step has this guest, and this candidate beside it.
    fn route(&self, current: &[u8], candidate: &[u8], mode: CanaryMode) -> config::Route {
        let mut route = route(&self.rig, &[(current, self.on_error)], None);
        let file = self.rig.plugin("candidate", candidate).file;
        for step in &mut route.pipeline {
            let canary = Some(config::Canary { file: file.clone(), sha256: None, mode });
            let plugin = config::Plugin { canary, ..(*step.plugin).clone() };
            step.plugin = Arc::new(plugin);
        }
        route
    }

    fn build(
        &self,
        route: &config::Route,
        before: Option<&Pipeline>,
    ) -> Result<Pipeline, Vec<(usize, PluginError)>> {
        let pipeline = Pipeline::build(route, &self.rig.host, &self.rig.metrics, before)?;
        Ok(pipeline.with_clock(self.clock.clone()))
    }

    fn filters(&self, current: &str, candidate: &str, mode: CanaryMode) -> Pipeline {
        self.build(&self.route(&filter(current), &filter(candidate), mode), None).unwrap()
    }

    #[track_caller]
    fn counted(&self, sample: &str) {
        let metrics = self.rig.metrics.encode();
        assert!(metrics.lines().any(|line| line == sample), "{sample} is not in\n{metrics}");
    }
}

fn canary(pipeline: &Pipeline) -> &Canary {
    pipeline.steps().next().unwrap().canary.unwrap()
}

/// An event that a candidate with this share handles, or not.
fn event_of(share: f64, chosen: bool, pipeline: &Pipeline) -> Arc<Event> {
    let name = canary(pipeline).plugin().name();
    let mut events = (0..10_000).map(|_| event("{}"));
    events.find(|event| (canary::lot(name, event.id) < share) == chosen).unwrap()
}

fn is_dropped(outcome: &Outcome) -> bool {
    matches!(outcome.verdict, Ok(Verdict::Drop { .. }))
}

/// Of each call of a run, whether the canary made it.
fn by_canary(outcome: &Outcome) -> Vec<bool> {
    let canary = |entry: &TrailEntry| matches!(entry, TrailEntry::Step { canary: true, .. });
    outcome.trail.iter().map(canary).collect()
}

/// Waits until a shadow has seen, or skipped, so many messages.
async fn seen(pipeline: &Pipeline, messages: u64) -> Figures {
    let all = async {
        loop {
            let figures = canary(pipeline).figures();
            if figures.candidate.calls() + figures.skipped >= messages {
                return figures;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the shadow sees them")
}

#[tokio::test]
async fn candidate_handles_its_share_and_the_trail_says_so() {
    let bench = Bench::new();
    let pipeline = bench.filters(KEEP, DROP, CanaryMode::Share(0.2));
    let mut dropped = 0;
    for _ in 0..600 {
        let outcome = pipeline.run(&event("{}"), 1).await;
        assert_eq!(by_canary(&outcome), [is_dropped(&outcome)]);
        dropped += u64::from(is_dropped(&outcome));
    }
    // Six standard deviations to either side of 120.
    assert!((61..=179).contains(&dropped), "{dropped}");
    let figures = canary(&pipeline).figures();
    assert_eq!((figures.candidate.drop, figures.candidate.calls()), (dropped, dropped));
    assert_eq!((figures.current.keep, figures.current.calls()), (600 - dropped, 600 - dropped));
    assert!(figures.candidate.mean() > Some(Duration::ZERO));
    let labels = "route=\"github\",plugin=\"step0\"";
    bench.counted(&format!(
        "sluice_plugin_canary_total{{{labels},mode=\"share\",outcome=\"drop\"}} {dropped}"
    ));
    bench.counted(&format!("sluice_plugin_outcomes_total{{{labels},outcome=\"drop\"}} 0"));
}

#[tokio::test]
async fn same_event_sees_the_same_one_in_every_attempt_and_step() {
    let bench = Bench::new();
    let mut route = bench.route(&filter(KEEP), &filter(KEEP), CanaryMode::Share(0.5));
    route.pipeline.push(route.pipeline[0].clone());
    let pipeline = bench.build(&route, None).unwrap();
    for chosen in [true, false] {
        let event = event_of(0.5, chosen, &pipeline);
        for attempt in 1..5 {
            assert_eq!(by_canary(&pipeline.run(&event, attempt).await), [chosen; 2]);
        }
    }
}

#[test]
fn lots_are_even_and_each_plugin_has_its_own() {
    let ids: Vec<_> = (0..2_000).map(|_| EventId::generate()).collect();
    let below = |plugin: &str, share: f64| -> HashSet<EventId> {
        ids.iter().copied().filter(|id| canary::lot(plugin, *id) < share).collect()
    };
    let (few, many, others) = (below("a", 0.1), below("a", 0.5), below("b", 0.1));
    assert!((120..=280).contains(&few.len()), "{}", few.len());
    assert!(few.is_subset(&many), "a greater share adds to a smaller one");
    assert!(few.intersection(&others).count() < few.len() / 2);
}

#[test]
fn lots_are_drawn_in_the_same_way_for_ever() {
    let lot = canary::lot("redact", EventId::from_bytes([7; 16]));
    assert!((lot - LOT).abs() < 1e-9, "{lot}");
}

/// `sha256(07 × 16 ‖ "redact")`, its first four bytes over 2³².
const LOT: f64 = 0.093011444435;

#[tokio::test]
async fn candidate_in_quarantine_leaves_all_events_to_the_plugin_in_force() {
    let bench = Bench::new();
    let pipeline = bench.filters(KEEP, "(unreachable)", CanaryMode::Share(0.5));
    let event = event_of(0.5, true, &pipeline);
    for _ in 0..10 {
        let outcome = pipeline.run(&event, 1).await;
        let Err(Failure::DeadLetter { reason }) = outcome.verdict else { panic!("{outcome:?}") };
        assert!(reason.starts_with("canary of plugin `step0` trapped: "), "{reason}");
    }
    assert!(canary(&pipeline).quarantined().is_some());
    assert!(pipeline.steps().all(|step| step.quarantined.is_none()));
    assert_eq!(pipeline.held(&event, NOW), None, "no event waits");
    let outcome = pipeline.run(&event, 1).await;
    assert!(outcome.verdict.is_ok());
    assert_eq!(by_canary(&outcome), [false]);
    let labels = "route=\"github\",plugin=\"step0\"";
    bench.counted(&format!("sluice_plugin_canary_quarantines_total{{{labels}}} 1"));
    bench.counted(&format!("sluice_plugin_quarantines_total{{{labels}}} 0"));

    bench.clock.advance(PROBE);
    assert_eq!(by_canary(&pipeline.run(&event, 1).await), [true], "one event is let through");
    assert!(pipeline.resume("step0"));
    assert_eq!(by_canary(&pipeline.run(&event, 1).await), [true]);
}

#[tokio::test]
async fn candidate_that_says_its_config_is_wrong_costs_no_event() {
    let bench = Bench::new();
    let pipeline = bench.filters(KEEP, "(call $fail (i32.const 2))", CanaryMode::Share(0.5));
    let event = event_of(0.5, true, &pipeline);
    let outcome = pipeline.run(&event, 1).await;
    assert_eq!(outcome.verdict, Err(Failure::Quarantined { wait: Duration::ZERO }));
    assert!(pipeline.run(&event, 1).await.verdict.is_ok());
}

#[tokio::test]
async fn shadow_decides_nothing_and_what_it_does_otherwise_is_listed() {
    let bench = Bench::new();
    let pipeline = bench.filters(KEEP, DROP, CanaryMode::Shadow);
    let event = event("{}");
    let outcome = pipeline.run(&event, 1).await;
    assert!(matches!(outcome.verdict, Ok(Verdict::Deliver(_))));
    assert_eq!(by_canary(&outcome), [false]);
    let figures = seen(&pipeline, 1).await;
    assert_eq!((figures.current.keep, figures.candidate.drop, figures.differences), (1, 1, 1));
    let Differing { event: id, at, differences } = &figures.last[0];
    assert_eq!((*id, *at), (event.id, NOW));
    let (current, candidate) = ("keep".to_owned(), "drop: reason".to_owned());
    assert_eq!(*differences, [Difference { what: What::Verdict, current, candidate }]);
    let labels = "route=\"github\",plugin=\"step0\",mode=\"shadow\"";
    bench.counted(&format!("sluice_plugin_canary_total{{{labels},outcome=\"drop\"}} 1"));
    bench.counted(&format!("sluice_plugin_canary_differences_total{{{labels},what=\"verdict\"}} 1"));
    bench.counted(&format!("sluice_plugin_canary_differences_total{{{labels},what=\"body\"}} 0"));
}

#[tokio::test]
async fn shadow_that_does_the_same_differs_in_nothing() {
    let bench = Bench::new();
    let same = transform(
        "(call $message (i32.const 0) (local.get $ptr) (local.get $len)) (call $messages (i32.const 1))",
    );
    // The same with a byte of its own data behind it.
    let padded = [&same[..], &[0, 2, 1, 120]].concat();
    let pipeline = bench.build(&bench.route(&same, &padded, CanaryMode::Shadow), None).unwrap();
    pipeline.run(&event("{}"), 1).await.verdict.unwrap();
    let figures = seen(&pipeline, 1).await;
    assert_eq!((figures.candidate.messages, figures.differences), (1, 0));
    assert_ne!(canary(&pipeline).plugin().sha256(), pipeline.steps().next().unwrap().plugin.sha256());
}

#[tokio::test]
async fn shadow_counts_nothing_for_the_plugin() {
    let bench = Bench::new();
    let pipeline = bench.filters(COUNT, COUNT, CanaryMode::Shadow);
    pipeline.run(&event("{}"), 1).await.verdict.unwrap();
    seen(&pipeline, 1).await;
    bench.counted("sluice_plugin_count_total{plugin=\"step0\",name=\"reason\"} 1");
}

#[tokio::test]
async fn shadow_that_fails_is_quarantined_and_no_event_feels_it() {
    for (call, outcome) in [("(unreachable)", "trap"), (SPIN, "time-limit")] {
        let bench = Bench::new();
        let pipeline = bench.filters(KEEP, call, CanaryMode::Shadow);
        for attempt in 1..=10 {
            assert!(pipeline.run(&event("{}"), 1).await.verdict.is_ok());
            let figures = seen(&pipeline, attempt).await;
            assert_eq!((figures.candidate.errors, figures.skipped), (attempt, 0));
        }
        assert!(canary(&pipeline).quarantined().is_some());
        assert!(pipeline.run(&event("{}"), 1).await.verdict.is_ok());
        let labels = "route=\"github\",plugin=\"step0\",mode=\"shadow\"";
        bench.counted(&format!("sluice_plugin_canary_total{{{labels},outcome=\"{outcome}\"}} 10"));
    }
}

#[tokio::test]
async fn slow_shadow_holds_nothing_up_and_skips_what_it_cannot_see() {
    // One thread for all: the shadow gets no turn before the last event is through.
    let bench = Bench::new();
    let pipeline = bench.filters(KEEP, SPIN, CanaryMode::Shadow);
    for _ in 0..200 {
        assert!(pipeline.run(&event("{}"), 1).await.verdict.is_ok());
    }
    let figures = canary(&pipeline).figures();
    assert_eq!(figures.current.keep, 200);
    assert!(figures.skipped >= 100, "{figures:?}");
    let skipped = figures.skipped;
    let labels = "route=\"github\",plugin=\"step0\",mode=\"shadow\"";
    bench.counted(&format!("sluice_plugin_canary_total{{{labels},outcome=\"skipped\"}} {skipped}"));
}

#[tokio::test]
async fn figures_outlive_a_reload_that_leaves_both_as_they_are() {
    let bench = Bench::new();
    let route =
        |share, candidate: &str| bench.route(&filter(KEEP), &filter(candidate), CanaryMode::Share(share));
    let before = bench.build(&route(0.5, DROP), None).unwrap();
    before.run(&event_of(0.5, true, &before), 1).await.verdict.unwrap();
    let after = bench.build(&route(0.9, DROP), Some(&before)).unwrap();
    assert_eq!(canary(&after).figures().candidate.drop, 1, "another share is no other candidate");
    let other = bench.build(&route(0.9, KEEP), Some(&after)).unwrap();
    assert_eq!(canary(&other).figures(), Figures::default());
}

#[tokio::test]
async fn steps_with_the_same_candidate_have_figures_of_their_own() {
    let bench = Bench::new();
    let mut route = bench.route(&filter(KEEP), &filter(DROP), CanaryMode::Shadow);
    route.pipeline.push(route.pipeline[0].clone());
    let before = bench.build(&route, None).unwrap();
    let after = bench.build(&route, Some(&before)).unwrap();
    after.run(&event("{}"), 1).await.verdict.unwrap();
    seen(&before, 1).await;
    let calls: Vec<_> = before.steps().map(|step| step.canary.unwrap().figures().current.calls()).collect();
    assert_eq!(calls, [1, 1]);
}

#[tokio::test]
async fn quarantine_of_a_candidate_outlives_a_reload_and_ends_with_it() {
    let bench = Bench::new();
    let trapping = bench.route(&filter(KEEP), &filter("(unreachable)"), CanaryMode::Share(0.5));
    let before = bench.build(&trapping, None).unwrap();
    let event = event_of(0.5, true, &before);
    for _ in 0..10 {
        before.run(&event, 1).await.verdict.unwrap_err();
    }
    let same = bench.build(&trapping, Some(&before)).unwrap();
    before.say_replaced_by(Some(&same));
    assert!(canary(&same).quarantined().is_some());
    let fixed = bench.route(&filter(KEEP), &filter(DROP), CanaryMode::Share(0.5));
    let fixed = bench.build(&fixed, Some(&same)).unwrap();
    same.say_replaced_by(Some(&fixed));
    assert!(canary(&fixed).quarantined().is_none());
}

#[test]
fn candidate_that_cannot_take_the_plugins_place_is_refused() {
    let bench = Bench::new();
    let refused = |candidate: &[u8]| {
        let route = bench.route(&filter(KEEP), candidate, CanaryMode::Shadow);
        let [(0, error)] = &bench.build(&route, None).err().unwrap()[..] else { panic!("not one") };
        assert!(error.is_of_canary() && error.is_of_file());
        crate::telemetry::Chain(error).to_string()
    };
    let other_kind = refused(&transform("(call $messages (i32.const 0))"));
    assert_eq!(
        other_kind,
        "canary of plugin `step0`: plugin `step0` exports `transform`, the one that it is to replace exports \
         `filter`; make it a plugin of its own"
    );
    assert!(refused(b"no wasm").starts_with("canary of plugin `step0`: plugin `step0` "));
}
