//! What each further copy costs: processor time with two to eight nodes, and bytes on the wire.

use std::path::Path;
use std::time::Duration;

use catherd_testkit::{Farm, Network, Site as _};

use super::connection::Target;
use super::figures::{Measure, median};
use super::load::{self, Background};
use super::setup::{Setup, configured};

const SIZE: usize = 1000;

/// With how many nodes.
pub(super) const NODES: [usize; 5] = [2, 3, 4, 6, 8];

/// The name of the measure with so many nodes.
pub(super) fn per_peer(nodes: usize) -> String {
    format!("{nodes} nodes, 16 users, 1 kB: processor time a write and peer, above one node")
}

/// The name of the measure with so many users.
pub(super) fn on_the_wire(users: usize) -> String {
    let users = match users {
        1 => "one user".to_owned(),
        users => format!("{users} users"),
    };
    format!("bytes on the wire a write of 1 kB and peer, {users}")
}

/// Everybody holds everything: the work of a write grows with its copies, and no faster.
pub(super) fn nodes(binary: &Path, rounds: usize) -> Result<Vec<Measure>, String> {
    let processor = |setup: &Setup| -> Result<Vec<f64>, String> {
        let target = Target::write(setup.address(), SIZE);
        let second = Duration::from_secs(1);
        load::window(&target, 16, second, &[])?;
        let windows = (0..rounds).map(|_| load::window(&target, 16, second, &setup.processes()));
        windows.map(|window| Ok(window?.processor)).collect()
    };
    let alone = processor(&Setup::one_node("one node", binary))?;
    let base = median(alone.clone());
    let mut measures = vec![Measure::new(
        "one node, 16 users, 1 kB: processor time a write",
        "µs",
        alone,
    )];
    for count in NODES {
        let all = processor(&Setup::nodes("nodes", binary, "synchronous", count))?;
        let peers = (count - 1) as f64;
        let each = all.iter().map(|all| (all - base) / peers).collect();
        let what = format!("{count} nodes, 16 users, 1 kB: processor time a write, all nodes");
        measures.push(Measure::new(&what, "µs", all));
        measures.push(Measure::new(&per_peer(count), "µs", each));
    }
    Ok(measures)
}

/// Bytes of IP packets, headers and acknowledgements included, at the replica: nothing else
/// passes there. Takes root, for network namespaces.
pub(super) fn wire(binary: &Path) -> Result<Vec<Measure>, String> {
    let farm = Farm::new(binary);
    let network = Network::new::<2>(&farm);
    let start =
        |name: &str, at: usize| configured(farm.node(name)).on(&network.hosts()[at]).start();
    let (a, b) = (start("A", 0), start("B", 1));
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let target = Target::write((a.http_address(), a.http_port()).into(), SIZE);
    let mut measures = Vec::new();
    for users in [1, 16, 64] {
        let mut values = Vec::new();
        for _ in 0..3 {
            let before = network.hosts()[1].traffic();
            let load = Background::start(target.clone(), users);
            std::thread::sleep(Duration::from_secs(2));
            let answered = load.stop()?;
            let traffic = network.hosts()[1].traffic();
            let bytes = traffic.ip_bytes() - before.ip_bytes();
            values.push(bytes as f64 / answered as f64);
        }
        measures.push(Measure::new(&on_the_wire(users), "bytes", values));
    }
    Ok(measures)
}
