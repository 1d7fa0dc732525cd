//! Requests that run at the same time share the writes to the members.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use catherd::testing::Network;
use farm::{Node, attributes, two_with};
use futures_util::future::join_all;

const USERS: usize = 16;
const ROUNDS: u64 = 10;

/// How many frames this node has written to its one member, and in how many writes.
fn written(node: &Node) -> (u64, u64) {
    let link = &node.cluster.status().members[0].link;
    (link.written_frames, link.writes)
}

async fn write_together(node: &Node, cookies: &[String]) {
    let writes = cookies
        .iter()
        .map(|cookie| node.call("POST", "/shop/color/red", Some(cookie)));
    for answer in join_all(writes).await {
        assert_eq!(answer.degraded, None);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_run_at_the_same_time_share_a_write() {
    let network = Network::new(1);
    let (a, _b) = two_with(&network, attributes).await;
    let mut cookies = Vec::new();
    for _ in 0..USERS {
        let made = a.call("POST", "/shop/color/blue", None).await;
        cookies.push(made.cookie.unwrap());
    }
    // The first time nobody knows that there are several.
    write_together(&a, &cookies).await;
    let before = written(&a);
    for _ in 0..ROUNDS {
        write_together(&a, &cookies).await;
    }
    let after = written(&a);
    assert_eq!(after.0 - before.0, ROUNDS * USERS as u64);
    assert_eq!(after.1 - before.1, ROUNDS, "one write a round");
}

#[tokio::test(start_paused = true)]
async fn a_user_alone_has_a_write_of_its_own_for_each_request() {
    let network = Network::new(2);
    let (a, _b) = two_with(&network, attributes).await;
    let cookie = a.call("POST", "/shop/color/blue", None).await.cookie;
    let before = written(&a);
    for _ in 0..ROUNDS {
        write_together(&a, std::slice::from_ref(cookie.as_ref().unwrap())).await;
    }
    let after = written(&a);
    assert_eq!(
        (after.0 - before.0, after.1 - before.1),
        (ROUNDS, ROUNDS),
        "frames and writes"
    );
}
