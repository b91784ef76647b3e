//! Numbers as they are written, compared without loss.

use std::{cmp::Ordering, fmt};

/// A decimal number of any size. It is compared by its digits: a machine type would lose some, and the standard
/// library's way to a float and back is a tenth of a plugin.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    /// As it was written.
    text: String,
    negative: bool,
    /// Without zeros at either end: none at all for zero.
    digits: String,
    /// Where the point is, counted from before the first digit.
    point: i64,
}

impl Number {
    /// Reads a number as JSON writes it, and with `+` or without digits on one side of the point.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let significant = digits.trim_start_matches('0');
        let zeros = digits.len() - significant.len();
        let digits = significant.trim_end_matches('0').to_owned();
        Some(Self {
            text: text.to_owned(),
            negative: text.starts_with('-') && !digits.is_empty(),
            point: i64::from(exponent) + whole.len() as i64 - zeros as i64,
            digits,
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (false, false) => self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits)),
            (zero, other_zero) => other_zero.cmp(&zero),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
            (negative, other_negative) => other_negative.cmp(&negative),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_in_order_whatever_their_size() {
        let ascending = [
            "-1e400",
            "-12.5",
            "-12",
            "-0.5",
            "0",
            "1e-400",
            "0.09",
            "0.1",
            "0.123",
            "1",
            "9.99",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e16",
            "1e400",
        ];
        let mut sorted = ascending.map(number);
        sorted.reverse();
        sorted.sort();
        assert_eq!(sorted.map(|number| number.text), ascending);
    }

    #[test]
    fn spelling_does_not_matter() {
        for (a, b) in [
            ("7", "7.0"),
            ("7", "+07"),
            ("0", "-0.00"),
            ("0", "0e9"),
            ("100", "1E+2"),
            ("0.01", "1e-2"),
            ("12.5", "0.125e2"),
            (".5", "0.5"),
            ("5.", "5"),
        ] {
            assert_eq!(number(a), number(b));
        }
        assert_ne!(number("0.1"), number("0.10000000000000000001"));
        assert_ne!(number("1"), number("-1"));
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "e1", "1e", "1.2.3", "1 ", "0x1", "inf", "NaN", "--1", "1e99999999999"] {
            assert!(Number::parse(text).is_none(), "{text:?}");
        }
    }
}
