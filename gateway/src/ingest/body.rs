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
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

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

/// Memory for bodies that have not come in whole. What comes in one piece needs none of it, so small webhooks get
/// through while slow senders fill it.
pub(super) struct Room(Semaphore);

/// All of it, in bytes.
const ROOM: usize = 256 << 20;
/// However large a route's bodies may be, so many of them fit.
const BODIES: usize = 4;

/// A body's part of the room; given back when dropped.
pub(super) struct Held<'r> {
    room: &'r Room,
    part: Option<SemaphorePermit<'r>>,
    /// Bodies that may be larger than their share of the room count for less than they are.
    weight: usize,
}

impl Room {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(ROOM))
    }

    fn hold(&self, limit: usize) -> Held<'_> {
        Held { room: self, part: None, weight: limit.div_ceil(ROOM / BODIES) }
    }
}

impl Held<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), Rejection> {
        let bytes = u32::try_from(bytes / self.weight.max(1)).map_err(|_| Rejection::Busy)?;
        let more = self.room.0.try_acquire_many(bytes).map_err(|_| Rejection::Busy)?;
        match &mut self.part {
            Some(part) => part.merge(more),
            part @ None => *part = Some(more),
        }
        Ok(())
    }
}

/// Refuses a body for what its headers say, before any of it is read. Where it `must_say` how long it is, one that does
/// not say is refused; else it is taken for empty, as HTTP has it.
pub(super) fn check_announced(
    parts: &Parts,
    body: &impl Body,
    limits: Limits,
    must_say: bool,
) -> Result<(), Rejection> {
    let takes_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    let announced = [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| parts.headers.contains_key(name));
    if must_say && takes_body && !announced && parts.version < Version::HTTP_2 {
        return Err(Rejection::LengthRequired);
    }
    if body.size_hint().lower() > limits.bytes as u64 {
        return Err(Rejection::BodyTooLarge { limit: limits.bytes });
    }
    Ok(())
}

/// Reads the whole body. One that comes in a single piece is not copied.
pub(super) async fn read<'r, B>(
    body: &mut B,
    limits: Limits,
    room: &'r Room,
) -> Result<(Bytes, Held<'r>), Rejection>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut held = room.hold(limits.bytes);
    let collected = timeout(limits.time, collect(body, limits.bytes, &mut held)).await;
    let collected = collected.unwrap_or(Err(Rejection::BodyTimeout { limit: limits.time }))?;
    Ok((collected, held))
}

async fn collect<B>(body: &mut B, limit: usize, held: &mut Held<'_>) -> Result<Bytes, Rejection>
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
    held.add(first.len())?;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    let mut all = BytesMut::new();
    while let Some(chunk) = next(body).await? {
        held.add(chunk.len())?;
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    const LIMITS: Limits = Limits { bytes: 64 << 20, time: Duration::from_secs(10) };

    /// A body that comes in pieces of 1 MiB.
    fn pieces(count: usize) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let piece = Bytes::from(vec![0; 1 << 20]);
        StreamBody::new(stream::iter((0..count).map(move |_| Ok(Frame::data(piece.clone())))))
    }

    #[tokio::test]
    async fn room_for_bodies_that_come_in_pieces_is_bounded() {
        let room = Room::new();
        let mut held = Vec::new();
        for _ in 0..BODIES {
            held.push(read(&mut pieces(64), LIMITS, &room).await.unwrap().1);
        }
        assert!(matches!(read(&mut pieces(2), LIMITS, &room).await, Err(Rejection::Busy)));
        let mut whole = Full::new(Bytes::from_static(b"{}"));
        assert!(read(&mut whole, LIMITS, &room).await.is_ok(), "what has come in whole is not kept waiting");
        held.pop();
        assert!(read(&mut pieces(2), LIMITS, &room).await.is_ok(), "it was given back");
    }

    #[tokio::test]
    async fn room_is_given_back_with_a_body_that_is_refused() {
        let room = Room::new();
        let limits = Limits { bytes: 1 << 20, ..LIMITS };
        assert!(matches!(read(&mut pieces(3), limits, &room).await, Err(Rejection::BodyTooLarge { .. })));
        assert_eq!(room.0.available_permits(), ROOM);
    }

    #[test]
    fn the_largest_bodies_that_a_route_can_allow_fit() {
        let room = Room::new();
        let held: Vec<_> = (0..BODIES)
            .map(|_| {
                let mut held = room.hold(1 << 30);
                held.add(1 << 30).unwrap();
                held
            })
            .collect();
        assert!(room.hold(1 << 30).add(1 << 30).is_err());
        drop(held);
    }
}
