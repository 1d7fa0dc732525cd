//! From a request to the application that answers it: engine, host, context.
//!
//! HOW-TO, "Quick Start": the engine of a node has a `jvmRoute`, its hosts have contexts, and a
//! context is a web application.
//!
//! | file | what it holds |
//! |---|---|
//! | `host` | hosts by name, contexts by the longest prefix of a path |
//! | `application` | an application behind one call, whatever it is made of |
//! | `own` | what every node answers itself: `/catherd/health`, `/catherd/status` |

mod application;
mod host;
mod own;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use catherd::Cluster;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};

pub(crate) use application::{Application, mount};
pub(crate) use host::{Host, Hosts};

use crate::http::{Body, Refused, answer, refuse};

/// Everything that answers requests on a node.
#[derive(Debug)]
pub(crate) struct Engine {
    cluster: Cluster,
    hosts: Hosts,
    is_stopping: AtomicBool,
    panics: AtomicU64,
}

impl Engine {
    pub(crate) fn new(cluster: Cluster, hosts: Hosts) -> Self {
        Self {
            cluster,
            hosts,
            is_stopping: AtomicBool::new(false),
            panics: AtomicU64::new(0),
        }
    }

    /// From now on the node says that it is not ready, so that a load balancer leaves it alone.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Answers a request of `client`. A panic in an application is an answer too: 500.
    pub(crate) async fn answer(&self, request: Request<Body>, client: IpAddr) -> Response<Body> {
        let host = match refuse(&request) {
            Ok(host) => host,
            Err(Refused { status, why }) => return answer::closing(status, why),
        };
        let path = request.uri().path();
        if let Some(path) = own::path(path) {
            return self.answer_itself(path, &request, host, client);
        }
        let Some(application) = self.hosts.find(host).context(path) else {
            return answer::status(StatusCode::NOT_FOUND);
        };
        match AssertUnwindSafe(application.answer(request))
            .catch_unwind()
            .await
        {
            Ok(response) => response,
            Err(_) => {
                // What was said is in the log already, from where it was said.
                let panics = self.panics.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::error!(
                    panics,
                    "an application panicked; its request is answered with 500"
                );
                answer::status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::Router;
    use axum::routing::get;
    use http_body_util::BodyExt as _;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn saying(text: &'static str) -> Box<dyn Application> {
        mount(Router::new().fallback(get(move || async move { text })))
    }

    fn engine() -> Engine {
        let cluster = Cluster::builder()
            .node_name("node01")
            .start_local()
            .unwrap();
        let panicking = mount(Router::new().fallback(get(|| async {
            if true {
                panic!("a bug in an application");
            }
        })));
        let first = Host::new("localhost")
            .alias("www.shop.test")
            .with("/shop", saying("shop"))
            .with("/shop/admin", saying("admin"))
            .with("/bug", panicking);
        let second = Host::new("other.test").with("", saying("root"));
        Engine::new(cluster, Hosts::new(vec![first, second], "localhost"))
    }

    async fn ask(engine: &Engine, host: &str, path: &str, from: IpAddr) -> (StatusCode, String) {
        let request = Request::builder()
            .uri(path)
            .header("host", host)
            .body(Body::empty());
        let response = engine.answer(request.unwrap(), from).await;
        let (status, body) = (
            response.status(),
            response.into_body().collect().await.unwrap(),
        );
        (status, String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }

    async fn text(engine: &Engine, host: &str, path: &str) -> String {
        ask(engine, host, path, LOOPBACK).await.1
    }

    #[tokio::test]
    async fn the_longest_context_path_wins() {
        let engine = engine();
        assert_eq!(text(&engine, "localhost", "/shop").await, "shop");
        assert_eq!(text(&engine, "localhost", "/shop/").await, "shop");
        assert_eq!(text(&engine, "localhost", "/shop/admin").await, "admin");
        assert_eq!(
            text(&engine, "localhost", "/shop/administrator").await,
            "shop"
        );
        let nowhere = ask(&engine, "localhost", "/shopping", LOOPBACK).await;
        assert_eq!(
            nowhere,
            (StatusCode::NOT_FOUND, "404 Not Found\n".to_owned())
        );
    }

    #[tokio::test]
    async fn a_host_is_found_by_name_alias_and_default() {
        let engine = engine();
        assert_eq!(text(&engine, "OTHER.test:8080", "/any").await, "root");
        assert_eq!(text(&engine, "www.shop.test", "/shop").await, "shop");
        assert_eq!(text(&engine, "unknown.test", "/shop").await, "shop");
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_counted_and_the_node_goes_on() {
        let engine = engine();
        let (status, said) = ask(&engine, "localhost", "/bug", LOOPBACK).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!said.contains("application"), "{said}");
        assert_eq!(text(&engine, "localhost", "/shop").await, "shop");
        let status = text(&engine, "localhost", "/catherd/status").await;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["http"]["panics"], 1);
    }

    #[tokio::test]
    async fn a_path_with_dots_reaches_no_context() {
        let engine = engine();
        let (status, _) = ask(&engine, "localhost", "/shop/../bug", LOOPBACK).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn health_turns_when_the_node_stops() {
        let engine = engine();
        let ready = "/catherd/health/ready";
        let (status, said) = ask(&engine, "x", ready, LOOPBACK).await;
        assert_eq!(
            (status.as_u16(), said.as_str()),
            (200, "{\"ready\":true,\"reason\":null}\n")
        );
        engine.stop();
        let (status, said) = ask(&engine, "x", ready, LOOPBACK).await;
        let not_ready = "{\"ready\":false,\"reason\":\"the node is stopping\"}\n";
        assert_eq!((status.as_u16(), said.as_str()), (503, not_ready));
        assert_eq!(
            ask(&engine, "x", "/catherd/health/live", LOOPBACK).await.0,
            StatusCode::OK
        );
    }

    #[tokio::test]
    async fn the_status_is_for_loopback_clients_that_name_loopback() {
        let engine = engine();
        let (status, said) = ask(&engine, "127.0.0.1:8080", "/catherd/status", LOOPBACK).await;
        assert_eq!(status, StatusCode::OK);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["node"], "node01");
        let far = "192.0.2.7".parse().unwrap();
        for (host, from) in [("localhost", far), ("evil.test", LOOPBACK)] {
            let (status, said) = ask(&engine, host, "/catherd/status", from).await;
            assert_eq!(status, StatusCode::FORBIDDEN);
            assert!(!said.contains("node01"), "{said}");
        }
        let forwarded = Request::builder()
            .uri("/catherd/status")
            .header("host", "localhost");
        let forwarded = forwarded
            .header("x-forwarded-for", "192.0.2.7")
            .body(Body::empty());
        let refused = engine.answer(forwarded.unwrap(), LOOPBACK).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    }

    #[tokio::test]
    async fn what_the_node_itself_answers_is_read_only() {
        let engine = engine();
        for path in ["/catherd/status", "/catherd/health/ready"] {
            let request = Request::post(path)
                .header("host", "localhost")
                .body(Body::empty());
            let refused = engine.answer(request.unwrap(), LOOPBACK).await;
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        }
        let (status, _) = ask(&engine, "localhost", "/catherd/nothing", LOOPBACK).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}
