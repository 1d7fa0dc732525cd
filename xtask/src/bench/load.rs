//! Many users at once, each waiting for an answer before the next request.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::connection::Connection;

/// How long each acknowledged request took, in nanoseconds, in no order.
pub(super) async fn run(
    port: u16,
    path: &str,
    connections: usize,
    window: Duration,
) -> Result<Vec<u64>, String> {
    let mut users = Vec::with_capacity(connections);
    for _ in 0..connections {
        users.push(Connection::open(port, path).await?);
    }
    let end = Instant::now() + window;
    let mut running = JoinSet::new();
    for mut user in users {
        running.spawn(async move {
            let mut took = Vec::new();
            let mut start = Instant::now();
            while start < end {
                user.write_once().await?;
                let now = Instant::now();
                let nanos = now.duration_since(start).as_nanos();
                took.push(u64::try_from(nanos).unwrap_or(u64::MAX));
                start = now;
            }
            Ok::<_, String>(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = running.join_next().await {
        all.extend(took.map_err(|error| format!("a user ended: {error}"))??);
    }
    Ok(all)
}
