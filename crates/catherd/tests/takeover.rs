//! A request arrives elsewhere: whose copy is served, and what is said of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use axum::routing::{get, post};
use axum::{Extension, Router};
use catherd::testing::Network;
use catherd::{Attribute, Manager, Session, Stale};
use farm::{A, B, Node, meet, two_with};
use http::StatusCode;

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

#[tokio::test(start_paused = true)]
async fn the_last_one_left_says_so_if_another_one_died_too() {
    let network = Network::new(5);
    let (a, b) = two_with(&network, app).await;
    let c = Node::start(&network.host(C), "C", "one", app()).await;
    c.cluster.ready().await;
    b.sees(&["A", "C"]).await;
    let cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    network.crash(A);
    network.crash(C);
    b.sees(&[]).await;
    let read = b.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!(
        (&*read.text, read.degraded.as_deref()),
        ("1", Some("takeover"))
    );
    assert_eq!(b.cluster.status().counters.takeovers, 1);
    let again = b.call("GET", "/shop/read", read.cookie.as_deref()).await;
    assert_eq!((&*again.text, again.degraded), ("1", None));
    assert_eq!(b.cluster.status().counters.takeovers, 1);
}

/// A broken connection is no silence: whether the member is gone is known before long.
#[tokio::test(start_paused = true)]
async fn a_request_right_after_a_crash_takes_over_and_is_not_stale() {
    let network = Network::new(6);
    let (a, b) = two_with(&network, app).await;
    let cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    network.crash(A);
    let read = b.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!((&*read.text, read.degraded), ("1", None));
    let counters = b.cluster.status().counters;
    assert_eq!((counters.takeovers, counters.stale_answers), (1, 0));
}

/// What is confirmed when it is written may have died on its way.
#[tokio::test(start_paused = true)]
async fn where_nobody_waits_for_acknowledgements_a_takeover_is_always_said() {
    let network = Network::new(8);
    let start = |ip, name| {
        let host = network.host(ip);
        let builder = farm::builder(&host, name, "one").wait_for_ack(false);
        async move { Node::start_as(builder, &host, app()).await }
    };
    let (a, b) = (start(A, "A").await, start(B, "B").await);
    meet(&a, &b).await;
    let cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    while b.cluster.status().contexts[0].sessions == 0 {
        tokio::task::yield_now().await;
    }
    network.crash(A);
    b.sees(&[]).await;
    let read = b.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!(
        (&*read.text, read.degraded.as_deref()),
        ("1", Some("takeover"))
    );
    let again = b.call("GET", "/shop/read", read.cookie.as_deref()).await;
    assert_eq!((&*again.text, again.degraded), ("1", None));
}

/// A silent member may have the session that nobody else knows.
#[tokio::test(start_paused = true)]
async fn a_session_that_only_a_silent_member_may_have_is_not_taken_for_none() {
    let network = Network::new(7);
    for (stale, status) in [
        (Stale::Degraded, StatusCode::OK),
        (Stale::Refuse, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let a = Node::start(&network.host(A), "A", "one", app()).await;
        a.cluster.ready().await;
        let host = network.host(B);
        let builder = farm::builder(&host, "B", "one");
        let cluster = builder.start_in(host.clone()).await.unwrap();
        let manager = Manager::delta().stale(stale);
        let context = cluster.context("/shop").manager(manager).build().unwrap();
        let b = Node {
            app: app().layer(context.layer()),
            cluster,
        };
        b.cluster.ready().await;
        b.sees(&["A"]).await;
        network.pause(A);
        let unknown = format!("{}.A", "0123456789ABCDEF".repeat(2));
        let read = b.call("GET", "/shop/read", Some(&unknown)).await;
        assert_eq!(read.status, status);
        if stale == Stale::Degraded {
            assert_eq!(
                (&*read.text, read.degraded.as_deref()),
                ("0", Some("stale"))
            );
        }
        network.crash(A);
        network.crash(B);
    }
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
    network.crash(B);
    let alone = Node::start(&network.host(A), "A", "one", app()).await;
    alone.cluster.ready().await;
    let none = alone.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!(
        (&*none.text, none.degraded.as_deref()),
        ("0", Some("takeover"))
    );
    let b = Node::start(&network.host(B), "B", "one", app()).await;
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

/// A request that is under way has set something, and another one reads it: what that one answers
/// with must not go with this node.
#[tokio::test(start_paused = true)]
async fn what_was_read_of_a_request_under_way_is_on_the_other_node_before_the_answer() {
    let network = Network::new(41);
    let app = || {
        async fn slow(Extension(session): Extension<Session>) {
            session.update(COUNT, |count| *count = Some(7)).unwrap();
            std::future::pending().await
        }
        app().route("/shop/slow", post(slow))
    };
    let (a, b) = two_with(&network, app).await;
    let cookie = a.call("POST", "/shop/count", None).await.cookie.unwrap();
    let mut slow = std::pin::pin!(a.call("POST", "/shop/slow", Some(&cookie)));
    let read = async {
        loop {
            let read = a.call("GET", "/shop/read", Some(&cookie)).await;
            if read.text == "7" {
                return read;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut slow => panic!("nobody lets it go on"),
        read = read => assert_eq!(read.degraded, None),
    }
    network.crash(A);
    b.sees(&[]).await;
    let read = b.call("GET", "/shop/read", Some(&cookie)).await;
    assert_eq!((&*read.text, read.degraded), ("7", None));
}
