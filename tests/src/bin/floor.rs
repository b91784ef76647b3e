//! The floor: what the benchmark's work costs with the same libraries and nothing else. No routes, plugins,
//! outgoing signatures, retries, history or metrics: hyper in, HMAC, SQLite group commit with fsync, reqwest out.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use reqwest::Client;
use rusqlite::Connection;
use sha2::Sha256;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events in one commit at most.
const GROUP: usize = 1024;
/// Deliveries at the same time.
const IN_FLIGHT: usize = 64;

#[derive(Parser)]
struct Args {
    /// The database's file.
    #[arg(long)]
    journal: PathBuf,
    #[arg(long)]
    secret: String,
    /// Where every event is delivered; without it events are only accepted.
    #[arg(long)]
    deliver: Option<String>,
}

struct Floor {
    mac: Hmac<Sha256>,
    journal: mpsc::Sender<Append>,
    deliver: Option<(Client, String)>,
    in_flight: Arc<Semaphore>,
}

struct Append {
    body: Bytes,
    durable: oneshot::Sender<()>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    rustls::crypto::ring::default_provider().install_default().ok().context("provider is the first")?;
    let client = Client::builder().no_proxy().tls_certs_only([]).build()?;
    let floor = Arc::new(Floor {
        mac: Hmac::new_from_slice(args.secret.as_bytes())?,
        journal: start_writer(open(&args.journal)?),
        deliver: args.deliver.map(|url| (client, url)),
        in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
    });
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    eprintln!("listening addr={}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let floor = Arc::clone(&floor);
        let serve = service_fn(move |request| Arc::clone(&floor).ingest(request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
    }
}

impl Floor {
    async fn ingest(self: Arc<Self>, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        if !self.is_genuine(&head, &body) {
            return answer(StatusCode::UNAUTHORIZED);
        }
        let (durable, written) = oneshot::channel();
        self.journal.send(Append { body: body.clone(), durable }).await?;
        written.await?;
        if self.deliver.is_some() {
            tokio::spawn(self.deliver(body));
        }
        answer(StatusCode::ACCEPTED)
    }

    fn is_genuine(&self, head: &http::request::Parts, body: &[u8]) -> bool {
        let mut mac = self.mac.clone();
        mac.update(body);
        let sent =
            head.headers.get("x-hub-signature-256").and_then(|v| v.as_bytes().strip_prefix(b"sha256="));
        sent.and_then(|sent| hex::decode(sent).ok()).is_some_and(|sent| mac.verify_slice(&sent).is_ok())
    }

    async fn deliver(self: Arc<Self>, body: Bytes) -> anyhow::Result<()> {
        let _permit = self.in_flight.acquire().await?;
        if let Some((client, url)) = &self.deliver {
            let request = client.post(url).header("content-type", "application/json").body(body);
            request.send().await?.error_for_status()?.bytes().await?;
        }
        Ok(())
    }
}

fn answer(status: StatusCode) -> anyhow::Result<Response<Full<Bytes>>> {
    Ok(Response::builder().status(status).body(Full::from(r#"{"id":"0"}"#))?)
}

/// 32 KiB pages: a third less work at 10 KiB than with SQLite's 4, and none more at 1 KiB.
fn open(path: &PathBuf) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.pragma_update(None, "page_size", 32768)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.execute("create table event (id integer primary key, body blob not null)", ())?;
    Ok(db)
}

fn start_writer(mut db: Connection) -> mpsc::Sender<Append> {
    let (sender, mut receiver) = mpsc::channel(4 * GROUP);
    std::thread::spawn(move || {
        let mut group = Vec::with_capacity(GROUP);
        while receiver.blocking_recv_many(&mut group, GROUP) > 0 {
            commit(&mut db, &group).expect("journal can be written");
            for append in group.drain(..) {
                // The sender may have gone away meanwhile.
                let _ = append.durable.send(());
            }
        }
    });
    sender
}

fn commit(db: &mut Connection, group: &[Append]) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    {
        let mut insert = transaction.prepare_cached("insert into event (body) values (?1)")?;
        for append in group {
            insert.execute([append.body.as_ref()])?;
        }
    }
    transaction.commit()
}
