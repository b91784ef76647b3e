//! A query's parameters, as forms encode them.

/// The first value of a parameter, decoded; empty for one without `=`.
pub(crate) fn param(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

/// Undoes `%41` and `+`. A `%` that no two digits follow stands for itself.
fn decode(text: &str) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'+', _) => (b' ', tail),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', tail),
            },
            (byte, _) => (*byte, tail),
        };
        decoded.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, name: &str, value: Option<&str>) {
        assert_eq!(param(query, name).as_deref(), value);
    }

    #[test]
    fn first_value_is_taken() {
        check("a=1&b=2&a=3", "a", Some("1"));
    }

    #[test]
    fn percent_and_plus_are_decoded_in_names_and_values() {
        check("a%20b=x+y%2B%C3%A9", "a b", Some("x y+é"));
    }

    #[test]
    fn stray_percent_stands_for_itself() {
        check("a=100%&b=%zz", "a", Some("100%"));
        check("a=100%&b=%zz", "b", Some("%zz"));
    }

    #[test]
    fn parameter_without_value_is_empty() {
        check("debug&x=1", "debug", Some(""));
    }

    #[test]
    fn absent_parameter_is_none() {
        check("ab=1", "a", None);
        check("", "a", None);
    }
}
