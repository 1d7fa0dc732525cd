//! Whole nodes on the network in memory and the clock behind it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::Duration;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Extension, Router};
use catherd::testing::Network;
use catherd::{Attribute, Session};
use farm::{A, B, Node, two_with};
use http::StatusCode;

fn app() -> Router {
    async fn set(
        Extension(session): Extension<Session>,
        Path((name, value)): Path<(String, String)>,
    ) -> Result<String, (StatusCode, String)> {
        session
            .insert(Attribute::from(name), &value)
            .map(|()| session.id().unwrap())
            .map_err(|error| (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()))
    }
    async fn read(
        Extension(session): Extension<Session>,
        Path(name): Path<String>,
    ) -> Result<String, StatusCode> {
        let value = session.get::<String>(Attribute::from(name)).unwrap();
        value.ok_or(StatusCode::NOT_FOUND)
    }
    async fn end(Extension(session): Extension<Session>) -> String {
        session.invalidate().to_string()
    }
    async fn cycle(Extension(session): Extension<Session>) -> String {
        session.cycle_id();
        session.id().unwrap_or_default()
    }
    Router::new()
        .route("/shop/{name}/{value}", post(set))
        .route("/shop/{name}", get(read))
        .route("/shop/end", post(end))
        .route("/shop/cycle", post(cycle))
}

async fn two(network: &Network) -> (Node, Node) {
    two_with(network, app).await
}

#[tokio::test(start_paused = true)]
async fn a_write_is_on_the_other_node_before_the_response_is() {
    let network = Network::new(1);
    let (a, b) = two(&network).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    assert_eq!(made.degraded, None);
    let cookie = made.cookie.unwrap();
    assert_eq!(cookie, format!("{}.A", made.text));
    let read = b.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!((read.status, &*read.text), (StatusCode::OK, "red"));
    assert_eq!(read.cookie, Some(format!("{}.B", made.text)));
}

#[tokio::test(start_paused = true)]
async fn a_user_goes_on_when_the_node_is_killed() {
    let network = Network::new(2);
    let (a, b) = two(&network).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    network.crash(A);
    b.sees(&[]).await;
    let cookie = made.cookie.unwrap();
    let read = b.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(&*read.text, "red");
    let alone = b
        .call("POST", "/shop/color/blue", read.cookie.as_deref())
        .await;
    assert_eq!(alone.degraded.as_deref(), Some("durability"));
}

#[tokio::test(start_paused = true)]
async fn two_writes_on_two_nodes_at_once_both_survive() {
    let network = Network::new(3);
    let (a, b) = two(&network).await;
    let cookie = a.call("POST", "/shop/base/0", None).await.cookie.unwrap();
    let (one, two) = tokio::join!(
        a.call("POST", "/shop/left/1", Some(&cookie)),
        b.call("POST", "/shop/right/2", Some(&cookie)),
    );
    assert_eq!((one.status, two.status), (StatusCode::OK, StatusCode::OK));
    for node in [&a, &b] {
        assert_eq!(
            node.call("GET", "/shop/left", Some(&cookie)).await.text,
            "1"
        );
        assert_eq!(
            node.call("GET", "/shop/right", Some(&cookie)).await.text,
            "2"
        );
    }
    assert_eq!(
        a.cluster.status().contexts[0].digest,
        b.cluster.status().contexts[0].digest
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_logout_the_old_cookie_gets_nothing_anywhere() {
    let network = Network::new(4);
    let (a, b) = two(&network).await;
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    let ended = a.call("POST", "/shop/end", Some(&cookie)).await;
    assert_eq!((&*ended.text, ended.degraded), ("true", None));
    for node in [&a, &b] {
        let read = node.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_id_ends_the_old_key_and_keeps_the_content() {
    let network = Network::new(5);
    let (a, b) = two(&network).await;
    let old = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    let moved = a.call("POST", "/shop/cycle", Some(&old)).await;
    let new = moved.cookie.unwrap();
    assert_ne!(old, new);
    assert_eq!(b.call("GET", "/shop/color", Some(&new)).await.text, "red");
    assert_eq!(
        b.call("GET", "/shop/color", Some(&old)).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_is_a_goodbye_and_nobody_is_missing() {
    let network = Network::new(6);
    let (a, b) = two(&network).await;
    a.cluster.shutdown(Duration::from_secs(10)).await;
    b.sees(&[]).await;
    assert_eq!(b.cluster.status().missing, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn two_clusters_in_one_process_do_not_meet() {
    let network = Network::new(7);
    let (a, b) = two(&network).await;
    let c = Node::start(&network.host([10, 0, 0, 3]), "A", "two", app()).await;
    let d = Node::start(&network.host([10, 0, 0, 4]), "B", "two", app()).await;
    tokio::join!(c.cluster.ready(), d.cluster.ready());
    c.sees(&["B"]).await;
    d.sees(&["A"]).await;
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    assert_eq!(
        d.call("GET", "/shop/color", Some(&cookie)).await.status,
        StatusCode::NOT_FOUND
    );
    for node in [&a, &b, &c, &d] {
        assert_eq!(node.cluster.members().members.len(), 1);
        assert!(
            node.cluster.status().counters.bad_datagrams > 0,
            "foreign heartbeats are counted"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_member_is_waited_for_until_a_probe_finds_it_gone() {
    let network = Network::new(8);
    let (a, _b) = two(&network).await;
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    network.pause(B);
    let before = tokio::time::Instant::now();
    let slow = a.call("POST", "/shop/color/blue", Some(&cookie)).await;
    let took = before.elapsed();
    assert_eq!(slow.degraded.as_deref(), Some("durability"));
    // Silent for the drop time, and two heartbeats for the probe: long before `ackTimeout`.
    assert!(took < Duration::from_secs(6), "{took:?}");
}
