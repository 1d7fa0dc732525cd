//! Mode `pooled`: several links to a member, which are one to whoever waits for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::Duration;

use catherd::testing::{Host, Network};
use catherd::{ClusterBuilder, Event, LinkStatus, Mode};
use farm::{A, B, Node, attributes, builder, meet, until};
use futures_util::FutureExt as _;
use futures_util::future::join_all;

const SOCKETS: usize = 4;

fn pooled(host: &Host, name: &str) -> ClusterBuilder {
    builder(host, name, "one")
        .replication_mode(Mode::Pooled)
        .max_pool_sockets(SOCKETS)
        .ack_timeout(Duration::from_secs(2))
}

/// Two ready nodes that see each other.
async fn two(network: &Network, set: impl Fn(ClusterBuilder) -> ClusterBuilder) -> (Node, Node) {
    let (host_a, host_b) = (network.host(A), network.host(B));
    let a = Node::start_as(set(pooled(&host_a, "A")), &host_a, attributes()).await;
    let b = Node::start_as(set(pooled(&host_b, "B")), &host_b, attributes()).await;
    meet(&a, &b).await;
    (a, b)
}

fn link(node: &Node) -> LinkStatus {
    node.cluster.status().members[0].link.clone()
}

/// The same with all places open from the start.
async fn two_with_all_links(network: &Network) -> (Node, Node) {
    let (a, b) = two(network, |it| it.auto_connect(true)).await;
    every_place_is_open(&a).await;
    (a, b)
}

async fn every_place_is_open(node: &Node) {
    until("every place open", || {
        link(node).connections == SOCKETS as u64
    })
    .await;
}

/// Writes so much at once that one link is not enough.
async fn make_busy(node: &Node, cookies: &[String]) {
    let path = format!("/shop/large/{}", "x".repeat(10_000));
    let writes = cookies
        .iter()
        .map(|cookie| node.call("POST", &path, Some(cookie)));
    for answer in join_all(writes).await {
        assert_eq!(answer.degraded, None);
    }
}

/// Makes so many sessions that every place of the pool has some.
async fn fill(node: &Node) -> Vec<String> {
    let mut cookies = Vec::new();
    for n in 0..64 {
        let answer = node.call("POST", &format!("/shop/n/{n}"), None).await;
        assert_eq!(answer.degraded, None);
        cookies.push(answer.cookie.unwrap());
    }
    cookies
}

#[tokio::test(start_paused = true)]
async fn links_are_opened_when_the_member_is_busy_up_to_the_limit() {
    let network = Network::new(1);
    let (a, b) = two(&network, |it| it).await;
    let cookies = fill(&a).await;
    assert_eq!(link(&a).connections, 1, "one is enough");
    make_busy(&a, &cookies).await;
    every_place_is_open(&a).await;
    assert_eq!(link(&b).connections, 1, "who sends nothing opens none");
    make_busy(&a, &cookies).await;
    assert_eq!(link(&a).connections, SOCKETS as u64);
    assert_eq!(b.cluster.status().counters.gaps, 0, "nothing overtook");
    assert_eq!(a.digest(), b.digest());
}

#[tokio::test(start_paused = true)]
async fn links_are_closed_when_one_is_enough_again() {
    let network = Network::new(7);
    let idle = Duration::from_secs(5);
    let (a, b) = two(&network, |it| it.keep_alive(Some(idle))).await;
    let cookies = fill(&a).await;
    make_busy(&a, &cookies).await;
    every_place_is_open(&a).await;
    let busy_at = tokio::time::Instant::now();
    while link(&a).connections > 1 {
        assert!(busy_at.elapsed() < 2 * idle, "{:?}", link(&a));
        for cookie in &cookies {
            let answer = a.call("POST", "/shop/small/1", Some(cookie)).await;
            assert_eq!(answer.degraded, None);
        }
        tokio::time::sleep(idle / 50).await;
    }
    assert!(busy_at.elapsed() >= idle * 9 / 10, "not at once");
    assert_eq!(b.cluster.status().counters.gaps, 0, "nothing overtook");
    assert_eq!(a.digest(), b.digest());
}

#[tokio::test(start_paused = true)]
async fn links_are_opened_at_once_where_that_is_wanted() {
    let network = Network::new(2);
    let (a, b) = two_with_all_links(&network).await;
    every_place_is_open(&b).await;
    let cookies = fill(&a).await;
    assert_eq!(link(&a).connections, SOCKETS as u64);
    for cookie in &cookies {
        let answer = a.call("POST", "/shop/small/1", Some(cookie)).await;
        assert_eq!(answer.degraded, None);
    }
    assert_eq!(link(&a).connections, SOCKETS as u64, "they stay");
}

#[tokio::test(start_paused = true)]
async fn the_writes_of_a_session_arrive_in_order_while_links_open_and_close() {
    let network = Network::new(3);
    let short = |it: ClusterBuilder| it.keep_alive_frames(Some(7)).auto_connect(true);
    let (a, b) = two(&network, short).await;
    let mut cookies = fill(&a).await;
    for round in 0..40 {
        for cookie in &mut cookies {
            let path = format!("/shop/round/{round}");
            let answer = a.call("POST", &path, Some(cookie)).await;
            assert_eq!(answer.degraded, None);
        }
    }
    assert_eq!(b.cluster.status().counters.gaps, 0, "nothing overtook");
    assert_eq!(a.digest(), b.digest());
    let counters = b.cluster.status().channel;
    assert!(
        counters["hellos_accepted"] > 3 * SOCKETS as u64,
        "links were opened anew: {counters:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn links_that_are_not_used_are_closed_and_the_first_stays() {
    let network = Network::new(4);
    let idle = Duration::from_secs(5);
    let at_once = |it: ClusterBuilder| it.keep_alive(Some(idle)).auto_connect(true);
    let (a, b) = two(&network, at_once).await;
    let cookies = fill(&a).await;
    every_place_is_open(&a).await;
    until("only the first is left", || link(&a).connections == 1).await;
    for cookie in &cookies {
        let read = a.call("GET", "/shop/n", Some(cookie)).await;
        assert_eq!(read.degraded, None, "what was acknowledged stays so");
        let answer = a.call("POST", "/shop/later/1", Some(cookie)).await;
        assert_eq!(answer.degraded, None);
    }
    assert_eq!(a.digest(), b.digest());
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_costs_its_time_out_once_and_not_once_a_link() {
    let network = Network::new(5);
    // It is silent for less than the drop time.
    let patient = |it: ClusterBuilder| it.drop_time(Duration::from_secs(60)).auto_connect(true);
    let (a, b) = two(&network, patient).await;
    let cookies = fill(&a).await;
    every_place_is_open(&a).await;
    let mut events = a.cluster.events();
    network.hold(A, B);
    let began = tokio::time::Instant::now();
    for cookie in &cookies {
        let answer = a.call("POST", "/shop/x/1", Some(cookie)).await;
        assert_eq!(answer.degraded.as_deref(), Some("durability"));
    }
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(3),
        "one time-out of 2 s, not {took:?}"
    );
    network.release(A, B);
    until("it is waited for again", || !link(&a).is_slow).await;
    for cookie in &cookies {
        let answer = a.call("POST", "/shop/y/1", Some(cookie)).await;
        assert_eq!(answer.degraded, None);
    }
    let (mut slow, mut recovered) = (0, 0);
    while let Some(Some(event)) = events.next().now_or_never() {
        slow += u32::from(matches!(event, Event::MemberSlow { .. }));
        recovered += u32::from(matches!(event, Event::MemberRecovered { .. }));
    }
    assert_eq!((slow, recovered), (1, 1), "said once of the member");
    assert_eq!(a.digest(), b.digest());
}

#[tokio::test(start_paused = true)]
async fn all_links_end_with_the_member() {
    let network = Network::new(6);
    let (a, b) = two_with_all_links(&network).await;
    let cookies = fill(&a).await;
    network.crash(B);
    a.sees(&[]).await;
    let answer = a.call("POST", "/shop/x/1", cookies.first().map(String::as_str));
    assert_eq!(answer.await.degraded.as_deref(), Some("durability"));
    drop(b);
    let host = network.host(B);
    let b = Node::start_as(pooled(&host, "B"), &host, attributes()).await;
    b.cluster.ready().await;
    a.sees(&["B"]).await;
    assert_eq!(a.digest(), b.digest());
    for cookie in &cookies {
        let answer = a.call("POST", "/shop/y/1", Some(cookie)).await;
        assert_eq!(answer.degraded, None);
    }
    assert_eq!(a.digest(), b.digest());
}
