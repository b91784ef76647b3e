//! Where in a body its JSON is.

use http::{HeaderMap, header::CONTENT_TYPE};

/// The JSON of a body: all of it or, where it is `multipart/form-data` (RFC 7578), the part called `json`, as
/// Dropbox Sign sends it.
pub(super) fn document<'b>(headers: &HeaderMap, body: &'b [u8]) -> &'b [u8] {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    boundary(kind).and_then(|boundary| part(body, boundary, "json")).unwrap_or(body)
}

fn boundary(kind: &str) -> Option<&str> {
    let mut parameters = kind.split(';').map(str::trim);
    let is_form = parameters.next()?.eq_ignore_ascii_case("multipart/form-data");
    let boundary = parameters.find_map(|parameter| value(parameter, "boundary"));
    boundary.filter(|boundary| is_form && !boundary.is_empty())
}

/// The content of the part of this name; none if there are several.
fn part<'b>(body: &'b [u8], boundary: &str, name: &str) -> Option<&'b [u8]> {
    let delimiter = format!("--{boundary}");
    // What stands before the first delimiter is no part.
    let mut parts = split(body, delimiter.as_bytes()).skip(1).filter_map(|part| {
        let (head, content) = split_once(part, b"\r\n\r\n")?;
        is_called(head, name).then(|| content.strip_suffix(b"\r\n").unwrap_or(content))
    });
    let first = parts.next()?;
    parts.next().is_none().then_some(first)
}

fn is_called(head: &[u8], name: &str) -> bool {
    let head = std::str::from_utf8(head).unwrap_or_default();
    let mut disposition = head.lines().filter_map(|line| line.split_once(':'));
    let disposition = disposition.find(|(key, _)| key.eq_ignore_ascii_case("content-disposition"));
    disposition.is_some_and(|(_, rest)| rest.split(';').any(|p| value(p.trim(), "name") == Some(name)))
}

/// The value of `key=value`, without its quotes.
fn value<'t>(parameter: &'t str, key: &str) -> Option<&'t str> {
    let (name, value) = parameter.split_once('=')?;
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    name.eq_ignore_ascii_case(key).then_some(value)
}

fn split<'b>(bytes: &'b [u8], by: &[u8]) -> impl Iterator<Item = &'b [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let (first, after) =
            split_once(bytes, by).map_or((bytes, None), |(first, after)| (first, Some(after)));
        rest = after;
        Some(first)
    })
}

fn split_once<'b>(bytes: &'b [u8], by: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(by.len()).position(|window| window == by)?;
    Some((&bytes[..at], &bytes[at + by.len()..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of<'b>(kind: &str, body: &'b [u8]) -> &'b [u8] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        document(&headers, body)
    }

    const BODY: &[u8] = b"--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n1\r\n\
        --x\r\ncontent-disposition: form-data; name=\"json\"\r\nContent-Type: text/plain\r\n\r\n{\"a\":1}\r\n--x--\r\n";

    #[test]
    fn the_part_called_json_is_taken() {
        assert_eq!(of("multipart/form-data; boundary=x", BODY), b"{\"a\":1}");
        assert_eq!(of("Multipart/Form-Data; charset=utf-8; boundary=\"x\"", BODY), b"{\"a\":1}");
    }

    #[test]
    fn any_other_body_is_taken_whole() {
        let twice = [BODY, BODY].concat();
        assert_eq!(of("multipart/form-data; boundary=x", &twice), twice);
        for kind in [
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=y",
            "text/x; boundary=x",
        ] {
            assert_eq!(of(kind, BODY), BODY, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>) {
            of("multipart/form-data; boundary=-", &body);
        }
    }
}
