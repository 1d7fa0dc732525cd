//! `Cluster`: the handle of a node.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use catherd_core::membership::Member;

use super::builder::ClusterBuilder;
use super::events::Events;
use super::node::Node;
use super::status::{ContextStatus, LinkStatus, MemberStatus, Status};
use crate::channel::{Channel, View};
use crate::context::{ContextBuilder, ContextInner};

/// A node of a cluster. Cheap to clone; all clones are the same node.
///
/// Two nodes may live in one process: nothing here is a static.
#[derive(Clone, Debug)]
pub struct Cluster {
    node: Arc<Node>,
}

impl Cluster {
    /// Configures a node. Only the name must be given; the defaults are for nodes on one machine,
    /// and most are those of the HOW-TO, "Cluster Configuration":
    ///
    /// | setting | default |
    /// |---|---|
    /// | [`cluster_id`](ClusterBuilder::cluster_id) | `catherd` |
    /// | [`key`](ClusterBuilder::key) | none |
    /// | [`replication_mode`](ClusterBuilder::replication_mode) | [synchronous](crate::Mode) |
    /// | [`wait_for_ack`](ClusterBuilder::wait_for_ack) | `true` |
    /// | [`ack_timeout`](ClusterBuilder::ack_timeout) | 15 s |
    /// | [`max_queue_bytes`](ClusterBuilder::max_queue_bytes) | 64 MiB for each member |
    /// | [`max_queue_length`](ClusterBuilder::max_queue_length) | no limit |
    /// | [`multicast`](ClusterBuilder::multicast) | 228.0.0.4:45564 |
    /// | [`multicast_interface`](ClusterBuilder::multicast_interface) | loopback |
    /// | [`multicast_ttl`](ClusterBuilder::multicast_ttl) | 1 |
    /// | [`frequency`](ClusterBuilder::frequency) | 500 ms |
    /// | [`drop_time`](ClusterBuilder::drop_time) | 3 s |
    /// | [`missing_for`](ClusterBuilder::missing_for) | 1 h |
    /// | [`domain`](ClusterBuilder::domain) | `catalina` |
    /// | [`listen`](ClusterBuilder::listen) | the first free port of 127.0.0.1:4001 to 4020 |
    /// | [`allow_plaintext`](ClusterBuilder::allow_plaintext) | `false`: loopback only |
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), catherd::StartError> {
    /// use catherd::Cluster;
    ///
    /// // A node without a cluster, for a test or a single machine: nothing is sent.
    /// let cluster = Cluster::builder().node_name("node01").start_local()?;
    /// assert_eq!(cluster.name(), "node01");
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::new()
    }

    pub(super) fn new(node: Arc<Node>, channel: Arc<dyn Channel>) -> Self {
        node.set_channel(channel);
        let surroundings = Arc::clone(&node.surroundings);
        surroundings.spawn(Box::pin(Arc::clone(&node).keep_house()));
        surroundings.spawn(Box::pin(Arc::clone(&node).repair_forever()));
        Self { node }
    }

    /// Configures a context at `path`: empty for the root, or beginning with a slash. All nodes
    /// must have the same.
    pub fn context(&self, path: &str) -> ContextBuilder {
        ContextBuilder::new(Arc::clone(&self.node), path)
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// Waits until this node has met all members that it hears, has the state of every replicated
    /// context, and is one that they wait for. Make the contexts before this, and open the ports
    /// of the application after it (HOW-TO, "How it Works", 2).
    ///
    /// From then on the node does the same by itself after it was stopped for long; requests wait
    /// meanwhile.
    pub async fn ready(&self) {
        self.node.join().await;
        if !self.node.joins_again.swap(true, Ordering::Relaxed) {
            let again = Arc::clone(&self.node).join_after_pauses();
            self.node.surroundings.spawn(Box::pin(again));
        }
    }

    /// The members at present.
    pub fn members(&self) -> Arc<View> {
        self.node.channel().view()
    }

    /// Waits until the members are as `wanted` says. For tests, and for starts in a certain order.
    pub async fn wait_for_members(&self, mut wanted: impl FnMut(&View) -> bool) {
        let mut views = self.node.channel().watch();
        // The sender lives as long as the channel.
        let _ = views.wait_for(|view| wanted(view)).await;
    }

    /// Whether this node is ready and not leaving.
    pub fn is_ready(&self) -> bool {
        let view = self.node.channel().view();
        view.am_ready() && !view.is_leaving
    }

    /// Says that a member that was declared gone will not come back: logouts are no longer
    /// confirmed as pending because of it, and copies that are kept for it can go. `false` if it
    /// is not missing.
    pub fn forget_member(&self, name: &str) -> bool {
        let channel = self.node.channel();
        let is_missing = channel.view().missing.iter().any(|missing| missing == name);
        if is_missing {
            channel.forget(name);
        }
        is_missing
    }

    /// What happens on this node, from now on.
    pub fn events(&self) -> Events {
        self.node.events()
    }

    /// Everything on this node that has a figure.
    pub fn status(&self) -> Status {
        let channel = self.node.channel();
        let view = channel.view();
        let mut members: Vec<_> = view.members.iter().map(|m| self.member_status(m)).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Status {
            node: self.node.name.clone(),
            incarnation: self.node.incarnation().to_string(),
            state: state(&view, channel.is_closed()),
            members,
            missing: view.missing.clone(),
            contexts: self.node.contexts().iter().map(context_status).collect(),
            sessions_that_differ: self.node.repair.differing(),
            counters: self.node.counters.status(),
            channel: channel.counters(),
        }
    }

    /// Leaves the cluster: sends what is queued, for at most `within`, says goodbye, and closes.
    /// Call it when no request is running any more.
    pub async fn shutdown(&self, within: Duration) {
        self.node.send_touches();
        self.node.channel().leave(within).await;
        self.node.close();
    }

    fn member_status(&self, member: &Member) -> MemberStatus {
        MemberStatus {
            name: member.name.clone(),
            state: match (member.is_suspect, member.is_ready()) {
                (true, _) => "suspect",
                (false, true) => "ready",
                (false, false) => "joining",
            },
            incarnation: member.incarnation.to_string(),
            address: member.address,
            domain: member.domain.clone(),
            clock_ahead_ms: self.node.channel().clock_ahead_ms(member.incarnation),
            link: LinkStatus {
                marked_buckets: self.node.repair.marked(member.incarnation),
                ..self.node.channel().link_status(member.incarnation)
            },
        }
    }
}

fn state(view: &View, is_closed: bool) -> &'static str {
    match (is_closed || view.is_leaving, view.am_ready()) {
        (true, _) => "leaving",
        (false, true) => "ready",
        (false, false) => "joining",
    }
}

fn context_status(context: &Arc<ContextInner>) -> ContextStatus {
    ContextStatus {
        name: context.name.clone(),
        replicated: context.manager.is_replicated(),
        sessions: context.table.live() as u64,
        tombstones: context.table.ended() as u64,
        digest: format!("{:016x}", context.table.total()),
        transfer: context.transfer.lock().clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::Cluster;
    use crate::env::Env as _;
    use crate::testing::Network;

    /// Whoever is flooded must beat all the same, or its members take it for dead.
    #[tokio::test(start_paused = true)]
    async fn a_flood_of_inputs_keeps_no_heartbeat_from_being_sent() {
        let host = Network::new(1).host([10, 0, 0, 1]);
        let cluster = Cluster::builder()
            .node_name("A")
            .cluster_id("one")
            .multicast_interface(Some(host.ip()))
            .listen([SocketAddr::new(host.ip(), 4001)])
            .allow_plaintext(true)
            .frequency(Duration::from_millis(100))
            .start_in(host.clone())
            .await
            .expect("it starts");
        cluster.ready().await;
        let sent = || cluster.status().channel["heartbeats_sent"];
        let before = sent();
        let flood = host.spawn({
            let channel = std::sync::Arc::clone(cluster.node.channel());
            async move {
                // The clock moves, and the driver never finds its queue empty.
                for _ in 0..150 {
                    for _ in 0..140 {
                        channel.become_ready(u64::MAX);
                    }
                    tokio::time::advance(Duration::from_millis(10)).await;
                }
            }
        });
        flood.await.expect("it ends");
        assert!(sent() >= before + 5, "{} in 1.5 seconds", sent() - before);
    }
}
