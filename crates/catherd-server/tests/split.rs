//! A network that falls apart, and is whole again: machines with addresses of their own, between
//! which packets are dropped without a word. Needs root, for network namespaces.
//!
//! HOW-TO, "Membership": a member that is not heard is removed. What both sides did until it came
//! back is merged.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use catherd_testkit::{Client, Farm, Network, Node, wait};
use serde_json::json;

const HEARTBEAT: Duration = Duration::from_millis(500);

/// Three nodes on three machines, who know each other.
fn three(farm: &Farm, network: &Network) -> [Node; 3] {
    let node = |name: &str, at: usize| {
        let node = farm.node(name).on(&network.hosts()[at]);
        node.frequency(HEARTBEAT)
            .drop_time(Duration::from_millis(1500))
            .start()
    };
    let nodes = [node("A", 0), node("B", 1), node("C", 2)];
    meet(&nodes);
    nodes
}

fn meet([a, b, c]: &[Node; 3]) {
    a.wait_for_members(&["B", "C"]);
    b.wait_for_members(&["A", "C"]);
    c.wait_for_members(&["A", "B"]);
}

fn with_attribute(node: &Node) -> Client {
    let mut client = Client::new();
    client.set(node, "base", &json!(0));
    client
}

#[test]
fn two_against_one_are_whole_again_within_ten_heartbeats_of_meeting() {
    let farm = Farm::new(env!("CARGO_BIN_EXE_catherd"));
    let network = Network::new::<3>(&farm);
    let nodes = three(&farm, &network);
    let [a, b, c] = &nodes;
    let mut written_on_both = with_attribute(a);
    let mut ended_by_two = with_attribute(a);
    let mut ended_by_one = with_attribute(c);
    let untouched: Vec<_> = (0..50).map(|_| with_attribute(b)).collect();
    assert_eq!(a.digest("/examples"), c.digest("/examples"));

    network.cut_off(&network.hosts()[2]);
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    c.wait_for_members(&[]);

    written_on_both.set(b, "two", &json!(2));
    written_on_both.set(c, "one", &json!(1));
    written_on_both.remove(c, "base");
    let mut late = (ended_by_two.clone(), ended_by_one.clone());
    assert_eq!(ended_by_two.invalidate(a).degraded(), "pending");
    assert_eq!(ended_by_one.invalidate(c).degraded(), "pending");
    late.0.set(c, "late", &json!(3));
    late.1.set(b, "late", &json!(3));
    let logins: Vec<_> = nodes
        .iter()
        .cycle()
        .take(300)
        .map(|node| {
            let mut client = with_attribute(node);
            client.set(node, "user", &json!("Ada"));
            client
        })
        .collect();
    assert_ne!(a.digest("/examples"), c.digest("/examples"));

    network.mend(&network.hosts()[2]);
    meet(&nodes);
    let met = Instant::now();
    wait::until_true("nothing differs", || {
        let digest = a.digest("/examples");
        nodes.iter().all(|node| {
            node.digest("/examples") == digest && node.status()["sessions_that_differ"] == json!(0)
        })
    });
    let took = met.elapsed();
    println!("whole {took:?} after all had met");
    assert!(took < 10 * HEARTBEAT, "{took:?}");

    for node in &nodes {
        let session = written_on_both.session(node);
        assert_eq!(session.attribute("two"), json!(2));
        assert_eq!(session.attribute("one"), json!(1));
        assert_eq!(session.json()["attributes"].get("base"), None);
        for ended in [&late.0, &late.1] {
            let gone = ended.clone().get(node, "/examples/session?create=false");
            assert_eq!(gone.status(), 404, "logged out stays logged out");
        }
        for client in &untouched {
            assert_eq!(client.clone().session(node).attribute("base"), json!(0));
        }
        for client in &logins {
            let session = client.clone().session(node);
            assert_eq!(session.attribute("user"), json!("Ada"));
        }
    }
    let repaired: u64 = nodes
        .iter()
        .map(|node| node.counter("sessions_repaired"))
        .sum();
    // C has what was made at A and B, and each of those has what was made at C.
    assert!(repaired >= 300, "{repaired}");
    assert!(nodes.iter().all(|node| node.counter("alarms") == 0));
}
