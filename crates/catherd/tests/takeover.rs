//! A request arrives elsewhere: whose copy is served, and what is said of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use axum::routing::{get, post};
use axum::{Extension, Router};
use catherd::testing::Network;
use catherd::{Attribute, Session};
use farm::{A, Node, two_with};

const C: [u8; 4] = [10, 0, 0, 3];
const COUNT: Attribute<u64> = Attribute::new("count");

fn app() -> Router {
    async fn count(Extension(session): Extension<Session>) -> String {
        session
            .update(COUNT, |count| *count.insert(count.unwrap_or(0) + 1))
            .unwrap()
            .to_string()
    }
    async fn read(Extension(session): Extension<Session>) -> String {
        session.get(COUNT).unwrap().unwrap_or(0).to_string()
    }
    Router::new()
        .route("/shop/count", post(count))
        .route("/shop/read", get(read))
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_node_had_confirmed_is_served_without_a_flag_by_those_who_knew_it() {
    let network = Network::new(1);
    let (a, b) = two_with(&network, app).await;
    let cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    network.crash(A);
    b.sees(&[]).await;
    let read = b.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!((&*read.text, read.degraded), ("1", None));
    assert!(read.cookie.unwrap().ends_with(".B"));
}

#[tokio::test(start_paused = true)]
async fn who_never_knew_the_dead_node_says_so_until_its_own_route_comes_back() {
    let network = Network::new(2);
    let (a, b) = two_with(&network, app).await;
    let cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    network.crash(A);
    b.sees(&[]).await;
    let c = Node::start(&network.host(C), "C", "one", app()).await;
    c.cluster.ready().await;
    let read = c.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!(
        (&*read.text, read.degraded.as_deref()),
        ("1", Some("takeover"))
    );
    let again = c.call("GET", "/shop/read", read.cookie.as_deref()).await;
    assert_eq!((&*again.text, again.degraded), ("1", None));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_walks_never_sees_an_older_session() {
    let network = Network::new(3);
    let (a, b) = two_with(&network, app).await;
    let c = Node::start(&network.host(C), "C", "one", app()).await;
    c.cluster.ready().await;
    for node in [&a, &b] {
        node.cluster
            .wait_for_members(|view| view.members.len() == 2)
            .await;
    }
    let mut cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    for step in 1..60_u64 {
        let node = [&a, &b, &c][(step % 3) as usize];
        let method = if step % 2 == 0 { "POST" } else { "GET" };
        let path = if step % 2 == 0 {
            "/shop/count"
        } else {
            "/shop/read"
        };
        let answer = node.call(method, path, Some(&cookie)).await;
        assert_eq!(answer.text, (1 + step / 2).to_string(), "step {step}");
        assert_eq!(answer.degraded, None);
        cookie = answer.cookie.unwrap_or(cookie);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_answer_in_time_makes_the_answer_stale() {
    let network = Network::new(4);
    let (a, b) = two_with(&network, app).await;
    let cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    network.pause(A);
    let read = b.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!(
        (&*read.text, read.degraded.as_deref()),
        ("1", Some("stale"))
    );
    assert_eq!(b.cluster.status().counters.stale_answers, 1);
}

/// Two members of three are out of reach: what they confirm to each other cannot be known here.
#[tokio::test(start_paused = true)]
async fn who_is_alone_and_misses_more_than_the_node_of_the_route_says_so() {
    let network = Network::new(5);
    let (a, b) = two_with(&network, app).await;
    let c = Node::start(&network.host(C), "C", "one", app()).await;
    c.cluster.ready().await;
    for node in [&a, &b] {
        node.sees(if node.cluster.name() == "A" {
            &["B", "C"]
        } else {
            &["A", "C"]
        })
        .await;
    }
    let cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    network.isolate(C);
    c.sees(&[]).await;
    a.sees(&["B"]).await;
    let more = a.call("POST", "/shop/count", Some(&cookie)).await;
    assert_eq!((&*more.text, more.degraded), ("2", None));
    let old = c.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!(
        (&*old.text, old.degraded.as_deref()),
        ("1", Some("takeover"))
    );
    let begun = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    let none = c.call("GET", "/shop/read", Some(&begun)).await;
    assert_eq!(
        (&*none.text, none.degraded.as_deref()),
        ("0", Some("takeover"))
    );
}

/// What the processes before had confirmed died with them; those of the same names are no proof.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_killed_as_a_whole_says_that_what_it_shows_may_be_old() {
    let network = Network::new(6);
    let (a, _b) = two_with(&network, app).await;
    let cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    network.crash(A);
    network.crash(farm::B);
    let alone = Node::start(&network.host(A), "A", "one", app()).await;
    alone.cluster.ready().await;
    let none = alone.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!(
        (&*none.text, none.degraded.as_deref()),
        ("0", Some("takeover"))
    );
    let b = Node::start(&network.host(farm::B), "B", "one", app()).await;
    b.cluster.ready().await;
    alone.sees(&["B"]).await;
    for node in [&alone, &b] {
        let none = node.call("GET", "/shop/read", Some(&cookie)).await;
        assert_eq!(
            (&*none.text, none.degraded.as_deref()),
            ("0", Some("takeover"))
        );
    }
}
