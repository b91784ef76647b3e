//! The answer to a handshake.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, PROXY_AUTHENTICATE, SET_COOKIE, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE, X_CONTENT_TYPE_OPTIONS,
    },
};

/// The largest body that a plugin may answer with, in bytes.
const MAX_BODY: usize = 64 << 10;

/// The most that the headers of a plugin's answer may have together, in bytes.
const MAX_HEADERS: usize = 8 << 10;

/// What belongs to the connection, is ours to say, or would be kept by a browser.
const NOT_GIVEN: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
    TRAILER,
    PROXY_AUTHENTICATE,
    SET_COOKIE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("x-request-id"),
];

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// The answer that a plugin made. A body is plain text unless the plugin says otherwise.
    ///
    /// # Errors
    /// What of it cannot be answered.
    pub(crate) fn of_plugin(
        status: u16,
        given: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
    ) -> Result<Self, String> {
        let code = StatusCode::from_u16(status).ok().filter(|_| (200..500).contains(&status));
        let status = code.ok_or_else(|| format!("status {status}; 200 to 499 can be answered"))?;
        if body.len() > MAX_BODY {
            return Err(format!("a body of {} bytes; the limit is {MAX_BODY}", body.len()));
        }
        let size: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_HEADERS {
            return Err(format!("{size} bytes of headers; the limit is {MAX_HEADERS}"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(header_name(&name)?, header_value(&name, value)?);
        }
        if !body.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            headers.entry(CONTENT_TYPE).or_insert(text);
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        Ok(Self { status, headers, body: body.into() })
    }
}

fn header_name(given: &str) -> Result<HeaderName, String> {
    let name = given.parse().map_err(|_| format!("`{}`, which is no header name", given.escape_debug()))?;
    if NOT_GIVEN.contains(&name) {
        Err(format!("the header `{name}`, which is not its to set"))
    } else {
        Ok(name)
    }
}

fn header_value(name: &str, given: Vec<u8>) -> Result<HeaderValue, String> {
    HeaderValue::try_from(given).map_err(|_| format!("a value of `{name}` that no header can have"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Reply, String> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Reply::of_plugin(status, headers.collect(), body.into())
    }

    #[test]
    fn body_is_plain_text_unless_it_says_and_is_never_guessed_at() {
        let text = reply(200, &[], "hello").unwrap();
        assert_eq!(text.headers[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(text.headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let json = reply(200, &[("Content-Type", "application/json")], "{}").unwrap();
        assert_eq!(json.headers[CONTENT_TYPE], "application/json");
        assert!(reply(204, &[], "").unwrap().headers.is_empty());
    }

    #[test]
    fn what_cannot_be_answered_is_refused_by_name() {
        let long = "x".repeat(MAX_BODY + 1);
        for (reply, why) in [
            (reply(101, &[], ""), "status 101"),
            (reply(500, &[], ""), "status 500; 200 to 499"),
            (reply(65_535, &[], ""), "status 65535"),
            (reply(200, &[("set-cookie", "a=b")], ""), "`set-cookie`"),
            (reply(200, &[("Content-Length", "5")], ""), "`content-length`"),
            (reply(200, &[("a b", "")], ""), "`a b`, which is no header name"),
            (reply(200, &[("x-a", "1\r\nx-b: 2")], ""), "a value of `x-a`"),
            (reply(200, &[("x-a", &long)], ""), "bytes of headers"),
            (reply(200, &[], &long), "a body of 65537 bytes"),
        ] {
            let refused = reply.unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
