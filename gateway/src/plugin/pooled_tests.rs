//! What stays in an instance that is kept, and when it goes.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    fixtures::{Rig, Wat, view},
    *,
};
use crate::config::Pool;

/// Keeps the first event that it sees and drops all others.
const KEEPS_THE_FIRST: Wat<'_> = counting(
    "(if (result i32) (i32.eq (global.get $calls) (i32.const 1)) (then (call $ok)) (else (call $drop)))",
);

const fn counting(call: &str) -> Wat<'_> {
    Wat {
        kind: Kind::Filter,
        version: bindings::VERSION,
        fields: "(global $calls (mut i32) (i32.const 0))
                 (func $step (global.set $calls (i32.add (global.get $calls) (i32.const 1))))",
        configure: "(call $ok)",
        call,
    }
}

/// Loads a guest that counts its calls before it does anything else.
fn pooled(rig: &Rig, guest: Wat<'_>, rules: Pool) -> Arc<Plugin> {
    let call = format!("(call $step) {}", guest.call);
    let module = Wat { call: &call, ..guest }.module();
    let plugin = config::Plugin { isolation: Isolation::Pooled(rules), ..rig.plugin("guest", &module) };
    rig.host.load(&plugin, &json!({}), Role::Step).unwrap()
}

/// Whether each of so many calls found an instance that had not been called before.
async fn fresh(plugin: &Plugin, calls: usize) -> Vec<bool> {
    let mut fresh = Vec::new();
    for _ in 0..calls {
        fresh.push(plugin.call(&view("{}")).await.answer == Ok(Answer::Keep));
    }
    fresh
}

fn waiting(plugin: &Plugin) -> usize {
    plugin.keeper.as_ref().unwrap().pool().waiting()
}

#[tokio::test]
async fn an_instance_is_called_again() {
    let plugin = pooled(&Rig::new(), KEEPS_THE_FIRST, Pool::default());
    assert_eq!(waiting(&plugin), 1, "the one that it was tried with is the first");
    assert_eq!(fresh(&plugin, 3).await, [true, false, false]);
    assert_eq!(waiting(&plugin), 1);
}

#[tokio::test]
async fn two_steps_share_a_program_and_no_instance() {
    let rig = Rig::new();
    let [one, other] = [(), ()].map(|()| pooled(&rig, KEEPS_THE_FIRST, Pool::default()));
    assert!(Arc::ptr_eq(&one.program, &other.program));
    assert_eq!(fresh(&one, 2).await, [true, false]);
    assert_eq!(fresh(&other, 2).await, [true, false]);
}

#[tokio::test]
async fn an_instance_is_replaced_after_its_share_of_calls() {
    let plugin = pooled(&Rig::new(), KEEPS_THE_FIRST, Pool { calls: 2, ..Pool::default() });
    assert_eq!(fresh(&plugin, 5).await, [true, false, true, false, true]);
}

#[tokio::test]
async fn an_instance_with_much_memory_is_replaced() {
    let grows = "(drop (memory.grow (i32.const 1)))
        (if (result i32) (i32.eq (global.get $calls) (i32.const 1)) (then (call $ok)) (else (call $drop)))";
    let plugin = pooled(&Rig::new(), counting(grows), Pool { memory: 4 << 16, ..Pool::default() });
    assert_eq!(fresh(&plugin, 4).await, [true, false, true, false]);
}

#[tokio::test]
async fn an_instance_that_trapped_is_replaced() {
    let traps = "(if (i32.eq (global.get $calls) (i32.const 2)) (then unreachable)) (call $ok)";
    let plugin = pooled(&Rig::new(), counting(traps), Pool::default());
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let answer = plugin.call(&view("{}")).await.answer;
        outcomes.push(answer.map_or_else(|error| error.outcome(), |_| "keep"));
    }
    assert_eq!(outcomes, ["keep", "trap", "keep", "trap"]);
}

#[tokio::test]
async fn an_error_that_the_plugin_returns_replaces_nothing() {
    let fails =
        "(if (result i32) (i32.eq (global.get $calls) (i32.const 2)) (then (call $fail (i32.const 0)))
        (else (call $ok)))";
    let plugin = pooled(&Rig::new(), counting(fails), Pool::default());
    let [first, second, third] = [
        plugin.call(&view("{}")).await.answer,
        plugin.call(&view("{}")).await.answer,
        plugin.call(&view("{}")).await.answer,
    ];
    assert_eq!((first, third), (Ok(Answer::Keep), Ok(Answer::Keep)));
    assert_eq!(second, Err(CallError::Invalid("reason".into())));
}

#[tokio::test]
async fn every_call_has_its_limits_and_its_log_for_itself() {
    let says = "(call $log (i32.const 2) (i32.const 1024) (i32.const 6)) (call $ok)";
    let plugin = pooled(&Rig::new(), counting(says), Pool::default());
    for _ in 0..50 {
        assert_eq!(plugin.call(&view("{}")).await.log, ["info: reason"]);
    }
    let endless = pooled(&Rig::new(), counting("(loop $on (br $on)) (call $ok)"), Pool::default());
    for _ in 0..2 {
        assert_eq!(endless.call(&view("{}")).await.answer.unwrap_err().outcome(), "time-limit");
    }
}

#[tokio::test]
async fn a_call_that_finds_no_instance_makes_one_and_a_cancelled_one_keeps_none() {
    let spins = "(if (i64.eqz (call $body_len (local.get $e))) (then (loop $on (br $on))))
        (if (result i32) (i32.eq (global.get $calls) (i32.const 1)) (then (call $ok)) (else (call $drop)))";
    let plugin = pooled(&Rig::new(), counting(spins), Pool::default());
    let empty = view("");
    {
        let mut busy = pin!(plugin.call(&empty));
        assert!(poll_fn(|cx| Poll::Ready(busy.as_mut().poll(cx).is_pending())).await);
        assert_eq!(waiting(&plugin), 0);
        assert_eq!(fresh(&plugin, 2).await, [true, false]);
    }
    assert_eq!(waiting(&plugin), 1);
}

#[tokio::test]
async fn an_instance_that_waited_for_too_long_is_not_called() {
    let plugin = pooled(&Rig::new(), KEEPS_THE_FIRST, Pool { idle: Duration::ZERO, ..Pool::default() });
    assert_eq!(fresh(&plugin, 3).await, [true, true, true]);
}

#[test]
fn what_waits_for_too_long_is_taken_away() {
    let rig = Rig::new();
    let plugin = pooled(&rig, KEEPS_THE_FIRST, Pool::default());
    let pool = plugin.keeper.as_ref().unwrap().pool();
    let next = pool.expire(Instant::now()).unwrap();
    assert!(pool.waiting() == 1 && next > Instant::now());
    assert_eq!(pool.expire(next), None);
    assert_eq!(pool.waiting(), 0);
    // A thread does the same for whom nobody calls.
    let idle = Duration::from_millis(1);
    let other = pooled(&rig, KEEPS_THE_FIRST, Pool { idle, ..Pool::default() });
    while waiting(&other) > 0 {
        thread::yield_now();
    }
}

#[test]
fn configs_share_a_program_and_are_told_apart() {
    let rig = Rig::new();
    let isolation = Isolation::Pooled(Pool::default());
    let plugin = config::Plugin { isolation, ..rig.plugin("guest", &Wat::default().module()) };
    let load = |config| rig.host.load(&plugin, &config, Role::Step).unwrap();
    let (one, same, other) = (load(json!({})), load(json!({})), load(json!({ "x": 1 })));
    assert!(Arc::ptr_eq(&one.program, &other.program));
    assert!(one.is_same(&same) && !one.is_same(&other));
}

#[test]
fn config_is_refused_at_load() {
    let rig = Rig::new();
    let module = Wat { configure: "(call $fail (i32.const 2))", ..Wat::default() }.module();
    let isolation = Isolation::Pooled(Pool::default());
    let plugin = config::Plugin { isolation, ..rig.plugin("guest", &module) };
    let Err(refused) = rig.host.load(&plugin, &Value::Null, Role::Step) else { panic!("it was loaded") };
    assert_eq!(refused.to_string(), "plugin `guest` refuses its config: reason");
}

#[tokio::test]
async fn a_cached_program_is_of_its_own_engine() {
    let rig = Rig::new();
    let module = Wat::default().module();
    let fresh = rig.plugin("guest", &module);
    let kept = config::Plugin { isolation: Isolation::Pooled(Pool::default()), ..fresh.clone() };
    for rig in [&rig, &Rig::new()] {
        for plugin in [&fresh, &kept, &fresh] {
            let loaded = rig.host.load(plugin, &Value::Null, Role::Step).unwrap();
            assert_eq!(loaded.call(&view("{}")).await.answer, Ok(Answer::Keep));
        }
    }
    assert_eq!(std::fs::read_dir(rig.cache()).unwrap().count(), 2);
}
