//! A full table: who makes room for whom, and what the other members notice of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::time::Duration;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Extension, Router};
use catherd::testing::{Host, Network};
use catherd::{Attribute, AttributeError, ContextBuilder, Event, Manager, Session, SessionEnd};
use farm::{A, B, Node, meet, within};
use http::StatusCode;

/// What the documentation of an application would say of a full table: 503.
fn refusal(error: &AttributeError) -> StatusCode {
    match error {
        AttributeError::TableFull => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `POST /shop/NAME/VALUE` sets, `GET /shop/NAME` reads, `POST /shop` makes a session and stores
/// nothing in it.
fn app() -> Router {
    async fn set(
        Extension(session): Extension<Session>,
        Path((name, value)): Path<(String, String)>,
    ) -> Result<String, StatusCode> {
        let set = session.insert(Attribute::from(name), &value);
        set.map_err(|error| refusal(&error))?;
        session.id().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
    async fn read(
        Extension(session): Extension<Session>,
        Path(name): Path<String>,
    ) -> Result<String, StatusCode> {
        let value = session.get::<String>(Attribute::from(name)).unwrap();
        value.ok_or(StatusCode::NOT_FOUND)
    }
    async fn make(Extension(session): Extension<Session>) -> Result<String, StatusCode> {
        session.create().map_err(|error| refusal(&error))?;
        session.id().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
    Router::new()
        .route("/shop/{name}/{value}", post(set))
        .route("/shop/{name}", get(read))
        .route("/shop", post(make))
}

async fn start(host: &Host, name: &str, max: usize) -> Node {
    let manager = Manager::delta().max_active_sessions(max);
    let set = |context: ContextBuilder| context.manager(manager);
    Node::start_with(farm::builder(host, name, "one"), host, set, app()).await
}

async fn two(network: &Network, max: usize) -> (Node, Node) {
    let (host_a, host_b) = (network.host(A), network.host(B));
    let (a, b) = (
        start(&host_a, "A", max).await,
        start(&host_b, "B", max).await,
    );
    meet(&a, &b).await;
    (a, b)
}

/// A user: two requests on `node`, the second with the cookie of the first.
async fn user(node: &Node, name: &str) -> String {
    let first = node.call("POST", &format!("/shop/name/{name}"), None).await;
    let cookie = first.cookie.unwrap();
    let second = node.call("GET", "/shop/name", Some(&cookie)).await;
    assert_eq!(second.text, name);
    cookie
}

#[tokio::test(start_paused = true)]
async fn a_flood_ends_its_own_sessions_and_nobody_elses() {
    const MAX: u64 = 1000;
    const USERS: u64 = 40;
    const FLOOD: u64 = 6000;
    let network = Network::new(1);
    let (a, b) = two(&network, MAX as usize).await;
    let mut users = Vec::new();
    for number in 0..USERS {
        let at = if number % 2 == 0 { &a } else { &b };
        let name = format!("user{number}");
        users.push((user(at, &name).await, name));
    }
    for number in 0..FLOOD {
        let answer = a.call("POST", "/shop/color/red", None).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.degraded, None);
        assert!(a.sessions() <= MAX, "after {number}");
        // A quarter of a message is the most that it has not heard of.
        assert!(b.sessions() <= MAX + 1024, "after {number}");
    }
    within("B heard of all of them", Duration::from_secs(10), || {
        b.sessions() == MAX && a.digest() == b.digest()
    })
    .await;
    assert_eq!((a.sessions(), a.tombstones(), b.tombstones()), (MAX, 0, 0));
    for (cookie, name) in users {
        for node in [&a, &b] {
            let read = node.call("GET", "/shop/name", Some(&cookie)).await;
            assert_eq!((read.status, read.text), (StatusCode::OK, name.clone()));
        }
    }
    let counters = a.cluster.status().counters;
    let ended = FLOOD - (MAX - USERS);
    assert_eq!(counters.sessions_ended_early, ended);
    assert_eq!(
        (counters.sessions_ended, counters.sessions_refused),
        (ended, 0)
    );
    let counters = b.cluster.status().counters;
    assert_eq!(
        (counters.sessions_ended, counters.sessions_expired),
        (0, ended)
    );
}

#[tokio::test(start_paused = true)]
async fn who_came_first_makes_room_first_and_the_application_and_the_operator_hear_of_it() {
    let network = Network::new(2);
    let (a, b) = two(&network, 3).await;
    let mut events = a.cluster.events();
    let mut cookies = Vec::new();
    for _ in 0..4 {
        let made = a.call("POST", "/shop/color/red", None).await;
        cookies.push(made.cookie.unwrap());
    }
    within("B heard of it", Duration::from_secs(10), || {
        b.sessions() == 3
    })
    .await;
    let (mut ends, mut told) = (0, 0);
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(3), events.next()).await {
        match event {
            Event::SessionDestroyed { why, .. } => {
                assert_eq!(why, SessionEnd::Early);
                ends += 1;
            }
            Event::TableFull { ended, refused, .. } => {
                assert_eq!((ended, refused), (1, 0));
                told += 1;
            }
            _ => {}
        }
    }
    assert_eq!((ends, told), (1, 1));
    for node in [&a, &b] {
        let first = node.call("GET", "/shop/color", Some(&cookies[0])).await;
        assert_eq!(first.status, StatusCode::NOT_FOUND);
    }
    for cookie in &cookies[1..] {
        let other = a.call("GET", "/shop/color", Some(cookie)).await;
        assert_eq!(other.status, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn where_every_session_was_used_twice_a_new_one_is_refused() {
    let network = Network::new(3);
    let (a, b) = two(&network, 5).await;
    let mut events = a.cluster.events();
    let mut users = Vec::new();
    for number in 0..5 {
        users.push(user(&a, &format!("user{number}")).await);
    }
    for node in [&a, &b] {
        let refused = node.call("POST", "/shop/color/red", None).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.cookie, None);
        let counters = node.cluster.status().counters;
        assert_eq!(
            (counters.sessions_refused, counters.sessions_ended_early),
            (1, 0)
        );
    }
    let told = loop {
        if let Event::TableFull { ended, refused, .. } = events.next().await.unwrap() {
            break (ended, refused);
        }
    };
    assert_eq!(told, (0, 1));
    for cookie in &users {
        let read = b.call("GET", "/shop/name", Some(cookie)).await;
        assert_eq!(read.status, StatusCode::OK);
    }
}

/// The touch comes for a key that is not here: a gap, which is fetched.
#[tokio::test(start_paused = true)]
async fn a_session_that_ended_early_and_was_used_elsewhere_comes_back_with_the_next_touch() {
    let network = Network::new(4);
    let (a, b) = two(&network, 3).await;
    let cookie = a
        .call("POST", "/shop/color/red", None)
        .await
        .cookie
        .unwrap();
    let read = b.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "red");
    // No touch has left B yet.
    for _ in 0..3 {
        a.call("POST", "/shop/color/blue", None).await;
    }
    assert_eq!(a.cluster.status().counters.sessions_ended_early, 1);
    within("both hold the same", Duration::from_secs(10), || {
        a.sessions() == 4 && a.digest() == b.digest()
    })
    .await;
    let counters = a.cluster.status().counters;
    assert_eq!(counters.sessions_repaired, 0, "the touch did it");
    // It is no victim any more: the next ones take the places of the three others.
    for _ in 0..6 {
        let made = a.call("POST", "/shop/color/blue", None).await;
        assert_eq!(made.status, StatusCode::OK);
    }
    for node in [&a, &b] {
        let read = node.call("GET", "/shop/color", Some(&cookie)).await;
        assert_eq!(read.text, "red");
    }
    assert_eq!((a.tombstones(), b.tombstones()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_made_in_a_full_table_travels_when_something_is_stored_or_it_is_used_again() {
    const MAX: u64 = 20;
    let network = Network::new(5);
    let (a, b) = two(&network, MAX as usize).await;
    // While there is room a session travels at once, be it blank.
    for number in 1..=MAX {
        a.call("POST", "/shop", None).await;
        assert_eq!(b.sessions(), number);
    }
    let applied = |node: &Node| node.cluster.status().counters.fragments_applied;
    let before = applied(&b);
    let mut made = Vec::new();
    for _ in 0..10 * MAX {
        let answer = a.call("POST", "/shop", None).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(a.sessions() <= MAX);
        made.push((answer.cookie.unwrap(), answer.text));
    }
    assert_eq!(applied(&b), before, "nothing of it was sent");
    within(
        "the first have ended at B too",
        Duration::from_secs(10),
        || b.sessions() == 0,
    )
    .await;

    // Its client comes back.
    let (cookie, _) = made.pop().unwrap();
    a.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(b.sessions(), 1);
    // Its client goes elsewhere.
    let (cookie, id) = made.pop().unwrap();
    let there = b.call("POST", "/shop", Some(&cookie)).await;
    assert_eq!((there.status, there.text), (StatusCode::OK, id));
    // Its client stores something.
    let (cookie, id) = made.pop().unwrap();
    let stored = a.call("POST", "/shop/color/red", Some(&cookie)).await;
    assert_eq!((stored.status, stored.text), (StatusCode::OK, id));
    // Its request has stored something.
    a.call("POST", "/shop/color/red", None).await;
    assert_eq!(b.sessions(), 4);
    // Two of them had two: the answer to B and what it is sent besides, the session and the write.
    assert_eq!(applied(&b), before + 6);
    network.crash(A);
    b.sees(&[]).await;
    let read = b.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(read.text, "red");
}

/// The copies of a flood that came to one member fill the tables of the others.
#[tokio::test(start_paused = true)]
async fn a_member_that_was_flooded_makes_room_for_the_others_too() {
    let network = Network::new(7);
    let (a, b) = two(&network, 100).await;
    let user = user(&a, "anna").await;
    for _ in 0..200 {
        a.call("POST", "/shop/color/red", None).await;
    }
    within("B is as full", Duration::from_secs(10), || {
        b.sessions() == 100
    })
    .await;
    // Nothing of B's own makes room; it asks A.
    let refused = b.call("POST", "/shop/color/blue", None).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    within("there is room at B", Duration::from_secs(10), || {
        b.sessions() < 100
    })
    .await;
    let made = b.call("POST", "/shop/color/blue", None).await;
    assert_eq!(made.status, StatusCode::OK);
    within("both hold the same", Duration::from_secs(10), || {
        a.digest() == b.digest()
    })
    .await;
    let read = b.call("GET", "/shop/name", Some(&user)).await;
    assert_eq!(read.text, "anna");
    assert_eq!(a.sessions(), 100 - 64 + 1);
    assert_eq!((a.tombstones(), b.tombstones()), (0, 0));
}

/// What a member does not hear of is found by comparison, and ends where it was made.
#[tokio::test(start_paused = true)]
async fn a_member_that_was_away_brings_back_no_more_than_there_is_room_for() {
    const MAX: u64 = 20;
    let network = Network::new(6);
    let (a, b) = two(&network, MAX as usize).await;
    for _ in 0..MAX {
        a.call("POST", "/shop/color/red", None).await;
    }
    let user = user(&a, "anna").await;
    network.partition(A, B);
    a.sees(&[]).await;
    b.sees(&[]).await;
    for _ in 0..MAX {
        a.call("POST", "/shop/color/blue", None).await;
    }
    network.repair(A, B);
    tokio::join!(a.sees(&["B"]), b.sees(&["A"]));
    within("both hold the same", Duration::from_secs(10), || {
        a.digest() == b.digest()
    })
    .await;
    // Each new one takes the places of two as long as there are too many.
    for _ in 0..2 * MAX {
        a.call("POST", "/shop/color/green", None).await;
    }
    within(
        "both hold the same, and no more than may be",
        Duration::from_secs(10),
        || a.sessions() == MAX && a.digest() == b.digest(),
    )
    .await;
    assert_eq!((a.tombstones(), b.tombstones()), (0, 0));
    for node in [&a, &b] {
        let read = node.call("GET", "/shop/name", Some(&user)).await;
        assert_eq!(read.text, "anna");
    }
}
