//! State transfer and repair: a node comes, a node goes, a cluster is split and whole again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::Duration;

use axum::routing::post;
use axum::{Extension, Router};
use catherd::testing::Network;
use catherd::{Cluster, CountersStatus, Event, Manager, OnTransferTimeout, Session};
use farm::{A, B, Node, attributes, meet, two_with, until};
use futures_util::future::join_all;
use http::StatusCode;

const C: [u8; 4] = [10, 0, 0, 3];

async fn fill(node: &Node, sessions: usize) -> Vec<String> {
    let mut cookies = Vec::new();
    for number in 0..sessions {
        let made = node
            .call("POST", &format!("/shop/number/{number}"), None)
            .await;
        cookies.push(made.cookie.unwrap());
    }
    cookies
}

/// Waits until the digests of all are equal and each says that nothing differs.
async fn whole(nodes: &[&Node], within: Duration) {
    let equal = || {
        nodes.iter().all(|node| {
            node.digest() == nodes[0].digest()
                && node.cluster.status().sessions_that_differ == Some(0)
        })
    };
    let waited = async {
        while !equal() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(within, waited)
        .await
        .unwrap_or_else(|_| {
            let all: Vec<_> = nodes.iter().map(|node| node.cluster.status()).collect();
            panic!("not whole: {all:?}")
        });
}

/// HOW-TO, "How it Works", 2: before TomcatB starts listening for HTTP requests, the state has
/// been transferred.
#[tokio::test(start_paused = true)]
async fn h26_a_starting_node_has_all_sessions_before_it_is_ready() {
    let network = Network::new(1);
    let a = Node::start(&network.host(A), "A", "one", attributes()).await;
    a.cluster.ready().await;
    let cookies = fill(&a, 1000).await;
    a.call("POST", "/shop/end", Some(&cookies[0])).await;

    let b = Node::start(&network.host(B), "B", "one", attributes()).await;
    b.cluster.ready().await;
    assert_eq!(b.sessions(), 999);
    assert_eq!(b.cluster.status().contexts[0].tombstones, 1);
    assert_eq!(a.digest(), b.digest());
    let transfer = b.cluster.status().contexts[0].transfer.clone();
    assert_eq!(
        (transfer.state, transfer.sessions, transfer.percent),
        ("done", 1000, 100)
    );
    let read = b.call("GET", "/shop/number", Some(&cookies[7])).await;
    assert_eq!(read.text, "7");
}

/// By the age that a tombstone came with: otherwise the digests differ for hours.
#[tokio::test(start_paused = true)]
async fn a_tombstone_leaves_the_digests_of_all_at_once_whenever_it_came_to_them() {
    const LIFE: Duration = Duration::from_secs(1000);
    let network = Network::new(21);
    let start = async |ip: [u8; 4], name: &str| {
        let host = network.host(ip);
        let cluster = farm::builder(&host, name, "one")
            .start_in(host.clone())
            .await
            .unwrap();
        let context = cluster
            .context("/shop")
            .manager(Manager::delta().tombstone_life(LIFE))
            .build()
            .unwrap();
        cluster.ready().await;
        let app = attributes().layer(context.layer());
        Node { cluster, app }
    };
    let a = start(A, "A").await;
    let empty = a.digest();
    let cookies = fill(&a, 1).await;
    a.call("POST", "/shop/end", Some(&cookies[0])).await;
    tokio::time::sleep(LIFE * 4 / 10).await;
    let b = start(B, "B").await;
    assert_ne!(a.digest(), empty);
    assert_eq!(a.digest(), b.digest());
    tokio::time::sleep(LIFE * 2 / 10).await;
    assert_eq!((a.digest(), b.digest()), (empty.clone(), empty));
    assert_eq!(b.cluster.status().contexts[0].tombstones, 1);
}

#[tokio::test(start_paused = true)]
async fn a_donor_that_dies_in_the_middle_is_replaced() {
    let network = Network::new(2);
    let (a, b) = two_with(&network, attributes).await;
    fill(&a, 3000).await;
    // Slow enough that the transfer takes a while.
    let slow = catherd::testing::Link {
        latency: Duration::from_millis(20),
        ..catherd::testing::Link::default()
    };
    network.set_links(slow);
    let c = Node::start(&network.host(C), "C", "one", attributes()).await;
    let crash = async {
        while c.sessions() < 500 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(c.sessions() < 3000, "in the middle");
        network.crash(A);
    };
    tokio::join!(c.cluster.ready(), crash);
    assert_eq!(c.sessions(), 3000);
    assert_eq!(b.digest(), c.digest());
}

#[tokio::test(start_paused = true)]
async fn writes_logouts_and_new_sessions_during_the_transfer_are_not_lost() {
    let network = Network::new(3);
    let a = Node::start(&network.host(A), "A", "one", attributes()).await;
    a.cluster.ready().await;
    let cookies = fill(&a, 2000).await;
    let b = Node::start(&network.host(B), "B", "one", attributes()).await;
    let traffic = async {
        for (at, cookie) in cookies.iter().enumerate().step_by(7) {
            match at % 3 {
                0 => a.call("POST", "/shop/end", Some(cookie)).await,
                1 => a.call("POST", "/shop/color/red", Some(cookie)).await,
                _ => a.call("POST", "/shop/color/red", None).await,
            };
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::join!(b.cluster.ready(), traffic);
    whole(&[&a, &b], Duration::from_secs(5)).await;
    assert_eq!(a.sessions(), b.sessions());
}

/// HOW-TO, "How it Works", 6: the restarted node has what the other wrote before it opens.
#[tokio::test(start_paused = true)]
async fn h39_a_node_that_was_started_again_has_what_the_other_wrote() {
    let network = Network::new(4);
    let (a, b) = two_with(&network, attributes).await;
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    network.crash(A);
    b.sees(&[]).await;
    b.call("POST", "/shop/color/blue", Some(&cookie)).await;
    let again = Node::start(&network.host(A), "A", "one", attributes()).await;
    again.cluster.ready().await;
    assert_eq!(again.digest(), b.digest());
    assert_eq!(
        again.call("GET", "/shop/color", Some(&cookie)).await.text,
        "blue"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_split_both_sides_have_the_writes_of_both() {
    let network = Network::new(5);
    let (a, b) = two_with(&network, attributes).await;
    let kept = a.call("POST", "/shop/base/0", None).await.cookie.unwrap();
    let ended = a.call("POST", "/shop/base/0", None).await.cookie.unwrap();
    network.partition(A, B);
    a.sees(&[]).await;
    b.sees(&[]).await;
    a.call("POST", "/shop/left/1", Some(&kept)).await;
    b.call("POST", "/shop/right/2", Some(&kept)).await;
    let logout = a.call("POST", "/shop/end", Some(&ended)).await;
    assert_eq!(logout.degraded.as_deref(), Some("pending"));
    b.call("POST", "/shop/late/3", Some(&ended)).await;
    let only_here = b.call("POST", "/shop/base/1", None).await.cookie.unwrap();

    network.repair(A, B);
    tokio::join!(a.sees(&["B"]), b.sees(&["A"]));
    // Ten heartbeats.
    whole(&[&a, &b], Duration::from_secs(5)).await;
    for node in [&a, &b] {
        assert_eq!(node.call("GET", "/shop/left", Some(&kept)).await.text, "1");
        assert_eq!(node.call("GET", "/shop/right", Some(&kept)).await.text, "2");
        assert_eq!(
            node.call("GET", "/shop/base", Some(&only_here)).await.text,
            "1"
        );
        let gone = node.call("GET", "/shop/late", Some(&ended)).await;
        assert_eq!(
            gone.status,
            StatusCode::NOT_FOUND,
            "logged out stays logged out"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_join_at_once_both_get_everything() {
    let network = Network::new(6);
    let a = Node::start(&network.host(A), "A", "one", attributes()).await;
    a.cluster.ready().await;
    fill(&a, 500).await;
    let b = Node::start(&network.host(B), "B", "one", attributes()).await;
    let c = Node::start(&network.host(C), "C", "one", attributes()).await;
    tokio::join!(b.cluster.ready(), c.cluster.ready());
    assert_eq!((b.sessions(), c.sessions()), (500, 500));
    assert_eq!((a.digest(), a.digest()), (b.digest(), c.digest()));
}

/// HOW-TO, "How it Works", 2: in case TomcatA does not respond, TomcatB will time out after 60
/// seconds, and issue a log entry.
#[tokio::test(start_paused = true)]
async fn h27_state_that_does_not_come_in_time_is_said_and_the_policy_decides() {
    for policy in [OnTransferTimeout::Start, OnTransferTimeout::StayClosed] {
        let network = Network::new(7);
        let a = Node::start(&network.host(A), "A", "one", attributes()).await;
        a.cluster.ready().await;
        fill(&a, 3000).await;
        // Enough for heartbeats and probes, and half a minute for the state.
        let narrow = catherd::testing::Link {
            bytes_per_second: Some(50_000),
            ..catherd::testing::Link::default()
        };
        network.set_link(A, B, narrow);

        let host = network.host(B);
        let cluster: Cluster = farm::builder(&host, "B", "one")
            .start_in(host.clone())
            .await
            .unwrap();
        let mut events = cluster.events();
        let manager = Manager::delta()
            .state_transfer_timeout(Some(Duration::from_secs(3)))
            .on_state_transfer_timeout(policy);
        let context = cluster.context("/shop").manager(manager).build().unwrap();
        let b = Node {
            app: attributes().layer(context.layer()),
            cluster,
        };
        b.cluster
            .wait_for_members(|view| view.members.len() == 1)
            .await;
        let began = tokio::time::Instant::now();
        let ready = tokio::time::timeout(Duration::from_secs(6), b.cluster.ready()).await;
        let timed_out = loop {
            match events.next().await.unwrap() {
                Event::StateTransfer { transfer, .. } if transfer.state == "timed out" => {
                    break true;
                }
                _ => {}
            }
        };
        assert!(timed_out && began.elapsed() < Duration::from_secs(7));
        assert_eq!(ready.is_ok(), policy == OnTransferTimeout::Start);
        network.release(A, B);
        tokio::time::timeout(Duration::from_secs(60), b.cluster.ready())
            .await
            .unwrap();
        whole(&[&a, &b], Duration::from_secs(60)).await;
    }
}

fn counters(node: &Node) -> CountersStatus {
    node.cluster.status().counters
}

#[tokio::test(start_paused = true)]
async fn of_what_a_full_queue_shed_exactly_the_marked_buckets_are_compared() {
    overflows(200_000).await;
}

/// All that was shed makes one answer, and that takes longer than a member has for it.
#[tokio::test(start_paused = true)]
async fn a_link_that_is_too_slow_for_a_large_answer_is_asked_for_less() {
    overflows(40_000).await;
}

/// An overflow: bounded memory and an exact repair.
async fn overflows(bytes_per_second: u64) {
    let network = Network::new(8);
    let start = |ip, name| {
        let host = network.host(ip);
        let builder = farm::builder(&host, name, "one")
            .max_queue_length(4)
            // Heartbeats wait behind what is sent.
            .drop_time(Duration::from_secs(20))
            .repair_interval(Duration::from_secs(3600));
        async move { Node::start_as(builder, &host, attributes()).await }
    };
    let (a, b) = (start(A, "A").await, start(B, "B").await);
    meet(&a, &b).await;
    fill(&a, 20).await;
    whole(&[&a, &b], Duration::from_secs(5)).await;
    let slow = catherd::testing::Link {
        bytes_per_second: Some(bytes_per_second),
        ..catherd::testing::Link::default()
    };
    network.set_link(A, B, slow);

    let (before_a, before_b) = (counters(&a), counters(&b));
    let path = format!("/shop/text/{}", "x".repeat(20_000));
    let writes = join_all((0..30).map(|_| a.call("POST", &path, None)));
    let (answers, marked) = tokio::join!(writes, async {
        let link = a.cluster.status().members[0].link.clone();
        assert_eq!(link.queued_frames, 4, "the link is not free");
        link.marked_buckets
    });
    let shed = answers.iter().filter(|answer| answer.degraded.is_some());
    let shed = shed.count() as u64;
    assert!(shed >= 20, "{shed} were shed");
    assert_eq!(
        counters(&a).marked_for_repair - before_a.marked_for_repair,
        shed
    );
    assert!((1..=shed).contains(&marked), "{marked} marks");

    whole(&[&a, &b], Duration::from_secs(120)).await;
    assert_eq!(b.sessions(), 50);
    assert_eq!(a.cluster.status().members[0].link.marked_buckets, 0);
    // It counts them when it has looked again.
    let repaired = || counters(&b).sessions_repaired - before_b.sessions_repaired;
    until("B has repaired what was shed", || repaired() >= shed).await;
    let (after_a, after_b) = (counters(&a), counters(&b));
    // A asks once, and lacks nothing; B pulls them, and looks at the same ones again.
    assert_eq!(
        after_a.buckets_compared - before_a.buckets_compared,
        marked,
        "A compares what is marked"
    );
    assert_eq!(
        after_b.buckets_compared - before_b.buckets_compared,
        2 * marked,
        "B compares what is marked"
    );
    assert_eq!(after_b.sessions_repaired - before_b.sessions_repaired, shed);
}

/// Two nodes that wait for each other for a second, and compare only what is marked; a session that
/// both have.
async fn two_that_only_marks_repair(
    network: &Network,
    app: impl Fn() -> Router,
) -> (Node, Node, String) {
    let start = |ip, name| {
        let (host, app) = (network.host(ip), app());
        let builder = farm::builder(&host, name, "one")
            .ack_timeout(Duration::from_secs(1))
            .drop_time(Duration::from_secs(60))
            .repair_interval(Duration::from_secs(3600));
        async move { Node::start_as(builder, &host, app).await }
    };
    let (a, b) = (start(A, "A").await, start(B, "B").await);
    meet(&a, &b).await;
    let cookie = fill(&a, 1).await.remove(0);
    whole(&[&a, &b], Duration::from_secs(5)).await;
    (a, b, cookie)
}

/// A tombstone is never shed; one that was not acknowledged in time is marked, and pulled.
#[tokio::test(start_paused = true)]
async fn a_logout_that_was_not_acknowledged_in_time_leaves_the_mark_of_its_bucket() {
    let network = Network::new(9);
    let (a, b, cookie) = two_that_only_marks_repair(&network, attributes).await;
    network.hold(A, B);
    let ended = a.call("POST", "/shop/end", Some(&cookie)).await;
    assert_eq!(ended.degraded.as_deref(), Some("pending"));
    assert_eq!(a.cluster.status().members[0].link.marked_buckets, 1);
    network.release(A, B);
    whole(&[&a, &b], Duration::from_secs(30)).await;
    assert_eq!(a.cluster.status().members[0].link.marked_buckets, 0);
    assert_eq!((a.sessions(), b.sessions()), (0, 0));
}

/// The queue knows one of the two keys, so the other may be anywhere.
#[tokio::test(start_paused = true)]
async fn a_change_of_id_that_was_not_acknowledged_in_time_marks_every_bucket() {
    async fn cycle(Extension(session): Extension<Session>) -> String {
        session.cycle_id().to_string()
    }
    let app = || attributes().route("/shop/cycle", post(cycle));
    let network = Network::new(10);
    let (a, b, cookie) = two_that_only_marks_repair(&network, app).await;
    network.hold(A, B);
    let moved = a.call("POST", "/shop/cycle", Some(&cookie)).await;
    assert!(moved.degraded.unwrap().contains("pending"));
    assert_eq!(a.cluster.status().members[0].link.marked_buckets, 4096);
    network.release(A, B);
    whole(&[&a, &b], Duration::from_secs(30)).await;
    assert_eq!(a.cluster.status().members[0].link.marked_buckets, 0);
    let read = b.call("GET", "/shop/number", moved.cookie.as_deref()).await;
    assert_eq!(read.text, "0");
}
