//! Filters at the edge, and what of a pipeline is left behind the journal.

use super::{tests::route, *};
use crate::{
    config::{At, OnError, WhileQuarantined},
    plugin::fixtures::{Rig, event, filter, transform},
};

/// Keeps what has a body.
const KEEPS_BODIES: &str = "(if (result i32) (i64.eqz (call $body_len (local.get $e)))
    (then (call $drop)) (else (call $ok)))";

/// A pipeline of these filters at the edge, and of a transform behind it.
fn pipeline(rig: &Rig, edge: &[&str], quarantine: Option<config::Quarantine>) -> Pipeline {
    let filters: Vec<_> = edge.iter().map(|call| filter(call)).collect();
    let behind = transform("(call $messages (i32.const 1))");
    let guests: Vec<_> =
        filters.iter().chain([&behind]).map(|bytes| (&bytes[..], OnError::DeadLetter)).collect();
    let mut route = route(rig, &guests, quarantine);
    route.pipeline[..edge.len()].iter_mut().for_each(|step| step.at = At::Edge);
    Pipeline::build(&route, &rig.host, &rig.metrics, None).unwrap()
}

/// The event as it is written down, after the edge.
async fn past(pipeline: &Pipeline, body: &'static str) -> Arc<Event> {
    let event = event(body);
    let AtEdge::Kept(passed) = pipeline.at_edge(&event).await else { panic!("it is not kept") };
    Arc::new(Event { passed: Some(passed), ..Event::clone(&event) })
}

/// The plugins that an event meets behind the journal.
async fn met(pipeline: &Pipeline, event: &Arc<Event>) -> Vec<String> {
    let met = pipeline.run(event, 1).await.trail.into_iter().map(|entry| match entry {
        TrailEntry::Step { plugin, .. } => plugin,
        other => panic!("{other:?}"),
    });
    met.collect()
}

#[tokio::test]
async fn event_that_was_kept_at_the_edge_does_not_meet_its_filters_again() {
    let pipeline = pipeline(&Rig::new(), &["(call $ok)", KEEPS_BODIES], None);
    let kept = past(&pipeline, "{}").await;
    assert_eq!(met(&pipeline, &kept).await, ["step2"]);
    assert_eq!(met(&pipeline, &event("{}")).await, ["step0", "step1", "step2"]);
}

#[tokio::test]
async fn event_is_dropped_for_the_filters_reason() {
    let pipeline = pipeline(&Rig::new(), &["(call $ok)", KEEPS_BODIES], None);
    let dropped = AtEdge::Dropped { reason: "step1: reason".to_owned() };
    assert_eq!(pipeline.at_edge(&event("")).await, dropped);
}

#[tokio::test]
async fn failure_at_the_edge_decides_nothing_there() {
    for call in ["(unreachable)", "(call $fail (i32.const 0))", "(call $fail (i32.const 2))"] {
        let pipeline = pipeline(&Rig::new(), &[call], None);
        assert_eq!(pipeline.at_edge(&event("{}")).await, AtEdge::Undecided, "{call}");
        let verdict = pipeline.run(&event("{}"), 1).await.verdict;
        assert!(matches!(verdict, Err(Failure::DeadLetter { .. })), "{call}: {verdict:?}");
    }
}

#[tokio::test]
async fn filter_in_quarantine_is_not_called_at_the_edge_and_holds_back_only_what_it_has_not_seen() {
    let then = WhileQuarantined::Wait;
    let settings = config::Quarantine { failures: 1, window: Duration::from_secs(60), then };
    let traps = "(if (i64.eqz (call $body_len (local.get $e))) (then (unreachable))) (call $ok)";
    let pipeline = pipeline(&Rig::new(), &[traps], Some(settings));
    let seen = past(&pipeline, "{}").await;
    for _ in 0..2 {
        assert_eq!(pipeline.at_edge(&event("")).await, AtEdge::Undecided);
    }
    let step = pipeline.steps().next().unwrap();
    assert!(step.place == Place::Edge(1) && step.quarantined.is_some());
    assert_eq!(pipeline.at_edge(&event("{}")).await, AtEdge::Undecided, "it would keep this one");
    let now = SystemClock.now();
    assert!(pipeline.held(&event("{}"), now).is_some());
    assert_eq!(pipeline.held(&seen, now), None);
}

/// What an old filter kept, the new one has not seen.
#[tokio::test]
async fn filters_that_have_changed_since_see_the_event_behind_the_journal() {
    let rig = Rig::new();
    let old = pipeline(&rig, &["(call $ok)"], None);
    let kept = past(&old, "{}").await;
    let another = pipeline(&rig, &[KEEPS_BODIES], None);
    assert_eq!(met(&another, &kept).await, ["step0", "step1"]);
    let more = pipeline(&rig, &["(call $ok)", KEEPS_BODIES], None);
    assert_eq!(met(&more, &kept).await, ["step0", "step1", "step2"]);
    let same = pipeline(&rig, &["(call $ok)"], None);
    assert_eq!(met(&same, &kept).await, ["step1"]);
}

#[tokio::test]
async fn pipeline_without_filters_at_the_edge_has_nothing_to_say_there() {
    let pipeline = pipeline(&Rig::new(), &[], None);
    assert!(!pipeline.has_edge());
    assert_eq!(pipeline.at_edge(&event("{}")).await, AtEdge::Undecided);
    let all_at_edge = event("{}");
    assert!(!pipeline.is_empty_for(&all_at_edge) && Pipeline::default().is_empty_for(&all_at_edge));
}

#[test]
fn transform_is_not_taken_at_the_edge() {
    let rig = Rig::new();
    let mut route = route(&rig, &[(&transform("(call $messages (i32.const 1))"), OnError::Retry)], None);
    route.pipeline[0].at = At::Edge;
    let Err(broken) = Pipeline::build(&route, &rig.host, &rig.metrics, None) else { panic!("it is taken") };
    assert_eq!(broken[0].0, 0);
    assert!(
        broken[0].1.to_string().ends_with("but a step with `at = \"edge\"` is a filter"),
        "{}",
        broken[0].1
    );
}
