//! Reads a request's body within its limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    Method, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;

use super::Rejection;

/// What a refused request may still send for its connection to be kept.
const DRAIN_BYTES: u64 = 64 << 10;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub bytes: usize,
    /// For the whole body.
    pub time: Duration,
}

/// Refuses a body for what its headers say, before any of it is read.
pub(super) fn check_announced(parts: &Parts, body: &impl Body, limits: Limits) -> Result<(), Rejection> {
    let takes_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    let announced = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| parts.headers.contains_key(name));
    if takes_body && !announced && parts.version < Version::HTTP_2 {
        return Err(Rejection::LengthRequired);
    }
    if body.size_hint().lower() > limits.bytes as u64 {
        return Err(Rejection::BodyTooLarge { limit: limits.bytes });
    }
    Ok(())
}

/// Reads the whole body. One that comes in a single piece is not copied.
pub(super) async fn read<B>(body: &mut B, limits: Limits) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let collected = timeout(limits.time, collect(body, limits.bytes)).await;
    collected.unwrap_or(Err(Rejection::BodyTimeout { limit: limits.time }))
}

async fn collect<B>(body: &mut B, limit: usize) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let too_large = Rejection::BodyTooLarge { limit };
    let Some(first) = next(body).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(too_large);
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    let mut all = BytesMut::new();
    while let Some(chunk) = next(body).await? {
        if all.is_empty() {
            all.reserve(first.len() + announced.max(chunk.len()).min(limit));
            all.extend_from_slice(&first);
        }
        if chunk.len() > limit - all.len() {
            return Err(too_large);
        }
        all.extend_from_slice(&chunk);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// The next piece of the body.
async fn next<B>(body: &mut B) -> Result<Option<Bytes>, Rejection>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Rejection::BodyIncomplete { source: Box::new(error) })?;
        // Trailers are nobody's business.
        if let Ok(chunk) = frame.into_data() {
            return Ok(Some(chunk));
        }
    }
    Ok(None)
}

/// Reads and forgets what is left of a body, if it may and if that is little. `true` if nothing is left.
pub(super) async fn drain<B>(body: &mut B, may_read: bool) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return true;
    }
    if !may_read || body.size_hint().upper().is_none_or(|left| left > DRAIN_BYTES) {
        return false;
    }
    let rest = async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    timeout(DRAIN_TIME, rest).await.unwrap_or(false)
}
