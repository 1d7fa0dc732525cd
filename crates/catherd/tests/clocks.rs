//! Nodes whose wall clocks are far apart: nothing depends on them, and everybody is told.
//!
//! HOW-TO, "Quick Start": all nodes are to have the same time. Here they need not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::{Duration, UNIX_EPOCH};

use catherd::core::membership::MemberEvent;
use catherd::testing::Network;
use catherd::{ContextBuilder, Event};
use farm::{A, B, Node, attributes};
use http::StatusCode;

const C: [u8; 4] = [10, 0, 0, 3];

const TWO_HOURS: u64 = 2 * 3600;
const TEN_YEARS: u64 = 10 * 365 * 24 * 3600;

/// By how many seconds the clocks of A, B and C are ahead of an ordinary one.
const AHEAD: [u64; 3] = [0, TWO_HOURS, TEN_YEARS];

/// Sessions end after a minute without a request.
const LIMIT: Duration = Duration::from_secs(60);

async fn start(network: &Network, ip: [u8; 4], name: &str, ahead: u64) -> Node {
    let host = network.host(ip);
    let noon = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    network.set_wall_clock(ip, noon + Duration::from_secs(ahead));
    let set = |context: ContextBuilder| context.max_inactive(LIMIT);
    Node::start_with(farm::builder(&host, name, "one"), &host, set, attributes()).await
}

/// Three nodes with one clock each, who know each other.
async fn three(network: &Network) -> [Node; 3] {
    let nodes = [
        start(network, A, "A", AHEAD[0]).await,
        start(network, B, "B", AHEAD[1]).await,
        start(network, C, "C", AHEAD[2]).await,
    ];
    let [a, b, c] = &nodes;
    tokio::join!(a.cluster.ready(), b.cluster.ready(), c.cluster.ready());
    tokio::join!(
        a.sees(&["B", "C"]),
        b.sees(&["A", "C"]),
        c.sees(&["A", "B"])
    );
    nodes
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_and_nothing_ends_early_where_clocks_are_ten_years_apart() {
    let network = Network::new(1);
    let [a, b, c] = &three(&network).await;
    let nodes = [a, b, c];
    let mut cookies = Vec::new();
    for node in nodes {
        let made = node.call("POST", "/shop/color/red", None).await;
        assert_eq!(made.degraded, None);
        cookies.push(made.cookie.unwrap());
    }
    // Each is used now and then, every time on another node than before.
    for round in 0..8 {
        tokio::time::sleep(LIMIT * 3 / 4).await;
        for (at, cookie) in cookies.iter_mut().enumerate() {
            let node = nodes[(at + round) % 3];
            let (method, path) = [("GET", "/shop/color"), ("POST", "/shop/color/red")][round % 2];
            let answer = node.call(method, path, Some(cookie)).await;
            assert_eq!((answer.status, answer.degraded), (StatusCode::OK, None));
            *cookie = answer.cookie.unwrap_or_else(|| cookie.clone());
        }
    }
    for node in nodes {
        let status = node.cluster.status();
        assert_eq!(status.contexts[0].sessions, 3);
        assert_eq!((status.counters.alarms, status.counters.conflicts), (0, 0));
        assert_eq!(node.digest(), a.digest());
        assert_eq!(status.channel["pauses"], 0);
    }

    // A node that comes back gets them, and all end together, a minute after their last use.
    network.crash(A);
    b.sees(&["C"]).await;
    let again = start(&network, A, "A", AHEAD[0]).await;
    again.cluster.ready().await;
    let nodes = [&again, b, c];
    assert!(nodes.iter().all(|node| node.sessions() == 3));
    tokio::time::sleep(LIMIT / 2).await;
    assert!(nodes.iter().all(|node| node.sessions() == 3));
    tokio::time::sleep(LIMIT).await;
    assert!(nodes.iter().all(|node| node.sessions() == 0));
}

#[tokio::test(start_paused = true)]
async fn clocks_that_differ_are_measured_and_warned_of_once() {
    let network = Network::new(2);
    let nodes = three(&network).await;
    let mut streams: Vec<_> = nodes.iter().map(|node| node.cluster.events()).collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    for (at, (node, events)) in nodes.iter().zip(&mut streams).enumerate() {
        let mut told = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
            if let Event::Member(MemberEvent::ClockDiffers(who, ahead_ms)) = event {
                told.push((who.name, ahead_ms));
            }
        }
        told.sort();
        let others: Vec<_> = (0..3).filter(|of| *of != at).collect();
        let members = node.cluster.status().members;
        assert_eq!((told.len(), members.len()), (2, 2), "{told:?}");
        for ((of, told), member) in others.into_iter().zip(&told).zip(&members) {
            let ahead = |of: usize| i64::try_from(AHEAD[of]).unwrap() * 1000;
            let measured = member.clock_ahead_ms.unwrap();
            for (name, ahead_ms) in [told, &(member.name.clone(), measured)] {
                assert_eq!(name, ["A", "B", "C"][of]);
                assert!(ahead_ms.abs_diff(ahead(of) - ahead(at)) < 100, "{ahead_ms}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clocks_that_agree_are_not_mentioned() {
    let network = Network::new(3);
    let (a, b) = farm::two_with(&network, attributes).await;
    let mut events = a.cluster.events();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(b.cluster.status().members[0].clock_ahead_ms.unwrap().abs() < 100);
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        let differs = matches!(event, Event::Member(MemberEvent::ClockDiffers(..)));
        assert!(!differs, "{event:?}");
    }
}
