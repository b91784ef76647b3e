//! What a connection is doing, and since when: the basis of every deadline before there is a request.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// How long a connection may rest between two requests: longer than most senders' own limit, so that they
/// close it and none of their requests meets a closing connection.
const IDLE: Duration = Duration::from_secs(75);

/// One task writes this, or several streams of one HTTP/2 connection; the order between fields does not matter.
pub(super) struct Activity {
    start: Instant,
    header_timeout: Duration,
    phase: AtomicU8,
    /// Milliseconds after `start` when the phase began.
    since: AtomicU64,
    requests: AtomicU32,
    unread: AtomicBool,
}

/// What a connection without a request in hand is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nothing has come yet.
    Fresh,
    /// The first bytes of a request's headers have come.
    Headers,
    /// Between two requests.
    Resting,
}

impl Activity {
    pub(super) fn new(header_timeout: Duration, start: Instant) -> Arc<Self> {
        Arc::new(Self {
            start,
            header_timeout,
            phase: AtomicU8::new(Phase::Fresh as u8),
            since: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            unread: AtomicBool::new(false),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Fresh,
            1 => Phase::Headers,
            _ => Phase::Resting,
        }
    }

    /// When the phase is over; `None` while a request is in hand, which has limits of its own.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.requests.load(Relaxed) > 0 {
            return None;
        }
        let allowed = match self.phase() {
            Phase::Fresh | Phase::Headers => self.header_timeout,
            Phase::Resting => IDLE.max(self.header_timeout),
        };
        Some(self.start + Duration::from_millis(self.since.load(Relaxed)) + allowed)
    }

    pub(super) fn rest(&self, now: Instant) {
        self.enter(Phase::Resting, now);
    }

    /// A request's headers are complete; it is in hand until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> InHand {
        self.requests.fetch_add(1, Relaxed);
        InHand(self.clone())
    }

    /// A request was answered before its body was read.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    fn on_read(&self, now: impl FnOnce() -> Instant) {
        if self.requests.load(Relaxed) > 0 {
            return;
        }
        match self.phase() {
            // The time for the first headers runs from the beginning.
            Phase::Fresh => self.phase.store(Phase::Headers as u8, Relaxed),
            Phase::Headers => {}
            Phase::Resting => self.enter(Phase::Headers, now()),
        }
    }

    fn enter(&self, phase: Phase, now: Instant) {
        let since = now.duration_since(self.start).as_millis();
        self.since.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }
}

/// A request in hand.
pub(super) struct InHand(Arc<Activity>);

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.rest(Instant::now());
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

/// A stream that notes in the activity when something comes in.
pub(super) struct Watched<'s, S> {
    stream: &'s mut S,
    activity: Arc<Activity>,
}

impl<'s, S> Watched<'s, S> {
    pub(super) fn new(stream: &'s mut S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.activity.on_read(Instant::now);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: Duration = Duration::from_secs(10);

    #[test]
    fn headers_have_their_time_from_the_first_byte() {
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let activity = Activity::new(HEADERS, start);
        assert_eq!((activity.phase(), activity.deadline()), (Phase::Fresh, Some(after(10))));
        activity.on_read(|| after(4));
        assert_eq!((activity.phase(), activity.deadline()), (Phase::Headers, Some(after(10))));

        activity.rest(after(5));
        assert_eq!((activity.phase(), activity.deadline()), (Phase::Resting, Some(after(5) + IDLE)));
        activity.on_read(|| after(60));
        activity.on_read(|| after(65));
        assert_eq!((activity.phase(), activity.deadline()), (Phase::Headers, Some(after(70))));
    }

    #[test]
    fn requests_in_hand_have_no_deadline_here() {
        let activity = Activity::new(HEADERS, Instant::now());
        let (first, second) = (activity.begin_request(), activity.begin_request());
        drop(first);
        assert_eq!(activity.deadline(), None);
        activity.on_read(Instant::now);
        drop(second);
        assert_eq!(activity.phase(), Phase::Resting);
        assert!(activity.deadline().is_some());
    }
}
