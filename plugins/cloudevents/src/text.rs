//! Texts as attributes may have them.

/// A text without the control characters that no attribute may have: each becomes a space.
pub(crate) fn clean(text: &str) -> String {
    text.replace(char::is_control, " ").trim().to_owned()
}

/// A text as a URI reference: what can't be in one is percent-encoded, and what is so already stays.
pub(crate) fn uri_reference(text: &str) -> String {
    percent_encoded(text, |rest| match rest {
        [b'%', high, low, ..] => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        [byte, ..] => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte),
        [] => true,
    })
}

/// An attribute as a header's value: the HTTP binding percent-encodes space, `"`, `%` and all that is not printable
/// ASCII.
pub(crate) fn header_value(text: &str) -> String {
    percent_encoded(text, |rest| {
        rest.first().is_some_and(|byte| byte.is_ascii_graphic() && *byte != b'"' && *byte != b'%')
    })
}

/// Encodes every byte that may not stay; `stays` sees it with all that follows.
fn percent_encoded(text: &str, stays: impl Fn(&[u8]) -> bool) -> String {
    let digit = |half: u8| char::from(b"0123456789ABCDEF"[usize::from(half)]);
    let mut out = String::with_capacity(text.len());
    for (i, byte) in text.bytes().enumerate() {
        if stays(&text.as_bytes()[i..]) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}
