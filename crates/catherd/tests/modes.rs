//! What each of the four replication modes promises (HOW-TO, "Cluster Configuration"), on the
//! network in memory, where a peer can be held for as long as a test wants.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::pin::pin;
use std::time::Duration;

use catherd::testing::{Link, Network};
use catherd::{ClusterBuilder, ContextBuilder, Filter, LinkStatus, Manager, Mode};
use farm::{A, Answer, B, Node, attributes, builder, until};
use http::StatusCode;
use tokio::time::Instant;

const C: [u8; 4] = [10, 0, 0, 3];
const ASYNCHRONOUS: [Mode; 2] = [Mode::Asynchronous, Mode::FastAsyncQueue];
const SYNCHRONOUS: [Mode; 2] = [Mode::Synchronous, Mode::Pooled];
const ALL: [Mode; 4] = [
    Mode::Synchronous,
    Mode::Pooled,
    Mode::Asynchronous,
    Mode::FastAsyncQueue,
];
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// A member that is only slow or held is not given up.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);
const SOCKETS: usize = 4;

/// Two nodes in a mode, and what lies between them.
struct Pair {
    network: Network,
    mode: Mode,
    a: Node,
    b: Node,
}

impl Pair {
    async fn new(seed: u64, mode: Mode) -> Self {
        Self::with(seed, mode, |cluster| cluster, |context| context).await
    }

    async fn with(
        seed: u64,
        mode: Mode,
        cluster: impl Fn(ClusterBuilder) -> ClusterBuilder,
        context: impl Fn(ContextBuilder) -> ContextBuilder,
    ) -> Self {
        let network = Network::new(seed);
        let (host_a, host_b) = (network.host(A), network.host(B));
        let configured = |builder: ClusterBuilder| {
            let builder = builder
                .replication_mode(mode)
                .ack_timeout(ACK_TIMEOUT)
                .max_pool_sockets(SOCKETS)
                .drop_time(FOR_EVER);
            cluster(builder)
        };
        let builder_a = configured(builder(&host_a, "A", "one"));
        let builder_b = configured(builder(&host_b, "B", "one"));
        let a = Node::start_with(builder_a, &host_a, &context, attributes()).await;
        let b = Node::start_with(builder_b, &host_b, &context, attributes()).await;
        tokio::join!(a.cluster.ready(), b.cluster.ready());
        a.sees(&["B"]).await;
        b.sees(&["A"]).await;
        Self {
            network,
            mode,
            a,
            b,
        }
    }

    fn hold(&self) {
        self.network.hold(A, B);
    }

    fn release(&self) {
        self.network.release(A, B);
    }

    /// Waits until both hold the same, and nothing is left to repair.
    async fn agree(&self) {
        until(&format!("both agree in {:?}", self.mode), || {
            self.a.digest() == self.b.digest()
        })
        .await;
    }
}

fn link(node: &Node) -> LinkStatus {
    node.cluster.status().members[0].link.clone()
}

async fn set(node: &Node, name: &str, value: &str, cookie: Option<&str>) -> Answer {
    let path = format!("/shop/{name}/{value}");
    let answer = node.call("POST", &path, cookie).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer
}

/// Makes sessions, each with its number in `n`.
async fn fill(node: &Node, sessions: usize) -> Vec<String> {
    let mut cookies = Vec::with_capacity(sessions);
    for n in 0..sessions {
        let answer = set(node, "n", &n.to_string(), None).await;
        cookies.push(answer.cookie.unwrap());
    }
    cookies
}

/// What a node says about a session of which it is asked with the cookie of another node.
async fn read(node: &Node, name: &str, cookie: &str) -> Answer {
    node.call("GET", &format!("/shop/{name}"), Some(cookie))
        .await
}

/// HOW-TO, "Cluster Configuration": an asynchronous request "returns before the data is
/// replicated", whatever the other nodes do.
#[tokio::test(start_paused = true)]
async fn h58_a_held_member_delays_no_answer_in_an_asynchronous_mode() {
    for mode in ASYNCHRONOUS {
        let pair = Pair::new(1, mode).await;
        let cookies = fill(&pair.a, 10).await;
        pair.hold();
        let began = Instant::now();
        for n in 0..20 {
            for cookie in &cookies {
                let answer = set(&pair.a, "n", &n.to_string(), Some(cookie)).await;
                assert_eq!(answer.degraded, None, "{mode:?}");
            }
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "{mode:?}");
        until("the member is known to be silent", || link(&pair.a).is_slow).await;
        let began = Instant::now();
        let answer = set(&pair.a, "n", "20", cookies.first().map(String::as_str)).await;
        assert_eq!((answer.degraded, began.elapsed()), (None, Duration::ZERO));
        pair.release();
        pair.agree().await;
    }
}

/// HOW-TO, "Cluster Configuration": a synchronous request "doesn't return until" the others have
/// it. A member that does not say so is waited for once.
#[tokio::test(start_paused = true)]
async fn h54_a_held_member_delays_a_synchronous_answer_once_for_its_time_out() {
    for mode in SYNCHRONOUS {
        let pair = Pair::new(2, mode).await;
        let cookies = fill(&pair.a, 10).await;
        pair.hold();
        let began = Instant::now();
        for cookie in &cookies {
            let answer = set(&pair.a, "n", "1", Some(cookie)).await;
            assert_eq!(answer.degraded.as_deref(), Some("durability"), "{mode:?}");
        }
        let took = began.elapsed();
        assert!(
            took >= ACK_TIMEOUT && took < ACK_TIMEOUT * 2,
            "{mode:?} {took:?}"
        );
        pair.release();
        pair.agree().await;
    }
}

/// A crash must not undo a logout that was confirmed.
#[tokio::test(start_paused = true)]
async fn a_logout_is_waited_for_in_every_mode_and_survives_a_crash_right_after_its_answer() {
    for mode in ALL {
        let pair = Pair::with(3, mode, |it| it.drop_time(Duration::from_secs(60)), |it| it).await;
        let cookies = fill(&pair.a, 3).await;
        pair.agree().await;
        pair.hold();
        if !mode.is_synchronous() {
            // What is queued of the session is overtaken.
            for cookie in &cookies {
                set(&pair.a, "n", "9", Some(cookie)).await;
            }
        }
        let mut logout = pin!(pair.a.call("POST", "/shop/end", Some(&cookies[1])));
        let early = tokio::time::timeout(ACK_TIMEOUT / 2, logout.as_mut()).await;
        assert!(early.is_err(), "{mode:?} did not wait");
        pair.release();
        assert_eq!(logout.await.degraded, None, "{mode:?}");
        pair.network.crash(A);
        pair.b.sees(&[]).await;
        let late = read(&pair.b, "n", &cookies[1]).await;
        assert_eq!(late.status, StatusCode::NOT_FOUND, "{mode:?}");
        let other = read(&pair.b, "n", &cookies[2]).await;
        assert_eq!(other.status, StatusCode::OK, "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_writes_of_a_session_are_one_entry_of_the_queue_in_mode_asynchronous() {
    let pair = Pair::new(4, Mode::Asynchronous).await;
    let cookie = fill(&pair.a, 1).await.remove(0);
    pair.agree().await;
    pair.hold();
    set(&pair.a, "first", "1", Some(&cookie)).await;
    let applied = pair.b.cluster.status().counters.fragments_applied;
    for n in 0..100 {
        set(&pair.a, "n", &n.to_string(), Some(&cookie)).await;
        set(
            &pair.a,
            &format!("x{}", n % 7),
            &n.to_string(),
            Some(&cookie),
        )
        .await;
    }
    let queue = link(&pair.a);
    assert_eq!((queue.queued_frames, queue.unacknowledged_frames), (1, 1));
    pair.release();
    pair.agree().await;
    let counters = pair.b.cluster.status().counters;
    assert_eq!(counters.fragments_applied, applied + 2);
    assert_eq!(counters.gaps, 0);
    for (name, value) in [("first", "1"), ("n", "99"), ("x0", "98"), ("x1", "99")] {
        assert_eq!(read(&pair.b, name, &cookie).await.text, value, "{name}");
    }
}

/// Until its turn has come an entry is joined, also where the socket takes nothing for long.
#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_does_not_end_the_joining() {
    let pair = Pair::new(5, Mode::Asynchronous).await;
    let cookies = fill(&pair.a, 20).await;
    pair.agree().await;
    pair.hold();
    let large = "x".repeat(20_000);
    for n in 0..10 {
        for cookie in &cookies {
            set(&pair.a, &format!("v{n}"), &large, Some(cookie)).await;
        }
    }
    let queued = link(&pair.a).queued_frames;
    assert!(
        queued <= cookies.len() as u64,
        "{queued} entries for 20 sessions"
    );
    pair.release();
    pair.agree().await;
}

#[tokio::test(start_paused = true)]
async fn the_order_of_writes_is_kept_in_mode_fastasyncqueue_and_many_go_out_at_once() {
    let pair = Pair::new(6, Mode::FastAsyncQueue).await;
    let cookies = fill(&pair.a, 2).await;
    pair.agree().await;
    let before = pair.b.cluster.status().counters;
    pair.hold();
    for n in 0..100 {
        for cookie in &cookies {
            set(&pair.a, "n", &n.to_string(), Some(cookie)).await;
        }
    }
    let queue = link(&pair.a);
    assert_eq!((queue.queued_frames, queue.unacknowledged_frames), (199, 1));
    let writes = queue.writes;
    pair.release();
    pair.agree().await;
    let after = pair.b.cluster.status().counters;
    assert_eq!(after.fragments_applied, before.fragments_applied + 200);
    assert_eq!(after.gaps, before.gaps, "nothing overtook");
    let writes = link(&pair.a).writes - writes;
    assert!(writes <= 4, "{writes} writes for 199 frames");
    assert_eq!(read(&pair.b, "n", &cookies[0]).await.text, "99");
}

/// HOW-TO, "How it Works", 3: without acknowledgements a request returns when its data is handed
/// to the operating system.
#[tokio::test(start_paused = true)]
async fn h33_without_acknowledgements_a_synchronous_answer_waits_for_the_operating_system_only() {
    for mode in SYNCHRONOUS {
        let pair = Pair::with(7, mode, |it| it.wait_for_ack(false), |it| it).await;
        let cookies = fill(&pair.a, 10).await;
        pair.agree().await;
        pair.hold();
        let began = Instant::now();
        let answer = set(&pair.a, "n", "1", Some(&cookies[0])).await;
        assert_eq!(
            (answer.degraded, began.elapsed()),
            (None, Duration::ZERO),
            "{mode:?}"
        );
        // A member that acknowledges nothing is not taken for one that has it for ever.
        until("its silence is noticed", || link(&pair.a).is_slow).await;
        let began = Instant::now();
        let answer = set(&pair.a, "n", "2", Some(&cookies[0])).await;
        assert_eq!(answer.degraded.as_deref(), Some("durability"), "{mode:?}");
        assert_eq!(began.elapsed(), Duration::ZERO, "{mode:?}");
        pair.release();
        until("it answers again", || !link(&pair.a).is_slow).await;
        let answer = set(&pair.a, "n", "3", Some(&cookies[0])).await;
        assert_eq!(answer.degraded, None, "{mode:?}");
        pair.agree().await;
    }
}

/// Where nobody waits for acknowledgements, and with a member that is not waited for, the writes of
/// a session keep their order all the same while it gets a link of its own.
#[tokio::test(start_paused = true)]
async fn a_session_that_moves_to_its_own_link_takes_its_order_with_it() {
    let unconfirmed = |it: ClusterBuilder| it.wait_for_ack(false);
    let impatient = |it: ClusterBuilder| it.ack_timeout(Duration::from_millis(20));
    let set_ups: [&dyn Fn(ClusterBuilder) -> ClusterBuilder; 2] = [&unconfirmed, &impatient];
    for (seed, set_up) in (31..).zip(set_ups) {
        let pair = Pair::with(seed, Mode::Pooled, set_up, |it| it).await;
        pair.network.set_links(Link {
            latency: Duration::from_millis(5),
            jitter: Duration::from_millis(200),
            ..Link::default()
        });
        let cookies = fill(&pair.a, 16).await;
        for n in 0..100 {
            for cookie in &cookies {
                set(&pair.a, "n", &n.to_string(), Some(cookie)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        pair.agree().await;
        assert!(link(&pair.a).connections > 1, "a link was opened meanwhile");
        let gaps = pair.b.cluster.status().counters.gaps;
        assert_eq!(gaps, 0, "in set-up {seed}");
    }
}

/// What a dead node had queued, or handed to its operating system, cannot be known.
#[tokio::test(start_paused = true)]
async fn a_takeover_is_always_flagged_where_answers_do_not_wait_for_the_members() {
    let unconfirmed = SYNCHRONOUS.map(|mode| (mode, false));
    let asynchronous = ASYNCHRONOUS.map(|mode| (mode, true));
    let confirmed = SYNCHRONOUS.map(|mode| (mode, true));
    for (mode, waits) in [unconfirmed, asynchronous, confirmed].concat() {
        let set_up = |it: ClusterBuilder| it.wait_for_ack(waits).drop_time(Duration::from_secs(60));
        let pair = Pair::with(8, mode, set_up, |it| it).await;
        let cookie = fill(&pair.a, 1).await.remove(0);
        pair.agree().await;
        pair.network.crash(A);
        pair.b.sees(&[]).await;
        let first = read(&pair.b, "n", &cookie).await;
        let flag = (!waits || !mode.is_synchronous()).then_some("takeover");
        assert_eq!(first.degraded.as_deref(), flag, "{mode:?}, waits: {waits}");
        let second = read(&pair.b, "n", &first.cookie.unwrap()).await;
        assert_eq!(second.degraded, None, "{mode:?}, waits: {waits}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_no_more_than_the_status_said_was_under_way() {
    for mode in ASYNCHRONOUS {
        let pair = Pair::with(
            9,
            mode,
            |it| it.drop_time(Duration::from_secs(600)),
            |it| it,
        )
        .await;
        let known = fill(&pair.a, 20).await;
        pair.agree().await;
        pair.hold();
        let held_at = Instant::now();
        let mut written = Vec::new();
        for n in 0..50 {
            let answer = set(&pair.a, "n", &n.to_string(), None).await;
            written.push((answer.cookie.unwrap(), held_at.elapsed()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (said, crash_at) = (link(&pair.a), held_at.elapsed());
        pair.network.crash(A);
        pair.release();
        pair.b.sees(&[]).await;
        let mut lost = Vec::new();
        for (cookie, at) in &written {
            if read(&pair.b, "n", cookie).await.status == StatusCode::NOT_FOUND {
                lost.push(crash_at - *at);
            }
        }
        assert!(!lost.is_empty(), "{mode:?}: the test is about losses");
        let frames = said.queued_frames + said.unacknowledged_frames;
        assert!(
            lost.len() as u64 <= frames,
            "{mode:?}: {lost:?} of {said:?}"
        );
        let oldest = Duration::from_millis(said.oldest_ms);
        assert!(
            lost.iter().all(|age| *age <= oldest),
            "{mode:?}: {lost:?} of {said:?}"
        );
        for cookie in &known {
            assert_eq!(read(&pair.b, "n", cookie).await.status, StatusCode::OK);
        }
    }
}

/// The figure is about what is not acknowledged, whether it was written or not: the bytes may
/// never have left this machine.
#[tokio::test(start_paused = true)]
async fn the_age_in_the_status_is_that_of_the_oldest_write_that_is_not_acknowledged() {
    for mode in ASYNCHRONOUS {
        let pair = Pair::new(10, mode).await;
        pair.hold();
        set(&pair.a, "n", "1", None).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let said = link(&pair.a);
        assert_eq!((said.queued_frames, said.unacknowledged_frames), (0, 1));
        assert_eq!(said.oldest_ms, 5_000, "{mode:?}");
        assert!(said.unacknowledged_bytes > 0, "{mode:?}");
        pair.release();
        pair.agree().await;
        let said = link(&pair.a);
        assert_eq!(
            (said.oldest_ms, said.unacknowledged_bytes),
            (0, 0),
            "{mode:?}"
        );
    }
}

/// HOW-TO, "TCP Replication": a member that reads a thousand bytes a second.
#[tokio::test(start_paused = true)]
async fn a_slow_member_slows_no_asynchronous_answer_and_a_synchronous_one_once() {
    const BOUND: u64 = 256 * 1024;
    for mode in ALL {
        let bounded = |it: ClusterBuilder| it.max_queue_bytes(BOUND as usize);
        let pair = Pair::with(11, mode, bounded, |it| it).await;
        let cookies = fill(&pair.a, 40).await;
        pair.agree().await;
        let slow = Link {
            bytes_per_second: Some(1_000),
            ..Link::default()
        };
        pair.network.set_link(A, B, slow);
        let began = Instant::now();
        let large = "x".repeat(10_000);
        for round in 0..3 {
            for (at, cookie) in cookies.iter().enumerate() {
                let name = format!("v{}", (round + at) % 5);
                let answer = set(&pair.a, &name, &large, Some(cookie)).await;
                let flag = mode.is_synchronous().then_some("durability");
                assert_eq!(answer.degraded.as_deref(), flag, "{mode:?}");
                let queued = link(&pair.a).queued_bytes;
                assert!(queued <= BOUND, "{mode:?}: {queued} bytes wait");
            }
        }
        let took = began.elapsed();
        if mode.is_synchronous() {
            assert!(took < ACK_TIMEOUT * 2, "{mode:?}: {took:?}");
        } else {
            assert_eq!(took, Duration::ZERO, "{mode:?}");
        }
        pair.network.set_link(A, B, Link::default());
        pair.agree().await;
        until("it is waited for again", || !link(&pair.a).is_slow).await;
        let answer = set(&pair.a, "n", "last", Some(&cookies[0])).await;
        assert_eq!(answer.degraded, None, "{mode:?}");
        for (at, cookie) in cookies.iter().enumerate() {
            let there = read(&pair.b, &format!("v{}", (at + 1) % 5), cookie).await;
            assert!(there.text == large, "{mode:?}: {}", there.status);
        }
    }
}

/// One link of several may answer again while another one is still silent: that is no reason to
/// wait for the member.
#[tokio::test(start_paused = true)]
async fn a_member_that_is_slow_over_one_of_its_links_is_waited_for_over_none() {
    let all_links = |it: ClusterBuilder| it.auto_connect(true);
    let pair = Pair::with(30, Mode::Pooled, all_links, |it| it).await;
    let cookies = fill(&pair.a, 64).await;
    until("every place open", || {
        link(&pair.a).connections == SOCKETS as u64
    })
    .await;
    pair.agree().await;
    let slow = Link {
        bytes_per_second: Some(1_000),
        ..Link::default()
    };
    pair.network.set_link(A, B, slow);
    // By the high half of its key a session has its place in the pool.
    let place = |cookie: &str| {
        let high = u64::from_str_radix(&cookie[..16], 16).unwrap();
        high as usize % SOCKETS
    };
    let one_of = |at: usize| cookies.iter().find(|cookie| place(cookie) == at).unwrap();
    // The first arrives after three seconds, the other one after most of a minute.
    let (small, large) = ("x".repeat(3_000), "x".repeat(50_000));
    tokio::join!(
        set(&pair.a, "v", &small, Some(one_of(1))),
        set(&pair.a, "v", &large, Some(one_of(2))),
    );
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    for cookie in &cookies[20..] {
        let answer = set(&pair.a, "n", "1", Some(cookie)).await;
        assert_eq!(answer.degraded.as_deref(), Some("durability"));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    pair.network.set_link(A, B, Link::default());
    until("it is waited for again", || !link(&pair.a).is_slow).await;
    for cookie in &cookies {
        let answer = set(&pair.a, "n", "2", Some(cookie)).await;
        assert_eq!(answer.degraded, None);
    }
    pair.agree().await;
}

/// A member costs no more memory than `maxQueueBytes`, over however many connections.
#[tokio::test(start_paused = true)]
async fn the_queue_of_a_member_is_bounded_in_bytes_in_every_mode() {
    const BOUND: u64 = 64 * 1024;
    for mode in ALL {
        let bounded = |it: ClusterBuilder| it.max_queue_bytes(BOUND as usize).auto_connect(true);
        let pair = Pair::with(12, mode, bounded, |it| it).await;
        fill(&pair.a, 64).await;
        pair.agree().await;
        pair.hold();
        let large = "x".repeat(5_000);
        for _ in 0..600 {
            set(&pair.a, "v", &large, None).await;
            let queued = link(&pair.a).queued_bytes;
            assert!(queued <= BOUND, "{mode:?}: {queued} bytes wait");
        }
        let said = link(&pair.a);
        assert!(said.shrunk_frames > 0 && said.shed_frames > 0, "{said:?}");
        let marked = pair.a.cluster.status().counters.marked_for_repair;
        assert!(marked >= said.shed_frames, "{marked} marks for {said:?}");
        pair.release();
        pair.agree().await;
        until("nothing differs", || {
            [&pair.a, &pair.b]
                .iter()
                .all(|node| node.cluster.status().sessions_that_differ == Some(0))
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_of_a_member_is_bounded_in_frames_in_every_mode() {
    const BOUND: usize = 20;
    for mode in ALL {
        let bounded = |it: ClusterBuilder| it.max_queue_length(BOUND).auto_connect(true);
        let pair = Pair::with(13, mode, bounded, |it| it).await;
        let cookies = fill(&pair.a, 64).await;
        pair.agree().await;
        pair.hold();
        for n in 0..3 {
            for cookie in &cookies {
                set(&pair.a, "v", &n.to_string(), Some(cookie)).await;
                let queued = link(&pair.a).queued_frames;
                assert!(queued <= BOUND as u64, "{mode:?}: {queued} frames wait");
            }
        }
        assert!(link(&pair.a).shed_frames > 0, "{mode:?}");
        pair.release();
        pair.agree().await;
    }
}

/// HOW-TO, "How it Works", 3: `useDirtyFlag="false"` sends the entire session. What the sender has
/// not written keeps its version, so it does not undo what another node has.
#[tokio::test(start_paused = true)]
async fn h34_whole_sessions_of_two_nodes_merge_by_attribute() {
    for (mode, use_dirty_flag) in ALL.map(|mode| [(mode, false), (mode, true)]).concat() {
        let manager = || Manager::delta().use_dirty_flag(use_dirty_flag);
        let pair = Pair::with(14, mode, |it| it, |it| it.manager(manager())).await;
        let on_a = set(&pair.a, "base", "1", None).await.cookie.unwrap();
        pair.agree().await;
        let on_b = read(&pair.b, "base", &on_a).await.cookie.unwrap();
        pair.hold();
        // Two tabs of one client, on either side.
        let (a, b) = tokio::join!(
            set(&pair.a, "base", "2", Some(&on_a)),
            set(&pair.b, "mine", "b", Some(&on_b)),
        );
        assert_eq!(
            (a.cookie, b.cookie),
            (None, None),
            "each was where it belongs"
        );
        pair.release();
        pair.agree().await;
        for node in [&pair.a, &pair.b] {
            for (name, value) in [("base", "2"), ("mine", "b")] {
                let there = read(node, name, &on_a).await;
                assert_eq!(there.text, value, "{mode:?} {use_dirty_flag} {name}");
            }
        }
    }
}

/// `filter` of the `ReplicationValve`: requests that are known to change nothing.
#[tokio::test(start_paused = true)]
async fn a_filtered_request_sends_nothing_and_what_it_changed_goes_with_the_next() {
    for mode in ALL {
        let filter = || Filter::new(["/shop/seen/.*", "/shop/made/.*", "/shop/end"]).unwrap();
        let pair = Pair::with(15, mode, |it| it, |it| it.filter(filter())).await;
        let cookie = fill(&pair.a, 1).await.remove(0);
        pair.agree().await;
        let before = link(&pair.a).written_frames;
        for n in 0..5 {
            let answer = set(&pair.a, "seen", &n.to_string(), Some(&cookie)).await;
            assert_eq!(answer.degraded, None, "{mode:?}");
        }
        assert_eq!(link(&pair.a).written_frames, before, "{mode:?}");
        set(&pair.a, "n", "1", Some(&cookie)).await;
        pair.agree().await;
        assert_eq!(link(&pair.a).written_frames, before + 1, "{mode:?}");
        assert_eq!(read(&pair.b, "seen", &cookie).await.text, "4", "{mode:?}");

        // A session that is made, or ended, is told of at once.
        let made = set(&pair.a, "made", "1", None).await.cookie.unwrap();
        pair.agree().await;
        assert_eq!(read(&pair.b, "made", &made).await.text, "1", "{mode:?}");
        let ended = pair.b.call("POST", "/shop/end", Some(&made)).await;
        assert_eq!(ended.degraded, None, "{mode:?}");
        let late = read(&pair.a, "made", &made).await;
        assert_eq!(late.status, StatusCode::NOT_FOUND, "{mode:?}");
    }
}

/// HOW-TO, "Cluster Configuration": `tcpThreadCount` bounds how much is received side by side, and
/// one is enough.
#[tokio::test(start_paused = true)]
async fn h57_one_connection_applied_at_a_time_serves_many() {
    for mode in ALL {
        let one = |it: ClusterBuilder| it.connections_applied(1).max_pool_sockets(16);
        let pair = Pair::with(16, mode, one, |it| it).await;
        let writing = |node: &'static str, at: Node| async move {
            let cookies = fill(&at, 40).await;
            for n in 0..5 {
                for cookie in &cookies {
                    let answer = set(&at, node, &n.to_string(), Some(cookie)).await;
                    assert_eq!(answer.degraded, None, "{mode:?}");
                }
            }
            at
        };
        let Pair {
            network,
            mode,
            a,
            b,
        } = pair;
        let (a, b) = tokio::join!(writing("a", a), writing("b", b));
        let pair = Pair {
            network,
            mode,
            a,
            b,
        };
        pair.agree().await;
        let sessions = pair.b.cluster.status().contexts[0].sessions;
        assert_eq!(sessions, 80, "{mode:?}");
    }
}

/// Without stickiness, over links that are late by as much as they like: what a client has seen
/// once it sees on every node, and what may be older says so.
#[tokio::test(start_paused = true)]
async fn no_client_sees_an_older_session_without_a_flag_in_any_mode() {
    for (seed, mode) in (20..).zip(ALL) {
        let pair = Pair::with(
            seed,
            mode,
            |it| it.drop_time(Duration::from_secs(5)),
            |it| it,
        )
        .await;
        let host = pair.network.host(C);
        let third = builder(&host, "C", "one")
            .replication_mode(mode)
            .ack_timeout(ACK_TIMEOUT)
            .max_pool_sockets(SOCKETS)
            .drop_time(Duration::from_secs(5));
        let c = Node::start_as(third, &host, attributes()).await;
        c.cluster.ready().await;
        pair.a.sees(&["B", "C"]).await;
        pair.b.sees(&["A", "C"]).await;
        pair.network.set_links(Link {
            latency: Duration::from_millis(2),
            jitter: Duration::from_millis(40),
            ..Link::default()
        });
        let mut clients: Vec<_> = (0..6_usize).map(Walker::new).collect();
        for _ in 0..30 {
            let nodes = [&pair.a, &pair.b, &c];
            let steps = clients.iter_mut().map(|client| client.step(&nodes));
            futures_util::future::join_all(steps).await;
        }
        let flagged: u64 = clients.iter().map(|client| client.flagged).sum();
        assert_eq!(flagged, 0, "{mode:?}: nothing has happened yet");
        pair.network.crash(C);
        pair.a.sees(&["B"]).await;
        pair.b.sees(&["A"]).await;
        for _ in 0..30 {
            let nodes = [&pair.a, &pair.b];
            let steps = clients.iter_mut().map(|client| client.step(&nodes));
            futures_util::future::join_all(steps).await;
        }
        if mode.is_synchronous() {
            let older: u64 = clients.iter().map(|client| client.older).sum();
            assert_eq!(older, 0, "{mode:?}: what was acknowledged is there");
        }
    }
}

/// A client that goes from node to node, and what it was told.
struct Walker {
    at: usize,
    step: u64,
    seen: u64,
    cookie: Option<String>,
    flagged: u64,
    older: u64,
}

impl Walker {
    fn new(at: usize) -> Self {
        Self {
            at,
            step: 0,
            seen: 0,
            cookie: None,
            flagged: 0,
            older: 0,
        }
    }

    /// Reads on the next node, and writes on the one behind it.
    async fn step(&mut self, nodes: &[&Node]) {
        if self.cookie.is_some() {
            let node = nodes[self.at % nodes.len()];
            let answer = node.call("GET", "/shop/n", self.cookie.as_deref()).await;
            let found = answer.text.parse().unwrap_or(0);
            self.check(&answer, found);
            self.at += 1;
        }
        let node = nodes[self.at % nodes.len()];
        self.step += 1;
        let answer = set(node, "n", &self.step.to_string(), self.cookie.as_deref()).await;
        self.check(&answer, self.step);
        self.at += 1;
    }

    fn check(&mut self, answer: &Answer, found: u64) {
        let flags = answer.degraded.as_deref().unwrap_or_default();
        let is_flagged = flags.contains("takeover") || flags.contains("stale");
        self.flagged += u64::from(is_flagged);
        if found < self.seen {
            self.older += 1;
            assert!(is_flagged, "{found} after {}: {answer:?}", self.seen);
        }
        self.seen = found;
        if answer.cookie.is_some() {
            self.cookie.clone_from(&answer.cookie);
        }
    }
}
