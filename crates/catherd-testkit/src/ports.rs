//! Ports that no other test has, in whatever process it runs.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// A port that is a node's to bind, for as long as this value lives.
///
/// A port that is merely looked up and let go may be another's a moment later. TCP and UDP have
/// their ports apart, so what a node binds in one stays reserved by a socket of the same number in
/// the other; the kernel lets it go when the test ends, however it ends.
#[derive(Debug)]
pub(crate) struct Reservation {
    port: u16,
    _guard: Guard,
}

#[derive(Debug)]
#[expect(dead_code, reason = "the sockets are only held")]
enum Guard {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// Below the ports that the kernel gives to outgoing connections, above the well-known ones.
const LOWEST: u16 = 12_000;
const COUNT: u16 = 20_000;

impl Reservation {
    /// A TCP port on loopback.
    pub(crate) fn of_tcp() -> Self {
        Self::find(|_, udp| Guard::Udp(udp))
    }

    /// A UDP port, for a multicast group.
    pub(crate) fn of_udp() -> Self {
        Self::find(|tcp, _| Guard::Tcp(tcp))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn find(guard: impl Fn(TcpListener, UdpSocket) -> Guard) -> Self {
        // Standard maps are seeded at random; that is random enough to begin at.
        let random = RandomState::new().build_hasher().finish();
        let start = u16::try_from(random % u64::from(COUNT)).expect("a rest below a u16");
        let candidates = (0..COUNT).map(|step| LOWEST + (start + step) % COUNT);
        let both_free = |port| {
            let at = (Ipv4Addr::LOCALHOST, port);
            Some((port, TcpListener::bind(at).ok()?, UdpSocket::bind(at).ok()?))
        };
        let found = candidates.into_iter().find_map(both_free);
        let (port, tcp, udp) = found.expect("one of twenty thousand ports is free");
        Self {
            port,
            _guard: guard(tcp, udp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_can_be_bound_by_a_node_and_by_no_other_reservation() {
        let (http, group) = (Reservation::of_tcp(), Reservation::of_udp());
        assert_ne!(http.port(), group.port());
        TcpListener::bind((Ipv4Addr::LOCALHOST, http.port())).unwrap();
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, group.port())).unwrap();
        // Whoever reserves binds both.
        UdpSocket::bind((Ipv4Addr::LOCALHOST, http.port())).unwrap_err();
        TcpListener::bind((Ipv4Addr::LOCALHOST, group.port())).unwrap_err();
    }

    #[test]
    fn a_port_is_free_again_when_its_reservation_ends() {
        let port = Reservation::of_tcp().port();
        UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
}
