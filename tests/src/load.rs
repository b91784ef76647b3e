//! A closed-loop load generator that costs little beside what it measures: requests are built beforehand, only
//! the delivery id is written anew, and answers are read no further than their length.

use std::{
    io,
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::sleep_until,
};

use crate::{
    payload,
    raw::find,
    webhook::{GITHUB_SECRET, github_signature},
};

/// Variants of the body, so that nothing is gained by remembering one.
pub const VARIANTS: usize = 500;

/// What to send, to whom, for how long.
#[derive(Clone)]
pub struct Load {
    pub target: SocketAddr,
    pub requests: Arc<Requests>,
    /// Keep-alive connections, each with one request in flight.
    pub connections: usize,
    pub duration: Duration,
    /// Requests per second of all connections together; `None`: as fast as answers come.
    pub rate: Option<f64>,
}

/// Signed requests, ready to be sent.
pub struct Requests {
    templates: Vec<Template>,
    next_delivery: AtomicU64,
}

struct Template {
    bytes: Vec<u8>,
    /// Where the delivery id is.
    delivery: Range<usize>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Answers 202.
    pub accepted: u64,
    /// Other answers, and connections that broke.
    pub failed: u64,
    /// Of the accepted ones, in microseconds, sorted. Counted from when the request was due.
    pub latencies: Vec<u32>,
    pub took: Duration,
}

impl Requests {
    /// GitHub `issues` events of exactly `size` bytes, signed, posted to `path`.
    pub fn github(path: &str, size: usize) -> Self {
        let templates =
            (0..VARIANTS).map(|variant| Template::github(path, &payload::issue(variant, size))).collect();
        Self { templates, next_delivery: AtomicU64::new(u64::from(std::process::id()) << 32) }
    }

    /// Puts the next request in the place of the last one.
    fn next(&self, buffer: &mut Vec<u8>) {
        let delivery = self.next_delivery.fetch_add(1, Ordering::Relaxed);
        let template = &self.templates[(delivery % VARIANTS as u64) as usize];
        buffer.clear();
        buffer.extend_from_slice(&template.bytes);
        write_hex(delivery, &mut buffer[template.delivery.clone()]);
    }
}

impl Template {
    fn github(path: &str, body: &Bytes) -> Self {
        let mut bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: hooks.example.com\r\nuser-agent: GitHub-Hookshot/044aadd\r\n\
             accept: */*\r\ncontent-type: application/json\r\nx-github-event: issues\r\n\
             x-github-hook-id: 109948940\r\nx-hub-signature-256: {}\r\ncontent-length: {}\r\n\
             x-github-delivery: 72d3162e-cc78-11e3-",
            github_signature(GITHUB_SECRET, body),
            body.len(),
        )
        .into_bytes();
        let delivery = bytes.len()..bytes.len() + 16;
        bytes.extend_from_slice(b"0000000000000000\r\n\r\n");
        bytes.extend_from_slice(body);
        Self { bytes, delivery }
    }
}

impl Load {
    /// Sends until the time is up and every request sent is answered.
    pub async fn run(&self) -> Outcome {
        let started = Instant::now();
        let mut connections = JoinSet::new();
        for number in 0..self.connections {
            connections.spawn(self.clone().connection(number, started));
        }
        let mut all = Outcome::default();
        for outcome in connections.join_all().await {
            all.accepted += outcome.accepted;
            all.failed += outcome.failed;
            all.latencies.extend(outcome.latencies);
        }
        all.latencies.sort_unstable();
        all.took = started.elapsed();
        all
    }

    async fn connection(self, number: usize, started: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        let Ok(mut connection) = Connection::open(self.target).await else {
            return Outcome { failed: 1, ..outcome };
        };
        let mut pace = Pace::new(&self, number, started);
        while let Some(due) = pace.next().await {
            self.requests.next(&mut connection.request);
            match connection.exchange().await {
                Ok(202) => {
                    outcome.accepted += 1;
                    outcome.latencies.push(due.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
                }
                Ok(_) => outcome.failed += 1,
                Err(_) => {
                    outcome.failed += 1;
                    break;
                }
            }
        }
        outcome
    }
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.accepted as f64 / self.took.as_secs_f64()
    }

    /// The latency that this share of the accepted requests, 0 to 1, stayed within.
    pub fn percentile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        Duration::from_micros(self.latencies.get(at).copied().unwrap_or_default().into())
    }
}

/// When each request of one connection is due.
struct Pace {
    next: Instant,
    interval: Option<Duration>,
    end: Instant,
}

impl Pace {
    fn new(load: &Load, number: usize, started: Instant) -> Self {
        let interval = load.rate.map(|rate| Duration::from_secs_f64(load.connections as f64 / rate));
        let offset = interval.unwrap_or_default().mul_f64(number as f64 / load.connections as f64);
        Self { next: started + offset, interval, end: started + load.duration }
    }

    /// Waits until the next request is due; `None` when the time is up.
    ///
    /// The instant given is what its latency counts from: a request that is late because the answer before it
    /// was slow counts from when it was due, one that is late because timers are coarse does not.
    async fn next(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let Some(interval) = self.interval else {
            return (now < self.end).then_some(now);
        };
        let due = self.next;
        self.next += interval;
        if due >= self.end {
            return None;
        }
        if due <= now {
            return Some(due);
        }
        sleep_until(due.into()).await;
        Some(Instant::now())
    }
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(target: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::with_capacity(1024) })
    }

    /// Sends the request and gives the answer's status.
    async fn exchange(&mut self) -> io::Result<u16> {
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = complete(&self.answer) {
                return status.ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
        }
    }
}

/// `None` while there is more to read; then the status, if the answer has one.
fn complete(answer: &[u8]) -> Option<Option<u16>> {
    let head = find(answer, b"\r\n\r\n")?;
    let length = content_length(&answer[..head]).unwrap_or(0);
    let status = || std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok();
    (answer.len() >= head + 4 + length).then(status)
}

/// The value of `content-length` in a head, whatever the case of its name.
pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|&byte| byte == b'\n');
    let line = lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

fn write_hex(number: u64, place: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (nibble, byte) in place.iter_mut().rev().enumerate() {
        *byte = DIGITS[(number >> (4 * nibble) & 15) as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_differ_in_their_delivery_id_and_are_signed() {
        let requests = Requests::github("/github", 1024);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        requests.next(&mut one);
        requests.next(&mut two);
        let body = &one[find(&one, b"\r\n\r\n").unwrap() + 4..];
        assert_eq!(body.len(), 1024);
        let text = String::from_utf8(one.clone()).unwrap();
        assert!(text.contains(&github_signature(GITHUB_SECRET, body)));
        let delivery = |request: &[u8]| request[requests.templates[0].delivery.clone()].to_vec();
        assert_ne!(delivery(&one), delivery(&two));
    }

    #[test]
    fn answer_is_complete_once_its_body_is() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(complete(answer), Some(Some(202)));
        for cut in 0..answer.len() {
            assert_eq!(complete(&answer[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn percentiles_are_of_the_sorted_latencies() {
        let outcome = Outcome { latencies: (1..=101).collect(), ..Outcome::default() };
        assert_eq!(outcome.percentile(0.5), Duration::from_micros(51));
        assert_eq!(outcome.percentile(0.99), Duration::from_micros(100));
    }

    #[test]
    fn numbers_are_written_in_hex() {
        let mut place = [b'x'; 4];
        write_hex(0xbeef, &mut place);
        assert_eq!(&place, b"beef");
    }
}
