//! One call, taken apart and measured, for those who write plugins.

use std::time::{Duration, Instant};

use super::{
    Answer, CallError, Plugin, View,
    configure::block_on,
    guest::{Guest, Subject},
    program::Fault,
};

/// What one call in a fresh instance cost.
#[derive(Debug)]
pub struct Probe {
    pub answer: Result<Answer, CallError>,
    /// From nothing to a fresh instance.
    pub start: Duration,
    /// The call itself.
    pub call: Duration,
    /// Throwing the instance away.
    pub end: Duration,
    /// Linear memory at the end of the call, in bytes: it never shrinks.
    pub memory: usize,
    /// How often the plugin asked for more memory than it began with.
    pub grown: u32,
}

impl Plugin {
    /// Calls the plugin as [`call`](Self::call) does, on this thread and to its end. What it counts is not kept.
    pub fn probe(&self, view: &View) -> Probe {
        let _ticks = self.runtime.ticker.hold();
        let began = Instant::now();
        let mut store =
            Guest::store(&self.runtime.engine, &self.name, &self.limits, Subject::Event(view.clone()));
        let instance = block_on(self.program.instantiate(&mut store, &self.config));
        store.data_mut().grant(self.granted.clone());
        let started = Instant::now();
        let answer = instance.and_then(|instance| block_on(self.program.call(&mut store, &instance, view)));
        let called = Instant::now();
        let guest = store.into_data();
        let ended = Instant::now();
        Probe {
            answer: answer.map_err(|fault| CallError::new(fault, &self.limits)),
            start: started - began,
            call: called - started,
            end: ended - called,
            memory: guest.room.taken(),
            grown: guest.room.grown(),
        }
    }

    /// Calls one instance up to `times` times, which the gateway never does, and gives what each call took. Ends
    /// early where the instance cannot go on: one that never gives memory back fills up.
    pub fn reuse(&self, view: &View, times: usize) -> Vec<Duration> {
        let _ticks = self.runtime.ticker.hold();
        let mut store =
            Guest::store(&self.runtime.engine, &self.name, &self.limits, Subject::Event(view.clone()));
        let Ok(instance) = block_on(self.program.instantiate(&mut store, &self.config)) else {
            return Vec::new();
        };
        store.data_mut().grant(self.granted.clone());
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            store.data_mut().restart_clock(self.limits.time);
            store.set_hostcall_fuel(self.limits.output);
            let began = Instant::now();
            let answer = block_on(self.program.call(&mut store, &instance, view));
            let elapsed = began.elapsed();
            if matches!(answer, Err(Fault::Stopped(_))) {
                break;
            }
            took.push(elapsed);
        }
        took
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::plugin::{
        Role,
        fixtures::{self, Rig},
    };

    fn probe(call: &str) -> Probe {
        let rig = Rig::new();
        let plugin = rig.load(&fixtures::filter(call)).unwrap();
        plugin.probe(&fixtures::view("{}"))
    }

    #[test]
    fn a_call_is_answered_as_in_the_gateway() {
        let probe = probe("(call $drop)");
        assert_eq!(probe.answer, Ok(Answer::Drop("reason".into())));
        assert_eq!((probe.memory, probe.grown), (3 << 16, 0));
    }

    #[test]
    fn growth_is_counted() {
        let probe = probe("(drop (memory.grow (i32.const 2))) (drop (memory.grow (i32.const 1))) (call $ok)");
        assert_eq!((probe.answer, probe.memory, probe.grown), (Ok(Answer::Keep), 6 << 16, 2));
    }

    #[test]
    fn limits_hold_while_measuring() {
        let probe = probe("(loop $on (br $on)) (call $ok)");
        assert!(matches!(probe.answer, Err(CallError::TimeLimit { .. })), "{probe:?}");
    }

    #[test]
    fn an_instance_is_reused_until_it_traps() {
        let rig = Rig::new();
        let traps = fixtures::Wat {
            fields: "(global $n (mut i32) (i32.const 0))",
            call: "(global.set $n (i32.add (global.get $n) (i32.const 1)))
                   (if (i32.gt_u (global.get $n) (i32.const 3)) (then unreachable))
                   (call $ok)",
            ..fixtures::Wat::default()
        };
        let plugin = rig.host.load(&rig.plugin("guest", &traps.module()), &Value::Null, Role::Any).unwrap();
        assert_eq!(plugin.reuse(&fixtures::view("{}"), 10).len(), 3);
        assert_eq!(plugin.reuse(&fixtures::view("{}"), 2).len(), 2);
    }
}
