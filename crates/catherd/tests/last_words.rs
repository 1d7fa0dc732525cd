//! What a node sends last, to a member that comes to read it only when the node has ended.
//!
//! HOW-TO, "TCP Replication": "it has built in flow control and guaranteed delivery". What the
//! operating system of a member has taken arrives, whatever becomes of its sender.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::Duration;

use catherd::Event;
use catherd::testing::Network;
use farm::{A, B, Node, attributes, meet};

/// Two nodes whose requests wait until their writes are handed to the operating system.
async fn two(network: &Network) -> (Node, Node) {
    let start = async |ip: [u8; 4], name: &str| {
        let host = network.host(ip);
        let builder = farm::builder(&host, name, "one").wait_for_ack(false);
        Node::start_as(builder, &host, attributes()).await
    };
    let (a, b) = (start(A, "A").await, start(B, "B").await);
    meet(&a, &b).await;
    (a, b)
}

/// More than one read takes, so that acknowledgements fail in between.
#[tokio::test(start_paused = true)]
async fn writes_that_were_handed_over_before_a_crash_are_there_after_it() {
    let network = Network::new(1);
    network.set_stream_capacity(1 << 20);
    let (a, b) = two(&network).await;
    let value = "x".repeat(60_000);
    let path = format!("/shop/long/{value}");
    network.pause(B);
    let write = || a.call("POST", &path, None);
    let (one, two, three) = tokio::join!(write(), write(), write());
    network.crash(A);
    network.resume(B);
    b.sees(&[]).await;
    for answer in [one, two, three] {
        assert_eq!(answer.degraded, None, "it was handed over");
        let read = b.call("GET", "/shop/long", answer.cookie.as_deref()).await;
        assert!(read.text == value, "{} bytes", read.text.len());
    }
    assert_eq!(b.cluster.status().missing, ["A"]);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_is_read_when_its_node_has_ended_is_a_goodbye() {
    let network = Network::new(2);
    let (a, b) = two(&network).await;
    network.pause(B);
    a.cluster.shutdown(Duration::from_secs(10)).await;
    network.crash(A);
    network.resume(B);
    b.sees(&[]).await;
    assert_eq!(b.cluster.status().missing, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_member_has_not_acknowledged_is_told_and_marked_when_a_node_leaves() {
    let network = Network::new(3);
    let (a, b) = two(&network).await;
    let mut events = a.cluster.events();
    network.pause(B);
    let write = || a.call("POST", "/shop/color/red", None);
    // The first is under way, and the others wait for its acknowledgement, until the node leaves.
    // B stands still for less than it would take for a pause.
    let leave = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        a.cluster.shutdown(Duration::from_millis(500)).await;
    };
    tokio::join!(write(), write(), write(), leave);
    let told = async {
        loop {
            if let Some(Event::Undelivered { name, frames }) = events.next().await {
                return (name, frames);
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(1), told).await;
    assert_eq!(told.unwrap(), ("B".to_owned(), 3));
    assert_eq!(a.cluster.status().counters.marked_for_repair, 3);
    network.crash(A);
    network.resume(B);
    b.sees(&[]).await;
    assert_eq!(
        b.cluster.status().contexts[0].sessions,
        3,
        "it had them all the same"
    );
}
