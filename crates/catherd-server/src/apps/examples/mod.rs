//! `/examples`: a session that can be seen and changed, by people and by programs.
//!
//! | file | what it holds |
//! |---|---|
//! | `api` | the requests of programs, in JSON |
//! | `change` | what can be done to the session, for both |
//! | `view` | the session as JSON |
//! | `page` | the page for people: plain forms, no script |
//! | `origin` | requests that change something come from the page itself, or from no page |
//! | `problem` | what a request can be refused for |

mod api;
mod change;
mod origin;
mod page;
mod problem;
mod view;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post, put};
use catherd::Cluster;

/// What the application knows of its node.
#[derive(Clone, Debug)]
pub(crate) struct Examples {
    cluster: Cluster,
    is_replicated: bool,
}

impl Examples {
    /// `is_replicated`: whether other members hold copies of the sessions of its context.
    pub(crate) fn new(cluster: Cluster, is_replicated: bool) -> Self {
        Self {
            cluster,
            is_replicated,
        }
    }

    /// The application; goes behind the layer of its context.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/examples", get(page::show))
            .route("/examples/", get(page::show))
            .route("/examples/page/set", post(page::set))
            .route("/examples/page/remove", post(page::remove))
            .route("/examples/page/increment", post(page::increment))
            .route("/examples/page/idle", post(page::idle))
            .route("/examples/page/change-id", post(page::change_id))
            .route("/examples/page/invalidate", post(page::invalidate))
            .route("/examples/session", get(api::show).delete(api::invalidate))
            .route("/examples/session/attributes/{name}", put(api::set))
            .route("/examples/session/attributes/{name}", delete(api::remove))
            .route("/examples/session/increment/{name}", post(api::increment))
            .route(
                "/examples/session/max-inactive-interval",
                put(api::set_idle),
            )
            .route("/examples/session/change-id", post(api::change_id))
            .layer(middleware::from_fn(origin::guard))
            .with_state(self)
    }
}
