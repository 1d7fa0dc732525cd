//! A change of id on one node while another writes under the old key.
//!
//! The old key may be an attacker's, who has given it to the user before the login: what is written
//! under it, and the change had not seen, is not carried over.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Extension, Router};
use catherd::testing::Network;
use catherd::{Attribute, Session};
use farm::{A, B, Node, attributes, two_with};
use http::StatusCode;
use tokio::sync::Semaphore;

async fn cycle(Extension(session): Extension<Session>) -> String {
    session.cycle_id();
    session.id().unwrap()
}

fn app() -> Router {
    attributes().route("/shop/cycle", post(cycle))
}

/// The old cookie is worth nothing on either node, and the new one shows what the change had seen.
async fn assert_changed(nodes: [&Node; 2], old: &str, new: &str) {
    for node in nodes {
        let dead = node.call("GET", "/shop/color", Some(old)).await;
        assert_eq!(dead.status, StatusCode::NOT_FOUND);
        let color = node.call("GET", "/shop/color", Some(new)).await;
        assert_eq!(color.text, "red");
        let late = node.call("GET", "/shop/late", Some(new)).await;
        assert_eq!(late.status, StatusCode::NOT_FOUND, "{late:?}");
        let status = node.cluster.status();
        assert_eq!(status.contexts[0].sessions, 1);
        assert_eq!(status.contexts[0].tombstones, 1);
        assert_eq!((status.counters.alarms, status.counters.conflicts), (0, 0));
    }
    assert_eq!(nodes[0].digest(), nodes[1].digest());
}

fn discarded(node: &Node) -> u64 {
    node.cluster.status().counters.writes_discarded
}

/// Both are under way at once: neither node has heard of the other's.
#[tokio::test(start_paused = true)]
async fn a_write_that_crosses_the_change_is_discarded_and_counted() {
    let network = Network::new(1);
    let (a, b) = two_with(&network, app).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    let old = made.cookie.unwrap();
    // B has shown the session to this client, so it asks nobody when the client comes again.
    let read = b.call("GET", "/shop/color", Some(&old)).await;
    let at_b = read.cookie.unwrap();
    network.hold(A, B);
    let release = async {
        let both_wrote = || {
            let sent = |node: &Node| node.cluster.status().members[0].link.unacknowledged_frames;
            sent(&a) == 1 && sent(&b) == 1
        };
        while !both_wrote() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        network.release(A, B);
    };
    let (changed, written, ()) = tokio::join!(
        a.call("POST", "/shop/cycle", Some(&old)),
        b.call("POST", "/shop/late/1", Some(&at_b)),
        release
    );
    assert_eq!((changed.status, changed.degraded), (StatusCode::OK, None));
    assert_eq!(written.status, StatusCode::OK);
    let new = changed.cookie.unwrap();
    assert_changed([&a, &b], &old, &new).await;
    assert_eq!(discarded(&a), 1, "the write that came to its tombstone");
}

/// The request at B holds the session while the change arrives, and commits behind it.
#[tokio::test(start_paused = true)]
async fn a_request_that_ends_after_the_change_writes_nothing() {
    static MAY_END: Semaphore = Semaphore::const_new(0);
    async fn slow(
        State(may_end): State<&'static Semaphore>,
        Extension(session): Extension<Session>,
    ) -> String {
        session.insert(Attribute::from("late"), &"1").unwrap();
        let _permit = may_end.acquire().await.unwrap();
        "over".to_owned()
    }
    fn with_slow() -> Router {
        app().route("/shop/slow", post(slow).with_state(&MAY_END))
    }
    let network = Network::new(2);
    let (a, b) = two_with(&network, with_slow).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    let old = made.cookie.unwrap();
    let change = async {
        // The request at B is in its handler by then.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let changed = a.call("POST", "/shop/cycle", Some(&old)).await;
        MAY_END.add_permits(1);
        changed
    };
    let (late, changed) = tokio::join!(b.call("POST", "/shop/slow", Some(&old)), change);
    assert_eq!(late.text, "over");
    let new = changed.cookie.unwrap();
    assert_changed([&a, &b], &old, &new).await;
    assert_eq!((discarded(&a), discarded(&b)), (0, 1));
}
