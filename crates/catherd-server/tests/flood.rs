//! Clients without cookies that make sessions as fast as they can: whoever is there stays.
#![forbid(unsafe_code)]

use std::thread;

use catherd_testkit::{Client, Farm, Node};
use serde_json::json;

const MAX: u64 = 500;

/// Two nodes that hold so many sessions each.
fn pair(farm: &Farm) -> (Node, Node) {
    let manager = "maxActiveSessions=\"500\"";
    let node = |name| {
        let builder = farm.node(name).manager_attributes("/bench", manager);
        builder.manager_attributes("/examples", manager).start()
    };
    let (a, b) = (node("A"), node("B"));
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    (a, b)
}

/// `rounds` sessions each by four clients that keep no cookie.
fn flood(node: &Node, path: &str, rounds: usize) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::keeping_its_connection();
                for _ in 0..rounds {
                    client.get(node, path).expect_status(200);
                    client.forget_session();
                }
            });
        }
    });
}

fn sessions(node: &Node, path: &str) -> u64 {
    node.context(path)["sessions"].as_u64().expect("a number")
}

#[test]
fn a_flood_takes_no_more_memory_than_there_is_room_for_and_no_session_that_is_in_use() {
    let farm = Farm::new(env!("CARGO_BIN_EXE_catherd"));
    let (a, b) = pair(&farm);
    let mut user = Client::new();
    user.get(&a, "/bench/session?size=100").expect_status(200);
    user.get(&a, "/bench/session?size=100").expect_status(200);
    // Full, and some more for what the allocator keeps.
    flood(&a, "/bench/session?size=20000", 2 * 500 / 4);
    let before = (a.resident_bytes(), b.resident_bytes());
    // Eighty megabytes of values.
    flood(&a, "/bench/session?size=20000", 1000);
    for (node, before) in [(&a, before.0), (&b, before.1)] {
        let grown = node.resident_bytes().saturating_sub(before);
        assert!(grown < 40 << 20, "its memory grew by {grown} bytes");
    }
    a.wait_until_equal(&b, "/bench");
    for node in [&a, &b] {
        let context = node.context("/bench");
        // The four clients may have found the last place at once.
        assert!(sessions(node, "/bench") <= MAX + 4, "{context}");
        assert_eq!(context["tombstones"], 0);
        assert_eq!(node.counter("sessions_refused"), 0);
        let read = user.get(node, "/bench/read").expect_status(200);
        assert_eq!(read.line(), "counter=2 size=100");
    }
    assert!(a.counter("sessions_ended_early") >= 4000, "it was full");
    assert_eq!(b.counter("sessions_ended_early"), 0);
}

#[test]
fn where_all_sessions_are_in_use_a_new_one_is_answered_503_and_the_others_live() {
    let farm = Farm::new(env!("CARGO_BIN_EXE_catherd"));
    let (a, b) = pair(&farm);
    let mut users: Vec<_> = (0..MAX).map(|_| Client::new()).collect();
    for (number, user) in users.iter_mut().enumerate() {
        user.set(&a, "number", &json!(number));
        user.session(&a);
    }
    for node in [&a, &b] {
        let refused = Client::new().get(node, "/examples/session");
        assert_eq!(refused.status(), 503);
        let text = refused.json()["error"].to_string();
        assert!(text.contains("maxActiveSessions"), "{text}");
        assert_eq!(refused.cookie(), None);
        assert_eq!(node.counter("sessions_refused"), 1);
    }
    for (number, user) in users.iter_mut().enumerate().step_by(50) {
        assert_eq!(user.session(&b).attribute("number"), json!(number));
    }
    // One leaves, and one may come.
    users[0].invalidate(&a);
    Client::new()
        .get(&a, "/examples/session")
        .expect_status(200);
}
