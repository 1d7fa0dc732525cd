//! Nodes on the network in memory, and what their clients call.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Extension, Router};
use catherd::testing::{Host, Network};
use catherd::{
    Attribute, Cluster, ClusterBuilder, ContextBuilder, Degraded, Event, Events, Manager, Session,
    SessionEnd,
};
use http::{Request, Response, StatusCode, header};
use tower::ServiceExt as _;

pub(crate) const A: [u8; 4] = [10, 0, 0, 1];
pub(crate) const B: [u8; 4] = [10, 0, 0, 2];

/// A node with one application.
pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    pub(crate) app: Router,
}

/// The configuration of a node on `host`.
pub(crate) fn builder(host: &Host, name: &str, cluster_id: &str) -> ClusterBuilder {
    Cluster::builder()
        .node_name(name)
        .cluster_id(cluster_id)
        .multicast_interface(Some(host.ip()))
        .listen([SocketAddr::new(host.ip(), 4001)])
        .allow_plaintext(true)
}

impl Node {
    pub(crate) async fn start(host: &Host, name: &str, cluster_id: &str, app: Router) -> Self {
        Self::start_as(builder(host, name, cluster_id), host, app).await
    }

    pub(crate) async fn start_as(builder: ClusterBuilder, host: &Host, app: Router) -> Self {
        Self::start_with(builder, host, |context| context, app).await
    }

    /// The same with more said about its context.
    pub(crate) async fn start_with(
        builder: ClusterBuilder,
        host: &Host,
        set: impl FnOnce(ContextBuilder) -> ContextBuilder,
        app: Router,
    ) -> Self {
        let cluster = builder.start_in(host.clone()).await.unwrap();
        let context = cluster.context("/shop").manager(Manager::delta());
        let context = set(context).build().unwrap();
        Self {
            app: app.layer(context.layer()),
            cluster,
        }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, cookie: Option<&str>) -> Answer {
        call(self.app.clone(), method, path, cookie.map(str::to_owned)).await
    }

    /// Waits until these and no others are in the view, and ready.
    pub(crate) async fn sees(&self, names: &[&str]) {
        let sees = |view: &catherd::channel::View| {
            let mut seen: Vec<_> = view.members.iter().map(|member| &*member.name).collect();
            seen.sort_unstable();
            seen == names
                && view
                    .members
                    .iter()
                    .all(|member| view.is_ready(member.incarnation))
        };
        let waited = self.cluster.wait_for_members(sees);
        tokio::time::timeout(Duration::from_secs(60), waited)
            .await
            .unwrap_or_else(|_| {
                panic!(
                    "{} does not see {names:?}: {:?}",
                    self.cluster.name(),
                    self.cluster.members()
                )
            });
    }

    /// One number for all sessions of the node.
    pub(crate) fn digest(&self) -> String {
        self.cluster.status().contexts[0].digest.clone()
    }
}

/// Two ready nodes that see each other.
pub(crate) async fn two_with(network: &Network, app: fn() -> Router) -> (Node, Node) {
    let (host_a, host_b) = (network.host(A), network.host(B));
    let a = Node::start(&host_a, "A", "one", app()).await;
    let b = Node::start(&host_b, "B", "one", app()).await;
    meet(&a, &b).await;
    (a, b)
}

pub(crate) async fn call(app: Router, method: &str, path: &str, cookie: Option<String>) -> Answer {
    Answer::of(respond(app, method, path, cookie.as_deref()).await).await
}

pub(crate) async fn respond(
    app: Router,
    method: &str,
    path: &str,
    cookie: Option<&str>,
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, format!("JSESSIONID={cookie}"));
    }
    app.oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) cookie: Option<String>,
    pub(crate) degraded: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let cookie = text("set-cookie").map(|cookie| {
            cookie
                .split(';')
                .next()
                .unwrap()
                .strip_prefix("JSESSIONID=")
                .unwrap()
                .to_owned()
        });
        let degraded = text(Degraded::HEADER).map(str::to_owned);
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Self {
            status,
            cookie,
            degraded,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

/// An application that sets, reads and ends: `/shop/NAME/VALUE`, `/shop/NAME`, `/shop/end`.
pub(crate) fn attributes() -> Router {
    async fn set(
        Extension(session): Extension<Session>,
        Path((name, value)): Path<(String, String)>,
    ) -> String {
        session.insert(Attribute::from(name), &value).unwrap();
        session.id().unwrap()
    }
    async fn read(
        Extension(session): Extension<Session>,
        Path(name): Path<String>,
    ) -> Result<String, StatusCode> {
        session
            .get::<String>(Attribute::from(name))
            .unwrap()
            .ok_or(StatusCode::NOT_FOUND)
    }
    async fn end(Extension(session): Extension<Session>) -> String {
        session.invalidate().to_string()
    }
    Router::new()
        .route("/shop/{name}/{value}", post(set))
        .route("/shop/{name}", get(read))
        .route("/shop/end", post(end))
}

impl Node {
    /// How many sessions are live on the node.
    pub(crate) fn sessions(&self) -> u64 {
        self.cluster.status().contexts[0].sessions
    }

    /// How many ended ones it remembers.
    pub(crate) fn tombstones(&self) -> u64 {
        self.cluster.status().contexts[0].tombstones
    }
}

/// Waits until two nodes are ready and see each other.
pub(crate) async fn meet(a: &Node, b: &Node) {
    tokio::join!(a.cluster.ready(), b.cluster.ready());
    let (name_a, name_b) = ([a.cluster.name()], [b.cluster.name()]);
    tokio::join!(a.sees(&name_b), b.sees(&name_a));
}

/// Waits for a state, for long on the paused clock.
pub(crate) async fn until(what: &str, is_so: impl FnMut() -> bool) {
    within(what, Duration::from_secs(200), is_so).await;
}

/// Waits for a state that has to come in time.
pub(crate) async fn within(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(limit, waited).await;
    waited.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"));
}

/// How many sessions a node's application was told of that ended, by now; all must have ended so.
pub(crate) async fn ends(events: &mut Events, so: SessionEnd) -> usize {
    let mut ends = 0;
    while let Ok(event) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        if let Some(Event::SessionDestroyed { why, .. }) = event {
            assert_eq!(why, so);
            ends += 1;
        }
    }
    ends
}
