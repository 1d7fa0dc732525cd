//! An axum application whose sessions live on every node of it.
//!
//! In two terminals:
//!
//! ```text
//! cargo run -p catherd --example visits -- node01 8081
//! cargo run -p catherd --example visits -- node02 8082
//! ```
//!
//! Then walk from one to the other with one cookie jar, and kill either:
//!
//! ```text
//! curl -c jar -b jar http://127.0.0.1:8081/
//! curl -c jar -b jar http://127.0.0.1:8082/
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::time::Duration;

use axum::routing::get;
use axum::{Extension, Router};
use catherd::{Attribute, Cluster, Session};

const VISITS: Attribute<u64> = Attribute::new("visits");

async fn visits(Extension(session): Extension<Session>) -> Result<String, String> {
    let visits = session.update(VISITS, |visits| *visits.insert(visits.unwrap_or(0) + 1));
    visits
        .map(|visits| format!("visit {visits}\n"))
        .map_err(|error| error.to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "node01".to_owned());
    let port: u16 = arguments
        .next()
        .unwrap_or_else(|| "8081".to_owned())
        .parse()?;

    let cluster = Cluster::builder()
        .node_name(&name)
        .cluster_id("visits")
        .start()
        .await?;
    let context = cluster
        .context("")
        .max_inactive(Duration::from_secs(1800))
        .build()?;
    let app = Router::new().route("/", get(visits)).layer(context.layer());
    // The members have been met: now the port may open.
    cluster.ready().await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("{name} at http://127.0.0.1:{port}/, Ctrl-C ends it");
    let stop = async {
        // Where the signal cannot be had, the node runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    cluster.shutdown(Duration::from_secs(10)).await;
    Ok(())
}
