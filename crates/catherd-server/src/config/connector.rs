//! `Connector`: where HTTP requests arrive.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use roxmltree::Node;

use super::diagnostic::{Location, Problems, quoted};
use super::reading::Reading;
use super::section::Section;
use super::words::CONNECTOR;

/// An HTTP port.
///
/// Without `address` it is open on 127.0.0.1 only, where Tomcat opens it on all addresses: what
/// nobody has asked for is not reachable from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectorConfig {
    /// `address` and `port`. Port 0: any free one.
    pub address: SocketAddr,
    /// `maxKeepAliveRequests`: requests that one connection may carry, at least 1. `None`: no
    /// limit.
    pub max_keep_alive_requests: Option<u32>,
    /// `connectionTimeout`: how long the head of a request may take. `None`: no limit.
    pub connection_timeout: Option<Duration>,
    /// `keepAliveTimeout`: how long a connection may be idle between requests. `None`: no limit.
    pub keep_alive_timeout: Option<Duration>,
}

impl Default for ConnectorConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            max_keep_alive_requests: Some(100),
            connection_timeout: Some(Duration::from_secs(20)),
            keep_alive_timeout: Some(Duration::from_secs(20)),
        }
    }
}

impl ConnectorConfig {
    /// `None`: one that is not opened, for a reason that was reported.
    pub(crate) fn read(
        reading: &mut Reading<'_>,
        node: Node<'_, '_>,
        ports: &mut Ports,
    ) -> Option<Self> {
        reading.children(&CONNECTOR, node);
        let at = reading.at(node);
        let mut raws = reading.raws(CONNECTOR.name, node);
        let problems = &mut *reading.problems;
        let protocol = raws
            .iter()
            .find(|raw| raw.name == "protocol")
            .map(|raw| &raw.value);
        if protocol.is_some_and(|protocol| is_ajp(protocol)) {
            let what = match raws.iter().find(|raw| raw.name == "port") {
                Some(port) => {
                    let port = quoted(&port.value);
                    format!("AJP/1.3 is not available in this release: port {port} is not opened")
                }
                None => "AJP/1.3 is not available in this release".to_owned(),
            };
            problems.warning(&at, what, "let the load balancer use an HTTP connector");
            // Its other attributes are as much without effect; only what nobody knows is said.
            raws.retain(|raw| CONNECTOR.word(&raw.name).is_none());
            Section::new(&CONNECTOR, at, raws, problems);
            return None;
        }
        let section = Section::new(&CONNECTOR, at, raws, problems);
        section.parsed("protocol", "HTTP/1.1 or AJP/1.3", problems, |text| {
            is_http(text).then_some(())
        });
        let default = Self::default();
        let ip = section.parsed("address", "an IP address", problems, parse_address);
        let port = section.number("port", 0..=u16::MAX, problems);
        let place = port.as_ref().map_or(section.at(), |port| &port.at).clone();
        let ip = ip.map_or(default.address.ip(), |ip| ip.value);
        let port = port.map_or(default.address.port(), |port| port.value);
        let address = SocketAddr::new(ip, port);
        ports.take(address, "Connector", &place, problems);
        let requests = section.limit("maxKeepAliveRequests", 1..=u32::MAX, problems);
        let connection_timeout = section.limit("connectionTimeout", MILLIS, problems);
        let connection_timeout = connection_timeout.map_or(default.connection_timeout, |given| {
            given.value.map(Duration::from_millis)
        });
        let keep_alive_timeout = section.limit("keepAliveTimeout", MILLIS, problems);
        Some(Self {
            address,
            max_keep_alive_requests: requests
                .map_or(default.max_keep_alive_requests, |given| given.value),
            connection_timeout,
            keep_alive_timeout: keep_alive_timeout.map_or(connection_timeout, |given| {
                given.value.map(Duration::from_millis)
            }),
        })
    }
}

/// An IP address, or `localhost`. Other names are not looked up: what a name server says would
/// decide who can reach the port.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    match text {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().ok(),
    }
}

/// The ports that were given out, so that two uses of one are reported before either opens.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    taken: Vec<(SocketAddr, &'static str, Location)>,
}

impl Ports {
    /// `what` wants to open `address`.
    pub(crate) fn take(
        &mut self,
        address: SocketAddr,
        what: &'static str,
        at: &Location,
        problems: &mut Problems,
    ) {
        let clashes = |other: &SocketAddr| {
            other.port() == address.port()
                && address.port() != 0
                && (other.ip() == address.ip()
                    || other.ip().is_unspecified()
                    || address.ip().is_unspecified())
        };
        if let Some((_, other, place)) = self.taken.iter().find(|(other, ..)| clashes(other)) {
            let what = format!(
                "port {} of this {what} is that of a {other}",
                address.port()
            );
            problems.error(at.max(place), what, "give each a port of its own");
        }
        self.taken.push((address, what, at.clone()));
    }
}

fn is_http(protocol: &str) -> bool {
    protocol == "HTTP/1.1" || protocol.starts_with("org.apache.coyote.http11.Http11")
}

fn is_ajp(protocol: &str) -> bool {
    protocol == "AJP/1.3"
        || protocol.starts_with("org.apache.coyote.ajp.")
        || protocol == "org.apache.jk.server.JkCoyoteHandler"
}

/// From one millisecond to a day.
const MILLIS: std::ops::RangeInclusive<u64> = 1..=86_400_000;
