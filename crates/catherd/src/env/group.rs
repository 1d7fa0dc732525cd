//! A multicast group, and what it takes to be one.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// A multicast group to join.
///
/// HOW-TO, "Membership": members find each other by one group address and one port;
/// `mcastAddr`, `mcastPort`, `mcastBindAddress` and `mcastTTL` are its attributes.
///
/// Several sockets of one machine may join the same group. Other groups with the same port are not
/// heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// The address of the group: 224.0.0.0 to 239.255.255.255, or of `ff00::/8`.
    pub address: IpAddr,
    /// The port, not 0.
    pub port: u16,
    /// An address of this host: the group is joined on the interface that has it, and there alone.
    /// `None`, or an unspecified address, leaves the choice to the operating system. Of the same
    /// family as `address`.
    pub interface: Option<IpAddr>,
    /// How many routers a datagram may pass, 0 to 255; 0 stays on this host. `None`: the default of
    /// the operating system, which is 1, the local network.
    pub ttl: Option<u32>,
}

impl Group {
    /// A group on the interface and with the reach that the operating system chooses.
    pub fn new(address: IpAddr, port: u16) -> Self {
        Self {
            address,
            port,
            interface: None,
            ttl: None,
        }
    }

    /// Address and port together.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// The interface, unless the choice is left open.
    pub(crate) fn chosen_interface(&self) -> Option<IpAddr> {
        self.interface.filter(|address| !address.is_unspecified())
    }

    /// Finds what is wrong with the group itself, before any socket is made.
    pub(crate) fn check(&self) -> io::Result<()> {
        let wrong = if !self.address.is_multicast() {
            "not a multicast address"
        } else if self.port == 0 {
            "a group needs a port"
        } else if self
            .interface
            .is_some_and(|it| it.is_ipv4() != self.address.is_ipv4())
        {
            "the interface is of the other address family"
        } else if self.ttl.is_some_and(|ttl| ttl > 255) {
            "the time to live is more than 255"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_cannot_be_is_refused_with_its_reason() {
        let good = Group::new([228, 0, 0, 4].into(), 45564);
        good.check().unwrap();
        let cases = [
            (
                Group {
                    address: [10, 0, 0, 1].into(),
                    ..good.clone()
                },
                "multicast",
            ),
            (
                Group {
                    port: 0,
                    ..good.clone()
                },
                "port",
            ),
            (
                Group {
                    interface: Some(IpAddr::from([0u16; 8])),
                    ..good.clone()
                },
                "family",
            ),
            (
                Group {
                    ttl: Some(256),
                    ..good.clone()
                },
                "255",
            ),
        ];
        for (group, reason) in cases {
            let error = group.check().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(reason), "{group:?}: {error}");
        }
    }

    #[test]
    fn an_unspecified_interface_leaves_the_choice_open() {
        let mut group = Group::new([228, 0, 0, 4].into(), 45564);
        group.interface = Some([0, 0, 0, 0].into());
        assert_eq!(group.chosen_interface(), None);
    }
}
