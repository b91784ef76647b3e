//! When to try again. Pure: the schedule, the answer's `retry-after` and the dice are handed in.

use std::time::Duration;

use crate::clock::Timestamp;

/// A wait is this far from the schedule at most, so that what failed together is not retried together.
pub const JITTER: f64 = 0.2;

/// The longest `retry-after` that is honoured; a longer one counts as this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How long to wait after `attempts` failed ones (1 or more); `None` once the schedule has ended.
///
/// The schedule's wait is spread by ±20 %: `dice`, from 0 to 1, picks the place within. It is never shorter than
/// `at_least`, which counts for 24 hours at most.
pub fn next(schedule: &[Duration], attempts: u32, at_least: Option<Duration>, dice: f64) -> Option<Duration> {
    let failed_before = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = schedule.get(failed_before)?;
    let spread = 1.0 - JITTER + 2.0 * JITTER * dice.clamp(0.0, 1.0);
    let jittered = Duration::try_from_secs_f64(wait.as_secs_f64() * spread).unwrap_or(*wait);
    Some(jittered.max(at_least.unwrap_or_default().min(MAX_RETRY_AFTER)))
}

/// Reads a `retry-after` value: seconds, whole or fractional, or an HTTP date. At most 24 hours; zero for a date
/// that has passed; `None` if it is neither.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        Ok(_) => return None,
        Err(_) => Timestamp::from(httpdate::parse_http_date(value).ok()?).since(now),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT

    #[test]
    fn each_failure_takes_the_next_wait_and_then_the_schedule_ends() {
        let schedule = [Duration::from_secs(5), Duration::from_secs(300)];
        assert_eq!(next(&schedule, 1, None, 0.5), Some(Duration::from_secs(5)));
        assert_eq!(next(&schedule, 2, None, 0.5), Some(Duration::from_secs(300)));
        assert_eq!(next(&schedule, 3, None, 0.5), None);
        assert_eq!(next(&[], 1, Some(Duration::from_secs(9)), 0.5), None);
    }

    #[test]
    fn retry_after_is_a_minimum_and_has_a_ceiling() {
        let schedule = [Duration::from_secs(5)];
        assert_eq!(next(&schedule, 1, Some(Duration::from_secs(60)), 0.0), Some(Duration::from_secs(60)));
        assert_eq!(next(&schedule, 1, Some(Duration::from_secs(1)), 0.5), Some(Duration::from_secs(5)));
        assert_eq!(next(&schedule, 1, Some(Duration::MAX), 0.5), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_date() {
        assert_eq!(retry_after("120", NOW), Some(Duration::from_secs(120)));
        assert_eq!(retry_after(" 1.5 ", NOW), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", NOW), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", NOW), Some(Duration::ZERO));
        assert_eq!(retry_after("1e300", NOW), Some(MAX_RETRY_AFTER));
        assert_eq!(retry_after("inf", NOW), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn nonsense_is_no_retry_after() {
        for value in ["", "soon", "-1", "NaN", "-inf", "Sun, 99 Nov"] {
            assert_eq!(retry_after(value, NOW), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn wait_stays_within_the_jitter_and_above_retry_after(
            waits in prop::collection::vec(0u64..1_000_000_000, 1..12),
            attempts in 1u32..14,
            at_least in prop::option::of(0u64..200_000_000),
            dice in 0.0f64..1.0,
        ) {
            let schedule: Vec<_> = waits.iter().copied().map(Duration::from_millis).collect();
            let at_least = at_least.map(Duration::from_millis);
            let floor = at_least.unwrap_or_default().min(MAX_RETRY_AFTER);
            match (next(&schedule, attempts, at_least, dice), schedule.get(attempts as usize - 1)) {
                (Some(wait), Some(planned)) => {
                    let slack = Duration::from_micros(1);
                    prop_assert!(wait >= floor);
                    prop_assert!(wait + slack >= planned.mul_f64(1.0 - JITTER));
                    prop_assert!(wait <= floor.max(planned.mul_f64(1.0 + JITTER) + slack));
                }
                (wait, planned) => prop_assert!(wait.is_none() && planned.is_none()),
            }
        }

        #[test]
        fn no_retry_after_panics_or_exceeds_the_ceiling(value in ".{0,40}") {
            prop_assert!(retry_after(&value, NOW).is_none_or(|wait| wait <= MAX_RETRY_AFTER));
        }
    }
}
