//! One connection, from its first byte to its last.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span};

use super::{
    activity::{Activity, Phase, Watched},
    tls::Tls,
};
use crate::ingest::{Ingest, Rejection};

/// What is read and thrown away after the last answer, so that the sender gets to read it: closing a socket
/// that has unread bytes would reset the connection and take the answer with it.
const LINGER_BYTES: u64 = 256 << 10;
const LINGER_TIME: Duration = Duration::from_secs(1);
/// HTTP/2 requests at the same time on one connection.
const MAX_STREAMS: u32 = 200;
/// Pings find out about HTTP/2 peers that are gone.
const PING: Duration = Duration::from_secs(20);
/// hyper's own limit for a buffer; it will not take a lower one than this for headers alone.
const HYPER_BUFFER: usize = 400 << 10;

pub(super) struct Connection {
    pub ingest: Arc<Ingest>,
    pub tls: Option<Tls>,
    pub peer: SocketAddr,
    pub header_timeout: Duration,
    pub max_headers: usize,
    pub shutdown: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// How serving a connection ended.
enum Ended {
    /// As HTTP wants it.
    Done,
    Failed(hyper::Error),
    /// A request's headers took too long.
    SlowHeaders,
    /// It did not close when it was asked to.
    Abandoned,
}

impl Connection {
    pub(super) async fn serve(&self, stream: TcpStream) {
        let span = debug_span!("connection", peer = %self.peer);
        let start = Instant::now();
        async {
            // Answers are small and nobody should wait for them.
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "connection is gone");
                return;
            }
            match &self.tls {
                Some(tls) => self.serve_tls(tls, stream).await,
                None => match self.unless_late(sniff(&stream)).await {
                    Some(Ok(protocol)) => self.serve_http(stream, protocol, start).await,
                    Some(Err(error)) => debug!(%error, "connection is gone"),
                    None => debug!("connection said nothing"),
                },
            }
        }
        .instrument(span)
        .await;
    }

    async fn serve_tls(&self, tls: &Tls, stream: TcpStream) {
        match self.unless_late(tls.acceptor().accept(stream)).await {
            Some(Ok(stream)) => {
                let protocol = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Protocol::Http2,
                    _ => Protocol::Http1,
                };
                self.serve_http(stream, protocol, Instant::now()).await;
            }
            Some(Err(error)) => debug!(%error, "TLS handshake failed"),
            None => debug!("TLS handshake took too long"),
        }
    }

    /// What comes before the first request has the time of a request's headers, and ends with the shutdown.
    async fn unless_late<T>(&self, begin: impl Future<Output = T>) -> Option<T> {
        let begin = timeout(self.header_timeout, begin);
        self.shutdown.run_until_cancelled(begin).await?.ok()
    }

    async fn serve_http<S>(&self, mut stream: S, protocol: Protocol, start: Instant)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let activity = Activity::new(self.header_timeout, start);
        let ended = match protocol {
            Protocol::Http1 => self.serve_http1(&mut stream, &activity).await,
            Protocol::Http2 => self.serve_http2(&mut stream, &activity).await,
        };
        match ended {
            Ended::Done if activity.has_unread() => linger(stream).await,
            Ended::Done => {}
            Ended::SlowHeaders => {
                let late = Rejection::HeaderTimeout { limit: self.header_timeout };
                write_answer(&mut stream, self.ingest.refuse(&late)).await;
                linger(stream).await;
            }
            // hyper has answered this one: 400, 414 or 431 with an empty body.
            Ended::Failed(error) if error.is_parse() => {
                debug!(%error, "request cannot be read");
                linger(stream).await;
            }
            Ended::Failed(error) => debug!(%error, "connection broke off"),
            Ended::Abandoned => debug!("connection abandoned"),
        }
    }

    async fn serve_http1<S>(&self, stream: &mut S, activity: &Arc<Activity>) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let hard_limit = self.hard_header_limit();
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // The activity's deadlines tell a slow request from a resting connection; hyper's would not.
            .header_read_timeout(None)
            // A sender may close its half after the request; it still wants the answer.
            .half_close(true)
            .max_header_size(hard_limit)
            .max_buf_size(hard_limit.max(HYPER_BUFFER));
        let io = TokioIo::new(Watched::new(stream, activity.clone()));
        let service = service_fn(|request| self.answer(activity, request));
        let connection = builder.serve_connection(io, service);
        self.drive(connection, |connection| connection.graceful_shutdown(), activity).await
    }

    async fn serve_http2<S>(&self, stream: &mut S, activity: &Arc<Activity>) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // Frames come and go without meaning a request, so only requests count as activity.
        activity.rest(Instant::now());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(self.hard_header_limit()).unwrap_or(u32::MAX))
            .max_concurrent_streams(MAX_STREAMS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        let (ingest, requests) = (self.ingest.clone(), activity.clone());
        let service = service_fn(move |request| {
            let (ingest, in_hand) = (ingest.clone(), requests.begin_request());
            async move {
                let answer = ingest.answer(request).await;
                drop(in_hand);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        self.drive(connection, |connection| connection.graceful_shutdown(), activity).await
    }

    /// hyper's limit, well above ours: what is in between gets our own answer.
    fn hard_header_limit(&self) -> usize {
        const REQUEST_LINE: usize = 8 << 10;
        self.max_headers.saturating_mul(2).saturating_add(REQUEST_LINE)
    }

    async fn answer(
        &self,
        activity: &Arc<Activity>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let in_hand = activity.begin_request();
        let answer = self.ingest.answer(request).await;
        if answer.headers().contains_key(header::CONNECTION) {
            activity.leave_unread();
        }
        drop(in_hand);
        Ok(answer)
    }

    /// Runs a connection until it ends, its time is up or the gateway shuts down.
    async fn drive<C>(&self, connection: C, close: fn(Pin<&mut C>), activity: &Activity) -> Ended
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = pin!(connection);
        let mut shutdown = pin!(self.shutdown.cancelled());
        let mut timer = pin!(sleep_until(Instant::now() + self.header_timeout));
        let mut closing = false;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    return Poll::Ready(result.map_or_else(Ended::Failed, |()| Ended::Done));
                }
                if !closing && shutdown.as_mut().poll(cx).is_ready() {
                    closing = true;
                    close(connection.as_mut());
                    continue;
                }
                let Some(deadline) = activity.deadline() else { return Poll::Pending };
                // A timer that is early is set again when it fires: most requests never touch it.
                if timer.deadline() > deadline {
                    timer.as_mut().reset(deadline);
                }
                ready!(timer.as_mut().poll(cx));
                if Instant::now() < deadline {
                    timer.as_mut().reset(deadline);
                } else if activity.phase() == Phase::Headers {
                    return Poll::Ready(Ended::SlowHeaders);
                } else if closing {
                    return Poll::Ready(Ended::Abandoned);
                } else {
                    closing = true;
                    activity.rest(Instant::now());
                    close(connection.as_mut());
                }
            }
        })
        .await
    }

    /// Tells a connection that there is no place for it. Under TLS that would cost a handshake, so it is closed.
    pub(super) async fn turn_away(&self, mut stream: TcpStream, answer: Response<Full<Bytes>>) {
        if self.tls.is_none() {
            write_answer(&mut stream, answer).await;
            linger(stream).await;
        }
    }
}

/// Waits for the first bytes and tells the protocol by them.
///
/// HTTP/2 clients send their preface in one piece, so a few bytes are enough to know it.
async fn sniff(stream: &TcpStream) -> io::Result<Protocol> {
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const ENOUGH: usize = "PRI".len();
    let mut first = [0; PREFACE.len()];
    let len = stream.peek(&mut first).await?;
    let is_http2 = len >= ENOUGH && PREFACE.starts_with(&first[..len]);
    Ok(if is_http2 { Protocol::Http2 } else { Protocol::Http1 })
}

/// Writes an HTTP/1.1 answer where hyper is not, or not any more, in charge. The sender may be gone.
async fn write_answer(stream: &mut (impl AsyncWrite + Unpin), answer: Response<Full<Bytes>>) {
    let (head, body) = answer.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes);
    let mut text = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    text.extend_from_slice(&body);
    if let Err(error) = timeout(LINGER_TIME, stream.write_all(&text)).await {
        debug!(%error, "answer could not be written");
    }
}

/// Closes our side and gives the sender a moment to read the answer and close the other.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    match timeout(LINGER_TIME, rest).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(%error, "connection was gone before it was closed"),
        Err(_) => debug!("sender did not stop"),
    }
}
