//! HOW-TO, "Membership".

use std::time::{Duration, Instant};

use catherd_testkit::{Client, Site as _};
use serde_json::json;

use crate::farm;
use crate::wire::next_heartbeat;

/// HOW-TO, "Membership": "will periodically send out a multicast ping": `mcastFrequency`.
#[test]
fn h44_heartbeats_come_at_the_configured_frequency() {
    let farm = farm();
    let often = Duration::from_millis(100);
    let _a = farm.node("A").frequency(often).start();
    // Nobody listened so far, so nothing waits to be read.
    let group = farm.join_group();
    let first = next_heartbeat(&group, &farm, "A");
    let start = Instant::now();
    let mut last = first.clone();
    while last.counter < first.counter + 10 {
        last = next_heartbeat(&group, &farm, "A");
    }
    // A busy machine may be late, and not early.
    assert!(start.elapsed() > 8 * often, "{:?}", start.elapsed());
    assert_eq!(last.incarnation, first.incarnation);
}

/// HOW-TO, "Membership": "the instance will broad cast its IP and TCP listen port".
#[test]
fn h45_a_heartbeat_has_the_address_and_the_tcp_listen_port() {
    let farm = farm();
    let group = farm.join_group();
    let a = farm.node("A").start();
    let heartbeat = next_heartbeat(&group, &farm, "A");
    assert_eq!(heartbeat.address, ([127, 0, 0, 1], a.tcp_port()).into());
}

/// HOW-TO, "Membership": "not received such a ping within a given timeframe, the member is
/// considered dead". Here it is suspect, and a probe decides: a stopped process answers none.
#[test]
fn h46_a_member_that_is_silent_for_the_drop_time_is_dropped_and_comes_back() {
    let farm = farm();
    let drop_time = Duration::from_millis(1000);
    let a = farm.node("A").drop_time(drop_time).start();
    let b = farm.node("B").drop_time(drop_time).start();
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let stopped = Instant::now();
    a.pause();
    b.wait_for_members(&[]);
    let silent_for = stopped.elapsed();
    // The last heartbeat may be up to one period older than the stop.
    assert!(
        silent_for >= drop_time - Duration::from_millis(150),
        "{silent_for:?}"
    );
    client.set(&b, "user", &json!("Grace"));
    a.resume();
    b.wait_for_members(&["A"]);
    a.wait_for_members(&["B"]);
    assert_eq!(b.status()["missing"], json!([]));
    assert_eq!(
        client.session(&a).attribute("user"),
        json!("Grace"),
        "B is asked: its route"
    );
}

/// HOW-TO, "Membership": "you need to enable multicasting on your system".
#[test]
fn h47_a_group_that_cannot_be_joined_is_said() {
    let farm = farm();
    // An address for documentation (RFC 5737): no interface here has it.
    let node = farm.node("A");
    let text = format!(
        r#"<Server port="-1"><Service name="Catalina">
<Engine name="Catalina" defaultHost="localhost" jvmRoute="A"><Host name="localhost">
<Cluster className="org.apache.catalina.cluster.tcp.SimpleTcpCluster" allowPlaintext="true">
  <Membership className="org.apache.catalina.cluster.mcast.McastService" mcastAddr="228.0.0.4"
              mcastPort="{group}" mcastBindAddress="203.0.113.7"/>
  <Receiver className="org.apache.catalina.cluster.tcp.ReplicationListener"
            tcpListenAddress="127.0.0.1" tcpListenPort="{tcp}"/>
  <Sender className="org.apache.catalina.cluster.tcp.ReplicationTransmitter"
          replicationMode="synchronous"/>
</Cluster>
</Host></Engine></Service></Server>"#,
        group = farm.group_port(),
        tcp = node.tcp_port(),
    );
    let finished = node.server_xml(&text).run_to_end("run");
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for part in ["join the group", "228.0.0.4", "multicast"] {
        assert!(
            finished.stderr.contains(part),
            "no {part:?} in {finished:?}"
        );
    }
}

/// HOW-TO, "Cluster Configuration": "on the same multicast IP and port".
#[test]
fn h52_members_are_those_of_the_same_multicast_address_and_port() {
    let (farm, other) = (farm(), farm());
    let group = other.join_group();
    let (a, _b) = farm.pair();
    let elsewhere = farm.node("C").group_port(other.group_port()).start();
    // C has spoken often enough to be known to everybody who could hear it.
    let heard = |_| {
        let mut buffer = [0; 2048];
        group.recv(&mut buffer).expect("C says that it is there");
    };
    (0..10).for_each(heard);
    assert_eq!(elsewhere.members(), [""; 0]);
    assert_eq!(a.members(), ["B"]);
    Client::new().set(&elsewhere, "user", &json!("Ada"));
    assert_eq!(a.context("/examples")["sessions"], 0);
    assert_eq!(elsewhere.name(), "C");
}
