//! Amounts with units: durations, sizes, rates.

use std::{num::NonZeroU32, time::Duration};

use super::{
    Rate,
    literal::{Invalid, Literal},
};

/// Longer than any wait that makes sense, and far from where clocks overflow.
const MAX_DURATION: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

impl Literal for Duration {
    const EXPECTED: &'static str = "a duration such as \"30s\"";
    const PATTERN: &'static str = "^([0-9]+(ms|s|m|h|d))+$";

    /// Whole numbers with units, one after the other: `90s`, `1h30m`. At most ten years.
    fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new(format!("`{text}` is not a duration"), DURATION_HINT);
        let too_long = || {
            Invalid::new(format!("`{text}` is longer than the limit of 3650d"), "write a shorter duration")
        };
        let mut millis = 0_u64;
        let mut rest = text;
        while !rest.is_empty() || text.is_empty() {
            let (amount, unit) = split_amount(rest).ok_or_else(invalid)?;
            let unit_end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
            let scale =
                DURATION_UNITS.iter().find(|(name, _)| *name == &unit[..unit_end]).ok_or_else(invalid)?.1;
            let part = amount.parse::<u64>().ok().and_then(|amount| amount.checked_mul(scale));
            millis = part.and_then(|part| millis.checked_add(part)).ok_or_else(too_long)?;
            rest = &unit[unit_end..];
        }
        let duration = Self::from_millis(millis);
        if duration <= MAX_DURATION { Ok(duration) } else { Err(too_long()) }
    }

    fn print(&self) -> String {
        let millis = self.as_millis();
        let exact = |(_, scale): &&(&str, u64)| millis.is_multiple_of(u128::from(*scale));
        match DURATION_UNITS.iter().skip(1).find(exact) {
            Some((unit, scale)) if millis > 0 => format!("{}{unit}", millis / u128::from(*scale)),
            _ => format!("{}s", self.as_secs()),
        }
    }
}

const DURATION_HINT: &str = "write a whole number and a unit (ms, s, m, h, d), such as \"30s\"";

/// In milliseconds, the longest first.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size(pub(super) u64);

impl Size {
    pub(super) const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    pub(super) const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    pub(super) const fn gib(n: u64) -> Self {
        Self(n << 30)
    }
}

impl Literal for Size {
    const EXPECTED: &'static str = "a size such as \"1MiB\"";
    const PATTERN: &'static str = "^[0-9]+(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new(format!("`{text}` is not a size"), SIZE_HINT);
        let (amount, unit) = split_amount(text).ok_or_else(invalid)?;
        let scale = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?.1;
        let bytes = amount.parse::<u64>().ok().and_then(|amount| amount.checked_mul(scale));
        // The journal counts in signed 64-bit numbers.
        bytes.filter(|bytes| i64::try_from(*bytes).is_ok()).map(Self).ok_or_else(|| {
            Invalid::new(format!("`{text}` is larger than the limit of 8388607TiB"), "write a smaller size")
        })
    }

    fn print(&self) -> String {
        let exact = |(_, scale): &&(&str, u64)| self.0.is_multiple_of(*scale);
        match SIZE_UNITS.iter().filter(|(unit, _)| unit.ends_with("iB")).find(exact) {
            Some((unit, scale)) if self.0 > 0 => format!("{}{unit}", self.0 / scale),
            _ => format!("{}B", self.0),
        }
    }
}

const SIZE_HINT: &str =
    "write a whole number and a unit (B, KiB, MiB, GiB, TiB; kB, MB, GB, TB), such as \"1MiB\"";

/// In bytes, the largest first.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("B", 1),
];

impl Literal for Rate {
    const EXPECTED: &'static str = "a rate such as \"100/s\"";
    const PATTERN: &'static str = "^[0-9]+/(s|m|h)$";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new(format!("`{text}` is not a rate"), RATE_HINT);
        let (amount, unit) = split_amount(text).ok_or_else(invalid)?;
        let per = RATE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?.1;
        let events = amount.parse::<u32>().map_err(|_| {
            Invalid::new(format!("`{text}` is more than the limit of {} events", u32::MAX), RATE_HINT)
        })?;
        let events = NonZeroU32::new(events).ok_or_else(|| {
            Invalid::new(format!("`{text}` lets nothing in"), "leave `rate` out to have no limit")
        })?;
        Ok(Self { events, per: Duration::from_secs(per) })
    }

    fn print(&self) -> String {
        let per = RATE_UNITS.iter().find(|(_, per)| *per == self.per.as_secs());
        format!("{}{}", self.events, per.map_or("/s", |(unit, _)| unit))
    }
}

const RATE_HINT: &str =
    "write a whole number of events per second, minute or hour, such as \"100/s\" or \"1000/m\"";

/// In seconds.
const RATE_UNITS: [(&str, u64); 3] = [("/s", 1), ("/m", 60), ("/h", 3600)];

/// The digits at the start, at least one, and what follows them.
fn split_amount(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn reads<T: Literal + PartialEq + std::fmt::Debug>(text: &str, expected: T) {
        assert_eq!(T::parse(text), Ok(expected));
    }

    #[track_caller]
    fn refuses<T: Literal + std::fmt::Debug>(text: &str, message: &str) {
        assert_eq!(T::parse(text).unwrap_err().message, message);
    }

    #[test]
    fn durations_add_up() {
        reads("250ms", Duration::from_millis(250));
        reads("1h30m", Duration::from_secs(5400));
        reads("3650d", MAX_DURATION);
    }

    #[test]
    fn durations_without_number_or_unit_are_refused() {
        for text in ["", "s", "30", "30 s", "30sec", "1.5s", "-1s", "1h30"] {
            refuses::<Duration>(text, &format!("`{text}` is not a duration"));
        }
    }

    #[test]
    fn durations_do_not_wrap() {
        for text in ["3651d", "18446744073709551616ms", "213503982335d", "3650d1ms"] {
            refuses::<Duration>(text, &format!("`{text}` is longer than the limit of 3650d"));
        }
    }

    #[test]
    fn sizes_know_both_families_of_units() {
        reads("1MiB", Size(1_048_576));
        reads("1MB", Size(1_000_000));
        reads("0B", Size(0));
    }

    #[test]
    fn sizes_do_not_wrap() {
        refuses::<Size>("18014398509481985k", "`18014398509481985k` is not a size");
        refuses::<Size>(
            "18014398509481985KiB",
            "`18014398509481985KiB` is larger than the limit of 8388607TiB",
        );
        refuses::<Size>("8388608TiB", "`8388608TiB` is larger than the limit of 8388607TiB");
    }

    #[test]
    fn rates_have_a_unit_and_let_something_in() {
        reads("1000/m", Rate { events: NonZeroU32::new(1000).unwrap(), per: Duration::from_secs(60) });
        refuses::<Rate>("100", "`100` is not a rate");
        refuses::<Rate>("0/s", "`0/s` lets nothing in");
        refuses::<Rate>("4294967296/s", "`4294967296/s` is more than the limit of 4294967295 events");
    }

    proptest! {
        #[test]
        fn printed_durations_read_back(millis in 0..=MAX_DURATION.as_millis() as u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(Duration::parse(&duration.print()), Ok(duration));
        }

        #[test]
        fn printed_sizes_read_back(bytes in 0..=i64::MAX as u64, shift in 0..60_u32) {
            let size = Size(bytes >> shift << (shift / 2));
            prop_assert_eq!(Size::parse(&size.print()), Ok(size));
        }

        #[test]
        fn printed_rates_read_back(events in 1..=u32::MAX, unit in 0..RATE_UNITS.len()) {
            let per = Duration::from_secs(RATE_UNITS[unit].1);
            let rate = Rate { events: NonZeroU32::new(events).unwrap(), per };
            prop_assert_eq!(Rate::parse(&rate.print()), Ok(rate));
        }

        #[test]
        fn arbitrary_text_is_read_or_refused(text in "\\PC*|[0-9]{0,25}[a-zA-Z/]{0,3}") {
            let _ = (Duration::parse(&text), Size::parse(&text), Rate::parse(&text));
        }
    }
}
