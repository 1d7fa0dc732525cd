//! The node as a member of its cluster, or alone.

use std::error::Error;
use std::net::IpAddr;

use catherd::{Cluster, ClusterBuilder, Mode, StartError};

use super::ports::addresses;
use crate::config::{self, ClusterConfig, MembershipConfig, SenderConfig, ServerConfig};

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

/// Every field is named here, so that one that is new is not forgotten: what is passed over has no
/// effect in this release, which `catherd check` says, or says where it is and what it is called.
fn member(node: ClusterBuilder, cluster: &ClusterConfig) -> ClusterBuilder {
    let ClusterConfig {
        host: _,
        name: _,
        id,
        key,
        allow_plaintext,
        repair_interval,
        missing_for,
        // The contexts have it.
        manager: _,
        membership,
        receiver,
        sender,
        // The contexts have it, too.
        replication_valve: _,
    } = cluster;
    let node = node
        .cluster_id(id)
        .allow_plaintext(*allow_plaintext)
        .missing_for(*missing_for)
        .repair_interval(*repair_interval)
        .listen(addresses(receiver))
        .connections_applied(receiver.thread_count.into());
    let node = with_sender(with_membership(node, membership), sender);
    match key {
        Some(key) => node.key(key.as_bytes()),
        None => node,
    }
}

fn with_membership(node: ClusterBuilder, membership: &MembershipConfig) -> ClusterBuilder {
    let MembershipConfig {
        group,
        frequency,
        drop_time,
        bind_address,
        domain,
        ttl,
    } = membership;
    let interface = Some(*bind_address).filter(|address| !address.is_unspecified());
    node.multicast(IpAddr::V4(*group.ip()), group.port())
        .multicast_interface(interface.map(IpAddr::V4))
        .multicast_ttl((*ttl).into())
        .frequency(*frequency)
        .drop_time(*drop_time)
        .domain(domain)
}

fn with_sender(node: ClusterBuilder, sender: &SenderConfig) -> ClusterBuilder {
    let SenderConfig {
        mode,
        wait_for_ack,
        ack_timeout,
        max_queue_bytes,
        max_queue_length,
        max_pool_socket_limit,
        keep_alive_timeout,
        keep_alive_max_request_count,
        auto_connect,
    } = sender;
    let node = node
        .replication_mode(match mode {
            config::Mode::Synchronous => Mode::Synchronous,
            config::Mode::Pooled => Mode::Pooled,
            config::Mode::Asynchronous => Mode::Asynchronous,
            config::Mode::FastAsyncQueue => Mode::FastAsyncQueue,
        })
        .max_pool_sockets((*max_pool_socket_limit).into())
        .keep_alive(*keep_alive_timeout)
        .keep_alive_frames(*keep_alive_max_request_count)
        .auto_connect(*auto_connect)
        .wait_for_ack(*wait_for_ack)
        .ack_timeout(*ack_timeout)
        .max_queue_bytes(whole(*max_queue_bytes));
    match max_queue_length {
        Some(frames) => node.max_queue_length(whole(*frames)),
        None => node,
    }
}

/// A count that memory bounds anyway.
pub(super) fn whole(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
