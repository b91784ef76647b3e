//! The time of signing: read from its text, judged against ours.

use std::time::Duration;

use super::{
    Refused,
    scheme::{TimestampField, TimestampUnit, Tolerance},
};
use crate::clock::Timestamp;

impl TimestampField {
    pub(super) fn parse(&self, text: &str) -> Result<Timestamp, Refused> {
        let parsed = match self.unit {
            TimestampUnit::S => digits(text).and_then(|secs| secs.checked_mul(1000)),
            TimestampUnit::Ms => digits(text),
            TimestampUnit::Iso8601 => iso8601(text),
        };
        let malformed = || Refused::TimestampMalformed { field: self.from.to_string() };
        parsed.map(Timestamp::from_millis).ok_or_else(malformed)
    }

    pub(super) fn judge(&self, signed_at: Timestamp, now: Timestamp) -> Result<(), Refused> {
        let (age, ahead) = (now.since(signed_at), signed_at.since(now));
        match (self.past, self.future.unwrap_or(self.past)) {
            (Tolerance::Seconds(past), _) if age > Duration::from_secs(past) => {
                Err(Refused::TimestampStale { age: age.as_secs(), tolerance: past })
            }
            (_, Tolerance::Seconds(future)) if ahead > Duration::from_secs(future) => {
                Err(Refused::TimestampFuture { ahead: ahead.as_secs(), tolerance: future })
            }
            _ => Ok(()),
        }
    }

    /// For a witness: how old it is and how old it may be.
    pub(super) fn describe(&self, signed_at: Timestamp, now: Option<Timestamp>) -> String {
        let Some(now) = now else { return "not looked at".to_owned() };
        let (age, ahead) = (now.since(signed_at), signed_at.since(now));
        match (ahead.is_zero(), self.past, self.future.unwrap_or(self.past)) {
            (true, Tolerance::Seconds(limit), _) => format!("{} s old, {limit} s are allowed", age.as_secs()),
            (true, Tolerance::Unlimited(_), _) => format!("{} s old, any age is allowed", age.as_secs()),
            (false, _, Tolerance::Seconds(limit)) => {
                format!("{} s ahead of our clock, {limit} s are allowed", ahead.as_secs())
            }
            (false, _, Tolerance::Unlimited(_)) => format!("{} s ahead, which is allowed", ahead.as_secs()),
        }
    }
}

/// 1 to 16 digits and nothing else: no sign, no blank, no exponent.
fn digits(text: &str) -> Option<u64> {
    let plain = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// RFC 3339 with `Z` or an offset, in milliseconds since the epoch.
fn iso8601(text: &str) -> Option<u64> {
    let millis = |utc: &str| Some(Timestamp::from(humantime::parse_rfc3339(utc).ok()?).as_millis());
    if text.ends_with('Z') {
        return millis(text);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let offset_millis = (digits(hours)? * 60 + digits(minutes)?) * 60_000;
    let local = millis(&format!("{local}Z"))?;
    match offset.as_bytes()[0] {
        b'+' => local.checked_sub(offset_millis),
        b'-' => local.checked_add(offset_millis),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_are_a_number() {
        assert_eq!(digits("1614265330"), Some(1_614_265_330));
        for text in ["", "-1", "+1", " 1", "1e9", "0x10", "1.0", "12345678901234567", "Infinity", "١"] {
            assert_eq!(digits(text), None, "{text}");
        }
    }

    #[test]
    fn iso_times_with_and_without_offset_are_the_same_moment() {
        let moment = iso8601("2020-01-01T07:00:00Z");
        assert_eq!(moment, Some(1_577_862_000_000));
        assert_eq!(iso8601("2020-01-01T00:00:00-07:00"), moment);
        assert_eq!(iso8601("2020-01-01T08:30:00+01:30"), moment);
        assert_eq!(iso8601("2020-01-01T07:00:00.123456789Z"), Some(1_577_862_000_123));
        for text in ["", "2020-01-01", "2020-01-01T07:00:00", "2020-01-01T07:00:00+1:30", "é:00000Z+"] {
            assert_eq!(iso8601(text), None, "{text}");
        }
    }
}
