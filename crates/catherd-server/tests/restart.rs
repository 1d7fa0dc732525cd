//! A node that comes back, and one that takes another's name.
//!
//! HOW-TO, "How it Works", 6: "It will join the cluster".
#![forbid(unsafe_code)]

use std::time::Duration;

use catherd_testkit::{Client, Farm, Site as _, wait};
use serde_json::json;

fn farm() -> Farm {
    Farm::new(env!("CARGO_BIN_EXE_catherd"))
}

#[test]
fn a_crashed_node_comes_back_as_a_new_process_and_serves_what_was_written_meanwhile() {
    let farm = farm();
    let (mut a, b) = farm.pair();
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let first = a.status()["incarnation"].clone();
    a.kill();
    b.wait_for_members(&[]);
    client.set(&b, "user", &json!("Grace"));
    a.start_again();
    b.wait_for_members(&["A"]);
    assert_ne!(a.status()["incarnation"], first);
    assert_eq!(b.status()["missing"], json!([]), "its name is back");
    assert_eq!(client.session(&a).attribute("user"), json!("Grace"));
    assert_eq!(client.increment(&a, "visits"), 1);
    a.wait_until_equal(&b, "/examples");
    assert_eq!(client.session(&b).attribute("visits"), json!(1));
}

#[test]
fn a_logout_while_a_node_is_down_holds_when_it_is_back() {
    let farm = farm();
    let (mut a, b) = farm.pair();
    let mut client = Client::new();
    client.set(&a, "user", &json!("Ada"));
    let mut late = client.clone();
    a.kill();
    b.wait_for_members(&[]);
    assert_eq!(
        client.invalidate(&b).degraded(),
        "pending",
        "A may still be somewhere"
    );
    a.start_again();
    b.wait_for_members(&["A"]);
    let old_key = late.key();
    for node in [&a, &b] {
        assert_eq!(
            late.get(node, "/examples/session?create=false").status(),
            404
        );
        let mut again = late.clone();
        again.session(node);
        assert_ne!(again.key(), old_key);
    }
}

/// Routes must be unique: a second process of a name that is alive is not let in.
#[test]
fn a_second_node_of_a_living_name_is_refused() {
    let (farm, other_place) = (farm(), farm());
    let (a, b) = farm.pair();
    let group = (farm.cluster_id(), farm.group_port());
    let second = other_place
        .node("A")
        .cluster_id(&group.0)
        .group_port(group.1)
        .spawn();
    let before = b.status()["members"].clone();
    wait::until_true("it has been refused", || {
        let refused = |status: serde_json::Value| status["channel"]["hellos_refused"].as_u64();
        refused(b.status()) > Some(0) || refused(a.status()) > Some(0)
    });
    let mut client = Client::new().with_timeout(Duration::from_secs(5));
    client.set(&a, "user", &json!("Ada"));
    assert_eq!(client.session(&b).attribute("user"), json!("Ada"));
    assert_eq!(
        b.status()["members"][0]["incarnation"],
        before[0]["incarnation"]
    );
    assert_eq!(a.members(), ["B"]);
    wait::until_true("it says why", || second.log().contains("name"));
    assert_eq!(second.name(), a.name());
}
