//! `Receiver`: where other members connect to.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use super::connector::parse_address;
use super::diagnostic::{Location, Problems};
use super::section::Section;

/// The port for members.
///
/// HOW-TO, "TCP Replication" and "Cluster Configuration".
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReceiverConfig {
    /// `tcpListenAddress`: where to listen, which members are told. Not a wildcard.
    ///
    /// `auto`, as without the attribute, is 127.0.0.1. Tomcat takes what the name of the machine
    /// resolves to; here nobody is reachable from outside without having asked for it.
    pub address: IpAddr,
    /// `tcpListenPort` to `tcpListenMaxPort`: the ports to try, in this order. `0..=0`: any free
    /// one.
    pub ports: RangeInclusive<u16>,
    /// `tcpThreadCount`: how many connections are applied side by side, 1 to 1024. The frames of
    /// one connection are applied in order in any case.
    pub thread_count: u16,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            ports: 4000..=4099,
            thread_count: 6,
        }
    }
}

impl ReceiverConfig {
    /// Answers also where address and port were chosen: the element itself if they were not.
    pub(crate) fn read(section: &Section, problems: &mut Problems) -> (Self, [Location; 2]) {
        let default = Self::default();
        let address = section.parsed("tcpListenAddress", ADDRESS, problems, |text| match text {
            "auto" => Some(default.address),
            text => parse_address(text).filter(|address| !address.is_unspecified()),
        });
        if let Some(given) = section
            .text("tcpListenAddress")
            .filter(|given| given.value == "auto")
        {
            let what = "auto is 127.0.0.1 here: no member on another machine can reach this node";
            let remedy = "name the address of an interface, or 127.0.0.1";
            problems.warning(&given.at, what, remedy);
        }
        let port = section.number("tcpListenPort", 0..=u16::MAX, problems);
        let last = section.number("tcpListenMaxPort", 1..=u16::MAX, problems);
        let count = section.number("autoBind", 1..=10_000_u16, problems);
        if last.is_some() && count.is_some() {
            let what = "tcpListenMaxPort and autoBind both say where the ports end";
            let names = ["tcpListenMaxPort", "autoBind"];
            section.conflict(names, what, "remove one of them", problems);
        }
        let place = |at: Option<&Location>| at.unwrap_or(section.at()).clone();
        let places = [
            place(address.as_ref().map(|given| &given.at)),
            place(port.as_ref().map(|given| &given.at)),
        ];
        let first = port
            .as_ref()
            .map_or(*default.ports.start(), |given| given.value);
        let end = match (&last, &count) {
            // With port 0 the system chooses, and there is nothing to try behind it.
            (None, Some(count)) if first != 0 => first.saturating_add(count.value - 1),
            (Some(last), _) => last.value,
            (None, _) if port.is_some() => first,
            (None, _) => *default.ports.end(),
        };
        if end < first || (first == 0 && last.is_some()) {
            let what = format!("no port is from {first} to {end}");
            let remedy = "make tcpListenMaxPort the larger one";
            let names = ["tcpListenPort", "tcpListenMaxPort"];
            section.conflict(names, &what, remedy, problems);
        }
        let thread_count = section.number("tcpThreadCount", 1..=1024, problems);
        let config = Self {
            address: address.map_or(default.address, |given| given.value),
            ports: first..=end,
            thread_count: thread_count.map_or(default.thread_count, |given| given.value),
        };
        (config, places)
    }
}

const ADDRESS: &str = "the IP address of one interface, localhost or auto";
