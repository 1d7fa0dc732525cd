//! Datagrams to and from the group.

use std::sync::Arc;
use std::time::Duration;

use catherd_core::message::{ClusterKey, HEARTBEAT_BYTES_MAX, Heartbeat};
use tokio::sync::mpsc;

use super::Delivery;
use super::driver::Input;
use crate::env::Env;

/// Hears the group until the driver is gone. What is no heartbeat of this cluster is counted and
/// dropped before anything of it is believed.
pub(super) async fn hear<E: Env>(
    env: E,
    group: Arc<E::Datagrams>,
    cluster: String,
    key: Option<ClusterKey>,
    delivery: Arc<dyn Delivery>,
    driver: mpsc::Sender<Input>,
) {
    // One byte more than the longest legal datagram, so that a longer one shows.
    let mut buffer = [0; HEARTBEAT_BYTES_MAX + 1];
    loop {
        let received = tokio::select! {
            biased;
            () = driver.closed() => return,
            received = env.receive_datagram(&group, &mut buffer) => received,
        };
        let Ok((len, _)) = received else {
            env.sleep_until(env.now() + AFTER_AN_ERROR).await;
            continue;
        };
        match Heartbeat::from_datagram(&buffer[..len], &cluster, key.as_ref()) {
            // A flood is dropped here: heartbeats come again.
            Ok(heartbeat) => {
                drop(driver.try_send(Input::Heartbeat {
                    heartbeat,
                    bytes: len,
                }));
            }
            Err(_) => delivery.bad_datagram(),
        }
    }
}

/// A pause, lest an error that stays takes a whole core.
const AFTER_AN_ERROR: Duration = Duration::from_millis(100);
