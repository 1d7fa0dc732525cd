//! A node that was stopped does no harm when it goes on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::routing::post;
use axum::{Extension, Router};
use catherd::env::Env as _;
use catherd::testing::Network;
use catherd::{Attribute, Session};
use farm::{A, B, Node, attributes, call, respond, two_with};
use http::{StatusCode, header};
use tokio::sync::Notify;

/// Three drop times.
const LONG: Duration = Duration::from_secs(9);

fn app() -> Router {
    async fn late(
        Extension(session): Extension<Session>,
        Extension(gate): Extension<Arc<Notify>>,
        Path((name, value)): Path<(String, String)>,
    ) {
        session.insert(Attribute::from(name), &value).unwrap();
        gate.notify_one();
        gate.notified().await;
    }
    attributes().route("/shop/late/{name}/{value}", post(late))
}

/// Waits until the node has joined again so many times.
async fn ready_again(node: &Node, pauses: u64) {
    let waited = node.cluster.wait_for_members(|view| {
        view.pauses == pauses && view.am_ready() && view.members.len() == 1
    });
    tokio::time::timeout(Duration::from_secs(10), waited)
        .await
        .unwrap_or_else(|_| panic!("not ready again: {:?}", node.cluster.status()));
}

async fn equal(a: &Node, b: &Node) {
    let waited = async {
        while a.digest() != b.digest() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waited)
        .await
        .unwrap_or_else(|_| panic!("{:?} {:?}", a.cluster.status(), b.cluster.status()));
}

/// HOW-TO, "Membership": who is not heard for the drop time is considered dead, and its sessions
/// are written elsewhere.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_stopped_for_three_drop_times_goes_on_and_does_no_harm() {
    let network = Network::new(1);
    let (a, b) = two_with(&network, app).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    let cookie = made.cookie.unwrap();
    let gate = Arc::new(Notify::new());
    let late = tokio::spawn(call(
        a.app.clone().layer(Extension(Arc::clone(&gate))),
        "POST",
        "/shop/late/color/late",
        Some(cookie.clone()),
    ));
    gate.notified().await;
    network.pause(A);
    tokio::time::sleep(LONG).await;
    b.sees(&[]).await;
    let written = b.call("POST", "/shop/color/blue", Some(&cookie)).await;
    assert_eq!(written.status, StatusCode::OK);

    network.resume(A);
    gate.notify_one();
    let read = a.call("GET", "/shop/color", Some(&cookie)).await;
    assert!(
        read.text == "blue" || read.status == StatusCode::SERVICE_UNAVAILABLE,
        "{read:?}"
    );
    late.await.unwrap();
    ready_again(&a, 1).await;
    equal(&a, &b).await;
    for node in [&a, &b] {
        let read = node.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.text, "blue", "{}", node.cluster.name());
    }
    assert_eq!(a.cluster.members().declared_gone, 0, "it judged nobody");
    assert_eq!(a.cluster.members().pauses, 1);
}

#[tokio::test(start_paused = true)]
async fn requests_get_503_while_nobody_can_be_asked_and_never_what_is_old() {
    let network = Network::new(2);
    let (a, b) = two_with(&network, app).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    let cookie = made.cookie.unwrap();
    network.pause(A);
    tokio::time::sleep(LONG).await;
    b.sees(&[]).await;
    b.call("POST", "/shop/color/blue", Some(&cookie)).await;

    network.partition(A, B);
    network.resume(A);
    let response = respond(a.app.clone(), "GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    assert!(!a.cluster.is_ready());
    let fresh = a.call("POST", "/shop/color/red", None).await;
    assert_eq!(fresh.status, StatusCode::SERVICE_UNAVAILABLE);

    network.repair(A, B);
    ready_again(&a, 1).await;
    let read = a.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "blue");
}

#[tokio::test(start_paused = true)]
async fn a_short_pause_changes_nothing() {
    let network = Network::new(3);
    let (a, b) = two_with(&network, app).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    let cookie = made.cookie.unwrap();
    network.pause(A);
    tokio::time::sleep(Duration::from_secs(1)).await;
    network.resume(A);
    let read = a.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "red");
    tokio::time::sleep(LONG).await;
    for node in [&a, &b] {
        let view = node.cluster.members();
        assert_eq!((view.pauses, view.declared_gone), (0, 0));
        assert!(node.cluster.is_ready() && view.members[0].is_ready());
        let counted = node.cluster.status().channel["connects"];
        assert_eq!(counted, 1, "nothing was opened again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_was_set_by_hours_costs_one_needless_sync_and_no_session() {
    let network = Network::new(4);
    let (a, b) = two_with(&network, app).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    let cookie = made.cookie.unwrap();
    let host = network.host(A);
    let hours = Duration::from_secs(5 * 3600);
    network.set_wall_clock(A, host.wall_clock() + hours);
    let read = a.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "red");
    ready_again(&a, 1).await;
    network.set_wall_clock(A, host.wall_clock() - hours);
    tokio::time::sleep(LONG).await;
    b.sees(&["A"]).await;
    for node in [&a, &b] {
        let view = node.cluster.members();
        assert_eq!((view.declared_gone, view.missing.len()), (0, 0));
        assert_eq!(node.cluster.status().contexts[0].sessions, 1);
        let read = node.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.text, "red");
    }
    assert_eq!(a.cluster.members().pauses, 1, "back is no pause");
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_clock_stood_still_for_hours_joins_as_a_new_process() {
    let network = Network::new(5);
    let (a, b) = two_with(&network, app).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    let (kept, before) = (made.cookie.unwrap(), a.cluster.status().incarnation);
    let made = a.call("POST", "/shop/color/red", None).await;
    let ended = made.cookie.unwrap();
    network.freeze(A);
    b.sees(&[]).await;
    b.call("POST", "/shop/color/blue", Some(&kept)).await;
    b.call("POST", "/shop/end", Some(&ended)).await;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_secs(900)).await;
        // In use all the time.
        b.call("GET", "/shop/color", Some(&kept)).await;
    }
    network.thaw(A);
    ready_again(&a, 1).await;
    assert_ne!(a.cluster.status().incarnation, before);
    b.sees(&["A"]).await;
    equal(&a, &b).await;
    let read = a.call("GET", "/shop/color", Some(&kept)).await;
    assert_eq!(read.text, "blue");
    let gone = a.call("GET", "/shop/color", Some(&ended)).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(b.cluster.members().missing.is_empty());
    let again = a.call("POST", "/shop/color/green", Some(&kept)).await;
    assert_eq!((again.status, again.degraded), (StatusCode::OK, None));
    assert_eq!(a.digest(), b.digest());
}

/// Everybody that it knew is gone, and another one has come, even to the same address: it is not
/// ready before it has heard that one.
#[tokio::test(start_paused = true)]
async fn who_finds_nobody_of_before_listens_for_those_who_have_come_since() {
    let network = Network::new(21);
    let (a, b) = two_with(&network, app).await;
    network.pause(A);
    tokio::time::sleep(LONG).await;
    b.sees(&[]).await;
    network.crash(B);
    // Its heartbeats do not wait in the socket of A.
    network.partition(A, B);
    let b = Node::start(&network.host(B), "B", "one", app()).await;
    b.cluster.ready().await;
    let written = b.call("POST", "/shop/color/blue", None).await;

    network.repair(A, B);
    network.resume(A);
    let cookie = written.cookie.unwrap().replace(".B", ".A");
    let read = a.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "blue", "{:?}", a.cluster.status());
}
