//! A real node that is stopped and goes on.
//!
//! HOW-TO, "Membership": who is not heard for the drop time is considered dead.
#![forbid(unsafe_code)]

use catherd_testkit::{Client, Farm};
use serde_json::json;

#[test]
fn a_node_that_was_stopped_until_it_was_gone_shows_nothing_old_and_is_ready_again() {
    let farm = Farm::new(env!("CARGO_BIN_EXE_catherd"));
    let (a, b) = farm.pair();
    let mut client = Client::new();
    client.set(&a, "color", &json!("red"));
    // A client that asks A as if it had never been elsewhere.
    let cookie = client.cookie().expect("A gave a session").to_owned();
    a.pause();
    b.wait_for_members(&[]);
    client.set(&b, "color", &json!("blue"));

    a.resume();
    let read = Client::with_cookie(&cookie).get(&a, "/examples/session");
    match read.status() {
        503 => assert_eq!(read.header("retry-after"), Some("1"), "{read:?}"),
        _ => assert_eq!(read.attribute("color"), json!("blue"), "{read:?}"),
    }
    a.wait_until_ready();
    a.wait_for_members(&["B"]);
    b.wait_for_members(&["A"]);
    let read = Client::with_cookie(&cookie).session(&a);
    assert_eq!(read.attribute("color"), json!("blue"));
    a.wait_until_equal(&b, "/examples");
    assert_eq!(a.status()["channel"]["pauses"], json!(1));
    assert_eq!(a.status()["missing"], json!([]), "it judged nobody");
    assert_eq!(b.status()["missing"], json!([]), "A is back");
}
