//! Who is logged in, and the end of all sessions of a user.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Extension, Router};
use catherd::env::Env as _;
use catherd::testing::{Host, Network};
use catherd::{Attribute, Context, Filter, Manager, Principal, Session, SessionEnd};
use farm::{A, Answer, B, Node, attributes, builder, call, ends, meet, within};
use http::StatusCode;
use tokio::sync::Notify;

const C: [u8; 4] = [10, 0, 0, 3];

/// A node, and the context that its application has.
struct Shop {
    node: Node,
    context: Context,
}

/// `/shop/login/USER`, `/shop/who`, `/shop/everywhere`, besides the attributes; the slow
/// `/shop/late/NAME/VALUE` and `/shop/late-login/USER`, which say that they have begun and wait; and
/// `/shop/unsent/USER`, a login that goes out with the next request only.
fn app() -> Router {
    async fn login(Extension(session): Extension<Session>, Path(user): Path<String>) {
        let principal = Principal::new(user).role("customer").auth_type("FORM");
        session.log_in(&principal).unwrap();
        session.cycle_id();
    }
    async fn who(Extension(session): Extension<Session>) -> Result<String, StatusCode> {
        let principal = session.principal().ok_or(StatusCode::UNAUTHORIZED)?;
        Ok(format!("{} {}", principal.user(), principal.generation()))
    }
    async fn logout(Extension(session): Extension<Session>) -> String {
        session.log_out().to_string()
    }
    async fn everywhere(Extension(session): Extension<Session>) -> String {
        let ended = session.log_out_everywhere().await.unwrap();
        assert!(ended.is_confirmed());
        ended.here().to_string()
    }
    async fn late(
        Extension(session): Extension<Session>,
        Extension(gate): Extension<Arc<Notify>>,
        Path((name, value)): Path<(String, String)>,
    ) {
        session.insert(Attribute::from(name), &value).unwrap();
        gate.notify_one();
        gate.notified().await;
    }
    async fn late_login(
        Extension(session): Extension<Session>,
        Extension(gate): Extension<Arc<Notify>>,
        Path(user): Path<String>,
    ) {
        session.log_in(&Principal::new(user)).unwrap();
        gate.notify_one();
        gate.notified().await;
    }
    async fn unsent(Extension(session): Extension<Session>, Path(user): Path<String>) {
        session.log_in(&Principal::new(user)).unwrap();
    }
    attributes()
        .route("/shop/login/{user}", post(login))
        .route("/shop/who", get(who))
        .route("/shop/logout", post(logout))
        .route("/shop/everywhere", post(everywhere))
        .route("/shop/late/{name}/{value}", post(late))
        .route("/shop/late-login/{user}", post(late_login))
        .route("/shop/unsent/{user}", post(unsent))
}

impl Shop {
    async fn start(host: &Host, name: &str, manager: Manager) -> Self {
        let cluster = builder(host, name, "one")
            .ack_timeout(Duration::from_millis(500))
            .start_in(host.clone())
            .await
            .unwrap();
        let context = cluster
            .context("/shop")
            .manager(manager)
            .filter(Filter::new(["/shop/unsent/.*"]).unwrap())
            .build()
            .unwrap();
        let app = app().layer(context.layer());
        let node = Node { cluster, app };
        Self { node, context }
    }

    /// The cookie of a new session of `user`.
    async fn login(&self, user: &str) -> String {
        let path = format!("/shop/login/{user}");
        self.node.call("POST", &path, None).await.cookie.unwrap()
    }

    async fn who(&self, cookie: &str) -> Answer {
        self.node.call("GET", "/shop/who", Some(cookie)).await
    }

    /// Whether nobody is logged in under this cookie, by a node that asks nobody: what it holds.
    async fn has_ended(&self, cookie: &str) -> bool {
        self.who(cookie).await.status == StatusCode::UNAUTHORIZED
    }

    fn sessions(&self) -> u64 {
        self.node.cluster.status().contexts[0].sessions
    }

    fn tombstones(&self) -> u64 {
        self.node.cluster.status().contexts[0].tombstones
    }

    fn logged_out(&self) -> u64 {
        self.node.cluster.status().counters.sessions_logged_out
    }
}

async fn two(network: &Network) -> (Shop, Shop) {
    let (host_a, host_b) = (network.host(A), network.host(B));
    let a = Shop::start(&host_a, "A", Manager::delta()).await;
    let b = Shop::start(&host_b, "B", Manager::delta()).await;
    meet(&a.node, &b.node).await;
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn who_is_logged_in_is_known_on_every_node_until_they_log_out() {
    let network = Network::new(1);
    let (a, b) = two(&network).await;
    let basket = a.node.call("POST", "/shop/basket/pear", None).await;
    let path = "/shop/login/anna";
    let login = a.node.call("POST", path, basket.cookie.as_deref()).await;
    let cookie = login.cookie.unwrap();
    assert_eq!(b.who(&cookie).await.text, "anna 0");
    let out = b.node.call("POST", "/shop/logout", Some(&cookie)).await;
    assert_eq!(out.text, "true");
    let cookie = out.cookie.unwrap();
    assert!(a.has_ended(&cookie).await, "nobody is logged in");
    let basket = a.node.call("GET", "/shop/basket", Some(&cookie)).await;
    assert_eq!(basket.text, "pear", "the session is still there");
    let again = a.node.call("POST", "/shop/logout", Some(&cookie)).await;
    assert_eq!(again.text, "false");
}

#[tokio::test(start_paused = true)]
async fn all_sessions_of_a_user_have_ended_on_every_node_before_the_call_returns() {
    let network = Network::new(2);
    let (a, b) = two(&network).await;
    let (of_a, of_b) = (a.login("anna").await, b.login("anna").await);
    let of_another = a.login("bert").await;
    assert_eq!((a.sessions(), b.sessions()), (3, 3));

    let ended = a.context.end_sessions_of("anna").await;
    assert!(ended.is_confirmed(), "{ended:?}");
    assert_eq!(ended.here(), 2);
    assert_eq!((a.sessions(), b.sessions()), (1, 1));
    assert_eq!((a.logged_out(), b.logged_out()), (2, 2));
    for shop in [&a, &b] {
        assert!(shop.has_ended(&of_a).await && shop.has_ended(&of_b).await);
        assert_eq!(shop.who(&of_another).await.text, "bert 0");
    }
    assert_eq!(a.node.digest(), b.node.digest());
}

#[tokio::test(start_paused = true)]
async fn a_login_after_it_lives_on_every_node() {
    let network = Network::new(3);
    let (a, b) = two(&network).await;
    let before = a.login("anna").await;
    assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    for shop in [&a, &b] {
        let after = shop.login("anna").await;
        assert_eq!(a.who(&after).await.text, "anna 1");
        assert_eq!(b.who(&after).await.text, "anna 1");
    }
    assert!(b.has_ended(&before).await);
    // Once more: it is the second time.
    assert!(b.context.end_sessions_of("anna").await.is_confirmed());
    assert_eq!((a.sessions(), b.sessions()), (0, 0));
    let third = a.login("anna").await;
    assert_eq!(b.who(&third).await.text, "anna 2");
}

#[tokio::test(start_paused = true)]
async fn the_application_hears_of_each_end_once_from_the_owner() {
    let network = Network::new(4);
    let (a, b) = two(&network).await;
    let (mut at_a, mut at_b) = (a.node.cluster.events(), b.node.cluster.events());
    let cookie = a.login("anna").await;
    a.login("anna").await;
    // B takes the session over.
    let moved = b.node.call("POST", "/shop/x/1", Some(&cookie)).await;
    assert_eq!(moved.status, StatusCode::OK);
    assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    assert_eq!(
        (
            ends(&mut at_a, SessionEnd::LoggedOut).await,
            ends(&mut at_b, SessionEnd::LoggedOut).await
        ),
        (1, 1)
    );
    // Where the owner is gone, the node that is asked to end them says so.
    b.login("anna").await;
    network.crash(B);
    a.node.sees(&[]).await;
    let ended = a.context.end_sessions_of("anna").await;
    assert_eq!(
        (ended.here(), ends(&mut at_a, SessionEnd::LoggedOut).await),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn sessions_of_the_other_side_of_a_split_end_at_the_heal_and_those_of_the_new_generation_live()
 {
    let network = Network::new(5);
    let (a, b) = two(&network).await;
    let before = b.login("anna").await;
    network.partition(A, B);
    tokio::join!(a.node.sees(&[]), b.node.sees(&[]));
    let ended = a.context.end_sessions_of("anna").await;
    assert_eq!(ended.pending(), ["B"]);
    assert!(!ended.is_confirmed());
    let after = a.login("anna").await;
    // Nobody on this side knows.
    let meanwhile = b.login("anna").await;
    assert_eq!(b.who(&meanwhile).await.text, "anna 0");
    assert_eq!(b.who(&before).await.text, "anna 0");

    let mut at_b = b.node.cluster.events();
    network.repair(A, B);
    tokio::join!(a.node.sees(&["B"]), b.node.sees(&["A"]));
    within("equal", Duration::from_secs(60), || {
        a.node.digest() == b.node.digest() && a.sessions() == 1
    })
    .await;
    assert_eq!((a.sessions(), b.sessions()), (1, 1));
    for shop in [&a, &b] {
        assert!(shop.has_ended(&before).await && shop.has_ended(&meanwhile).await);
        assert_eq!(shop.who(&after).await.text, "anna 1");
    }
    assert_eq!(
        (b.logged_out(), ends(&mut at_b, SessionEnd::LoggedOut).await),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_a_split_may_end_them_and_the_higher_generation_counts() {
    let network = Network::new(6);
    let (a, b) = two(&network).await;
    network.partition(A, B);
    tokio::join!(a.node.sees(&[]), b.node.sees(&[]));
    for _ in 0..2 {
        let _ = a.context.end_sessions_of("anna").await;
    }
    let _ = b.context.end_sessions_of("anna").await;
    let (of_a, of_b) = (a.login("anna").await, b.login("anna").await);
    network.repair(A, B);
    tokio::join!(a.node.sees(&["B"]), b.node.sees(&["A"]));
    within("equal", Duration::from_secs(60), || {
        a.node.digest() == b.node.digest() && b.logged_out() == 1
    })
    .await;
    for shop in [&a, &b] {
        assert_eq!(shop.who(&of_a).await.text, "anna 2");
        assert!(shop.has_ended(&of_b).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_joining_node_knows_the_generation_before_it_is_ready() {
    let network = Network::new(7);
    let (a, b) = two(&network).await;
    a.login("anna").await;
    assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    let c = Shop::start(&network.host(C), "C", Manager::delta()).await;
    c.node.cluster.ready().await;
    assert_eq!((c.sessions(), c.tombstones()), (0, a.tombstones()));
    tokio::join!(a.node.sees(&["B", "C"]), b.node.sees(&["A", "C"]));
    let cookie = c.login("anna").await;
    assert_eq!(a.who(&cookie).await.text, "anna 1");
    assert_eq!(b.node.digest(), c.node.digest());
}

/// Lets a slow request of `path` begin at `shop`, does what `meanwhile` does, lets it end.
async fn in_flight(
    host: &Host,
    shop: &Shop,
    path: &str,
    cookie: &str,
    meanwhile: impl Future<Output = ()>,
) -> Answer {
    let gate = Arc::new(Notify::new());
    let app = shop.node.app.clone().layer(Extension(Arc::clone(&gate)));
    let (path, cookie) = (path.to_owned(), cookie.to_owned());
    let (answered, answer) = tokio::sync::oneshot::channel();
    host.spawn(async move {
        let answer = call(app, "POST", &path, Some(cookie)).await;
        let _ = answered.send(answer);
    });
    gate.notified().await;
    meanwhile.await;
    gate.notify_one();
    answer.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_elsewhere_loses_its_write() {
    let network = Network::new(8);
    let (a, b) = two(&network).await;
    let cookie = b.login("anna").await;
    let discarded = b.node.cluster.status().counters.writes_discarded;
    let late = in_flight(&network.host(B), &b, "/shop/late/x/1", &cookie, async {
        assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    })
    .await;
    assert_eq!(late.status, StatusCode::OK);
    assert_eq!(late.cookie.as_deref(), Some(""), "the cookie is taken away");
    let counters = b.node.cluster.status().counters;
    assert_eq!(counters.writes_discarded, discarded + 1);
    for shop in [&a, &b] {
        let read = shop.node.call("GET", "/shop/x", Some(&cookie)).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND);
    }
}

/// The other nodes have the session without the login: they learn its end from the commit.
#[tokio::test(start_paused = true)]
async fn a_login_in_flight_is_over_on_every_node() {
    let network = Network::new(9);
    let (a, b) = two(&network).await;
    let basket = b.node.call("POST", "/shop/basket/pear", None).await;
    let cookie = basket.cookie.unwrap();
    let late = in_flight(
        &network.host(B),
        &b,
        "/shop/late-login/anna",
        &cookie,
        async {
            let ended = a.context.end_sessions_of("anna").await;
            assert_eq!((ended.is_confirmed(), ended.here()), (true, 0));
        },
    )
    .await;
    assert_eq!(late.cookie.as_deref(), Some(""), "the cookie is taken away");
    within("ended on both", Duration::from_secs(5), || {
        a.sessions() + b.sessions() == 0
    })
    .await;
    assert_eq!(a.node.digest(), b.node.digest());
}

#[tokio::test(start_paused = true)]
async fn a_login_that_nobody_has_heard_of_is_over_too() {
    let network = Network::new(16);
    let (a, b) = two(&network).await;
    let basket = b.node.call("POST", "/shop/basket/pear", None).await;
    let cookie = basket.cookie.unwrap();
    b.node
        .call("POST", "/shop/unsent/anna", Some(&cookie))
        .await;
    assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    assert!(b.has_ended(&cookie).await);
    within("ended on both", Duration::from_secs(5), || {
        a.sessions() + b.sessions() == 0
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_is_pending_while_a_member_is_missing_or_does_not_answer() {
    let network = Network::new(10);
    let (a, b) = two(&network).await;
    let cookie = b.login("anna").await;
    // Shorter than the drop time: B stays a member.
    network.hold(A, B);
    let ended = a.context.end_sessions_of("anna").await;
    assert_eq!(ended.pending(), ["B"]);
    network.release(A, B);
    within("ended there too", Duration::from_secs(10), || {
        b.sessions() == 0
    })
    .await;
    assert!(b.has_ended(&cookie).await);

    network.crash(B);
    a.node.sees(&[]).await;
    assert_eq!(a.context.end_sessions_of("anna").await.pending(), ["B"]);
    assert!(a.node.cluster.forget_member("B"));
    within("nobody is missing", Duration::from_secs(5), || {
        a.node.cluster.members().missing.is_empty()
    })
    .await;
    assert!(a.context.end_sessions_of("anna").await.is_confirmed());
}

#[tokio::test(start_paused = true)]
async fn a_user_ends_all_sessions_from_within_one_of_them() {
    let network = Network::new(11);
    let (a, b) = two(&network).await;
    let (here, there) = (a.login("anna").await, b.login("anna").await);
    let answer = a.node.call("POST", "/shop/everywhere", Some(&here)).await;
    assert_eq!((&*answer.text, answer.cookie.as_deref()), ("2", Some("")));
    for shop in [&a, &b] {
        assert!(shop.has_ended(&here).await && shop.has_ended(&there).await);
    }
}

#[tokio::test(start_paused = true)]
async fn generations_are_forgotten_after_the_ends_of_sessions() {
    const MAX: usize = 10;
    let network = Network::new(12);
    let manager = Manager::delta().max_tombstones(MAX);
    let a = Shop::start(&network.host(A), "A", manager).await;
    a.node.cluster.ready().await;
    assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    for _ in 0..3 * MAX {
        let made = a.node.call("POST", "/shop/x/1", None).await;
        a.node
            .call("POST", "/shop/end", made.cookie.as_deref())
            .await;
    }
    // No end leaves a tombstone of a session that nobody else has heard of; these have been
    // committed.
    assert_eq!(a.tombstones() as usize, 3 * MAX + 1);
    within("forgotten", Duration::from_secs(5), || {
        a.tombstones() as usize == MAX
    })
    .await;
    let cookie = a.login("anna").await;
    assert_eq!(a.who(&cookie).await.text, "anna 1");
}

#[tokio::test(start_paused = true)]
async fn sessions_that_outlive_their_generation_end_with_the_next() {
    const LIFE: Duration = Duration::from_secs(60);
    let network = Network::new(13);
    let manager = Manager::delta().tombstone_life(LIFE);
    let a = Shop::start(&network.host(A), "A", manager).await;
    a.node.cluster.ready().await;
    for _ in 0..3 {
        assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    }
    let old = a.login("anna").await;
    assert_eq!(a.who(&old).await.text, "anna 3");
    within("forgotten", LIFE * 2, || a.tombstones() == 0).await;
    assert_eq!(a.who(&old).await.text, "anna 3");
    let new = a.login("anna").await;
    assert_eq!(a.who(&new).await.text, "anna 0");
    let ended = a.context.end_sessions_of("anna").await;
    assert_eq!(ended.here(), 2);
    assert!(a.has_ended(&old).await && a.has_ended(&new).await);
}

/// Digests of nodes would differ for hours otherwise.
#[tokio::test(start_paused = true)]
async fn a_generation_leaves_the_digests_of_all_at_once_whenever_it_rose_or_came() {
    const LIFE: Duration = Duration::from_secs(1000);
    let network = Network::new(15);
    let manager = || Manager::delta().tombstone_life(LIFE);
    let a = Shop::start(&network.host(A), "A", manager()).await;
    a.node.cluster.ready().await;
    let empty = a.node.digest();
    assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    tokio::time::sleep(LIFE * 2 / 10).await;
    assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    tokio::time::sleep(LIFE * 2 / 10).await;
    let b = Shop::start(&network.host(B), "B", manager()).await;
    b.node.cluster.ready().await;
    assert_eq!(a.node.digest(), b.node.digest());
    tokio::time::sleep(LIFE * 2 / 10).await;
    assert_ne!(a.node.digest(), empty, "not half of its life since it rose");
    assert_eq!(a.node.digest(), b.node.digest());
    tokio::time::sleep(LIFE * 2 / 10).await;
    assert_eq!((a.node.digest(), b.node.digest()), (empty.clone(), empty));
    assert_eq!((a.tombstones(), b.tombstones()), (1, 1), "it is remembered");
    tokio::time::sleep(LIFE * 5 / 10).await;
    assert_eq!((a.tombstones(), b.tombstones()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn sessions_of_one_node_alone_end_without_a_word_to_the_others() {
    let network = Network::new(14);
    let (host_a, host_b) = (network.host(A), network.host(B));
    let a = Shop::start(&host_a, "A", Manager::standard()).await;
    let b = Shop::start(&host_b, "B", Manager::standard()).await;
    meet(&a.node, &b.node).await;
    let (of_a, of_b) = (a.login("anna").await, b.login("anna").await);
    assert!(a.context.end_sessions_of("anna").await.is_confirmed());
    assert!(a.has_ended(&of_a).await);
    assert_eq!(b.who(&of_b).await.text, "anna 0");
}
