//! Times as people write them.

use std::time::{Duration, SystemTime};

use crate::clock::Timestamp;

/// Reads an RFC 3339 time, or how long ago: `2026-03-01T12:00:00Z`, `90m`, `2days 3h`.
pub(super) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    rfc3339(text).or_else(|| Some(now.saturating_sub(humantime::parse_duration(text).ok()?)))
}

/// Reads an RFC 3339 time with any offset; a time before 1970 counts as its first moment.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    let (local, zone) = split_zone(text)?;
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let utc: SystemTime = match zone {
        Zone::AheadOfUtc(by) => local.checked_sub(by)?,
        Zone::BehindUtc(by) => local.checked_add(by)?,
    };
    Some(utc.into())
}

enum Zone {
    AheadOfUtc(Duration),
    BehindUtc(Duration),
}

fn split_zone(text: &str) -> Option<(&str, Zone)> {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return Some((local, Zone::AheadOfUtc(Duration::ZERO)));
    }
    let (local, zone) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let &[sign, h1, h2, b':', m1, m2] = zone.as_bytes() else { return None };
    let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let by = Duration::from_secs(hours * 3600 + minutes * 60);
    match sign {
        // A `+` that was not escaped in a query arrives as a space.
        b'+' | b' ' => Some((local, Zone::AheadOfUtc(by))),
        b'-' => Some((local, Zone::BehindUtc(by))),
        _ => None,
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<u64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_772_366_400_000;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        let now = Timestamp::from_millis(NOON);
        assert_eq!(parse(text, now).map(Timestamp::as_millis), expected, "{text}");
    }

    #[test]
    fn utc_times_are_read() {
        check("2026-03-01T12:00:00Z", Some(NOON));
        check("2026-03-01T12:00:00.250Z", Some(NOON + 250));
    }

    #[test]
    fn offsets_are_taken_off() {
        check("2026-03-01T14:30:00+02:30", Some(NOON));
        check("2026-03-01T14:30:00 02:30", Some(NOON));
        check("2026-03-01T07:00:00-05:00", Some(NOON));
    }

    #[test]
    fn durations_count_back_from_now() {
        check("90m", Some(NOON - 90 * 60_000));
        check("2days 3h", Some(NOON - 51 * 3_600_000));
        check("1000years", Some(0));
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in
            ["", "yesterday", "2026-03-01", "2026-03-01T12:00:00+24:00", "2026-03-01T12:00:00+1:000", "-1h"]
        {
            check(text, None);
        }
        check("2026-03-01T12:00:00é2:30", None);
        check("99999999999999999999years", None);
    }
}
