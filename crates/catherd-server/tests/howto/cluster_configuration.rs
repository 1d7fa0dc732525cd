//! HOW-TO, "Cluster Configuration".

use std::thread;
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

/// HOW-TO, "Cluster Configuration": "`pooled` means that we are using several sockets for the
/// replication": as many as are of use, and `maxPoolSocketLimit` at most.
#[test]
fn h56_mode_pooled_uses_several_sockets_to_each_member() {
    let farm = farm();
    let node = |name| {
        let builder = farm.node(name).replication_mode("pooled");
        builder
            .sender_attributes(r#"maxPoolSocketLimit="5""#)
            .start()
    };
    let (a, b) = (node("A"), node("B"));
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let mut clients: Vec<_> = (0..40).map(|_| Client::new()).collect();
    let large = json!("x".repeat(100_000));
    wait::until_true("five sockets to B", || {
        thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| client.set(&a, "large", &large));
            }
        });
        connections_to(&b) == 5
    });
    assert_eq!(a.status()["members"][0]["link"]["connections"], 5);
    for round in 0..3 {
        for client in &mut clients {
            let answer = client.set(&a, "round", &json!(round));
            assert_eq!(answer.degraded(), "");
        }
    }
    // Over several sockets nothing of a session overtakes what came before it.
    assert_eq!(b.counter("gaps"), 0);
    assert_eq!(a.digest("/examples"), b.digest("/examples"));
    a.kill();
    b.wait_for_members(&[]);
    for client in &mut clients {
        assert_eq!(client.session(&b).attribute("round"), json!(2));
    }
}

/// HOW-TO, "Cluster Configuration": an asynchronous request "returns before the data has been
/// replicated", and so it does not matter what the other node does.
#[test]
fn h58_an_asynchronous_request_returns_before_the_data_is_replicated() {
    for mode in ["asynchronous", "fastasyncqueue"] {
        let farm = farm();
        let node = |name| {
            let builder = farm.node(name).drop_time(Duration::from_secs(60));
            builder.replication_mode(mode).start()
        };
        let (a, b) = (node("A"), node("B"));
        a.wait_for_members(&["B"]);
        b.wait_for_members(&["A"]);
        b.pause();
        let mut client = Client::new();
        for round in 0..10 {
            let answer = client.set(&a, "round", &json!(round));
            assert_eq!(answer.degraded(), "", "{mode}");
        }
        let link = &a.status()["members"][0]["link"];
        assert_eq!(
            link["is_slow"], false,
            "{mode}: no answer took `ackTimeout`"
        );
        b.resume();
        a.wait_until_equal(&b, "/examples");
        assert_eq!(client.session(&b).attribute("round"), json!(9), "{mode}");
    }
}

/// HOW-TO, "Cluster Configuration": four settings of `replicationMode`, which mean the same for
/// whoever reads a session later.
#[test]
fn h59_there_are_four_replication_modes() {
    let modes = ["pooled", "synchronous", "asynchronous", "fastasyncqueue"];
    for mode in modes {
        let farm = farm();
        let node = |name| farm.node(name).replication_mode(mode).start();
        let (a, b) = (node("A"), node("B"));
        a.wait_for_members(&["B"]);
        b.wait_for_members(&["A"]);
        let mut client = Client::new();
        client.set(&a, "mode", &json!(mode));
        assert_eq!(client.session(&b).attribute("mode"), json!(mode));
        a.wait_until_equal(&b, "/examples");
    }
    let farm = farm();
    let checked = farm.node("C").replication_mode("sometimes").check();
    assert_eq!(checked.code, Some(1));
    assert!(
        checked.stdout.contains("replicationMode") || checked.stderr.contains("replicationMode")
    );
}

/// HOW-TO, "Cluster Configuration": "all the replication request are sent over a single socket".
#[test]
fn h55_a_mode_that_is_not_pooled_uses_one_socket_to_each_member() {
    let farm = farm();
    let (a, b) = farm.pair();
    thread::scope(|scope| {
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
