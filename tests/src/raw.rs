//! HTTP/1.1 byte by byte, for what a well-behaved client cannot send.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{client::Answer, wait};

/// One connection.
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Reads one answer; `None` if the connection was ended without one.
    ///
    /// # Errors
    /// If neither happens within [`wait::PATIENCE`], or the answer is not HTTP.
    pub async fn answer(&mut self) -> io::Result<Option<Answer>> {
        timeout(wait::PATIENCE, self.read_answer()).await?
    }

    /// Waits until the other side has ended the connection.
    ///
    /// # Errors
    /// If that does not happen within [`wait::PATIENCE`].
    pub async fn closed(&mut self) -> io::Result<()> {
        timeout(wait::PATIENCE, async {
            while self.fill().await? {}
            Ok(())
        })
        .await?
    }

    async fn read_answer(&mut self) -> io::Result<Option<Answer>> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await? {
                return Ok(None);
            }
        };
        let (status, headers) = parse_head(&self.buffer[..end])?;
        self.buffer.drain(..end + 4);
        let length = headers.get("content-length").and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(0);
        while self.buffer.len() < length {
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = Bytes::from(self.buffer.drain(..length).collect::<Vec<_>>());
        Ok(Some(Answer { status, headers, body }))
    }

    /// Reads some more; `false` at the end, a reset included.
    async fn fill(&mut self) -> io::Result<bool> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(read) => Ok(read > 0),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn parse_head(head: &[u8]) -> io::Result<(u16, HeaderMap)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "answer is not HTTP");
    let head = std::str::from_utf8(head).map_err(|_| bad())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(bad)?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| bad())?);
    }
    Ok((status, headers))
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_parsed() {
        let (status, headers) = parse_head(b"HTTP/1.1 405 Method Not Allowed\r\nallow: POST").unwrap();
        assert_eq!((status, headers["allow"].as_bytes()), (405, &b"POST"[..]));
    }

    #[test]
    fn noise_is_no_head() {
        assert!(parse_head(b"hello").is_err());
    }
}
