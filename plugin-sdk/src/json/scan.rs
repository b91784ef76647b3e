//! Finds where JSON values begin and end, and nothing else: what it passes over it does not check.

/// A byte that can't be there, or the end of the text where more was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) at: usize,
}

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0 }
    }

    pub(super) fn malformed(&self) -> Malformed {
        Malformed { at: self.at }
    }

    /// The next byte that is not white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.json.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes the next byte if it is this one.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes this byte.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(self.malformed()) }
    }

    /// Steps to the next member or element: over `,` unless it is the first, and `false` at the closing byte.
    #[inline]
    pub(super) fn next_in(&mut self, close: u8, first: bool) -> Result<bool, Malformed> {
        if self.take(close) {
            return Ok(false);
        }
        if !first {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// Takes a member's name with its quotes, and the colon after it.
    #[inline]
    pub(super) fn name(&mut self) -> Result<&'a [u8], Malformed> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed());
        }
        let name = self.value()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// Takes a whole value and returns its text.
    #[inline]
    pub(super) fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.skip_string()?,
            Some(b'{' | b'[') => self.skip_container()?,
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => self.skip_scalar(),
            _ => return Err(self.malformed()),
        }
        Ok(&self.json[start..self.at])
    }

    /// Takes what is left, which must be white space.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        if self.peek().is_none() { Ok(()) } else { Err(self.malformed()) }
    }

    /// Passes the string whose opening quote is next.
    #[inline]
    fn skip_string(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        loop {
            self.at += quote_or_backslash(&self.json[self.at..]);
            match self.json.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                // What follows a backslash is never the end, be it a quote or the `u` of an escape.
                Some(_) if self.at + 1 < self.json.len() => self.at += 2,
                _ => {
                    self.at = self.json.len();
                    return Err(self.malformed());
                }
            }
        }
    }

    /// Passes the object or array whose opening byte is next, without recursion: depth costs nothing.
    fn skip_container(&mut self) -> Result<(), Malformed> {
        let mut depth = 0_usize;
        while let Some(byte) = self.json.get(self.at) {
            match byte {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.malformed())
    }

    /// Passes a number, `true`, `false` or `null`.
    fn skip_scalar(&mut self) {
        let rest = &self.json[self.at..];
        let end = rest.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
        self.at += end.unwrap_or(rest.len());
    }
}

/// How many bytes come before the first quote or backslash: eight at a time, since most of a webhook is strings
/// of URLs and ids.
#[inline]
fn quote_or_backslash(text: &[u8]) -> usize {
    let (words, _) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let hits = has_byte(word, b'"') | has_byte(word, b'\\');
        if hits != 0 {
            // The lowest hit is exact; only those above it may be false.
            return i * 8 + (hits.trailing_zeros() / 8) as usize;
        }
    }
    let done = words.len() * 8;
    let rest = &text[done..];
    done + rest.iter().position(|b| matches!(b, b'"' | b'\\')).unwrap_or(rest.len())
}

/// Sets the highest bit of each byte of the word that equals this one (and perhaps of some after the first).
#[inline]
const fn has_byte(word: u64, byte: u8) -> u64 {
    const LOW: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let zero_where_equal = word ^ (LOW * byte as u64);
    zero_where_equal.wrapping_sub(LOW) & !zero_where_equal & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, value: &str) {
        assert_eq!(Scanner::new(json.as_bytes()).value(), Ok(value.as_bytes()));
    }

    #[test]
    fn value_ends_where_it_ends() {
        check(" 12 ,3", "12");
        check("true}", "true");
        check(r#""a\"]" ]"#, r#""a\"]""#);
        check(r#""\\" "#, r#""\\""#);
        check(r#"{"a}": [1, {"b": "]"}]} , 2"#, r#"{"a}": [1, {"b": "]"}]}"#);
    }

    #[test]
    fn strings_of_every_length_end_at_their_quote() {
        for len in 0..40 {
            let json = format!("\"{}\" \"", "é".repeat(len));
            check(&json, &json[..2 * len + 2]);
        }
    }

    #[test]
    fn text_cut_anywhere_is_malformed() {
        let json = r#"{"a": [1, "x\"y", {"b": null}]}"#.as_bytes();
        for cut in 0..json.len() {
            assert!(Scanner::new(&json[..cut]).value().is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn depth_needs_no_stack() {
        let json = "[".repeat(100_000) + &"]".repeat(100_000);
        check(&json, &json);
    }
}
