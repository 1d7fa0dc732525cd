//! A connector: accepts connections and serves them until it is told to stop.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderValue, Response, header};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::stream::Taken;
use super::{Body, body};
use crate::engine::Engine;

/// What a connector allows its clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    /// How many connections are open at once; further ones wait in the backlog.
    pub(crate) connections: usize,
    /// How many requests a connection carries; `None` for any number.
    pub(crate) requests: Option<u32>,
    /// The head of a request, in bytes; at least 8192.
    pub(crate) head_bytes: usize,
    /// How many header lines a head has.
    pub(crate) headers: usize,
    /// How long a head may take from the end of the request before it, and so how long a
    /// connection may be idle.
    pub(crate) head_patience: Duration,
    /// How long the next part of a body may take.
    pub(crate) body_patience: Duration,
    /// How long a client may take nothing of an answer.
    pub(crate) answer_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            requests: None,
            head_bytes: 16 * 1024,
            headers: 100,
            head_patience: Duration::from_secs(10),
            body_patience: Duration::from_secs(20),
            answer_patience: Duration::from_secs(30),
        }
    }
}

/// Tells connectors to stop; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stopping {
    is_stopping: watch::Receiver<bool>,
}

impl Stopping {
    /// The switch, and what it switches.
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (switch, is_stopping) = watch::channel(false);
        (switch, Self { is_stopping })
    }

    async fn stopped(&self) {
        let mut is_stopping = self.is_stopping.clone();
        // Whoever drops the switch has stopped as well.
        let _ = is_stopping.wait_for(|&stopping| stopping).await;
    }
}

/// An open port.
#[derive(Debug)]
pub(crate) struct Connector {
    listener: TcpListener,
    limits: Limits,
    engine: Arc<Engine>,
}

impl Connector {
    pub(crate) fn new(listener: TcpListener, limits: Limits, engine: Arc<Engine>) -> Self {
        Self { listener, limits, engine }
    }

    /// Serves until it is told to stop; then accepts nothing more, and waits for the requests that
    /// run, for at most `patience`. How many connections it had to cut.
    pub(crate) async fn run(self, stopping: Stopping, patience: Duration) -> usize {
        let Self { listener, limits, engine } = self;
        let permits = Arc::new(Semaphore::new(limits.connections));
        let graceful = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head_patience)
            .max_headers(limits.headers)
            .max_header_size(limits.head_bytes)
            .max_buf_size(limits.head_bytes.max(64 * 1024));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopping.stopped() => break,
                accepted = accept(&listener, &permits) => accepted,
            };
            let (stream, client, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The client has gone again, or there are no descriptors left: those come
                    // back when connections end, so a moment is waited and no core is burnt.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            tokio::spawn(Connection {
                client,
                limits,
                engine: Arc::clone(&engine),
                http: http.clone(),
                watcher: graceful.watcher(),
                stopping: stopping.clone(),
                _permit: permit,
            }.serve(stream));
        }
        drop(listener);
        let open = || limits.connections - permits.available_permits();
        match timeout(patience, graceful.shutdown()).await {
            Ok(()) => 0,
            Err(_) => open(),
        }
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.expect("nobody closes the semaphore");
    let (stream, client) = listener.accept().await?;
    Ok((stream, client, permit))
}

/// A connection that was accepted.
struct Connection {
    client: SocketAddr,
    limits: Limits,
    engine: Arc<Engine>,
    http: http1::Builder,
    watcher: Watcher,
    stopping: Stopping,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // An answer is written in one go; nothing is gained by waiting for more of it. Where this
        // fails the connection is broken, and the first read says so.
        let _ = stream.set_nodelay(true);
        let Self { client, limits, engine, http, watcher, stopping, _permit } = self;
        let requests = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&requests);
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let number = requests.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            let is_last = limits.requests.is_some_and(|max| number >= max);
            let engine = Arc::clone(&engine);
            async move {
                let request = request.map(|body| body::in_time(body, limits.body_patience));
                let mut response = engine.answer(request, client.ip()).await;
                if is_last {
                    close(&mut response);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let stream = TokioIo::new(Taken::new(stream, limits.answer_patience));
        let connection = watcher.watch(http.serve_connection(stream, service));
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%client, %error, "connection ended");
            },
            () = silent(&stopping, &counted) => {}
        }
    }
}

/// A connection over which nothing has ever come counts as busy until its head is late. It is
/// given a moment when the connector stops, for a request that is already on its way.
async fn silent(stopping: &Stopping, requests: &AtomicU32) {
    stopping.stopped().await;
    sleep(Duration::from_millis(500)).await;
    if requests.load(Ordering::Relaxed) > 0 {
        std::future::pending().await
    }
}

fn close(response: &mut Response<Body>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}
