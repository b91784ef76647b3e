//! Accepts connections: TLS, HTTP/1.1 and HTTP/2, and the limits that hold before there is a request.
//!
//! It gets a bound socket and a shutdown token; it never binds and never listens to signals. Every connection
//! has a place that it can only keep by getting on: a handshake, a request's headers and a pause between
//! requests each have their time. What is said about a request is [`Ingest`]'s business.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::ingest::{Ingest, Rejection};
use connection::Connection;
use tls::Tls;

pub mod tls;

mod activity;
mod connection;

/// How long to wait before accepting again when the system has no resources left, at first and at most.
const ACCEPT_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// So many of the connections that find no place are told so; any more are just closed.
const MAX_TURNED_AWAY: usize = 64;

/// A bound socket and what is needed to serve its connections.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
    ingest: Arc<Ingest>,
}

impl Listener {
    pub fn new(tcp: TcpListener, tls: Option<Tls>, ingest: Arc<Ingest>) -> Self {
        Self { tcp, tls, ingest }
    }

    /// Serves until `shutdown`; then accepts nothing more, lets every connection finish the request that it is
    /// in, and returns when the last one is closed. Dropping the future ends them at once.
    pub async fn serve(self, shutdown: CancellationToken) {
        let mut connections = JoinSet::new();
        let places = Places::default();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(ended) = connections.join_next() => report(ended),
                (stream, peer) = self.accept() => self.admit(stream, peer, &places, &mut connections, &shutdown),
            }
        }
        drop(self.tcp);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }

    /// Waits for the next connection. When the system has no more sockets to give, waits for that to change.
    async fn accept(&self) -> (TcpStream, SocketAddr) {
        let (mut wait, most) = ACCEPT_BACKOFF;
        loop {
            match self.tcp.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {
                    debug!(%error, "connection lost before it was accepted")
                }
                Err(error) => {
                    error!(%error, "no connection can be accepted, trying again in {wait:?}");
                    sleep(wait).await;
                    wait = (wait * 2).min(most);
                }
            }
        }
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        places: &Places,
        connections: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        let server = self.ingest.server();
        let limit = server.max_connections;
        let connection = Connection {
            ingest: self.ingest.clone(),
            tls: self.tls.clone(),
            peer,
            header_timeout: server.header_timeout,
            max_headers: server.max_headers,
            shutdown: shutdown.clone(),
        };
        if let Some(place) = Place::take(&places.open, limit) {
            places.full.store(false, Ordering::Relaxed);
            let counted = Counted::new(&self.ingest);
            connections.spawn(async move {
                connection.serve(stream).await;
                drop((place, counted));
            });
        } else {
            // One line for a crowd.
            if !places.full.swap(true, Ordering::Relaxed) {
                warn!(limit, "all connections are taken, new ones are turned away");
            }
            let answer = self.ingest.refuse(&Rejection::TooManyConnections { limit });
            if let Some(place) = Place::take(&places.turned_away, MAX_TURNED_AWAY) {
                connections.spawn(async move {
                    connection.turn_away(stream, answer).await;
                    drop(place);
                });
            }
        }
    }
}

/// Errors that say something about one connection and nothing about the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted)
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "connection ended by a bug of ours");
    }
}

/// How many connections there are, of each kind.
#[derive(Default)]
struct Places {
    open: Arc<AtomicUsize>,
    turned_away: Arc<AtomicUsize>,
    /// The last one found no place.
    full: AtomicBool,
}

/// One of a limited number of places; given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        // Only the accept loop takes places, so nobody can come in between.
        if taken.load(Ordering::Relaxed) >= limit {
            return None;
        }
        taken.fetch_add(1, Ordering::Relaxed);
        Some(Self(taken.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open connection, as the metrics have it.
struct Counted(Arc<Ingest>);

impl Counted {
    fn new(ingest: &Arc<Ingest>) -> Self {
        ingest.metrics().connections.inc();
        Self(ingest.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics().connections.dec();
    }
}

#[cfg(test)]
pub(crate) mod tests;
