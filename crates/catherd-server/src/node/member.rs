//! The node as a member of its cluster, or alone.

use std::error::Error;
use std::net::IpAddr;

use catherd::{Cluster, ClusterBuilder, Mode, StartError};

use super::ports::addresses;
use crate::config::{ClusterConfig, ServerConfig};

/// Starts the node; it joins its cluster as soon as it is heard.
///
/// # Errors
///
/// What keeps it from starting, with the remedy.
pub(super) async fn start(config: &ServerConfig) -> Result<Cluster, String> {
    let node = Cluster::builder().node_name(config.engine.jvm_route.as_deref().unwrap_or_default());
    let started = match &config.engine.cluster {
        Some(cluster) => member(node, cluster).start().await,
        None => node.start_local(),
    };
    started.map_err(|error| explain(&error))
}

/// An error with its cause, and with the word of the configuration that is meant.
fn explain(error: &StartError) -> String {
    let interface = match error {
        StartError::Network { group, .. } => group.interface,
        _ => None,
    };
    let mut text = format!("Cluster: {error}");
    if let Some(interface) = interface {
        text.push_str(&format!("; mcastBindAddress is {interface}"));
    }
    if let Some(source) = error.source() {
        text.push_str(&format!(": {source}"));
    }
    text
}

fn member(node: ClusterBuilder, cluster: &ClusterConfig) -> ClusterBuilder {
    let ClusterConfig {
        membership,
        receiver,
        sender,
        ..
    } = cluster;
    let interface = Some(membership.bind_address).filter(|address| !address.is_unspecified());
    let mut node = node
        .cluster_id(&cluster.id)
        .allow_plaintext(cluster.allow_plaintext)
        .missing_for(cluster.missing_for)
        .repair_interval(cluster.repair_interval)
        .multicast(IpAddr::V4(*membership.group.ip()), membership.group.port())
        .multicast_interface(interface.map(IpAddr::V4))
        .multicast_ttl(membership.ttl.into())
        .frequency(membership.frequency)
        .drop_time(membership.drop_time)
        .domain(&membership.domain)
        .listen(addresses(receiver))
        // The configuration lets no other mode pass in this release.
        .replication_mode(Mode::Synchronous)
        .wait_for_ack(sender.wait_for_ack)
        .ack_timeout(sender.ack_timeout)
        .max_queue_bytes(whole(sender.max_queue_bytes));
    if let Some(frames) = sender.max_queue_length {
        node = node.max_queue_length(whole(frames));
    }
    match &cluster.key {
        Some(key) => node.key(key.as_bytes()),
        None => node,
    }
}

/// A count that memory bounds anyway.
pub(super) fn whole(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
