//! A socket of the operating system in a multicast group.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::Group;

/// A socket that hears one group, and the address at which to speak to it.
///
/// The socket is bound to the address of the group and not to any address, so that datagrams to
/// other groups of the same port do not arrive: Linux would hand over those of every group that
/// anybody on the machine has joined.
pub(super) fn join(group: &Group) -> io::Result<(UdpSocket, SocketAddr)> {
    group.check()?;
    match group.address {
        IpAddr::V4(address) => join_v4(group, address),
        IpAddr::V6(address) => join_v6(group, address),
    }
}

fn join_v4(group: &Group, address: Ipv4Addr) -> io::Result<(UdpSocket, SocketAddr)> {
    let interface = match group.chosen_interface() {
        Some(IpAddr::V4(interface)) => interface,
        Some(IpAddr::V6(_)) | None => Ipv4Addr::UNSPECIFIED,
    };
    let at = group.socket_address();
    let socket = bound(Domain::IPV4, at)?;
    // Without this, what arrives for the group on an interface that only another socket has joined
    // would be heard here as well.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_multicast_all_v4(false)?;
    socket
        .join_multicast_v4(&address, &interface)
        .map_err(unknown_interface)?;
    socket.set_multicast_if_v4(&interface)?;
    socket.set_multicast_loop_v4(true)?;
    if let Some(ttl) = group.ttl {
        socket.set_multicast_ttl_v4(ttl)?;
    }
    Ok((socket.into(), at))
}

fn join_v6(group: &Group, address: Ipv6Addr) -> io::Result<(UdpSocket, SocketAddr)> {
    let index = match group.chosen_interface() {
        Some(IpAddr::V6(interface)) => index_of(interface)?,
        Some(IpAddr::V4(_)) | None => 0,
    };
    let at = SocketAddr::V6(SocketAddrV6::new(address, group.port, 0, index));
    let socket = bound(Domain::IPV6, at)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_multicast_all_v6(false)?;
    socket
        .join_multicast_v6(&address, index)
        .map_err(unknown_interface)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_loop_v6(true)?;
    if let Some(ttl) = group.ttl {
        socket.set_multicast_hops_v6(ttl)?;
    }
    Ok((socket.into(), at))
}

fn bound(domain: Domain, at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    // Several nodes of one machine hear the same group: the BSDs ask for both.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket)
}

/// The operating system says "no such device"; everywhere else an address that this host does not
/// have is `AddrNotAvailable`.
fn unknown_interface(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) {
        io::Error::new(io::ErrorKind::AddrNotAvailable, error)
    } else {
        error
    }
}

/// IPv6 names an interface by its number, configuration by one of its addresses.
fn index_of(address: Ipv6Addr) -> io::Result<u32> {
    const TABLE: &str = "/proc/net/if_inet6";
    let table = fs::read_to_string(TABLE).map_err(|error| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            format!("reading {TABLE}: {error}"),
        )
    })?;
    index_in(&table, address).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("no interface has {address}"),
        )
    })
}

/// Each line has address, number, length of the prefix, scope, flags (all hexadecimal), and name.
fn index_in(table: &str, address: Ipv6Addr) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let bits = u128::from_str_radix(words.next()?, 16).ok()?;
        let index = u32::from_str_radix(words.next()?, 16).ok()?;
        (Ipv6Addr::from_bits(bits) == address).then_some(index)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::env::{Env, System};

    const TABLE: &str = "\
00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000021122fffe334455 1f 40 20 80     eth0
";

    #[test]
    fn an_interface_is_found_by_its_address() {
        assert_eq!(index_in(TABLE, Ipv6Addr::LOCALHOST), Some(1));
        assert_eq!(
            index_in(TABLE, "fe80::211:22ff:fe33:4455".parse().unwrap()),
            Some(31)
        );
        assert_eq!(index_in(TABLE, "fe80::1".parse().unwrap()), None);
        assert_eq!(index_in("not a table", Ipv6Addr::LOCALHOST), None);
    }

    /// Needs an interface with IPv6 that can multicast, which loopback cannot; some containers have
    /// none, and there is nothing to hear then.
    #[tokio::test]
    async fn a_group_of_ipv6_is_heard_on_its_interface() {
        let here = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        let Some(line) = here.lines().find(|line| !line.ends_with(" lo")) else {
            return;
        };
        let interface = Ipv6Addr::from_bits(u128::from_str_radix(&line[..32], 16).unwrap());
        let env = System::current();
        let reserved = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let group = Group {
            interface: Some(interface.into()),
            ttl: Some(0),
            ..Group::new(
                "ff12::4".parse().unwrap(),
                reserved.local_addr().unwrap().port(),
            )
        };
        let first = env.multicast(&group).await.unwrap();
        let second = env.multicast(&group).await.unwrap();
        env.send_datagram(&first, b"six").await.unwrap();
        for socket in [&first, &second] {
            let mut buffer = [0; 8];
            let heard = env.receive_datagram(socket, &mut buffer);
            let heard = tokio::time::timeout(Duration::from_secs(60), heard)
                .await
                .unwrap();
            assert_eq!(heard.unwrap().0, 3);
            assert_eq!(&buffer[..3], b"six");
        }
    }

    #[test]
    fn an_interface_of_another_host_is_not_available() {
        let mut group = Group::new([239, 255, 0, 1].into(), 45_999);
        group.interface = Some([203, 0, 113, 7].into());
        assert_eq!(
            join(&group).unwrap_err().kind(),
            io::ErrorKind::AddrNotAvailable
        );
    }
}
