//! `Membership`: how members find each other.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use catherd::is_cluster_name;

use super::connector::parse_address;
use super::diagnostic::{Location, Problems};
use super::section::Section;

/// Heartbeats by multicast.
///
/// HOW-TO, "Membership" and "Cluster Configuration". The values are those of the sample that the
/// HOW-TO points to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MembershipConfig {
    /// `mcastAddr` and `mcastPort`: the group, which is the same on all members.
    pub group: SocketAddrV4,
    /// `mcastFrequency`: from one heartbeat to the next, 10 ms to 60 s. Shorter finds a silent
    /// member sooner and costs each member one datagram more.
    pub frequency: Duration,
    /// `mcastDropTime`: the silence that makes a member suspect, at least twice `frequency`.
    pub drop_time: Duration,
    /// `mcastBindAddress`: the interface for heartbeats; `0.0.0.0`: the system chooses. Without
    /// the attribute it is the one that the receiver listens on, so that members on loopback are
    /// heard on loopback only.
    pub bind_address: Ipv4Addr,
    /// `mcastClusterDomain`: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub domain: String,
    /// `mcastTTL`: the routers that a heartbeat passes.
    pub ttl: u8,
}

impl Default for MembershipConfig {
    fn default() -> Self {
        Self {
            group: SocketAddrV4::new(Ipv4Addr::new(228, 0, 0, 4), 45564),
            frequency: Duration::from_millis(500),
            drop_time: Duration::from_millis(3000),
            bind_address: Ipv4Addr::LOCALHOST,
            domain: "catalina".to_owned(),
            ttl: 1,
        }
    }
}

impl MembershipConfig {
    /// Answers also where the interface was chosen, if it was.
    pub(crate) fn read(
        section: &Section,
        listen_address: IpAddr,
        problems: &mut Problems,
    ) -> (Self, Option<Location>) {
        let default = Self::default();
        let group = "an IPv4 multicast address from 224.0.0.0 to 239.255.255.255";
        let group = section.parsed("mcastAddr", group, problems, |text| {
            text.parse().ok().filter(Ipv4Addr::is_multicast)
        });
        let group = group.map_or(*default.group.ip(), |given| given.value);
        let port = section.number("mcastPort", 1..=u16::MAX, problems);
        let port = port.map_or(default.group.port(), |given| given.value);
        let frequency = section.millis("mcastFrequency", 10..=60_000, problems);
        let frequency = frequency.map_or(default.frequency, |given| given.value);
        let drop_time = section.millis("mcastDropTime", 20..=3_600_000, problems);
        let drop_time = drop_time.map_or(default.drop_time, |given| given.value);
        // As the library demands: one lost heartbeat is no silence.
        if drop_time < 2 * frequency {
            let what = format!(
                "a member would be suspect after {} ms of silence and be heard every {} ms only",
                drop_time.as_millis(),
                frequency.as_millis()
            );
            let remedy = "make mcastDropTime several times mcastFrequency";
            section.conflict(["mcastFrequency", "mcastDropTime"], &what, remedy, problems);
        }
        let bind = section.parsed("mcastBindAddress", "an IPv4 address", problems, |text| {
            match parse_address(text) {
                Some(IpAddr::V4(address)) => Some(address),
                Some(IpAddr::V6(_)) | None => None,
            }
        });
        let bind_at = bind.as_ref().map(|given| given.at.clone());
        let beside_receiver = match listen_address {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) if address.is_loopback() => Ipv4Addr::LOCALHOST,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let ttl = section.limit("mcastTTL", 0..=u8::MAX, problems);
        let config = Self {
            group: SocketAddrV4::new(group, port),
            frequency,
            drop_time,
            bind_address: bind.map_or(beside_receiver, |given| given.value),
            domain: section
                .named("mcastClusterDomain", "._-", is_cluster_name, problems)
                .unwrap_or(default.domain),
            ttl: ttl.and_then(|given| given.value).unwrap_or(default.ttl),
        };
        (config, bind_at)
    }
}
