//! The ports that a configuration asks for, taken before anything starts.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::config::{ConnectorConfig, ReceiverConfig, ServerConfig};
use crate::http::{Held, HoldError, Limits, connections_within};

/// Ports that are ours and not open yet.
#[derive(Debug)]
pub(super) struct Ports {
    http: Vec<(Held, Limits)>,
    shutdown: Option<(Held, String)>,
}

/// Ports that are open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) http: Vec<(TcpListener, Limits)>,
    /// The port, and the word that ends the node.
    pub(super) shutdown: Option<(TcpListener, String)>,
}

impl Ports {
    /// Takes the ports of all connectors and the one for the shutdown word, and makes sure that
    /// one for members is free.
    ///
    /// # Errors
    ///
    /// All that cannot be had, each with its remedy. None is held then.
    pub(super) fn hold(config: &ServerConfig) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut http = Vec::new();
        for connector in &config.connectors {
            match Held::hold(connector.address) {
                Ok(held) => http.push((held, limits(connector, config.connectors.len()))),
                Err(error) => problems.push(problem("port of a Connector", &error)),
            }
        }
        let shutdown = config.shutdown.as_ref().and_then(|shutdown| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, shutdown.port));
            match Held::hold(address) {
                Ok(held) => Some((held, shutdown.word.clone())),
                Err(error) => {
                    problems.push(problem("port of the Server", &error));
                    None
                }
            }
        });
        if let Some(cluster) = &config.engine.cluster
            && let Err(said) = check(&cluster.receiver)
        {
            problems.push(said);
        }
        if problems.is_empty() {
            Ok(Self { http, shutdown })
        } else {
            Err(problems)
        }
    }

    /// Opens all of them.
    ///
    /// # Errors
    ///
    /// Another process has opened one that both held.
    pub(super) fn open(self) -> Result<Opened, Vec<String>> {
        let one = |error| vec![problem("port of a Connector", &error)];
        let mut http = Vec::new();
        for (held, limits) in self.http {
            http.push((held.open(BACKLOG).map_err(one)?, limits));
        }
        let shutdown = match self.shutdown {
            Some((held, word)) => Some((held.open(BACKLOG).map_err(one)?, word)),
            None => None,
        };
        Ok(Opened { http, shutdown })
    }
}

/// How many connections the operating system keeps until they are accepted.
const BACKLOG: u32 = 1024;

fn problem(what: &str, error: &HoldError) -> String {
    match error.source() {
        Some(source) => format!("{what}: {error}: {source}"),
        None => format!("{what}: {error}"),
    }
}

fn check(receiver: &ReceiverConfig) -> Result<(), String> {
    let addresses = addresses(receiver);
    let mut last = None;
    for address in addresses {
        match Held::hold(address) {
            Ok(_) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    let Some(error) = last else { return Ok(()) };
    if receiver.ports.start() == receiver.ports.end() {
        return Err(problem("tcpListenPort of the Receiver", &error));
    }
    let (first, end) = (receiver.ports.start(), receiver.ports.end());
    Err(format!(
        "{}; so were all from {first} to {end}",
        problem("tcpListenPort of the Receiver", &error)
    ))
}

/// Where the node may listen for members, in this order.
pub(super) fn addresses(receiver: &ReceiverConfig) -> impl Iterator<Item = SocketAddr> {
    let &ReceiverConfig {
        address,
        ref ports,
        // It limits what is applied side by side, not where.
        thread_count: _,
    } = receiver;
    ports
        .clone()
        .map(move |port| SocketAddr::new(address, port))
}

fn limits(connector: &ConnectorConfig, connectors: usize) -> Limits {
    let &ConnectorConfig {
        address: _,
        max_keep_alive_requests,
        connection_timeout: head,
        keep_alive_timeout: idle,
    } = connector;
    // A time for heads is one for idleness as well, so the longer of both is the head's, and the
    // connection is watched where it may be idle for less.
    let head_patience = match (head, idle) {
        (Some(head), Some(idle)) => Some(head.max(idle)),
        (None, _) | (_, None) => None,
    };
    let default = Limits::default();
    Limits {
        connections: connections_within(default.connections, connectors),
        requests: max_keep_alive_requests,
        head_patience,
        idle_patience: idle.filter(|&idle| head_patience.is_none_or(|head| idle < head)),
        ..default
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn patience(head: Option<u64>, idle: Option<u64>) -> (Option<u64>, Option<u64>) {
        let connector = ConnectorConfig {
            connection_timeout: head.map(Duration::from_secs),
            keep_alive_timeout: idle.map(Duration::from_secs),
            ..ConnectorConfig::default()
        };
        let limits = limits(&connector, 1);
        let seconds = |patience: Option<Duration>| patience.map(|patience| patience.as_secs());
        (seconds(limits.head_patience), seconds(limits.idle_patience))
    }

    #[test]
    fn a_connection_is_watched_only_where_it_may_be_idle_for_less_than_a_head_may_take() {
        assert_eq!(patience(Some(20), Some(20)), (Some(20), None));
        assert_eq!(patience(Some(20), Some(5)), (Some(20), Some(5)));
        assert_eq!(patience(Some(5), Some(20)), (Some(20), None));
        assert_eq!(patience(None, Some(20)), (None, Some(20)));
        assert_eq!(patience(Some(20), None), (None, None));
    }

    #[tokio::test]
    async fn every_port_that_cannot_be_had_is_in_one_list() {
        let listen = || {
            Held::hold("127.0.0.1:0".parse().unwrap())
                .unwrap()
                .open(1)
                .unwrap()
        };
        let (one, other) = (listen(), listen());
        let connector = |listener: &TcpListener| ConnectorConfig {
            address: listener.local_addr().unwrap(),
            ..ConnectorConfig::default()
        };
        let config = ServerConfig {
            connectors: vec![connector(&one), connector(&other)],
            ..ServerConfig::default()
        };
        let problems = Ports::hold(&config).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(
            problems
                .iter()
                .all(|problem| problem.contains("in use; stop what"))
        );
    }
}
