use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{At, Isolation, Limits, OnError, Pool};

/// The answer to `GET /routes/{name}/pipeline`: what a route makes of its events, as far as it takes to do the same
/// elsewhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lineup {
    pub route: String,
    /// The destinations that messages may be made for.
    pub deliver: Vec<String>,
    /// In the order in which they run.
    pub steps: Vec<LineupStep>,
}

/// A plugin's place in a pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LineupStep {
    pub plugin: String,
    /// Absolute, on the gateway's machine.
    pub file: PathBuf,
    /// Of the file as it was loaded, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub config: Value,
    pub on_error: OnError,
    pub at: At,
    pub limits: StepLimits,
    /// Where calls share instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<StepPool>,
}

/// What one call may use: times in milliseconds, sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLimits {
    pub time: u64,
    pub memory: usize,
    pub output: usize,
    pub wait: u64,
}

/// When an instance is not used again: the time in milliseconds, the size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepPool {
    pub calls: u32,
    pub idle: u64,
    pub memory: usize,
}

impl From<Limits> for StepLimits {
    fn from(Limits { time, memory, output, wait }: Limits) -> Self {
        Self { time: millis(time), memory, output, wait: millis(wait) }
    }
}

impl From<StepLimits> for Limits {
    fn from(StepLimits { time, memory, output, wait }: StepLimits) -> Self {
        Self { time: Duration::from_millis(time), memory, output, wait: Duration::from_millis(wait) }
    }
}

impl StepPool {
    /// `None` where every call has an instance of its own.
    pub fn of(isolation: Isolation) -> Option<Self> {
        match isolation {
            Isolation::Event => None,
            Isolation::Pooled(Pool { calls, idle, memory }) => {
                Some(Self { calls, idle: millis(idle), memory })
            }
        }
    }
}

impl From<StepPool> for Isolation {
    fn from(StepPool { calls, idle, memory }: StepPool) -> Self {
        Self::Pooled(Pool { calls, idle: Duration::from_millis(idle), memory })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_pools_survive_the_trip() {
        let limits = Limits { time: Duration::from_millis(7), ..Limits::default() };
        assert_eq!(Limits::from(StepLimits::from(limits)), limits);
        for isolation in [Isolation::Event, Isolation::Pooled(Pool::default())] {
            assert_eq!(StepPool::of(isolation).map(Isolation::from).unwrap_or_default(), isolation);
        }
    }
}
