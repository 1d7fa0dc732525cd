//! Whole nodes on the network in memory and the clock behind it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::Duration;

use axum::routing::post;
use axum::{Extension, Router};
use catherd::core::membership::MemberEvent;
use catherd::testing::Network;
use catherd::{Cluster, Event, Manager, Session};
use farm::{A, B, Node, attributes, meet, two_with};
use http::StatusCode;
use tokio::time::Instant;

fn app() -> Router {
    async fn cycle(Extension(session): Extension<Session>) -> String {
        session.cycle_id();
        session.id().unwrap_or_default()
    }
    attributes().route("/shop/cycle", post(cycle))
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

/// By the network's clock, which no load of the machine moves.
#[tokio::test(start_paused = true)]
async fn who_starts_beside_a_ready_member_waits_for_no_heartbeat() {
    const HEARTBEAT: Duration = Duration::from_millis(500);
    let network = Network::new(1);
    let took = |since: Instant| since.elapsed();
    let began = Instant::now();
    let a = Node::start(&network.host(A), "A", "one", app()).await;
    a.cluster.ready().await;
    assert!(took(began) >= 2 * HEARTBEAT, "alone it has to listen");
    let began = Instant::now();
    let b = Node::start(&network.host(B), "B", "one", app()).await;
    b.cluster.ready().await;
    assert!(took(began) < HEARTBEAT, "{:?}", took(began));
    b.sees(&["A"]).await;
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

/// HOW-TO, "How it Works", 2: "all nodes in the cluster should be configured the same".
#[tokio::test(start_paused = true)]
async fn members_with_other_settings_are_reported_on_both_sides() {
    let network = Network::new(41);
    let (host_a, host_b) = (network.host(A), network.host(B));
    let hasty = farm::builder(&host_a, "A", "one").frequency(Duration::from_millis(400));
    let a = Node::start_as(hasty, &host_a, app()).await;
    let events_of_a = a.cluster.events();
    let b = Node::start(&host_b, "B", "one", app()).await;
    let events_of_b = b.cluster.events();
    for (mut events, other) in [(events_of_a, "B"), (events_of_b, "A")] {
        let reported = async {
            loop {
                let event = events.next().await.expect("the node runs");
                if let Event::Member(MemberEvent::SettingsDiffer(who)) = event {
                    return who.name;
                }
            }
        };
        let reported = tokio::time::timeout(Duration::from_secs(10), reported);
        assert_eq!(reported.await.expect("it is reported"), other);
    }
}

/// A session that begins on `node`, with a color; its cookie.
async fn red(node: &Node) -> String {
    let made = node.call("POST", "/shop/color/red", None).await;
    made.cookie.unwrap()
}

#[tokio::test(start_paused = true)]
async fn after_a_logout_the_old_cookie_gets_nothing_anywhere() {
    let network = Network::new(4);
    let (a, b) = two(&network).await;
    let cookie = red(&a).await;
    let ended = a.call("POST", "/shop/end", Some(&cookie)).await;
    assert_eq!((&*ended.text, ended.degraded), ("true", None));
    for node in [&a, &b] {
        let read = node.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
    }
}

/// A member that was missing when the logout went out has not heard of it when it is back.
#[tokio::test(start_paused = true)]
async fn a_logout_is_pending_for_a_member_that_comes_back_while_it_is_waited_for() {
    const C: [u8; 4] = [10, 0, 0, 3];
    let network = Network::new(13);
    let (a, b) = two(&network).await;
    let c = Node::start(&network.host(C), "C", "one", app()).await;
    c.cluster.ready().await;
    a.sees(&["B", "C"]).await;
    let cookie = red(&a).await;
    network.isolate(B);
    a.sees(&["C"]).await;
    b.sees(&[]).await;
    network.hold(A, C);
    let back = async {
        network.repair(A, B);
        a.sees(&["B", "C"]).await;
        network.release(A, C);
    };
    let (ended, ()) = tokio::join!(a.call("POST", "/shop/end", Some(&cookie)), back);
    assert_eq!(ended.degraded.as_deref(), Some("pending"));
}

/// A firewall resets the connections while the logout is on its way: nobody is missing, and nobody
/// has said that it knows.
#[tokio::test(start_paused = true)]
async fn a_logout_is_pending_if_the_connection_breaks_before_the_acknowledgement() {
    let network = Network::new(14);
    let (a, _b) = two(&network).await;
    let cookie = red(&a).await;
    network.hold_one_way(B, A);
    let breaks = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        network.reset_connections(A, B);
        network.release(A, B);
    };
    let (ended, ()) = tokio::join!(a.call("POST", "/shop/end", Some(&cookie)), breaks);
    assert_eq!(ended.degraded.as_deref(), Some("pending"));
}

/// It has sessions by then, and may serve them if it finds nobody any more.
#[tokio::test(start_paused = true)]
async fn a_logout_is_pending_for_a_member_that_is_cut_off_while_it_joins() {
    let network = Network::new(15);
    let (a, _b) = two(&network).await;
    let cookie = red(&a).await;
    let c = Node::start(&network.host([10, 0, 0, 3]), "C", "one", app()).await;
    c.cluster
        .wait_for_members(|view| view.members.len() == 2)
        .await;
    a.cluster
        .wait_for_members(|view| view.members.len() == 2)
        .await;
    network.isolate([10, 0, 0, 3]);
    let ended = a.call("POST", "/shop/end", Some(&cookie)).await;
    assert_eq!(ended.degraded.as_deref(), Some("pending"));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_id_ends_the_old_key_and_keeps_the_content() {
    let network = Network::new(5);
    let (a, b) = two(&network).await;
    let old = red(&a).await;
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
async fn a_change_of_id_on_a_node_alone_says_that_there_is_no_copy() {
    let network = Network::new(12);
    let (a, b) = two(&network).await;
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    network.crash(A);
    b.sees(&[]).await;
    let moved = b.call("POST", "/shop/cycle", Some(&cookie)).await;
    assert_eq!(moved.degraded.as_deref(), Some("durability, pending"));
}

#[tokio::test(start_paused = true)]
async fn a_local_session_whose_request_dies_leaves_nothing() {
    let cluster = Cluster::builder().start_local().unwrap();
    let context = cluster
        .context("/shop")
        .manager(Manager::standard())
        .build()
        .unwrap();
    async fn set_and_hang(Extension(session): Extension<Session>) {
        session.insert("color", &"red").unwrap();
        std::future::pending().await
    }
    let hang = Router::new()
        .route("/shop/hang", post(set_and_hang))
        .layer(context.layer());
    let call = farm::call(hang, "POST", "/shop/hang", None);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), call)
            .await
            .is_err()
    );
    let status = &cluster.status().contexts[0];
    assert_eq!((status.sessions, status.tombstones), (0, 0));
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
    let cookie = red(&a).await;
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
    let cookie = red(&a).await;
    network.pause(B);
    let before = Instant::now();
    let slow = a.call("POST", "/shop/color/blue", Some(&cookie)).await;
    let took = before.elapsed();
    assert_eq!(slow.degraded.as_deref(), Some("durability"));
    // Silent for the drop time, and two heartbeats for the probe: long before `ackTimeout`.
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_shed_is_there_before_the_write_behind_it_is_acknowledged() {
    let network = Network::new(9);
    let (host_a, host_b) = (network.host(A), network.host(B));
    let short_queue = farm::builder(&host_a, "A", "one").max_queue_length(1);
    let a = Node::start_as(short_queue, &host_a, app()).await;
    let b = Node::start(&host_b, "B", "one", app()).await;
    meet(&a, &b).await;
    let mut cookies = Vec::new();
    for _ in 0..3 {
        cookies.push(
            a.call("POST", "/shop/color/red", None)
                .await
                .cookie
                .unwrap(),
        );
    }
    network.hold(A, B);
    // The first is under way, the second fills the queue, the third is shed: its answer says so.
    let calls = async |cookie: &String| a.call("POST", "/shop/shape/round", Some(cookie)).await;
    let shed = async {
        let third = calls(&cookies[2]).await;
        network.release(A, B);
        third
    };
    let (first, second, third) = tokio::join!(calls(&cookies[0]), calls(&cookies[1]), shed);
    assert_eq!((first.degraded, second.degraded), (None, None));
    assert_eq!(third.degraded.as_deref(), Some("durability"));
    assert_eq!(a.cluster.status().counters.marked_for_repair, 1);
    assert_eq!(b.cluster.status().counters.gaps, 0);

    let next = a.call("POST", "/shop/size/large", Some(&cookies[2])).await;
    assert_eq!(next.degraded, None, "acknowledged, and so complete");
    // The write behind the gap fetches what is missing, or the repair of the mark, or both at once.
    let counters = b.cluster.status().counters;
    assert!((1..=2).contains(&(counters.gaps + counters.sessions_repaired)));
    network.crash(A);
    b.sees(&[]).await;
    for (name, value) in [("color", "red"), ("shape", "round"), ("size", "large")] {
        let read = b
            .call("GET", &format!("/shop/{name}"), Some(&cookies[2]))
            .await;
        assert_eq!(read.text, value);
    }
}

/// HOW-TO, "How it Works", 9: a session that is used on one node does not expire on the other.
#[tokio::test(start_paused = true)]
async fn reads_on_one_node_keep_the_copy_on_the_other_alive() {
    let network = Network::new(10);
    let (a, b) = two(&network).await;
    let cookie = red(&a).await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(
            a.call("GET", "/shop/color", Some(&cookie)).await.text,
            "red"
        );
    }
    assert_eq!(b.cluster.status().contexts[0].sessions, 1);
    tokio::time::sleep(Duration::from_secs(1900)).await;
    for node in [&a, &b] {
        assert_eq!(node.cluster.status().contexts[0].sessions, 0);
        let read = node.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_node_of_one_name_is_refused_while_the_first_lives() {
    let network = Network::new(11);
    let (a, b) = two(&network).await;
    let mut events = b.cluster.events();
    let twin = Node::start(&network.host([10, 0, 0, 3]), "A", "one", app()).await;
    loop {
        let event = tokio::time::timeout(Duration::from_secs(30), events.next()).await;
        if let Event::Member(MemberEvent::NameTaken { holder, .. }) = event.unwrap().unwrap() {
            assert_eq!(holder.name, "A");
            break;
        }
    }
    assert_eq!(b.cluster.members().members.len(), 1);
    let first = a.cluster.status().incarnation;
    assert_eq!(b.cluster.status().members[0].incarnation, first);
    network.crash(A);
    tokio::join!(twin.cluster.ready(), b.sees(&["A"]));
    assert_eq!(
        b.cluster.status().members[0].incarnation,
        twin.cluster.status().incarnation
    );
}
