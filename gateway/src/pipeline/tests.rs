use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::{
    step::{MAX_TRAIL, MAX_TRAIL_LOG, inherit, said},
    *,
};
use crate::{
    clock::{ManualClock, Timestamp},
    config::OnError,
    plugin::{
        Kind, Role,
        fixtures::{Rig, Wat, event, filter, transform},
    },
};

const SPIN: &str = "(loop $again (br $again)) (unreachable)";
const ALL_ERRORS: [OnError; 4] = [OnError::Retry, OnError::DeadLetter, OnError::Pass, OnError::Drop];

/// A pipeline of these guests, called `step0`, `step1` and so on, on a route to `crm` and `log`.
fn pipeline(rig: &Rig, guests: &[(&[u8], OnError)]) -> Pipeline {
    let route = route(rig, guests, None);
    Pipeline::build(&route, &rig.host, &rig.metrics, None).unwrap()
}

pub(super) fn route(
    rig: &Rig,
    guests: &[(&[u8], OnError)],
    quarantine: Option<config::Quarantine>,
) -> config::Route {
    let step = |(index, (bytes, on_error)): (usize, &(&[u8], OnError))| config::Step {
        plugin: Arc::new(config::Plugin { quarantine, ..rig.plugin(&format!("step{index}"), bytes) }),
        config: Value::Null,
        on_error: *on_error,
        at: config::At::Pipeline,
    };
    config::Route {
        name: "github".into(),
        host: None,
        path: "/github".into(),
        methods: Vec::new(),
        verify: config::Verify::None,
        respond: Default::default(),
        dedupe: None,
        max_body: 1 << 20,
        rate: None,
        pipeline: guests.iter().enumerate().map(step).collect(),
        batch: None,
        deliver: vec!["crm".into(), "log".into()],
    }
}

async fn run(guests: &[&[u8]]) -> Outcome {
    let steps: Vec<_> = guests.iter().map(|bytes| (*bytes, OnError::Retry)).collect();
    let pipeline = pipeline(&Rig::new(), &steps);
    // Spawned, as dispatch does it: a run can move between threads.
    tokio::spawn(async move { pipeline.run(&event("{}"), 1).await }).await.unwrap()
}

fn bodies(outcome: Outcome) -> Vec<String> {
    let Ok(Verdict::Deliver(messages)) = outcome.verdict else { panic!("{:?}", outcome.verdict) };
    messages.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
}

fn dropped(reason: &str) -> Result<Verdict, Failure> {
    Ok(Verdict::Drop { reason: reason.into() })
}

/// Makes two messages, `rea` and `son`, of any event.
fn split() -> Vec<u8> {
    transform(
        "(call $message (i32.const 0) (i32.const 1024) (i32.const 3))
         (call $message (i32.const 1) (i32.const 1027) (i32.const 3))
         (call $messages (i32.const 2))",
    )
}

/// Makes a message of the body it gets, without its last byte.
fn shorten() -> Vec<u8> {
    transform(
        "(call $message (i32.const 0) (local.get $ptr) (i32.sub (local.get $len) (i32.const 1)))
         (call $messages (i32.const 1))",
    )
}

#[tokio::test]
async fn without_plugins_the_body_is_delivered_as_it_came() {
    let event = event("{}");
    let outcome = Pipeline::default().run(&event, 1).await;
    let Ok(Verdict::Deliver(messages)) = outcome.verdict else { panic!("{:?}", outcome.verdict) };
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(message.body.as_ptr(), event.body.as_ptr(), "not copied");
    let headers: Vec<_> =
        message.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(headers, [("content-type", &b"application/json"[..])]);
    assert_eq!(outcome.trail, []);
}

#[tokio::test]
async fn kept_event_is_delivered_as_it_came() {
    assert_eq!(bodies(run(&[&filter("(call $ok)"), &filter("(call $ok)")]).await), ["{}"]);
}

#[tokio::test]
async fn dropped_event_goes_no_further() {
    let outcome = run(&[&filter("(call $ok)"), &filter("(call $drop)"), &filter("(unreachable)")]).await;
    assert_eq!(outcome.verdict, dropped("step1: reason"));
    assert_eq!(outcome.trail.len(), 2);
}

#[tokio::test]
async fn no_message_at_all_drops_the_event() {
    let outcome = run(&[&transform("(call $messages (i32.const 0))")]).await;
    assert_eq!(outcome.verdict, dropped("step0: made no message of it"));
}

#[tokio::test]
async fn each_step_gets_what_the_one_before_made() {
    assert_eq!(bodies(run(&[&split(), &shorten(), &shorten()]).await), ["r", "s"]);
}

#[tokio::test]
async fn filter_behind_a_split_drops_single_messages() {
    // Drops what is three bytes long; the first message is cut to two by the step between.
    let odd = "(if (result i32) (i64.eq (call $body_len (local.get $e)) (i64.const 3))
        (then (call $drop)) (else (call $ok)))";
    let first_only = transform(
        "(call $message (i32.const 0) (local.get $ptr)
            (i32.sub (local.get $len) (i32.eq (i32.load8_u (local.get $ptr)) (i32.const 114))))
         (call $messages (i32.const 1))",
    );
    assert_eq!(bodies(run(&[&split(), &first_only, &filter(odd)]).await), ["re"]);
    assert_eq!(run(&[&split(), &filter(odd)]).await.verdict, dropped("step1: reason"));
}

#[tokio::test]
async fn every_call_is_in_the_trail() {
    let rig = Rig::new();
    let now = Timestamp::from_millis(1_700_000_000_123);
    let outcome = pipeline(&rig, &[(&split(), OnError::Retry), (&filter("(call $drop)"), OnError::Retry)])
        .with_clock(Arc::new(ManualClock::at(now)))
        .run(&event("{}"), 1)
        .await;
    let steps: Vec<_> = outcome
        .trail
        .iter()
        .map(|entry| {
            let TrailEntry::Step { at, plugin, outcome, detail, .. } = entry else { panic!("{entry:?}") };
            assert_eq!(*at, now);
            (plugin.as_str(), outcome.as_str(), detail.as_deref())
        })
        .collect();
    assert_eq!(
        steps,
        [
            ("step0", "messages", Some("2 messages")),
            ("step1", "drop", Some("reason")),
            ("step1", "drop", Some("reason")),
        ]
    );
    let metrics = rig.metrics.encode();
    let drops = "plugin_outcomes_total{route=\"github\",plugin=\"step1\",outcome=\"drop\"} 2";
    assert!(metrics.contains(drops), "{metrics}");
    assert!(metrics.contains("plugin_seconds_count{route=\"github\",plugin=\"step1\"} 2"), "{metrics}");
}

/// What becomes of an event whose only step fails like this, for each `on_error`.
async fn fates(rig: &Rig, call: &str) -> Vec<Result<Verdict, Failure>> {
    let mut fates = Vec::new();
    for on_error in ALL_ERRORS {
        fates.push(pipeline(rig, &[(&transform(call), on_error)]).run(&event("{}"), 1).await.verdict);
    }
    fates
}

#[tokio::test]
async fn on_error_decides_about_what_is_the_plugins_own_fault() {
    let rig = Rig::new();
    for (call, reason) in [
        ("(call $fail (i32.const 3))", "plugin `step0` failed: reason"),
        (SPIN, "plugin `step0` was stopped: it ran for longer than 50ms, its limit"),
        ("(unreachable)", "plugin `step0` trapped: wasm `unreachable` instruction executed in call < export"),
    ] {
        let [retry, dead, pass, drop] = &fates(&rig, call).await[..] else { unreachable!() };
        let reason = reason.to_owned();
        assert_eq!(*retry, Err(Failure::Retry { after: None, reason: reason.clone() }));
        assert_eq!(*dead, Err(Failure::DeadLetter { reason: reason.clone() }));
        assert!(matches!(pass, Ok(Verdict::Deliver(messages)) if messages[0].body == "{}"), "{pass:?}");
        assert_eq!(*drop, dropped(&reason));
    }
}

#[tokio::test]
async fn plugin_decides_about_what_it_gives_a_verdict_on() {
    let rig = Rig::new();
    let after = Some(Duration::from_secs(2));
    for (call, failure) in [
        (
            "(call $fail (i32.const 0))",
            Failure::DeadLetter { reason: "plugin `step0` cannot handle this event: reason".into() },
        ),
        (
            "(call $fail (i32.const 2))",
            Failure::DeadLetter { reason: "plugin `step0` says that its config is wrong: reason".into() },
        ),
        (
            "(call $later (i32.const 2000))",
            Failure::Retry { after, reason: "plugin `step0` wants to be called again: reason".into() },
        ),
    ] {
        assert_eq!(fates(&rig, call).await, vec![Err(failure); 4]);
    }
}

#[tokio::test]
async fn more_messages_than_the_limit_are_refused() {
    let rig = Rig::new();
    // Doubles: 512 messages after nine steps, 1024 after ten.
    let steps: Vec<_> = (0..10).map(|_| split()).collect();
    let steps: Vec<_> = steps.iter().map(|bytes| (&bytes[..], OnError::DeadLetter)).collect();
    assert_eq!(bodies(pipeline(&rig, &steps[..9]).run(&event("{}"), 1).await).len(), 512);
    let outcome = pipeline(&rig, &steps).run(&event("{}"), 1).await;
    assert_eq!(
        outcome.verdict,
        Err(Failure::DeadLetter {
            reason: "plugin `step9` made too many messages: 1002, the limit for an event is 1000".into()
        })
    );
    assert_eq!(outcome.trail.len(), MAX_TRAIL + 1, "history is bounded, and has the failure");
}

/// Makes so many messages, each with a body of so many bytes.
fn inflate(count: usize, length: usize) -> Vec<u8> {
    transform(&format!(
        "(local $n i32)
        (loop $more
            (call $message (local.get $n) (i32.const 65536) (i32.const {length}))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const {count}))))
        (call $messages (i32.const {count}))"
    ))
}

#[tokio::test]
async fn more_bytes_than_the_limit_are_refused_over_all_calls() {
    // 10 messages that become 100 KiB times 100: each call is well within its own output.
    let rig = Rig::new();
    let steps = [inflate(10, 1), inflate(10, 100 << 10)];
    let steps: Vec<_> = steps.iter().map(|bytes| (&bytes[..], OnError::DeadLetter)).collect();
    assert_eq!(bodies(pipeline(&rig, &steps).run(&event("{}"), 1).await).len(), 100);
    let steps = [inflate(20, 1), inflate(10, 100 << 10)];
    let steps: Vec<_> = steps.iter().map(|bytes| (&bytes[..], OnError::DeadLetter)).collect();
    assert_eq!(
        pipeline(&rig, &steps).run(&event("{}"), 1).await.verdict,
        Err(Failure::DeadLetter {
            reason: "plugin `step1` made messages that are larger than 16.0 MiB together, the limit for an \
                     event"
                .into()
        })
    );
}

#[tokio::test]
async fn history_is_bounded_even_where_every_call_fails_and_says_so_at_length() {
    let noisy = filter(
        "(local $n i32)
        (loop $more
            (call $log (i32.const 0) (i32.const 2048) (i32.const 1000))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 10))))
        (unreachable)",
    );
    let rig = Rig::new();
    let steps: Vec<_> = [inflate(200, 1), noisy].into_iter().map(|bytes| (bytes, OnError::Pass)).collect();
    let steps: Vec<_> = steps.iter().map(|(bytes, on_error)| (&bytes[..], *on_error)).collect();
    let outcome = pipeline(&rig, &steps).run(&event("{}"), 1).await;
    assert_eq!(outcome.trail.len(), MAX_TRAIL);
    assert!(said(&outcome.trail) < MAX_TRAIL_LOG + (16 << 10), "{}", said(&outcome.trail));
    assert_eq!(bodies(outcome).len(), 200);
}

#[tokio::test]
async fn message_for_an_unknown_destination_is_an_error() {
    // One message for the destination `reason`, then for `crm`.
    let to = |name: &str, length: u32| {
        Wat {
            kind: Kind::Transform,
            fields: "(data (i32.const 2048) \"crm\")",
            call: &format!(
                "(call $message (i32.const 0) (local.get $ptr) (local.get $len))
             (i32.store (i32.const 2056) (i32.const {name})) (i32.store (i32.const 2060) (i32.const {length}))
             (i32.store8 (i32.const 4112) (i32.const 1))
             (i32.store (i32.const 4116) (i32.const 2056)) (i32.store (i32.const 4120) (i32.const 1))
             (call $messages (i32.const 1))"
            ),
            ..Wat::default()
        }
        .module()
    };
    assert_eq!(
        run(&[&to("1024", 6)]).await.verdict,
        Err(Failure::Retry {
            after: None,
            reason:
                "plugin `step0` failed: made a message for `reason`, to which this route does not deliver; \
                it delivers to `crm`, `log`"
                    .into()
        })
    );
    // A later step that names none leaves the choice as it was.
    let Ok(Verdict::Deliver(messages)) = run(&[&to("2048", 3), &shorten()]).await.verdict else { panic!() };
    assert_eq!(messages[0].destinations, Some(vec!["crm".to_owned()]));
    assert_eq!(messages[0].body, "{");
}

#[test]
fn later_attributes_replace_earlier_ones_of_the_same_name() {
    let attributes = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let mut headers = Headers::default();
    headers.append(HeaderName::from_static("x-a"), HeaderValue::from_static("1"));
    let draft = |pairs| Draft {
        message: Message { headers: headers.clone(), body: "".into(), destinations: None, key: None },
        attributes: attributes(pairs),
    };
    let view = View::of(event("{}"), 1).with(draft(&[("a", "1"), ("b", "1")]));
    let view = inherit(draft(&[("b", "2")]), &view);
    assert_eq!(view.attribute("a"), Some("1"));
    assert_eq!(view.attribute("b"), Some("2"));
}

#[tokio::test]
async fn spinning_guests_do_not_hold_up_other_events() {
    // One thread for all of them: without yielding, the spinners would run to their limits first.
    let rig = Rig::new();
    let mut spinner = rig.plugin("spinner", &filter(SPIN));
    spinner.limits.time = Duration::from_millis(500);
    let spinner = rig.host.load(&spinner, &Value::Null, Role::Any).unwrap();
    let spinners: Vec<_> = (0..4)
        .map(|_| {
            let spinner = Arc::clone(&spinner);
            tokio::spawn(async move { spinner.call(&View::of(event(""), 1)).await })
        })
        .collect();
    let quick = pipeline(&rig, &[(&filter("(call $ok)"), OnError::Retry)]);
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert_eq!(bodies(quick.run(&event("{}"), 1).await), ["{}"]);
    }
    assert!(spinners.iter().all(|spinner| !spinner.is_finished()), "others had to wait for a spinner's end");
    for spinner in spinners {
        assert_eq!(spinner.await.unwrap().answer.unwrap_err().outcome(), "time-limit");
    }
}
