//! A node from its start to its end.
//!
//! The order is the point (HOW-TO, "How it Works", 2 and 5): ports are taken, the cluster is
//! joined, and only then do clients get in; at the end clients are let out, and only then is the
//! cluster left.
//!
//! | file | what it holds |
//! |---|---|
//! | `ports` | the ports that a configuration asks for, taken before anything starts |
//! | `member` | the node as a member of its cluster |
//! | `contexts` | the hosts and their applications |
//! | `shutdown_port` | the port on which a word ends the node |
//! | `stop` | signals, and the end of standard input |

mod contexts;
mod member;
mod ports;
mod shutdown_port;
mod stop;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::ports::Ports;
pub(crate) use self::stop::Signals;
use crate::config::ServerConfig;
use crate::engine::Engine;
use crate::http::{Connector, Stopping};

/// How a node has ended that had started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// It has left its cluster.
    Cleanly,
    /// It was told twice.
    AtOnce,
}

/// How long requests may run on, and then how long what is queued for members may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the node that `config` describes, until it is told to end.
///
/// # Errors
///
/// It did not start; every reason, with its remedy. Nothing of it is left behind.
pub(crate) async fn run(config: &ServerConfig, end_with_stdin: bool) -> Result<Ended, Vec<String>> {
    let ports = Ports::hold(config)?;
    let one = |problem: String| vec![problem];
    let mut signals = Signals::listen().map_err(|error| one(error.to_string()))?;
    let cluster = member::start(config).await.map_err(one)?;
    let hosts = contexts::build(&config.engine, &cluster).map_err(one)?;
    let engine = Arc::new(Engine::new(cluster.clone(), hosts));

    let mut stop = Stop::new(end_with_stdin);
    let ready = tokio::select! {
        () = cluster.ready() => true,
        why = stop.told(&mut signals) => {
            tracing::info!(why, "told to end before the node was ready");
            false
        }
    };
    if ready {
        let serving = Serving::open(ports, &engine, &mut stop)?;
        let why = stop.told(&mut signals).await;
        tracing::info!(why, "ending: running requests are finished");
        engine.stop();
        serving.switch.send_replace(true);
        let connectors = join_all(serving.connectors);
        tokio::select! {
            cut = connectors => {
                let cut: usize = cut.into_iter().map(Result::unwrap_or_default).sum();
                if cut > 0 {
                    tracing::warn!(connections = cut, "requests that did not end are cut off");
                }
            }
            _ = signals.next() => return Ok(Ended::AtOnce),
        }
    }
    tokio::select! {
        () = cluster.shutdown(PATIENCE) => {
            tracing::info!("ended");
            Ok(Ended::Cleanly)
        }
        _ = signals.next() => Ok(Ended::AtOnce),
    }
}

/// The connectors of a node that serves.
struct Serving {
    /// Tells them to stop.
    switch: watch::Sender<bool>,
    /// Each ends with the number of connections that it had to cut.
    connectors: Vec<JoinHandle<usize>>,
}

impl Serving {
    /// Opens what was held. From here on clients get in.
    fn open(ports: Ports, engine: &Arc<Engine>, stop: &mut Stop) -> Result<Self, Vec<String>> {
        let opened = ports.open()?;
        stop.shutdown = opened.shutdown;
        let (switch, stopping) = Stopping::new();
        let mut connectors = Vec::new();
        for (listener, limits) in opened.http {
            if let Ok(address) = listener.local_addr() {
                let (port, connections) = (address.port(), limits.connections);
                tracing::info!(%address, port, connections, "HTTP port open");
            }
            let connector = Connector::new(listener, limits, Arc::clone(engine));
            connectors.push(tokio::spawn(connector.run(stopping.clone(), PATIENCE)));
        }
        Ok(Self { switch, connectors })
    }
}

/// What else than a signal can end the node.
struct Stop {
    end_with_stdin: bool,
    /// The port, and the word.
    shutdown: Option<(TcpListener, String)>,
}

impl Stop {
    fn new(end_with_stdin: bool) -> Self {
        Self {
            end_with_stdin,
            shutdown: None,
        }
    }

    /// Waits until somebody tells the node to end; who.
    async fn told(&mut self, signals: &mut Signals) -> &'static str {
        let shutdown = self.shutdown.take();
        let word = async {
            match shutdown {
                Some((listener, word)) => shutdown_port::said(listener, &word).await,
                None => pending().await,
            }
        };
        let stdin = async {
            if self.end_with_stdin {
                stop::stdin_closed().await
            } else {
                pending().await
            }
        };
        tokio::select! {
            signal = signals.next() => signal,
            () = word => "shutdown port",
            () = stdin => "standard input has ended",
        }
    }
}
