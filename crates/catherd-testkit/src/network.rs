//! Machines with a network between them, on one machine: network namespaces on a bridge.
//!
//! A node in one of them has an address of its own, and packets between two of them can be dropped
//! as a broken switch drops them: nobody is told. It takes root, `ip` and `iptables`.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::debian;
use crate::farm::Farm;

/// A bridge. It is taken down with its machines when this value is dropped.
#[derive(Debug)]
pub struct Network {
    bridge: String,
    hosts: Vec<Host>,
}

/// A machine of a [`Network`].
#[derive(Debug)]
pub struct Host {
    namespace: String,
    address: Ipv4Addr,
}

/// What has passed the network interface of a [`Host`] in both directions, since it was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Traffic {
    bytes: u64,
    packets: u64,
}

impl Traffic {
    /// The bytes of IP packets, their headers included and those of Ethernet not. What the kernel
    /// hands over as one piece, to be cut by hardware that is not there, has one header.
    pub fn ip_bytes(&self) -> u64 {
        const ETHERNET_HEAD: u64 = 14;
        self.bytes - self.packets * ETHERNET_HEAD
    }

    /// The interface's line of `/proc/net/dev`: bytes and packets received, six other figures,
    /// bytes and packets sent.
    fn parse(devices: &str, interface: &str) -> Option<Self> {
        let mut lines = devices.lines().filter_map(|line| line.split_once(':'));
        let (_, figures) = lines.find(|(name, _)| name.trim() == interface)?;
        let figures: Vec<u64> = figures
            .split_whitespace()
            .map(|figure| figure.parse().ok())
            .collect::<Option<_>>()?;
        Some(Self {
            bytes: figures.first()? + figures.get(8)?,
            packets: figures.get(1)? + figures.get(9)?,
        })
    }
}

impl Network {
    /// A network of `N` machines for a farm that has one network and no more.
    ///
    /// # Panics
    ///
    /// `N` is more than five, or this process is not allowed to make it, or a program is missing
    /// and cannot be installed.
    pub fn new<const N: usize>(farm: &Farm) -> Self {
        assert!(N <= 5, "a network has room for five");
        debian::install(&["iproute2", "iptables"]);
        let number = farm.group_port();
        // The range of RFC 2544 is nobody's network: eight addresses for each farm.
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + u32::from(number % 16_384) * 8;
        let mut network = Self {
            bridge: format!("ctb{number}"),
            hosts: Vec::new(),
        };
        let bridge = network.bridge.clone();
        drop(try_ip(&format!("link delete {bridge}")));
        ip(&format!(
            "link add {bridge} type bridge mcast_snooping 0 forward_delay 0"
        ));
        let own = Ipv4Addr::from(base + 6);
        ip(&format!("address add {own}/29 dev {bridge}"));
        ip(&format!("link set {bridge} up"));
        for (at, host) in (1_u32..).take(N).enumerate() {
            let namespace = format!("ct{number}-{at}");
            // A test that was killed has left it behind.
            drop(try_ip(&format!("netns delete {namespace}")));
            ip(&format!("netns add {namespace}"));
            let address = Ipv4Addr::from(base + host);
            network.hosts.push(Host {
                namespace: namespace.clone(),
                address,
            });
            let outer = format!("ctv{number}-{at}");
            ip(&format!(
                "link add {outer} type veth peer name eth0 netns {namespace}"
            ));
            ip(&format!("link set {outer} master {bridge} up"));
            ip(&format!("-n {namespace} address add {address}/29 dev eth0"));
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} link set eth0 up"));
        }
        network
    }

    /// Its machines.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// From now on nothing passes between `host` and the other machines, in either direction. The
    /// test still reaches all.
    ///
    /// # Panics
    ///
    /// The rules are not taken.
    pub fn cut_off(&self, host: &Host) {
        for other in &self.hosts {
            if other.address != host.address {
                host.iptables(&format!("-A INPUT -s {} -j DROP", other.address));
                host.iptables(&format!("-A OUTPUT -d {} -j DROP", other.address));
            }
        }
        host.iptables("-A OUTPUT -d 224.0.0.0/4 -j DROP");
    }

    /// Everything passes again.
    ///
    /// # Panics
    ///
    /// The rules are not taken.
    pub fn mend(&self, host: &Host) {
        host.iptables("-F");
    }
}

impl Host {
    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// What has passed its network interface.
    ///
    /// # Panics
    ///
    /// The operating system does not say.
    pub fn traffic(&self) -> Traffic {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.namespace, "cat", "/proc/net/dev"])
            .output()
            .expect("`ip` made the network");
        let devices = String::from_utf8_lossy(&output.stdout);
        Traffic::parse(&devices, "eth0")
            .unwrap_or_else(|| panic!("no figures of eth0 in {output:?}"))
    }

    /// The name of its network namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    fn iptables(&self, arguments: &str) {
        // The lock is there for rules of several processes.
        ip(&format!(
            "netns exec {} iptables -w {arguments}",
            self.namespace
        ));
    }
}

impl Drop for Network {
    /// What is not there any more need not be taken down.
    fn drop(&mut self) {
        for host in &self.hosts {
            drop(try_ip(&format!("netns delete {}", host.namespace)));
        }
        drop(try_ip(&format!("link delete {}", self.bridge)));
    }
}

fn ip(arguments: &str) {
    if let Err(problem) = try_ip(arguments) {
        panic!("`ip {arguments}` failed; networks of tests take root: {problem}");
    }
}

fn try_ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_what_was_received_and_sent_without_the_heads_of_ethernet() {
        let devices = "Inter-|   Receive\n face |bytes packets\n    lo: 9 9 0 0 0 0 0 0 9 9 0 0\n  \
                       eth0: 1000 10 0 0 0 0 0 0  500 5 0 0 0 0 0 0\n";
        let traffic = Traffic::parse(devices, "eth0").unwrap();
        assert_eq!(traffic.ip_bytes(), 1500 - 15 * 14);
        assert_eq!(Traffic::parse(devices, "eth1"), None);
    }
}
