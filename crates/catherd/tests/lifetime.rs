//! How old a session may become, however much it is used.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::Duration;

use axum::routing::post;
use axum::{Extension, Router};
use catherd::testing::{Host, Network};
use catherd::{ContextBuilder, Manager, Session, SessionEnd};
use farm::{A, B, Node, attributes, ends, meet, within};
use http::StatusCode;
use tokio::time::Instant;

const LIFETIME: Duration = Duration::from_secs(600);
const IDLE: Duration = Duration::from_secs(60);
const TOLERANCE: Duration = Duration::from_secs(10);

/// As [`attributes`]; `POST /shop/id` changes the id.
fn app() -> Router {
    async fn change_id(Extension(session): Extension<Session>) -> String {
        session.cycle_id().to_string()
    }
    attributes().route("/shop/id", post(change_id))
}

async fn start(host: &Host, name: &str) -> Node {
    let manager = Manager::delta()
        .expire_tolerance(TOLERANCE)
        .max_lifetime(LIFETIME);
    let set = |context: ContextBuilder| context.manager(manager).max_inactive(IDLE);
    Node::start_with(farm::builder(host, name, "one"), host, set, app()).await
}

async fn two(network: &Network) -> (Node, Node) {
    let (host_a, host_b) = (network.host(A), network.host(B));
    let (a, b) = (start(&host_a, "A").await, start(&host_b, "B").await);
    meet(&a, &b).await;
    (a, b)
}

/// Uses the session on the nodes in turn, often enough on each, until `end`.
async fn use_until(end: Instant, nodes: &[&Node], cookie: &str) {
    for node in nodes.iter().cycle() {
        let next = Instant::now() + IDLE / 6;
        if next >= end {
            break;
        }
        tokio::time::sleep_until(next).await;
        let read = node.call("GET", "/shop/color", Some(cookie)).await;
        assert_eq!(read.text, "red");
    }
    tokio::time::sleep_until(end).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_in_use_ends_on_all_nodes_when_it_is_old_enough_and_the_application_hears_of_it_once()
 {
    let network = Network::new(1);
    let (a, b) = two(&network).await;
    let made = Instant::now();
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    let (mut at_a, mut at_b) = (a.cluster.events(), b.cluster.events());
    use_until(made + LIFETIME - IDLE / 6, &[&a, &b], &cookie).await;
    // A write makes it no younger, and moves it to B.
    b.call("POST", "/shop/shape/round", Some(&cookie)).await;
    tokio::time::sleep_until(made + LIFETIME).await;
    for node in [&a, &b] {
        let read = node.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
    }
    within("ended on both", Duration::from_secs(5), || {
        (a.tombstones(), b.tombstones()) == (1, 1)
    })
    .await;
    assert_eq!((a.sessions(), b.sessions()), (0, 0));
    // Long after anybody else would have had a turn.
    tokio::time::sleep(5 * TOLERANCE).await;
    assert_eq!(
        (
            ends(&mut at_a, SessionEnd::Lifetime).await,
            ends(&mut at_b, SessionEnd::Lifetime).await
        ),
        (0, 1)
    );
    assert_eq!(a.digest(), b.digest());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_id_makes_a_session_no_younger() {
    let network = Network::new(2);
    let (a, b) = two(&network).await;
    let made = Instant::now();
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    use_until(made + LIFETIME / 2, &[&a], &cookie).await;
    let changed = a.call("POST", "/shop/id", Some(&cookie)).await;
    let cookie = changed.cookie.unwrap();
    use_until(made + LIFETIME, &[&a, &b], &cookie).await;
    for node in [&a, &b] {
        let read = node.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
    }
    // Of the old key and of the new one.
    within("ended on both", Duration::from_secs(5), || {
        (a.tombstones(), b.tombstones()) == (2, 2)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_came_late_is_as_old_as_the_session_and_ends_without_its_owner() {
    let network = Network::new(3);
    let a = start(&network.host(A), "A").await;
    a.cluster.ready().await;
    let made = Instant::now();
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    use_until(made + LIFETIME / 2, &[&a], &cookie).await;
    let b = start(&network.host(B), "B").await;
    tokio::join!(b.cluster.ready(), a.sees(&["B"]), b.sees(&["A"]));
    assert_eq!(b.sessions(), 1);
    network.crash(A);
    b.sees(&[]).await;
    let mut at_b = b.cluster.events();
    use_until(made + LIFETIME, &[&b], &cookie).await;
    let read = b.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.status, StatusCode::NOT_FOUND);
    tokio::time::sleep(TOLERANCE).await;
    within("ended", Duration::from_secs(5), || b.tombstones() == 1).await;
    assert_eq!(ends(&mut at_b, SessionEnd::Lifetime).await, 1);
    // Who comes back learns of the end, and of no session.
    let again = start(&network.host(A), "A").await;
    tokio::join!(again.cluster.ready(), b.sees(&["A"]));
    assert_eq!((again.sessions(), again.tombstones()), (0, 1));
}

/// Each side knows by itself, and what comes back is a tombstone on both.
#[tokio::test(start_paused = true)]
async fn a_split_prolongs_no_session() {
    let network = Network::new(4);
    let (a, b) = two(&network).await;
    let made = Instant::now();
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    use_until(made + LIFETIME / 2, &[&a, &b], &cookie).await;
    network.partition(A, B);
    a.sees(&[]).await;
    b.sees(&[]).await;
    use_until(made + LIFETIME, &[&a, &b], &cookie).await;
    for node in [&a, &b] {
        let read = node.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
    }
    network.repair(A, B);
    tokio::join!(a.sees(&["B"]), b.sees(&["A"]));
    within("ended on both", Duration::from_secs(5), || {
        (a.tombstones(), b.tombstones()) == (1, 1) && a.sessions() + b.sessions() == 0
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_never_idle_ends_too() {
    let network = Network::new(5);
    let host = network.host(A);
    let builder = farm::builder(&host, "A", "one");
    let cluster = builder.start_in(host.clone()).await.unwrap();
    let context = cluster
        .context("/shop")
        .manager(Manager::standard().max_lifetime(LIFETIME))
        .never_inactive()
        .build()
        .unwrap();
    let a = Node {
        app: app().layer(context.layer()),
        cluster,
    };
    a.cluster.ready().await;
    let mut at_a = a.cluster.events();
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    tokio::time::sleep(LIFETIME - Duration::from_secs(1)).await;
    let read = a.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "red");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = a.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.status, StatusCode::NOT_FOUND);
    within("ended", Duration::from_secs(5), || a.sessions() == 0).await;
    assert_eq!(ends(&mut at_a, SessionEnd::Lifetime).await, 1);
}
