//! Idle sessions: who keeps them alive, who ends them, and what a split does to them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::Duration;

use catherd::testing::{Host, Network};
use catherd::{ContextBuilder, Manager, SessionEnd};
use farm::{A, B, Node, attributes, ends, meet, within};
use http::StatusCode;

const LIMIT: Duration = Duration::from_secs(60);
const TOLERANCE: Duration = Duration::from_secs(10);

async fn start(host: &Host, name: &str) -> Node {
    let manager = Manager::delta().expire_tolerance(TOLERANCE);
    let set = |context: ContextBuilder| context.manager(manager).max_inactive(LIMIT);
    Node::start_with(farm::builder(host, name, "one"), host, set, attributes()).await
}

async fn two(network: &Network) -> (Node, Node) {
    let (host_a, host_b) = (network.host(A), network.host(B));
    let (a, b) = (start(&host_a, "A").await, start(&host_b, "B").await);
    meet(&a, &b).await;
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn used_on_one_node_alone_a_session_is_alive_on_both() {
    let network = Network::new(1);
    let (a, b) = two(&network).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    let cookie = made.cookie.unwrap();
    let (mut at_a, mut at_b) = (a.cluster.events(), b.cluster.events());
    // B becomes the owner; then A alone reads.
    b.call("POST", "/shop/shape/round", Some(&cookie)).await;
    for _ in 0..6 {
        tokio::time::sleep(LIMIT * 3 / 4).await;
        let read = a.call("GET", "/shop/shape", Some(&cookie)).await;
        assert_eq!(read.text, "round");
    }
    assert_eq!((a.sessions(), b.sessions()), (1, 1));
    let read = b.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "red");
    assert_eq!(a.digest(), b.digest());
    assert_eq!(
        (
            ends(&mut at_a, SessionEnd::Idle).await,
            ends(&mut at_b, SessionEnd::Idle).await
        ),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn idle_on_both_a_session_ends_on_both_and_the_application_hears_of_it_once() {
    let network = Network::new(2);
    let (a, b) = two(&network).await;
    let (mut at_a, mut at_b) = (a.cluster.events(), b.cluster.events());
    let made = a.call("POST", "/shop/color/red", None).await;
    tokio::time::sleep(LIMIT).await;
    within("gone on both", Duration::from_secs(5), || {
        a.sessions() + b.sessions() == 0
    })
    .await;
    // Long after anybody else would have had a turn.
    tokio::time::sleep(5 * TOLERANCE).await;
    assert_eq!(
        (
            ends(&mut at_a, SessionEnd::Idle).await,
            ends(&mut at_b, SessionEnd::Idle).await
        ),
        (1, 0)
    );
    for node in [&a, &b] {
        assert_eq!(node.cluster.status().counters.sessions_expired, 1);
        let read = node
            .call("GET", "/shop/color", made.cookie.as_deref())
            .await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_owner_left_ends_at_the_other_after_the_tolerance() {
    let network = Network::new(3);
    let (a, b) = two(&network).await;
    a.call("POST", "/shop/color/red", None).await;
    let mut at_b = b.cluster.events();
    a.cluster.shutdown(Duration::from_secs(10)).await;
    b.sees(&[]).await;
    tokio::time::sleep(LIMIT).await;
    assert_eq!(b.sessions(), 1, "its touches might be under way");
    within("gone", TOLERANCE + Duration::from_secs(5), || {
        b.sessions() == 0
    })
    .await;
    assert_eq!(ends(&mut at_b, SessionEnd::Idle).await, 1);
    assert_eq!(b.cluster.status().counters.sessions_expired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_owner_crashed_ends_at_the_other_and_is_dropped_when_the_owner_is_back() {
    let network = Network::new(4);
    let (a, b) = two(&network).await;
    let made = a.call("POST", "/shop/color/red", None).await;
    let mut at_b = b.cluster.events();
    network.crash(A);
    b.sees(&[]).await;
    tokio::time::sleep(LIMIT).await;
    within("ended", TOLERANCE + Duration::from_secs(5), || {
        b.sessions() == 0
    })
    .await;
    let read = b.call("GET", "/shop/color", made.cookie.as_deref()).await;
    assert_eq!(read.status, StatusCode::NOT_FOUND);
    assert_eq!(b.cluster.status().counters.sessions_expired, 0, "kept");

    let again = start(&network.host(A), "A").await;
    tokio::join!(again.cluster.ready(), b.sees(&["A"]));
    assert_eq!(again.sessions(), 0);
    within("dropped", 3 * TOLERANCE, || {
        b.cluster.status().counters.sessions_expired == 1
    })
    .await;
    assert_eq!(
        ends(&mut at_b, SessionEnd::Idle).await,
        1,
        "the application heard of it once"
    );
}

/// Side A fires the event and keeps its copy unserved; side B served its client all the time.
#[tokio::test(start_paused = true)]
async fn idle_on_one_side_of_a_split_a_session_is_alive_on_both_after_it() {
    let network = Network::new(5);
    let (a, b) = two(&network).await;
    let cookie = a.call("POST", "/shop/base/0", None).await.cookie.unwrap();
    let mut at_a = a.cluster.events();
    network.partition(A, B);
    a.sees(&[]).await;
    b.sees(&[]).await;
    a.call("POST", "/shop/left/1", Some(&cookie)).await;
    for _ in 0..3 {
        tokio::time::sleep(LIMIT / 2).await;
        b.call("POST", "/shop/right/2", Some(&cookie)).await;
    }
    assert_eq!(ends(&mut at_a, SessionEnd::Idle).await, 1);
    assert_eq!((a.sessions(), b.sessions()), (0, 1));
    let read = a.call("GET", "/shop/base", Some(&cookie)).await;
    assert_eq!(read.status, StatusCode::NOT_FOUND);

    network.repair(A, B);
    tokio::join!(a.sees(&["B"]), b.sees(&["A"]));
    within("alive on both", Duration::from_secs(15), || {
        a.sessions() == 1 && a.digest() == b.digest()
    })
    .await;
    for node in [&a, &b] {
        for (name, value) in [("base", "0"), ("left", "1"), ("right", "2")] {
            let read = node
                .call("GET", &format!("/shop/{name}"), Some(&cookie))
                .await;
            assert_eq!(read.text, value, "{name} at {}", node.cluster.name());
        }
    }
    assert_eq!(a.cluster.status().counters.sessions_revived, 1);
    assert_eq!(ends(&mut at_a, SessionEnd::Idle).await, 0);
}

#[tokio::test(start_paused = true)]
async fn idle_on_both_sides_of_a_split_nothing_is_left_after_it() {
    let network = Network::new(6);
    let (a, b) = two(&network).await;
    a.call("POST", "/shop/base/0", None).await;
    let (mut at_a, mut at_b) = (a.cluster.events(), b.cluster.events());
    network.partition(A, B);
    a.sees(&[]).await;
    b.sees(&[]).await;
    tokio::time::sleep(LIMIT + 2 * TOLERANCE).await;
    assert_eq!((a.sessions(), b.sessions()), (0, 0));
    network.repair(A, B);
    tokio::join!(a.sees(&["B"]), b.sees(&["A"]));
    within("dropped on both", 3 * TOLERANCE, || {
        let dropped = |node: &Node| node.cluster.status().counters.sessions_expired;
        (dropped(&a), dropped(&b)) == (1, 1)
    })
    .await;
    assert_eq!(
        (
            ends(&mut at_a, SessionEnd::Idle).await,
            ends(&mut at_b, SessionEnd::Idle).await
        ),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_answer_puts_the_end_off() {
    let network = Network::new(7);
    let (a, b) = two(&network).await;
    let mut at_a = a.cluster.events();
    a.call("POST", "/shop/color/red", None).await;
    tokio::time::sleep(LIMIT).await;
    // Shorter than the drop time: B stays a member.
    network.hold(A, B);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(ends(&mut at_a, SessionEnd::Idle).await, 0);
    network.release(A, B);
    within("gone on both", Duration::from_secs(10), || {
        a.sessions() + b.sessions() == 0
    })
    .await;
    assert_eq!(ends(&mut at_a, SessionEnd::Idle).await, 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_sessions_that_expire_at_once_are_asked_about_in_few_messages() {
    const COUNT: u64 = 10_000;
    let network = Network::new(8);
    let (a, b) = two(&network).await;
    for _ in 0..COUNT {
        a.call("POST", "/shop/color/red", None).await;
    }
    assert_eq!((a.sessions(), b.sessions()), (COUNT, COUNT));
    within("gone on both", 2 * LIMIT, || {
        a.sessions() + b.sessions() == 0
    })
    .await;
    // 10 000 in 4096, and the remains of each second.
    let batches = a.cluster.status().counters.expiry_batches;
    assert!((3..=6).contains(&batches), "{batches} batches");
    assert_eq!(b.cluster.status().counters.expiry_batches, 0);
    for (node, ended) in [(&a, COUNT), (&b, 0)] {
        let counters = node.cluster.status().counters;
        assert_eq!(
            (counters.sessions_expired, counters.sessions_ended),
            (COUNT, ended)
        );
    }
}

/// The owner does not know of the end, and the one who made the end is out of its sight. Whom it
/// asks knows it.
#[tokio::test(start_paused = true)]
async fn a_session_that_was_invalidated_elsewhere_does_not_end_as_idle_as_well() {
    const C: [u8; 4] = [10, 0, 0, 3];
    let network = Network::new(9);
    let start = async |ip, name| {
        let host = network.host(ip);
        // What differs is not found before the owner's turn.
        let builder = farm::builder(&host, name, "one").repair_interval(Duration::from_secs(3600));
        let cluster = builder.start_in(host.clone()).await.unwrap();
        let context = cluster
            .context("/shop")
            .manager(Manager::delta().expire_tolerance(TOLERANCE))
            .max_inactive(LIMIT)
            .build()
            .unwrap();
        Node {
            app: attributes().layer(context.layer()),
            cluster,
        }
    };
    let (a, b, c) = (
        start(A, "A").await,
        start(B, "B").await,
        start(C, "C").await,
    );
    tokio::join!(a.cluster.ready(), b.cluster.ready(), c.cluster.ready());
    tokio::join!(
        a.sees(&["B", "C"]),
        b.sees(&["A", "C"]),
        c.sees(&["A", "B"])
    );
    let made = a.call("POST", "/shop/color/red", None).await;
    let (mut at_a, mut at_c) = (a.cluster.events(), c.cluster.events());
    network.partition(A, B);
    a.sees(&["C"]).await;
    b.sees(&["C"]).await;
    let ended = b.call("POST", "/shop/end", made.cookie.as_deref()).await;
    assert_eq!(ended.text, "true");
    within("C knows", Duration::from_secs(5), || c.tombstones() == 1).await;
    assert_eq!((a.sessions(), a.tombstones()), (1, 0), "A does not");

    within("A asked, and knows", LIMIT + TOLERANCE, || {
        a.tombstones() == 1
    })
    .await;
    assert_eq!((a.sessions(), c.sessions()), (0, 0));
    assert_eq!(
        (
            ends(&mut at_a, SessionEnd::Idle).await,
            ends(&mut at_c, SessionEnd::Idle).await
        ),
        (0, 0)
    );
}
