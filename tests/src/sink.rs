//! A downstream that records what it gets and answers as told.

use std::{
    collections::HashMap,
    future,
    io::{Error, ErrorKind},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::wait;

/// Runs until dropped.
pub struct Sink {
    addr: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

/// An address that refuses every connection until [`up`](Self::up).
pub struct DownSink {
    addr: SocketAddr,
    socket: TcpSocket,
}

/// One request that arrived in full.
#[derive(Clone, Debug)]
pub struct Received {
    pub at: Instant,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the sink does about a request.
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(String, String)>,
    dates: Vec<(String, Duration)>,
    delay: Duration,
    ending: Ending,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Answer,
    Hang,
    Close,
}

#[derive(Default)]
struct State {
    scripts: Mutex<HashMap<String, Script>>,
    received: Mutex<Vec<Received>>,
}

/// The replies of one path, in turn.
struct Script {
    replies: Vec<Reply>,
    next: usize,
    /// Begin again after the last one; otherwise the last one stays.
    repeats: bool,
}

impl Sink {
    /// Starts one that answers 200 on every path.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        Self::serve(listener)
    }

    /// Takes an address that refuses connections.
    pub fn down() -> DownSink {
        let socket = TcpSocket::new_v4().expect("sockets are to be had");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has a free port");
        DownSink { addr: socket.local_addr().expect("bound socket has an address"), socket }
    }

    /// Answers like this from now on.
    pub fn answer(&self, path: &str, reply: Reply) {
        self.script(path, vec![reply], false);
    }

    /// Answers with these in turn; the last one stays.
    pub fn answer_in_turn(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.script(path, replies.into_iter().collect(), false);
    }

    /// Answers with these in turn, over and over.
    pub fn answer_in_circles(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.script(path, replies.into_iter().collect(), true);
    }

    /// Everything that arrived at a path, oldest first.
    pub fn received(&self, path: &str) -> Vec<Received> {
        lock(&self.state.received).iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Waits until at least so many requests have arrived at a path.
    pub async fn wait_received(&self, path: &str, at_least: usize) -> Vec<Received> {
        let enough = async || Some(self.received(path)).filter(|received| received.len() >= at_least);
        match wait::poll(wait::PATIENCE, enough).await {
            Some(received) => received,
            None => panic!("{at_least} requests at {path}: only {} arrived", self.received(path).len()),
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    fn serve(listener: TcpListener) -> Self {
        let addr = listener.local_addr().expect("listener has an address");
        let state = Arc::new(State::default());
        let server = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { addr, state, server }
    }

    fn script(&self, path: &str, replies: Vec<Reply>, repeats: bool) {
        assert!(!replies.is_empty(), "a script has a reply");
        lock(&self.state.scripts).insert(path.to_owned(), Script { replies, next: 0, repeats });
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl DownSink {
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Starts to listen at that address.
    pub fn up(self) -> Sink {
        Sink::serve(self.socket.listen(1024).expect("bound socket can listen"))
    }
}

impl Received {
    /// The value of a header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn webhook_id(&self) -> &str {
        self.header("webhook-id")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {}", String::from_utf8_lossy(&self.body)),
        }
    }
}

impl Reply {
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("status code");
        Self { status, headers: Vec::new(), dates: Vec::new(), delay: Duration::ZERO, ending: Ending::Answer }
    }

    /// Never answers.
    pub fn hang() -> Self {
        Self { ending: Ending::Hang, ..Self::status(200) }
    }

    /// Closes the connection without an answer.
    pub fn close() -> Self {
        Self { ending: Ending::Close, ..Self::status(200) }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header with the date so long after the answer.
    pub fn date_header(mut self, name: &str, later: Duration) -> Self {
        self.dates.push((name.to_owned(), later));
        self
    }

    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    async fn play(self) -> Result<Response<Full<Bytes>>, Error> {
        sleep(self.delay).await;
        match self.ending {
            Ending::Answer => {}
            Ending::Hang => future::pending().await,
            Ending::Close => return Err(ErrorKind::ConnectionAborted.into()),
        }
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        for (name, later) in self.dates {
            response = response.header(name, http_date(later));
        }
        Ok(response.body(Full::default()).expect("headers are well-formed"))
    }
}

impl State {
    fn record(&self, received: Received) -> Reply {
        let reply = self.reply(&received.path);
        lock(&self.received).push(received);
        reply
    }

    fn reply(&self, path: &str) -> Reply {
        lock(&self.scripts).get_mut(path).map_or_else(|| Reply::status(200), Script::turn)
    }
}

impl Script {
    fn turn(&mut self) -> Reply {
        let reply = self.replies[self.next].clone();
        self.next = match self.next + 1 {
            end if end == self.replies.len() && self.repeats => 0,
            end if end == self.replies.len() => self.next,
            next => next,
        };
        reply
    }
}

/// Connections end with the task that this runs in: they are its own.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let serve = service_fn(move |request| answer(Arc::clone(&state), request));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(Error::other)?.to_bytes();
    let path = head.uri.path().to_owned();
    state.record(Received { at: Instant::now(), path, headers: head.headers, body }).play().await
}

#[expect(clippy::disallowed_methods, reason = "a destination has a clock of its own")]
fn http_date(later: Duration) -> String {
    httpdate::fmt_http_date(SystemTime::now() + later)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client, webhook::Webhook};

    async fn post(base: &str, path: &str) -> reqwest::Result<u16> {
        let answer = Webhook::plain(path, "{}").send(&client::http1(), base).await;
        answer.map(|answer| answer.status)
    }

    #[tokio::test]
    async fn request_is_recorded_and_answered_200() {
        let sink = Sink::start().await;
        assert_eq!(post(&sink.url(), "/a").await.unwrap(), 200);
        let received = sink.wait_received("/a", 1).await;
        assert_eq!((received.len(), &received[0].body[..]), (1, &b"{}"[..]));
        assert_eq!(received[0].header("content-type"), "application/json");
    }

    #[tokio::test]
    async fn replies_come_in_turn_and_the_last_one_stays() {
        let sink = Sink::start().await;
        sink.answer_in_turn("/a", [Reply::status(500), Reply::status(429), Reply::status(204)]);
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(post(&sink.url(), "/a").await.unwrap());
        }
        assert_eq!(answers, [500, 429, 204, 204]);
    }

    #[tokio::test]
    async fn replies_in_circles_begin_again() {
        let sink = Sink::start().await;
        sink.answer_in_circles("/a", [Reply::status(500), Reply::status(200)]);
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(post(&sink.url(), "/a").await.unwrap());
        }
        assert_eq!(answers, [500, 200, 500]);
    }

    #[tokio::test]
    async fn closing_gives_the_client_an_error() {
        let sink = Sink::start().await;
        sink.answer("/a", Reply::close());
        assert!(post(&sink.url(), "/a").await.is_err());
    }

    #[tokio::test]
    async fn sink_that_is_down_refuses_until_it_is_up() {
        let down = Sink::down();
        let url = down.url();
        assert!(post(&url, "/a").await.unwrap_err().is_connect());
        let sink = down.up();
        assert_eq!(post(&url, "/a").await.unwrap(), 200);
        assert_eq!(sink.url(), url);
    }
}
