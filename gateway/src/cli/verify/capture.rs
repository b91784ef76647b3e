//! A captured request: HTTP/1.1 as it came over the wire, or as somebody pasted it.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};

use crate::{clock::Timestamp, event::EventId, verify::Unverified};

/// More header fields than any server takes.
const MAX_FIELDS: usize = 1024;

/// Why a captured request cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    #[error("the request has no end of its head: an empty line must follow the header fields")]
    Unfinished,
    #[error(
        "the request is not HTTP/1.1: {0}; give it as it came over the wire: request line, header fields, empty line, body"
    )]
    Head(#[from] httparse::Error),
    #[error("the request's target `{target}` is neither a path nor a URL")]
    Target { target: String },
    #[error("the request's method `{method}` is none")]
    Method { method: String },
    #[error("header field `{name}` cannot have this value")]
    Field { name: String },
    #[error("`content-length` is not a number, or several differ")]
    Length,
    #[error("the body is not chunked as `transfer-encoding` says: {0}")]
    Chunks(&'static str),
}

/// Reads a request from its bytes. Lines of the head may end in LF alone. The body is all that follows the empty line:
/// cut where `content-length` says so, put together where it is chunked, else byte for byte.
///
/// # Errors
/// Where it is not HTTP/1.1.
pub fn capture(bytes: &[u8], at: Timestamp) -> Result<Unverified, CaptureError> {
    let mut fields = vec![httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(end) = head.parse(bytes)? else { return Err(CaptureError::Unfinished) };
    let method = head.method.unwrap_or_default();
    let uri = target(head.path.unwrap_or_default())?;
    let headers = headers(head.headers, &uri)?;
    Ok(Unverified {
        id: EventId::generate(),
        route: "".into(),
        received_at: at,
        method: method.parse().map_err(|_| CaptureError::Method { method: method.to_owned() })?,
        path: uri.path().to_owned(),
        query: uri.query().map(str::to_owned),
        params: Vec::new(),
        body: body(&headers, &bytes[end..])?,
        headers,
    })
}

fn target(text: &str) -> Result<Uri, CaptureError> {
    text.parse().map_err(|_| CaptureError::Target { target: text.to_owned() })
}

/// The fields as they are; the target's own host takes the place of `host` (RFC 9112, section 3.2.2).
fn headers(fields: &[httparse::Header<'_>], target: &Uri) -> Result<HeaderMap, CaptureError> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let refused = || CaptureError::Field { name: field.name.to_owned() };
        let name: HeaderName = field.name.parse().map_err(|_| refused())?;
        headers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| refused())?);
    }
    if let Some(authority) = target.authority() {
        let host = HeaderValue::from_str(authority.as_str());
        headers.insert(HOST, host.map_err(|_| CaptureError::Target { target: target.to_string() })?);
    }
    Ok(headers)
}

fn body(headers: &HeaderMap, rest: &[u8]) -> Result<Bytes, CaptureError> {
    if is_chunked(headers) {
        return dechunked(rest);
    }
    let length = content_length(headers)?.unwrap_or(rest.len());
    Ok(Bytes::copy_from_slice(&rest[..length.min(rest.len())]))
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(TRANSFER_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let last = codings.flat_map(|list| list.split(',')).next_back();
    last.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
}

fn content_length(headers: &HeaderMap) -> Result<Option<usize>, CaptureError> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let text = value.to_str().map_err(|_| CaptureError::Length)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: usize = text.parse().ok().filter(|_| digits).ok_or(CaptureError::Length)?;
        if length.replace(number).is_some_and(|other| other != number) {
            return Err(CaptureError::Length);
        }
    }
    Ok(length)
}

/// The chunks' bytes (RFC 9112, section 7.1). Extensions and trailers are left out.
fn dechunked(mut rest: &[u8]) -> Result<Bytes, CaptureError> {
    let mut body = Vec::with_capacity(rest.len());
    loop {
        let (line, after) = line(rest).ok_or(CaptureError::Chunks("a chunk's size is missing"))?;
        let size =
            chunk_size(line).ok_or(CaptureError::Chunks("a chunk's size is not a hexadecimal number"))?;
        if size == 0 {
            return Ok(body.into());
        }
        let (chunk, after) =
            after.split_at_checked(size).ok_or(CaptureError::Chunks("a chunk is cut off"))?;
        body.extend_from_slice(chunk);
        let (empty, after) = self::line(after).ok_or(CaptureError::Chunks("a chunk has no end"))?;
        if !empty.is_empty() {
            return Err(CaptureError::Chunks("a chunk is longer than its size"));
        }
        rest = after;
    }
}

fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(line).ok()?.split(';').next()?.trim();
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    usize::from_str_radix(digits, 16).ok().filter(|_| hexadecimal)
}

/// The first line without its end, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<Unverified, CaptureError> {
        capture(text.as_ref(), Timestamp::default())
    }

    #[test]
    fn every_byte_of_the_body_is_kept() {
        for end in ["\r\n", "\n"] {
            let mut text = ["POST /in?a=%20b HTTP/1.1", "Host: h.test", "X-A:  1 ", "x-a: 2", "X-E:", "", ""]
                .join(end)
                .into_bytes();
            text.extend_from_slice(b"\r\n\0\xff\n");
            let request = read(text).unwrap();
            assert_eq!((request.path.as_str(), request.query.as_deref()), ("/in", Some("a=%20b")));
            let values: Vec<_> = request.headers.get_all("x-a").iter().collect();
            assert_eq!(values, ["1", "2"]);
            assert_eq!(request.headers["x-e"], "");
            assert_eq!(&request.body[..], b"\r\n\0\xff\n");
        }
    }

    #[test]
    fn header_values_keep_their_bytes() {
        let request = read(b"GET / HTTP/1.1\r\nx-a: caf\xe9\t;\"x\" \t\r\n\r\n").unwrap();
        assert_eq!(request.headers["x-a"].as_bytes(), b"caf\xe9\t;\"x\"");
    }

    #[test]
    fn the_body_ends_where_its_length_says() {
        let body = |length: &str| read(format!("POST / HTTP/1.1\r\n{length}\r\nabcdef\n")).map(|r| r.body);
        assert_eq!(&body("content-length: 6\r\n").unwrap()[..], b"abcdef");
        assert_eq!(&body("content-length: 100\r\n").unwrap()[..], b"abcdef\n");
        for bad in ["content-length: +6\r\n", "content-length: 6\r\ncontent-length: 7\r\n"] {
            assert!(matches!(body(bad), Err(CaptureError::Length)), "{bad}");
        }
    }

    #[test]
    fn chunks_are_put_together() {
        let chunked = |body: &str| {
            let head = "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\ncontent-length: 1\r\n\r\n";
            read(format!("{head}{body}")).map(|request| request.body)
        };
        let body = chunked("4;x=y\r\nab\r\n\r\n2\r\ncd\r\n0\r\nx-trailer: 1\r\n\r\n").unwrap();
        assert_eq!(&body[..], b"ab\r\ncd");
        for bad in ["", "4\r\nab", "2\r\nabc\r\n0\r\n\r\n", "+2\r\nab\r\n0\r\n\r\n", "2\r\nab\r\n"] {
            assert!(matches!(chunked(bad), Err(CaptureError::Chunks(_))), "{bad}");
        }
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let request = read("POST https://a.test:8443/in?x HTTP/1.1\r\nHost: b.test\r\n\r\n").unwrap();
        assert_eq!(request.headers[HOST], "a.test:8443");
        assert_eq!((request.path.as_str(), request.query.as_deref()), ("/in", Some("x")));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "POST /",
            "POST / HTTP/1.1\r\nhost: x\r\n",
            "not http\r\n\r\n",
            "POST a b HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nno colon\r\n\r\n",
            "POST / HTTP/1.1\r\nx: a\0b\r\n\r\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
            let _ = read([b"POST / HTTP/1.1\ntransfer-encoding: chunked\n\n", &bytes[..]].concat());
        }
    }
}
