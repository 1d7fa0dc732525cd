//! A connector: accepts connections and serves them until it is told to stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderValue, Response, header};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::idle::{Answer, Idleness};
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
    /// How long a head may take, from the start of the connection or the end of the answer before
    /// it; `None` for ever. So it is at most how long a connection may be idle, too.
    pub(crate) head_patience: Option<Duration>,
    /// How long a connection may be idle, where that is shorter.
    pub(crate) idle_patience: Option<Duration>,
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
            head_patience: Some(Duration::from_secs(10)),
            idle_patience: None,
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
        Self {
            listener,
            limits,
            engine,
        }
    }

    /// Serves until it is told to stop; then accepts nothing more, and waits for the requests that
    /// run, for at most `patience`. How many connections it had to cut.
    pub(crate) async fn run(self, stopping: Stopping, patience: Duration) -> usize {
        let Self {
            listener,
            limits,
            engine,
        } = self;
        let permits = Arc::new(Semaphore::new(limits.connections));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head_patience)
            .max_headers(limits.headers)
            .max_header_size(limits.head_bytes)
            .max_buf_size(limits.head_bytes.max(64 * 1024));
        let serve = |(stream, client, permit)| {
            let connection = Connection {
                client,
                limits,
                engine: Arc::clone(&engine),
                http: http.clone(),
                stopping: stopping.clone(),
                _permit: permit,
            };
            drop(tokio::spawn(connection.serve(stream)));
        };
        loop {
            tokio::select! {
                biased;
                () = stopping.stopped() => break,
                accepted = accept(&listener, &permits) => serve(accepted),
            }
        }
        // The kernel has connected these, and they may have sent their requests: closing the port
        // would reset them.
        for (stream, client) in arrived(listener) {
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                break;
            };
            serve((stream, client, permit));
        }
        // Each connection has a permit until it ends.
        let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
        match timeout(patience, permits.acquire_many(all)).await {
            Ok(_) => 0,
            Err(_) => limits.connections - permits.available_permits(),
        }
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permits = Arc::clone(permits);
    let permit = permits
        .acquire_owned()
        .await
        .expect("nobody closes the semaphore");
    let mut is_failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, client)) => return (stream, client, permit),
            Err(error) => {
                // The client has gone again, or there are no descriptors left: those come back
                // when connections end. A moment is waited, so that neither a core is burnt nor
                // the log flooded.
                if !is_failing {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                is_failing = true;
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Who has been connected and not accepted yet; the port is closed with the iterator.
fn arrived(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    // Not the runtime's way of accepting, which learns of a connection only with its next turn.
    let listener = listener.into_std().ok();
    std::iter::from_fn(move || {
        let (stream, client) = listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, client))
    })
}

/// A connection that was accepted.
struct Connection {
    client: SocketAddr,
    limits: Limits,
    engine: Arc<Engine>,
    http: http1::Builder,
    stopping: Stopping,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // An answer is written in one go; nothing is gained by waiting for more of it. Where this
        // fails the connection is broken, and the first read says so.
        let _ = stream.set_nodelay(true);
        let Self {
            client,
            limits,
            engine,
            http,
            stopping,
            _permit,
        } = self;
        let (requests, first) = (AtomicU32::new(0), Arc::new(Notify::new()));
        let has_come = Arc::clone(&first);
        let idleness = limits.idle_patience.map(|_| Idleness::new());
        let noted = idleness.clone();
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let number = requests.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            has_come.notify_one();
            let is_last = limits.requests.is_some_and(|max| number >= max);
            let engine = Arc::clone(&engine);
            let idleness = noted.clone();
            if let Some(idleness) = &idleness {
                idleness.begin();
            }
            async move {
                let request = request.map(|body| body::in_time(body, limits.body_patience));
                let mut response = engine.answer(request, client.ip()).await;
                if is_last {
                    close(&mut response);
                }
                Ok::<_, Infallible>(response.map(|body| Answer::new(body, idleness)))
            }
        });
        let stream = TokioIo::new(Taken::new(stream, limits.answer_patience));
        let mut connection = pin!(http.serve_connection(stream, service));
        let mut is_ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%client, %error, "connection ended");
                    }
                    return;
                }
                may_end = may_end(&stopping, &first), if !is_ending => {
                    if !may_end {
                        return;
                    }
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = too_idle(idleness.as_ref(), limits.idle_patience) => return,
            }
        }
    }
}

/// Waits until the connector stops, and the connection can end behind a request: `false` if none
/// has ever come. It is given a moment, for one that is already on its way; told to end before,
/// the connection would close without looking.
async fn may_end(stopping: &Stopping, first: &Notify) -> bool {
    stopping.stopped().await;
    timeout(FIRST_REQUEST, first.notified()).await.is_ok()
}

/// See [`may_end`].
const FIRST_REQUEST: Duration = Duration::from_millis(500);

async fn too_idle(idleness: Option<&Idleness>, patience: Option<Duration>) {
    match (idleness, patience) {
        (Some(idleness), Some(patience)) => idleness.lasts(patience).await,
        _ => std::future::pending().await,
    }
}

fn close(response: &mut Response<Body>) {
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use catherd::Cluster;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::engine::{Host, Hosts, mount};

    /// An open port with an application of two paths: one answers, one waits until it may.
    struct Server {
        address: SocketAddr,
        has_come: Arc<Notify>,
        may_go: Arc<Notify>,
        stop: watch::Sender<bool>,
        running: JoinHandle<usize>,
    }

    async fn serve(limits: Limits, patience: Duration) -> Server {
        let (has_come, may_go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (come, go) = (Arc::clone(&has_come), Arc::clone(&may_go));
        let wait = || async move {
            come.notify_one();
            go.notified().await;
            "waited"
        };
        let router = Router::new()
            .route("/a", get(|| async { "a" }))
            .route("/wait", get(wait));
        let cluster = Cluster::builder()
            .node_name("node01")
            .start_local()
            .unwrap();
        let host = Host::new("localhost").with("", mount(router));
        let engine = Engine::new(cluster, Hosts::new(vec![host], "localhost"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = Stopping::new();
        let connector = Connector::new(listener, limits, Arc::new(engine));
        let running = tokio::spawn(connector.run(stopping, patience));
        Server {
            address,
            has_come,
            may_go,
            stop,
            running,
        }
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn connect(server: &Server) -> TcpStream {
        TcpStream::connect(server.address).await.unwrap()
    }

    async fn send(client: &mut TcpStream, path: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
    }

    /// All that comes until the server closes.
    async fn rest(client: &mut TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    /// What comes up to the end of a body.
    async fn until(client: &mut TcpStream, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            text.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn a_connection_carries_no_more_requests_than_it_may() {
        let limits = Limits {
            requests: Some(2),
            ..Limits::default()
        };
        let server = serve(limits, PATIENCE).await;
        let mut client = connect(&server).await;
        send(&mut client, "/a").await;
        let first = until(&mut client, "\r\n\r\na").await.to_lowercase();
        assert!(first.starts_with("http/1.1 200 ok") && !first.contains("connection: close"));
        assert!(!first.contains("server:"), "{first}");
        send(&mut client, "/a").await;
        let last = rest(&mut client).await.to_lowercase();
        assert!(
            last.contains("connection: close") && last.ends_with("\r\n\r\na"),
            "{last}"
        );
    }

    #[tokio::test]
    async fn what_runs_is_finished_and_what_is_idle_is_closed_when_it_stops() {
        let server = serve(Limits::default(), PATIENCE).await;
        let (mut busy, mut idle) = (connect(&server).await, connect(&server).await);
        let mut silent = connect(&server).await;
        send(&mut idle, "/a").await;
        until(&mut idle, "\r\n\r\na").await;
        send(&mut busy, "/wait").await;
        server.has_come.notified().await;
        server.stop.send_replace(true);
        assert_eq!(rest(&mut idle).await, "");
        assert_eq!(rest(&mut silent).await, "");
        server.may_go.notify_one();
        let answer = rest(&mut busy).await.to_lowercase();
        assert!(
            answer.contains("connection: close") && answer.ends_with("waited"),
            "{answer}"
        );
        assert_eq!(server.running.await.unwrap(), 0);
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    /// They are the kernel's, until somebody accepts them.
    #[tokio::test]
    async fn who_has_connected_when_it_stops_is_answered() {
        let server = serve(Limits::default(), PATIENCE).await;
        // Nothing else runs between these lines.
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let mut client = std::net::TcpStream::connect(server.address).unwrap();
                let request = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
                std::io::Write::write_all(&mut client, request).unwrap();
                client.set_nonblocking(true).unwrap();
                client
            })
            .collect();
        server.stop.send_replace(true);
        for client in clients {
            let mut client = TcpStream::from_std(client).unwrap();
            let answer = rest(&mut client).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert_eq!(server.running.await.unwrap(), 0);
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_is_not_waited_for_for_ever() {
        let server = serve(Limits::default(), Duration::from_millis(50)).await;
        let mut busy = connect(&server).await;
        send(&mut busy, "/wait").await;
        server.has_come.notified().await;
        server.stop.send_replace(true);
        assert_eq!(server.running.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_for_its_turn() {
        let limits = Limits {
            connections: 1,
            ..Limits::default()
        };
        let server = serve(limits, PATIENCE).await;
        let mut first = connect(&server).await;
        send(&mut first, "/wait").await;
        server.has_come.notified().await;
        let mut second = connect(&server).await;
        send(&mut second, "/a").await;
        server.may_go.notify_one();
        until(&mut first, "waited").await;
        drop(first);
        assert!(
            until(&mut second, "\r\n\r\na")
                .await
                .starts_with("HTTP/1.1 200")
        );
    }

    #[tokio::test]
    async fn a_head_that_is_late_and_a_connection_that_is_idle_are_closed() {
        let short = Duration::from_millis(50);
        let slow_head = Limits {
            head_patience: Some(short),
            ..Limits::default()
        };
        let server = serve(slow_head, PATIENCE).await;
        let mut client = connect(&server).await;
        client
            .write_all(b"GET /a HTTP/1.1\r\nHost: loc")
            .await
            .unwrap();
        assert_eq!(rest(&mut client).await, "");

        let idle = Limits {
            head_patience: None,
            idle_patience: Some(short),
            ..Limits::default()
        };
        let server = serve(idle, PATIENCE).await;
        let mut client = connect(&server).await;
        send(&mut client, "/a").await;
        assert!(rest(&mut client).await.ends_with("\r\n\r\na"));
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_or_has_too_many_lines_is_refused() {
        let server = serve(Limits::default(), PATIENCE).await;
        let many: String = (0..200)
            .map(|number| format!("x-{number}: 1\r\n"))
            .collect();
        for lines in [format!("x: {}\r\n", "a".repeat(17 * 1024)), many] {
            let mut client = connect(&server).await;
            let head = format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            assert!(rest(&mut client).await.starts_with("HTTP/1.1 431"));
        }
    }

    #[tokio::test]
    async fn nothing_behind_an_ambiguous_request_is_read() {
        let server = serve(Limits::default(), PATIENCE).await;
        let heads = [
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +5",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding : chunked",
            "X: 1\r\n folded: 2",
        ];
        for head in heads {
            let mut client = connect(&server).await;
            let request = format!(
                "POST /a HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n0\r\n\r\n\
                 GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
            );
            client.write_all(request.as_bytes()).await.unwrap();
            let answers = rest(&mut client).await;
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{head}: {answers}");
            assert!(!answers.contains("HTTP/1.1 200"), "{head}: {answers}");
        }
    }
}
