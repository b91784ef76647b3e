//! How many events per second a route lets in.

use std::{sync::Arc, time::Duration};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};

use crate::config::Rate;

/// A route's rate: as many at once as its unit of time allows, and then as they come free.
#[derive(Debug)]
pub struct RouteLimiter {
    rate: Rate,
    limiter: DefaultDirectRateLimiter,
}

impl RouteLimiter {
    pub fn new(rate: Rate) -> Self {
        // A rate beyond one per nanosecond is one per nanosecond.
        let interval = (rate.per / rate.events.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(interval).expect("the interval is not zero").allow_burst(rate.events);
        Self { rate, limiter: RateLimiter::direct(quota) }
    }

    /// The limiter for a new generation: the `previous` one, tokens and all, if the rate is still the same.
    pub fn carry_over(rate: Option<Rate>, previous: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let rate = rate?;
        let same = previous.filter(|limiter| limiter.rate == rate).cloned();
        Some(same.unwrap_or_else(|| Arc::new(Self::new(rate))))
    }

    /// # Errors
    /// How long to wait for the next one.
    pub(super) fn check(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|busy| busy.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(events: u32, per: Duration) -> Rate {
        Rate { events: events.try_into().unwrap(), per }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn more_than_the_rate_has_to_wait() {
        let limiter = RouteLimiter::new(rate(2, HOUR));
        assert!(limiter.check().is_ok());
        assert!(limiter.check().is_ok());
        let wait = limiter.check().unwrap_err();
        assert!(wait > HOUR / 3 && wait <= HOUR / 2, "{wait:?}");
    }

    #[test]
    fn tokens_survive_a_reload_that_leaves_the_rate() {
        let old = Arc::new(RouteLimiter::new(rate(1, HOUR)));
        assert!(old.check().is_ok());
        let kept = RouteLimiter::carry_over(Some(rate(1, HOUR)), Some(&old)).unwrap();
        assert!(kept.check().is_err());
        let changed = RouteLimiter::carry_over(Some(rate(2, HOUR)), Some(&old)).unwrap();
        assert!(changed.check().is_ok());
        assert!(RouteLimiter::carry_over(None, Some(&old)).is_none());
    }

    #[test]
    fn the_highest_rate_is_still_a_rate() {
        assert!(RouteLimiter::new(rate(u32::MAX, Duration::from_millis(1))).check().is_ok());
    }
}
