//! The layer: what a request waits for, and what becomes of one that dies.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod farm;

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use catherd::testing::Network;
use catherd::{Cluster, ContextError, Session};
use farm::{A, B, Node, two_with};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

async fn set(Extension(session): Extension<Session>) -> &'static str {
    session.insert("color", &"red").unwrap();
    "set"
}

async fn color(Extension(session): Extension<Session>) -> Result<String, StatusCode> {
    session.get("color").unwrap().ok_or(StatusCode::NOT_FOUND)
}

fn app() -> Router {
    async fn set_and_hang(Extension(session): Extension<Session>) -> &'static str {
        session.insert("color", &"red").unwrap();
        std::future::pending().await
    }
    async fn set_and_panic(Extension(session): Extension<Session>) -> &'static str {
        session.insert("color", &"red").unwrap();
        panic!("a handler that panics")
    }
    async fn set_in_the_stream(Extension(session): Extension<Session>) -> Body {
        let parts = stream::iter(["one", "two"]).map(move |part| {
            if part == "two" {
                session.insert("color", &"red").unwrap();
            }
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(part.as_bytes())))
        });
        Body::new(StreamBody::new(parts))
    }
    async fn unencodable(Extension(session): Extension<Session>) -> String {
        struct Never;
        impl serde::Serialize for Never {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("cannot be"))
            }
        }
        session.insert("color", &Never).unwrap_err().to_string()
    }
    async fn too_large(Extension(session): Extension<Session>) -> String {
        session
            .insert("color", &"x".repeat(2 << 20))
            .unwrap_err()
            .to_string()
    }
    Router::new()
        .route("/shop/set", post(set))
        .route("/shop/color", get(color))
        .route("/shop/hang", post(set_and_hang))
        .route("/shop/panic", post(set_and_panic))
        .route("/shop/stream", post(set_in_the_stream))
        .route("/shop/unencodable", post(unencodable))
        .route("/shop/too-large", post(too_large))
}

async fn two(network: &Network) -> (Node, Node) {
    two_with(network, app).await
}

#[tokio::test(start_paused = true)]
async fn the_head_is_held_until_the_acknowledgement_is_here() {
    let network = Network::new(1);
    let (a, _b) = two(&network).await;
    network.hold(A, B);
    let call = a.call("POST", "/shop/set", None);
    tokio::pin!(call);
    // The clock jumps when nothing else can go on: the response is not among what can.
    tokio::select! {
        biased;
        answer = &mut call => panic!("left before the acknowledgement: {answer:?}"),
        () = tokio::time::sleep(Duration::from_millis(900)) => {}
    }
    network.release(A, B);
    assert_eq!(call.await.degraded, None);
}

#[tokio::test(start_paused = true)]
async fn what_a_request_wrote_goes_out_when_its_client_leaves() {
    let network = Network::new(2);
    let (a, b) = two(&network).await;
    let cookie = a.call("POST", "/shop/too-large", None).await;
    assert_eq!(cookie.cookie, None, "what was refused makes no session");
    let cookie = a.call("POST", "/shop/set", None).await.cookie.unwrap();
    b.call("POST", "/shop/set", Some(&cookie)).await;
    let hangs = a.call("POST", "/shop/hang", Some(&cookie));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), hangs)
            .await
            .is_err()
    );
    wait_for_equal_digests(&a, &b).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_request_wrote_goes_out_when_its_handler_panics() {
    let network = Network::new(3);
    let (a, b) = two(&network).await;
    let cookie = a.call("POST", "/shop/set", None).await.cookie.unwrap();
    let before = a.digest();
    let app = a.app.clone();
    let panics = tokio::spawn(farm::call(app, "POST", "/shop/panic", Some(cookie.clone())));
    assert!(panics.await.unwrap_err().is_panic());
    wait_for_equal_digests(&a, &b).await;
    assert_ne!(
        a.digest(),
        before,
        "the write of the handler that panicked was committed"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_changes_is_elsewhere_before_its_last_frame() {
    let network = Network::new(4);
    let (a, b) = two(&network).await;
    let made = a.call("POST", "/shop/set", None).await;
    let cookie = made.cookie.unwrap();
    let mut response = farm::respond(a.app.clone(), "POST", "/shop/stream", Some(&cookie)).await;
    let first = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "one");
    let second = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(second.into_data().unwrap(), "two");
    let end = response.body_mut().frame().await;
    assert!(end.is_none());
    assert_eq!(a.digest(), b.digest());
}

#[tokio::test(start_paused = true)]
async fn a_new_session_whose_request_dies_is_forgotten() {
    let network = Network::new(5);
    let (a, b) = two(&network).await;
    let hangs = a.call("POST", "/shop/hang", None);
    assert!(
        tokio::time::timeout(Duration::from_millis(50), hangs)
            .await
            .is_err()
    );
    for node in [&a, &b] {
        assert_eq!(node.cluster.status().contexts[0].sessions, 0);
        assert_eq!(node.cluster.status().contexts[0].tombstones, 0);
    }
}

/// HOW-TO, "Quick Start": all session attributes must be serializable.
#[tokio::test(start_paused = true)]
async fn h1_a_value_that_cannot_be_encoded_is_an_error_when_it_is_set() {
    let network = Network::new(6);
    let (a, _b) = two(&network).await;
    let answer = a.call("POST", "/shop/unencodable", None).await;
    assert!(
        answer.text.contains("`color` cannot be encoded"),
        "{}",
        answer.text
    );
    assert_eq!(answer.cookie, None);
}

#[tokio::test(start_paused = true)]
async fn a_session_past_its_size_limit_keeps_its_old_state() {
    let network = Network::new(7);
    let (a, b) = two(&network).await;
    let cookie = a.call("POST", "/shop/set", None).await.cookie.unwrap();
    let answer = a.call("POST", "/shop/too-large", Some(&cookie)).await;
    assert!(answer.text.contains("maxSessionBytes"), "{}", answer.text);
    for node in [&a, &b] {
        assert_eq!(
            node.call("GET", "/shop/color", Some(&cookie)).await.text,
            "red"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_cookie_with_an_unknown_key_gets_a_new_key() {
    let network = Network::new(8);
    let (a, _b) = two(&network).await;
    let invented = "0123456789ABCDEF0123456789ABCDEF.A";
    let answer = a.call("POST", "/shop/set", Some(invented)).await;
    let cookie = answer.cookie.unwrap();
    assert!(!cookie.starts_with("0123456789ABCDEF"), "{cookie}");
    let read = a.call("GET", "/shop/color", Some(invented)).await;
    assert_eq!(read.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn the_route_is_that_of_the_node_that_answers_unless_it_is_not_rewritten() {
    let network = Network::new(9);
    let (a, b) = two(&network).await;
    let cookie = a.call("POST", "/shop/set", None).await.cookie.unwrap();
    let moved = b.call("GET", "/shop/color", Some(&cookie)).await;
    assert_eq!(moved.cookie, Some(cookie.replace(".A", ".B")));

    let keeping = |node: &Node| {
        let context = node.cluster.context("/keeping").rewrite_route(false);
        app().layer(context.build().unwrap().layer())
    };
    let (on_a, on_b) = (keeping(&a), keeping(&b));
    let made = farm::call(on_a, "POST", "/shop/set", None).await;
    let read = farm::call(on_b, "GET", "/shop/color", made.cookie).await;
    assert_eq!(read.text, "red");
    assert_eq!(read.cookie, None, "the client keeps the first node's route");
}

#[tokio::test(start_paused = true)]
async fn a_cookie_that_no_header_could_carry_is_an_error() {
    let cluster = Cluster::builder().start_local().unwrap();
    for name in ["", "a b", "a=b", "a;b", "é", &"x".repeat(65)] {
        let error = cluster.context("/shop").cookie_name(name).build();
        assert_eq!(
            error.map(|_| ()),
            Err(ContextError::CookieName(name.to_owned()))
        );
    }
    for domain in ["", "a;b", "a b", "shop.example/"] {
        let error = cluster.context("/shop").cookie_domain(domain).build();
        assert_eq!(
            error.map(|_| ()),
            Err(ContextError::CookieDomain(domain.to_owned()))
        );
    }
}

async fn wait_for_equal_digests(a: &Node, b: &Node) {
    let equal = async {
        while a.digest() != b.digest() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), equal)
        .await
        .expect("digests become equal");
}
