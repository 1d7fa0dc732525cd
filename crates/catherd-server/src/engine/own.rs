//! What every node answers itself, on every connector and for every host.
//!
//! | path | answer |
//! |---|---|
//! | `/catherd/health/live` | 200: the process answers |
//! | `/catherd/health/ready` | 200, or 503 with the reason: whether to send it requests |
//! | `/catherd/status` | all figures of the node, for clients on this machine |
//! | `DELETE /catherd/members/NAME` | a missing member will not come back; from this machine |

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;

use super::Engine;
use crate::http::{Body, answer};

/// What of `path` comes after the prefix of the paths that the node answers itself.
pub(super) fn path(path: &str) -> Option<&str> {
    path.strip_prefix("/catherd/")
}

impl Engine {
    pub(super) fn answer_itself<B>(
        &self,
        path: &str,
        request: &Request<B>,
        host: &str,
        client: IpAddr,
    ) -> Response<Body> {
        if let Some(name) = path.strip_prefix("members/") {
            return self.forget(name, request, host, client);
        }
        if !matches!(path, "health/live" | "health/ready" | "status") {
            return answer::status(StatusCode::NOT_FOUND);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = answer::status(StatusCode::METHOD_NOT_ALLOWED);
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(header::ALLOW, allow);
            return response;
        }
        match path {
            "health/live" => answer::json(StatusCode::OK, &Live { live: true }),
            "health/ready" => self.readiness(),
            _ if is_local(request.headers(), host, client) => self.status(),
            _ => answer::text(
                StatusCode::FORBIDDEN,
                "The status is for clients on this machine: ask 127.0.0.1 or localhost.\n",
            ),
        }
    }

    /// A page of another site cannot ask for this: browsers put an `Origin` to it, and ask before.
    fn forget<B>(
        &self,
        name: &str,
        request: &Request<B>,
        host: &str,
        client: IpAddr,
    ) -> Response<Body> {
        let is_by_a_page = request.headers().contains_key(header::ORIGIN);
        if *request.method() != Method::DELETE {
            let mut response = answer::status(StatusCode::METHOD_NOT_ALLOWED);
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("DELETE"));
            response
        } else if is_by_a_page || !is_local(request.headers(), host, client) {
            answer::text(
                StatusCode::FORBIDDEN,
                "Members are managed from this machine alone.\n",
            )
        } else if self.cluster.forget_member(name) {
            answer::status(StatusCode::NO_CONTENT)
        } else {
            answer::text(
                StatusCode::NOT_FOUND,
                "No member of this name is missing.\n",
            )
        }
    }

    fn readiness(&self) -> Response<Body> {
        let reason = if self.is_stopping.load(Ordering::Relaxed) {
            Some("the node is stopping")
        } else if self.cluster.is_ready() {
            None
        } else {
            Some("the node is not a ready member of its cluster")
        };
        let status = match reason {
            None => StatusCode::OK,
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        answer::json(
            status,
            &Ready {
                ready: reason.is_none(),
                reason,
            },
        )
    }

    fn status(&self) -> Response<Body> {
        let http = HttpStatus {
            panics: self.panics.load(Ordering::Relaxed),
        };
        answer::json(
            StatusCode::OK,
            &NodeStatus {
                node: self.cluster.status(),
                http,
            },
        )
    }
}

#[derive(Serialize)]
struct Live {
    live: bool,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    reason: Option<&'static str>,
}

/// The snapshot of the node, and what the server adds to it.
#[derive(Serialize)]
struct NodeStatus {
    #[serde(flatten)]
    node: catherd::Status,
    http: HttpStatus,
}

#[derive(Serialize)]
struct HttpStatus {
    /// How many requests were answered with 500 because their application panicked.
    panics: u64,
}

/// Whether a client is on this machine, speaks for itself, and knows whom it asks.
///
/// A proxy on this machine connects from loopback for everybody, and says so in a header; a page
/// whose name was made to mean 127.0.0.1 asks in a browser of this machine, under its own name.
fn is_local(headers: &HeaderMap, host: &str, client: IpAddr) -> bool {
    const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    is_loopback(client)
        && !FORWARDED.iter().any(|header| headers.contains_key(*header))
        && (name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback))
}
