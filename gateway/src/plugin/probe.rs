//! Calls, taken apart and measured, for those who write plugins.

use std::time::{Duration, Instant};

use super::{
    CallError, Given, Plugin, Reply, configure::block_on, guest::Guest, program::Fault,
    thread_time::ThreadTime,
};

/// What one call in a fresh instance cost.
#[derive(Debug)]
pub struct Probe {
    pub reply: Result<Reply, CallError>,
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
    /// What the plugin said.
    pub log: Vec<String>,
}

/// What calls of one instance cost, but for the first, which pays for what is fresh in it.
#[derive(Debug, Default)]
pub struct Reused {
    pub calls: Vec<Duration>,
    /// Of this thread, for all of them.
    pub cpu: Duration,
}

impl Plugin {
    /// Calls the plugin as [`answer`](Self::answer) does, so many times, on this thread and to the end. With the time
    /// that this thread had the CPU for all of them. What is counted is not kept.
    pub fn probe(&self, given: &Given, times: usize) -> (Vec<Probe>, Duration) {
        let _ticks = self.runtime.ticker.hold();
        let began = ThreadTime::now();
        let probes = (0..times).map(|_| self.probe_once(given)).collect();
        (probes, began.elapsed())
    }

    fn probe_once(&self, given: &Given) -> Probe {
        let began = Instant::now();
        let mut store = Guest::store(&self.runtime.engine, &self.name, &self.limits, given.clone().into());
        let instance = block_on(self.program.instantiate(&mut store, &self.config));
        store.data_mut().grant(self.granted.clone());
        let started = Instant::now();
        let reply =
            instance.and_then(|instance| block_on(given.put_to(&self.program, &mut store, &instance)));
        let called = Instant::now();
        let remains = store.data_mut().finish();
        let (memory, grown) = (store.data().room.taken(), store.data().room.grown());
        drop(store);
        let ended = Instant::now();
        Probe {
            reply: reply.map_err(|fault| CallError::new(fault, &self.limits)),
            start: started - began,
            call: called - started,
            end: ended - called,
            memory,
            grown,
            log: remains.log,
        }
    }

    /// Calls one instance up to `times` times after a first call. Ends early where the instance cannot go on: one that
    /// never gives memory back fills up.
    pub fn reuse(&self, given: &Given, times: usize) -> Reused {
        let _ticks = self.runtime.ticker.hold();
        let mut reused = Reused::default();
        let mut store = Guest::store(&self.runtime.engine, &self.name, &self.limits, given.clone().into());
        let Ok(instance) = block_on(self.program.instantiate(&mut store, &self.config)) else {
            return reused;
        };
        store.data_mut().grant(self.granted.clone());
        for number in 0..=times {
            Guest::renew(&mut store, &self.limits, given.clone().into());
            let (began, cpu) = (Instant::now(), ThreadTime::now());
            let reply = block_on(given.put_to(&self.program, &mut store, &instance));
            store.data_mut().finish();
            let (elapsed, cpu) = (began.elapsed(), cpu.elapsed());
            if matches!(reply, Err(Fault::Stopped(_))) {
                break;
            }
            if number > 0 {
                reused.calls.push(elapsed);
                reused.cpu += cpu;
            }
        }
        reused
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::plugin::{
        Answer, Kind, Role,
        fixtures::{self, Rig, Wat},
    };

    fn probe(call: &str) -> Probe {
        let rig = Rig::new();
        let plugin = rig.load(&fixtures::filter(call)).unwrap();
        plugin.probe(&Given::Event(fixtures::view("{}")), 1).0.remove(0)
    }

    #[test]
    fn a_call_is_answered_as_in_the_gateway() {
        let probe = probe("(call $drop)");
        assert_eq!(probe.reply, Ok(Reply::Decided(Answer::Drop("reason".into()))));
        assert_eq!((probe.memory, probe.grown), (3 << 16, 0));
    }

    #[test]
    fn plugins_of_every_kind_are_measured() {
        let rig = Rig::new();
        for (kind, given) in [
            (Kind::Verify, Given::Request(fixtures::claimed("{}"))),
            (Kind::Filter, Given::Event(fixtures::view("{}"))),
            (Kind::Transform, Given::Event(fixtures::view("{}"))),
            (Kind::Batch, Given::Window(fixtures::window("{}"))),
        ] {
            let plugin = rig.load(&Wat { kind, ..Wat::default() }.module()).unwrap();
            let (probes, _) = plugin.probe(&given, 3);
            assert!(probes.len() == 3 && probes.iter().all(|probe| probe.reply.is_ok()), "{probes:?}");
            assert_eq!(plugin.reuse(&given, 3).calls.len(), 3, "{kind:?}");
        }
    }

    #[test]
    fn growth_is_counted() {
        let probe = probe("(drop (memory.grow (i32.const 2))) (drop (memory.grow (i32.const 1))) (call $ok)");
        assert_eq!(probe.reply, Ok(Reply::Decided(Answer::Keep)));
        assert_eq!((probe.memory, probe.grown), (6 << 16, 2));
    }

    #[test]
    fn limits_hold_while_measuring() {
        let probe = probe("(loop $on (br $on)) (call $ok)");
        assert!(matches!(probe.reply, Err(CallError::TimeLimit { .. })), "{probe:?}");
    }

    #[test]
    fn an_instance_is_reused_until_it_traps() {
        let rig = Rig::new();
        let traps = Wat {
            fields: "(global $n (mut i32) (i32.const 0))",
            call: "(global.set $n (i32.add (global.get $n) (i32.const 1)))
                   (if (i32.gt_u (global.get $n) (i32.const 3)) (then unreachable))
                   (call $ok)",
            ..Wat::default()
        };
        let plugin = rig.host.load(&rig.plugin("guest", &traps.module()), &Value::Null, Role::Any).unwrap();
        let given = Given::Event(fixtures::view("{}"));
        assert_eq!(plugin.reuse(&given, 10).calls.len(), 2);
        assert_eq!(plugin.reuse(&given, 1).calls.len(), 1);
    }
}
