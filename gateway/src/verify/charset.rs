//! The characters that a value may have, written as `A-Za-z0-9_-`.

use std::str::FromStr;

/// ASCII characters: single ones, and ranges such as `a-z`. A `-` at either end stands for itself.
#[derive(Clone, Debug)]
pub(super) struct Charset([bool; 128]);

impl Charset {
    pub(super) fn covers(&self, text: &str) -> bool {
        text.bytes().all(|byte| self.0.get(usize::from(byte)).copied().unwrap_or(false))
    }
}

impl FromStr for Charset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return Err(format!("`{text}` is not a set of characters such as `A-Za-z0-9_-`"));
        }
        let mut members = [false; 128];
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            let (last, tail) = match tail {
                [b'-', last, tail @ ..] => (last, tail),
                tail => (first, tail),
            };
            if last < first {
                let (first, last) = (char::from(*first), char::from(*last));
                return Err(format!("`{first}-{last}` in `{text}` runs backwards"));
            }
            members[usize::from(*first)..=usize::from(*last)].fill(true);
            rest = tail;
        }
        Ok(Self(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_characters_count_and_nothing_else() {
        let set: Charset = "A-Fa-f0-9_.-".parse().unwrap();
        assert!(set.covers("aF09_.-"));
        assert!(set.covers(""));
        for text in ["g", "a b", "é", "\n", "A\0"] {
            assert!(!set.covers(text), "{text}");
        }
        let dash: Charset = "-a".parse().unwrap();
        assert!(dash.covers("-a") && !dash.covers("b"));
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "z-a", "é", "\n"] {
            assert!(text.parse::<Charset>().is_err(), "{text}");
        }
    }
}
