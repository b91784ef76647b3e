//! A downstream for the benchmark: answers 200 to everything and counts, at as little cost as can be.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use crate::{load::content_length, raw::find};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Runs until dropped.
pub struct Drain {
    addr: SocketAddr,
    received: Arc<AtomicU64>,
    arrived: Arc<Notify>,
    server: JoinHandle<()>,
}

impl Drain {
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (addr, received, arrived) = (listener.local_addr()?, Arc::default(), Arc::default());
        let server = tokio::spawn(accept(listener, Arc::clone(&received), Arc::clone(&arrived)));
        Ok(Self { addr, received, arrived, server })
    }

    pub fn url(&self) -> String {
        format!("http://{}/in", self.addr)
    }

    /// Requests answered so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until so many requests have come.
    pub async fn reached(&self, count: u64) {
        loop {
            let arrived = self.arrived.notified();
            if self.received() >= count {
                return;
            }
            arrived.await;
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, received: Arc<AtomicU64>, arrived: Arc<Notify>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&received), Arc::clone(&arrived)));
        while connections.try_join_next().is_some() {}
    }
}

/// Requests must say their `content-length`; one that does not ends the connection.
async fn serve(mut stream: TcpStream, received: Arc<AtomicU64>, arrived: Arc<Notify>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let Some(head) = find(&buffer, b"\r\n\r\n") else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let length = content_length(&buffer[..head]).ok_or(io::ErrorKind::InvalidData)?;
        let end = head + 4 + length;
        while buffer.len() < end {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        buffer.drain(..end);
        received.fetch_add(1, Ordering::Relaxed);
        arrived.notify_waiters();
        stream.write_all(OK).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client, webhook::Webhook};

    #[tokio::test]
    async fn requests_are_counted() {
        let drain = Drain::start().await.unwrap();
        let client = client::http1();
        for _ in 0..3 {
            let base = drain.url();
            let answer = Webhook::plain("", vec![b'x'; 20_000]).send(&client, &base).await.unwrap();
            assert_eq!(answer.status, 200);
        }
        drain.reached(3).await;
        assert_eq!(drain.received(), 3);
    }
}
