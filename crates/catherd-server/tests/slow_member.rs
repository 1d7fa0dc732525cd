//! A member that stands still: it is waited for once, what is weaker is said, and nothing is lost.
//!
//! HOW-TO, "TCP Replication": "it has built in flow control and guaranteed delivery".
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use catherd_testkit::{Client, Farm, Node, Site as _};
use serde_json::json;

const ACK_TIMEOUT: Duration = Duration::from_millis(500);

/// Two nodes that wait for each other only so long, and do not give each other up.
fn pair(farm: &Farm) -> (Node, Node) {
    let node = |name| {
        let builder = farm.node(name).drop_time(Duration::from_secs(60));
        builder.sender_attributes("ackTimeout=\"500\"").start()
    };
    let (a, b) = (node("A"), node("B"));
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    (a, b)
}

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}

#[test]
fn a_member_that_does_not_acknowledge_is_waited_for_once_and_the_answers_say_so() {
    let farm = farm();
    let (a, b) = pair(&farm);
    let mut client = Client::new();
    assert_eq!(client.set(&a, "user", &json!("Ada")).degraded(), "");
    b.pause();
    let start = Instant::now();
    let first = client.set(&a, "user", &json!("Grace"));
    assert!(start.elapsed() >= ACK_TIMEOUT, "{:?}", start.elapsed());
    assert_eq!(first.degraded(), "durability");
    let start = Instant::now();
    for round in 0..20 {
        let answer = client.set(&a, "round", &json!(round));
        assert_eq!(answer.degraded(), "durability");
    }
    // Twenty waits would be ten seconds.
    assert!(start.elapsed() < 10 * ACK_TIMEOUT, "{:?}", start.elapsed());
    assert_eq!(a.counter("degraded_durability"), 21);

    b.resume();
    a.wait_until_equal(&b, "/examples");
    a.wait_until("B is waited for again", |status| {
        status["members"][0]["link"]["is_slow"] == json!(false)
    });
    assert_eq!(client.set(&a, "user", &json!("Alan")).degraded(), "");
    assert_eq!(client.session(&b).attribute("round"), json!(19));
}

/// What was not confirmed by everybody is not called so: that member may still serve the session.
#[test]
fn a_logout_that_a_member_has_not_confirmed_is_pending_and_reaches_it() {
    let farm = farm();
    let (a, b) = pair(&farm);
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let mut late = client.clone();
    b.pause();
    let logout = client.invalidate(&a);
    assert_eq!(logout.degraded(), "pending");
    assert_eq!(a.counter("degraded_pending"), 1);
    b.resume();
    a.wait_until_equal(&b, "/examples");
    assert_eq!(b.context("/examples")["sessions"], 0);
    assert_eq!(late.get(&b, "/examples/session?create=false").status(), 404);
}

/// A node that is told to end does not wait for ever for somebody who says nothing.
#[test]
fn a_node_that_ends_while_a_member_stands_still_ends_well_and_says_what_that_lacks() {
    let farm = farm();
    // B has two heartbeats to read what A has left behind.
    let node = |name| {
        let builder = farm.node(name).frequency(Duration::from_millis(500));
        let builder = builder.drop_time(Duration::from_secs(60));
        builder.sender_attributes("ackTimeout=\"500\"").start()
    };
    let (a, b) = (node("A"), node("B"));
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    b.pause();
    for round in 0..3 {
        let answer = client.set(&a, "round", &json!(round));
        assert_eq!(answer.degraded(), "durability");
    }
    a.stop();
    let log = a.log();
    let said = "leaving although a member has not acknowledged all";
    let said = log.lines().find(|line| line.contains(said));
    let said = said.unwrap_or_else(|| panic!("{log}"));
    assert!(said.contains(r#"member="B" frames=3"#), "{said}");
    // What the kernel has taken for it is there, and the goodbye behind it.
    b.resume();
    b.wait_for_members(&[]);
    assert_eq!(b.status()["missing"], json!([]));
    assert_eq!(client.session(&b).attribute("round"), json!(2));
}

/// Past the bound of its queue what waits is shed and marked; memory is not the price of a member
/// that takes nothing.
#[test]
fn what_waits_for_a_member_is_bounded() {
    let farm = farm();
    let node = |name| {
        let builder = farm.node(name).drop_time(Duration::from_secs(60));
        let bounds = "ackTimeout=\"200\" maxQueueBytes=\"1048576\"";
        builder.sender_attributes(bounds).start()
    };
    let (a, b) = (node("A"), node("B"));
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let mut client = Client::new();
    client
        .get(&a, "/bench/session?size=1000")
        .expect_status(200);
    b.pause();
    client
        .get(&a, "/bench/session?size=1000")
        .expect_status(200);
    let before = a.resident_bytes();
    // Eighty megabytes, of which the kernel's buffers take a few.
    for _ in 0..400 {
        client
            .get(&a, "/bench/session?size=200000")
            .expect_status(200);
    }
    let grown = a.resident_bytes().saturating_sub(before);
    assert!(grown < 40 << 20, "its memory grew by {grown} bytes");
    let status = a.status();
    let queued = status["members"][0]["link"]["queued_bytes"]
        .as_u64()
        .expect("a number");
    assert!(queued <= 1 << 20, "{queued} bytes wait");
    assert!(a.counter("marked_for_repair") > 0, "what was shed is known");

    b.resume();
    a.wait_until("B is waited for again", |status| {
        status["members"][0]["link"]["is_slow"] == json!(false)
    });
    // The next write makes the copy whole, whatever was shed.
    client
        .get(&a, "/bench/session?size=1000")
        .expect_status(200);
    a.wait_until_equal(&b, "/bench");
}
