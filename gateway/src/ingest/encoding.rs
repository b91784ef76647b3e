//! Content encodings: what a body is before and after.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header::CONTENT_ENCODING};

use super::Rejection;

/// Bodies larger than this, as sent, are inflated away from the threads that serve connections.
const INLINE: usize = 32 << 10;

/// The window that RFC 9659 allows: 8 MiB. The decoder would else take as much as the frame asks for.
const ZSTD_WINDOW_LOG: u32 = 23;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Rejection> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(Self::Identity) };
        let text = value.to_str().unwrap_or("?").trim().to_ascii_lowercase();
        match (text.as_str(), values.next()) {
            ("" | "identity", None) => Ok(Self::Identity),
            ("gzip" | "x-gzip", None) => Ok(Self::Gzip),
            ("zstd", None) => Ok(Self::Zstd),
            _ => Err(Rejection::UnsupportedEncoding { encoding: text }),
        }
    }

    /// Inflates a body to at most `limit` bytes.
    pub(super) async fn undo(self, body: &Bytes, limit: usize) -> Result<Bytes, Rejection> {
        if self == Self::Identity {
            return Ok(body.clone());
        }
        let inflated = if body.len() <= INLINE {
            self.inflate(body, limit)
        } else {
            let body = body.clone();
            let task = tokio::task::spawn_blocking(move || self.inflate(&body, limit));
            task.await.unwrap_or_else(|failed| Err(io::Error::other(failed)))
        };
        let inflated = inflated.map_err(|source| Rejection::BodyUndecodable { source })?;
        if inflated.len() > limit { Err(Rejection::BodyTooLarge { limit }) } else { Ok(inflated.into()) }
    }

    /// Stops one byte after the limit.
    fn inflate(self, body: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let stop = limit as u64 + 1;
        let mut plain = Vec::with_capacity(body.len().saturating_mul(4).min(limit));
        match self {
            Self::Identity => body.take(stop).read_to_end(&mut plain)?,
            Self::Gzip => MultiGzDecoder::new(body).take(stop).read_to_end(&mut plain)?,
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(body)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                decoder.take(stop).read_to_end(&mut plain)?
            }
        };
        Ok(plain)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        zstd::encode_all(plain, 3).unwrap()
    }

    fn of(values: &[&'static str]) -> Result<Encoding, Rejection> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Encoding::of(&headers)
    }

    #[test]
    fn known_encodings_are_told_apart() {
        for (values, expected) in [
            (&[][..], Encoding::Identity),
            (&["identity"], Encoding::Identity),
            (&["GZIP"], Encoding::Gzip),
            (&["x-gzip"], Encoding::Gzip),
            (&["zstd"], Encoding::Zstd),
        ] {
            assert_eq!(of(values).unwrap(), expected);
        }
    }

    #[test]
    fn unknown_and_stacked_encodings_are_refused() {
        for values in [&["br"][..], &["gzip, gzip"], &["gzip", "zstd"]] {
            assert!(matches!(of(values), Err(Rejection::UnsupportedEncoding { .. })), "{values:?}");
        }
    }

    #[tokio::test]
    async fn bombs_are_stopped_at_the_limit() {
        let zeros = vec![0; 64 << 20];
        for (encoding, bomb) in [(Encoding::Gzip, gzip(&zeros)), (Encoding::Zstd, zstd(&zeros))] {
            let refused = encoding.undo(&bomb.into(), 1 << 20).await;
            assert!(matches!(refused, Err(Rejection::BodyTooLarge { limit: 1_048_576 })), "{encoding:?}");
        }
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_passes() {
        let plain = vec![b'x'; 1000];
        for (encoding, body) in [(Encoding::Gzip, gzip(&plain)), (Encoding::Zstd, zstd(&plain))] {
            assert_eq!(encoding.undo(&body.into(), 1000).await.unwrap(), plain);
        }
    }

    #[tokio::test]
    async fn bodies_too_large_for_here_are_inflated_elsewhere() {
        let mut plain = vec![0; 100_000];
        fastrand::Rng::with_seed(7).fill(&mut plain);
        let body = gzip(&plain);
        assert!(body.len() > INLINE);
        assert_eq!(Encoding::Gzip.undo(&body.into(), 1 << 20).await.unwrap(), plain);
    }

    #[tokio::test]
    async fn broken_bodies_are_refused() {
        let cut = &gzip(b"hello")[..12];
        for (encoding, body) in [(Encoding::Gzip, cut), (Encoding::Gzip, b""), (Encoding::Zstd, b"nope")] {
            let refused = encoding.undo(&Bytes::copy_from_slice(body), 1000).await;
            assert!(matches!(refused, Err(Rejection::BodyUndecodable { .. })), "{encoding:?}");
        }
    }

    #[test]
    fn a_frame_that_asks_for_too_much_memory_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(27)).unwrap();
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let body = encoder.finish().unwrap();
        assert!(Encoding::Zstd.inflate(&body, 1 << 30).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body: Vec<u8>) {
            let _ = Encoding::Gzip.inflate(&body, 1000);
            let _ = Encoding::Zstd.inflate(&body, 1000);
        }
    }
}
