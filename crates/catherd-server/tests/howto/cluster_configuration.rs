//! HOW-TO, "Cluster Configuration".

use std::time::Duration;

use catherd_testkit::{Client, Site as _, wait};
use serde_json::json;

use crate::farm;
use crate::wire::{connections_to, next_heartbeat};

/// HOW-TO, "Cluster Configuration": "mcastXXX are for the membership multicast ping, and the
/// attributes starting with tcpXXX are for the actual TCP replication".
#[test]
fn h51_mcast_attributes_configure_membership_and_tcp_attributes_replication() {
    let farm = farm();
    let group = farm.join_group();
    let builder = farm.node("A");
    let (http_port, tcp_port) = (builder.http_port(), builder.tcp_port());
    let a = builder.start();
    let heartbeat = next_heartbeat(&group, &farm, "A");
    assert_eq!(
        heartbeat.address.port(),
        tcp_port,
        "mcastPort is the group's, tcpListenPort its own"
    );
    assert_eq!(a.http_port(), http_port);
    assert_ne!(tcp_port, farm.group_port());
}

/// HOW-TO, "Cluster Configuration": the valve "is used to find out when the request has been
/// completed and initiate the replication".
#[test]
fn h53_a_request_is_replicated_once_at_its_end_and_only_if_it_changed_the_session() {
    let farm = farm();
    let (a, b) = farm.pair();
    let mut client = Client::new();
    client.get(&a, "/bench/session?size=100");
    let applied = b.counter("fragments_applied");
    // It sets two attributes.
    client.get(&a, "/bench/session?size=100");
    assert_eq!(b.counter("fragments_applied"), applied + 1);
    client.get(&a, "/bench/read");
    client.get(&a, "/bench/plain");
    client.get(&a, "/bench/session?size=100");
    assert_eq!(
        b.counter("fragments_applied"),
        applied + 2,
        "reading sends nothing"
    );
}

/// HOW-TO, "Cluster Configuration": "the request doesn't return until the replicated session has
/// been sent over the wire and reinstantiated on all the other cluster nodes".
#[test]
fn h54_a_synchronous_request_returns_when_all_other_nodes_have_the_session() {
    let farm = farm();
    let nodes =
        ["A", "B", "C"].map(|name| farm.node(name).drop_time(Duration::from_secs(60)).start());
    nodes[0].wait_for_members(&["B", "C"]);
    nodes[1].wait_for_members(&["A", "C"]);
    nodes[2].wait_for_members(&["A", "B"]);
    let [a, b, c] = nodes;
    let mut client = Client::new();
    for round in 0..20 {
        client.set(&a, "round", &json!(round));
        let digest = a.digest("/examples");
        assert_eq!(
            (b.digest("/examples"), c.digest("/examples")),
            (digest.clone(), digest)
        );
    }
    // All of them: one that stands still holds the request up, though the other has it.
    c.pause();
    let mut hasty = client.clone().with_timeout(Duration::from_millis(300));
    let path = "/examples/session/attributes/round";
    hasty
        .try_send(&a, "PUT", path, Some("20"))
        .expect_err("C has not acknowledged");
    wait::until_true("B has it", || {
        a.digest("/examples") == b.digest("/examples")
    });
    c.resume();
    a.wait_until_equal(&c, "/examples");
}

/// HOW-TO, "Cluster Configuration": "all the replication request are sent over a single socket".
#[test]
fn h55_a_mode_that_is_not_pooled_uses_one_socket_to_each_member() {
    let farm = farm();
    let (a, b) = farm.pair();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::new();
                for _ in 0..20 {
                    client.increment(&a, "visits");
                }
            });
        }
    });
    // Probes are connections of a moment.
    wait::until_true("one socket to B", || connections_to(&b) == 1);
    wait::until_true("one socket to A", || connections_to(&a) == 1);
}
