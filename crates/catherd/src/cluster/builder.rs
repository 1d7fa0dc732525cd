//! How a node is configured and started.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use catherd_core::link::{Confirm, Joining, OutboxConfig};
use catherd_core::membership::MembershipConfig;
use catherd_core::message::ClusterKey;
use catherd_core::version::Incarnation;
use tokio::sync::Semaphore;

use super::handle::Cluster;
use super::name::{is_cluster_name, is_node_name};
use super::node::Node;
use crate::channel::{
    Alone, Channel, Delivery, KeepAlive, PoolConfig, TcpChannel, TcpConfig, View,
};
use crate::env::{Env, Group, System};

/// When a request returns (HOW-TO, "Cluster Configuration": `replicationMode`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// When every ready holder has applied what it wrote; one connection to each member.
    #[default]
    Synchronous,
    /// The same over several connections to each member, a session always over the same one.
    Pooled,
    /// At once; writes of one session that wait to be sent become one.
    Asynchronous,
    /// At once; all that waits to be sent goes out in one write, in the order of arrival.
    FastAsyncQueue,
}

impl Mode {
    /// Whether a request waits for acknowledgements.
    pub fn is_synchronous(self) -> bool {
        match self {
            Self::Synchronous | Self::Pooled => true,
            Self::Asynchronous | Self::FastAsyncQueue => false,
        }
    }
}

/// Configures a node of a cluster; made by [`Cluster::builder`]. The defaults suit nodes on one
/// machine; the words are those of the HOW-TO.
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    name: String,
    cluster_id: String,
    key: Option<Vec<u8>>,
    mode: Mode,
    wait_for_ack: bool,
    ack_timeout: Duration,
    queue_bytes_max: usize,
    queue_frames_max: Option<usize>,
    pool_sockets_max: usize,
    keep_alive: KeepAlive,
    auto_connect: bool,
    connections_applied: usize,
    group: Group,
    frequency: Duration,
    drop_time: Duration,
    missing_for: Duration,
    repair_interval: Duration,
    domain: String,
    listen: Vec<SocketAddr>,
    allow_plaintext: bool,
}

impl ClusterBuilder {
    pub(super) fn new() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            name: String::new(),
            cluster_id: "catherd".to_owned(),
            key: None,
            mode: Mode::default(),
            wait_for_ack: true,
            ack_timeout: Duration::from_secs(15),
            queue_bytes_max: 64 << 20,
            queue_frames_max: None,
            pool_sockets_max: 25,
            keep_alive: KeepAlive {
                idle: Some(Duration::from_secs(60)),
                frames_max: None,
            },
            auto_connect: false,
            connections_applied: 6,
            group: Group {
                address: IpAddr::V4(Ipv4Addr::new(228, 0, 0, 4)),
                port: 45564,
                interface: Some(loopback),
                ttl: Some(1),
            },
            frequency: Duration::from_millis(500),
            drop_time: Duration::from_secs(3),
            missing_for: Duration::from_secs(3600),
            repair_interval: Duration::from_secs(30),
            domain: "catalina".to_owned(),
            listen: (4001..=4020)
                .map(|port| SocketAddr::new(loopback, port))
                .collect(),
            allow_plaintext: false,
        }
    }

    /// The node's name, and the route of its cookies (`jvmRoute`): 1 to 64 letters, digits, `-`
    /// and `_`; unique in the cluster. Must be given.
    #[must_use]
    pub fn node_name(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// The cluster's id; members of another are not heard. `catherd` by default. 1 to 64 letters,
    /// digits, `-`, `_` and `.`, as for [`domain`](Self::domain).
    #[must_use]
    pub fn cluster_id(mut self, id: &str) -> Self {
        self.cluster_id = id.to_owned();
        self
    }

    /// A secret that all members share: heartbeats and hellos without it are refused.
    #[must_use]
    pub fn key(mut self, secret: &[u8]) -> Self {
        self.key = Some(secret.to_vec());
        self
    }

    /// When a request returns.
    #[must_use]
    pub fn replication_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// `false`: a request in a synchronous mode waits until its data is handed to the operating
    /// system, and not for acknowledgements (HOW-TO, "How it Works", 3). `true` by default.
    #[must_use]
    pub fn wait_for_ack(mut self, wait: bool) -> Self {
        self.wait_for_ack = wait;
        self
    }

    /// How long a member is waited for; 15 seconds by default.
    #[must_use]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// How many bytes may wait for one member; 64 MiB by default. In mode
    /// [`Pooled`](Mode::Pooled) its connections share them in equal parts, and so the frames of
    /// [`max_queue_length`](Self::max_queue_length).
    #[must_use]
    pub fn max_queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes_max = bytes;
        self
    }

    /// How many frames may wait for one member; no limit by default.
    #[must_use]
    pub fn max_queue_length(mut self, frames: usize) -> Self {
        self.queue_frames_max = Some(frames);
        self
    }

    /// How many connections a member gets in mode [`Pooled`](Mode::Pooled) where one is not enough
    /// (`maxPoolSocketLimit`), 1 to 1024; 25 by default. Without effect in the other modes.
    #[must_use]
    pub fn max_pool_sockets(mut self, sockets: usize) -> Self {
        self.pool_sockets_max = sockets;
        self
    }

    /// How long a connection of the pool stays open without a frame, or where one was enough
    /// (`keepAliveTimeout`); a minute by default, `None` for as long as the member. The first
    /// connection to a member always stays.
    #[must_use]
    pub fn keep_alive(mut self, idle: Option<Duration>) -> Self {
        self.keep_alive.idle = idle;
        self
    }

    /// After how many frames a connection of the pool is closed and opened anew
    /// (`keepAliveMaxRequestCount`); without limit by default.
    #[must_use]
    pub fn keep_alive_frames(mut self, frames: Option<u64>) -> Self {
        self.keep_alive.frames_max = frames;
        self
    }

    /// Whether all connections of the pool are opened when a member is met and stay while they are
    /// used, and not only where one is not enough (`autoConnect`); `false` by default.
    #[must_use]
    pub fn auto_connect(mut self, at_once: bool) -> Self {
        self.auto_connect = at_once;
        self
    }

    /// How many connections from members have their frames applied side by side
    /// (`tcpThreadCount`); 6 by default, at least 1. The frames of one connection are applied in
    /// order.
    #[must_use]
    pub fn connections_applied(mut self, side_by_side: usize) -> Self {
        self.connections_applied = side_by_side;
        self
    }

    /// Where heartbeats go (`mcastAddr`, `mcastPort`): 228.0.0.4:45564 by default, the membership
    /// of everybody who uses the same.
    #[must_use]
    pub fn multicast(mut self, address: IpAddr, port: u16) -> Self {
        self.group.address = address;
        self.group.port = port;
        self
    }

    /// The interface of the group (`mcastBindAddress`): loopback by default; `None` leaves the
    /// choice to the operating system.
    #[must_use]
    pub fn multicast_interface(mut self, interface: Option<IpAddr>) -> Self {
        self.group.interface = interface;
        self
    }

    /// How many hops a heartbeat may go (`mcastTTL`); 1 by default.
    #[must_use]
    pub fn multicast_ttl(mut self, hops: u32) -> Self {
        self.group.ttl = Some(hops);
        self
    }

    /// How often this node says that it is there (`mcastFrequency`); 500 ms by default.
    #[must_use]
    pub fn frequency(mut self, frequency: Duration) -> Self {
        self.frequency = frequency;
        self
    }

    /// After which silence a member is suspect, and probed (`mcastDropTime`); 3 s by default, at
    /// least twice the frequency.
    #[must_use]
    pub fn drop_time(mut self, drop_time: Duration) -> Self {
        self.drop_time = drop_time;
        self
    }

    /// How long a member that was declared gone counts as missing; an hour by default.
    #[must_use]
    pub fn missing_for(mut self, missing_for: Duration) -> Self {
        self.missing_for = missing_for;
        self
    }

    /// How often members compare what they hold, besides when one comes or comes back; half a
    /// minute by default.
    #[must_use]
    pub fn repair_interval(mut self, interval: Duration) -> Self {
        self.repair_interval = interval;
        self
    }

    /// The node's domain (`mcastClusterDomain`): only members of one domain hold each other's
    /// sessions. `catalina` by default.
    #[must_use]
    pub fn domain(mut self, domain: &str) -> Self {
        self.domain = domain.to_owned();
        self
    }

    /// Where members connect to: the first free one of these. Ports 4001 to 4020 of 127.0.0.1 by
    /// default; port 0 takes any.
    #[must_use]
    pub fn listen(mut self, at: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.listen = at.into_iter().collect();
        self
    }

    /// Lets members talk beyond loopback in the clear: this release has no encryption between
    /// nodes, so whoever is on their network can read and write sessions.
    #[must_use]
    pub fn allow_plaintext(mut self, allow: bool) -> Self {
        self.allow_plaintext = allow;
        self
    }

    /// Starts the node. It joins as soon as it is heard; [`Cluster::ready`] waits until then.
    /// Tasks run on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// A setting is wrong, or an address cannot be listened at.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start(self) -> Result<Cluster, StartError> {
        let system = System::new(tokio::runtime::Handle::current());
        self.start_in(system).await
    }

    /// The same in an environment of the caller's choice: tests have
    /// [`testing::Host`](crate::testing::Host).
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_in<E: Env>(self, env: E) -> Result<Cluster, StartError> {
        self.check()?;
        let node = self.to_node(&env);
        let config = self.to_config(&node);
        let (listen, group) = (self.listen, self.group);
        let delivery = Arc::clone(&node) as Arc<dyn Delivery>;
        let channel = TcpChannel::start(env, config, delivery)
            .await
            .map_err(|source| StartError::Network {
                listen,
                group,
                source,
            })?;
        node.repair.set_interval(self.repair_interval);
        Ok(Cluster::new(node, Arc::new(channel)))
    }

    /// The same over a channel of the caller's making, which may speak the protocol of another
    /// system. It is given the incarnation of the node, and what to hand over what arrives.
    ///
    /// # Errors
    ///
    /// A setting is wrong.
    pub fn start_over<E: Env>(
        self,
        env: &E,
        channel: impl FnOnce(Incarnation, Arc<dyn Delivery>) -> Arc<dyn Channel>,
    ) -> Result<Cluster, StartError> {
        check_node_name(&self.name)?;
        let node = self.to_node(env);
        let channel = channel(node.incarnation(), Arc::clone(&node) as Arc<dyn Delivery>);
        Ok(Cluster::new(node, channel))
    }

    /// Starts a node without a cluster: its sessions are its own, and nothing is sent.
    ///
    /// # Errors
    ///
    /// The name is none. An empty one is allowed here: cookies have no route then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start_local(self) -> Result<Cluster, StartError> {
        if !self.name.is_empty() {
            check_node_name(&self.name)?;
        }
        let node = self.to_node(&System::new(tokio::runtime::Handle::current()));
        let channel = Alone::new(View::alone(&self.name, node.incarnation()));
        channel.become_ready(0);
        Ok(Cluster::new(node, Arc::new(channel)))
    }

    fn to_node<E: Env>(&self, env: &E) -> Arc<Node> {
        let surroundings = Arc::new(env.clone());
        Arc::new(Node::new(
            self.name.clone(),
            &self.cluster_id,
            (self.mode, self.wait_for_ack),
            surroundings,
        ))
    }

    fn check(&self) -> Result<(), StartError> {
        check_node_name(&self.name)?;
        check_cluster_name("cluster_id", &self.cluster_id)?;
        check_cluster_name("domain", &self.domain)?;
        let invalid = |setting, problem| Err(StartError::Setting { setting, problem });
        if self.frequency < Duration::from_millis(10) {
            return invalid("frequency", "must be at least 10 ms");
        }
        if self.drop_time < 2 * self.frequency {
            return invalid("drop_time", "must be at least twice the frequency");
        }
        if !(1..=1024).contains(&self.pool_sockets_max) {
            return invalid("max_pool_sockets", "must be 1 to 1024");
        }
        if self.connections_applied == 0 {
            return invalid("connections_applied", "must be at least 1");
        }
        if self.listen.is_empty() {
            return invalid("listen", "needs an address");
        }
        let is_exposed = |at: &SocketAddr| !at.ip().is_loopback();
        let is_heard_outside = self.group.interface.is_none_or(|ip| !ip.is_loopback());
        if !self.allow_plaintext && (is_heard_outside || self.listen.iter().any(is_exposed)) {
            return Err(StartError::Plaintext);
        }
        Ok(())
    }

    /// One number for what all members should have alike (HOW-TO, "How it Works", 2: "all nodes in
    /// the cluster should be configured the same"); hellos carry it, and a difference is reported.
    fn settings_digest(&self) -> u64 {
        let Self {
            mode,
            wait_for_ack,
            frequency,
            drop_time,
            missing_for,
            ..
        } = self;
        // Who takes over believes that its members confirm as it does itself.
        let is_confirmed = mode.is_synchronous() && *wait_for_ack;
        let [frequency, drop_time, missing_for] =
            [frequency, drop_time, missing_for].map(Duration::as_nanos);
        digest(&format!(
            "{mode:?} {is_confirmed} {frequency} {drop_time} {missing_for}"
        ))
    }

    fn to_config(&self, node: &Node) -> TcpConfig {
        TcpConfig {
            name: self.name.clone(),
            incarnation: node.incarnation(),
            domain: self.domain.clone(),
            group: self.group.clone(),
            listen: self.listen.clone(),
            membership: MembershipConfig {
                cluster: self.cluster_id.clone(),
                frequency: self.frequency,
                drop_time: self.drop_time,
                missing_for: self.missing_for,
                members_max: 256,
                settings: self.settings_digest(),
            },
            outbox: OutboxConfig {
                joining: match self.mode {
                    Mode::Asynchronous => Joining::Join,
                    Mode::Synchronous | Mode::Pooled | Mode::FastAsyncQueue => Joining::Keep,
                },
                confirm: if self.wait_for_ack {
                    Confirm::Applied
                } else {
                    Confirm::Written
                },
                queue_bytes_max: self.queue_bytes_max,
                queue_frames_max: self.queue_frames_max,
                ack_timeout: self.ack_timeout,
                write_ahead_bytes: WRITE_AHEAD_BYTES,
            },
            pool: PoolConfig {
                links: match self.mode {
                    Mode::Pooled => self.pool_sockets_max,
                    Mode::Synchronous | Mode::Asynchronous | Mode::FastAsyncQueue => 1,
                },
                keep_alive: self.keep_alive,
                opens_at_once: self.auto_connect,
            },
            turns: self.connections_applied.min(Semaphore::MAX_PERMITS),
            key: self.key.as_deref().map(ClusterKey::new),
        }
    }
}

/// A digest that is equal on every platform and in every release (FNV-1a).
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A link writes although something is unacknowledged once so many bytes are queued.
const WRITE_AHEAD_BYTES: usize = 64 * 1024;

fn check_node_name(name: &str) -> Result<(), StartError> {
    if is_node_name(name) {
        return Ok(());
    }
    Err(StartError::Setting {
        setting: "node_name",
        problem: "must have 1 to 64 letters, digits, `-` and `_`",
    })
}

fn check_cluster_name(setting: &'static str, name: &str) -> Result<(), StartError> {
    if is_cluster_name(name) {
        return Ok(());
    }
    Err(StartError::Setting {
        setting,
        problem: "must have 1 to 64 letters, digits, `-`, `_` and `.`, and begin with no dot",
    })
}

/// A node that did not start. Nothing of it is left behind.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting has no meaning.
    Setting {
        /// The method of the builder.
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Members would talk in the clear beyond loopback, and nobody has allowed it.
    Plaintext,
    /// An address cannot be listened at, or the group cannot be joined.
    Network {
        /// Where it was to listen.
        listen: Vec<SocketAddr>,
        /// The group.
        group: Group,
        /// What the operating system says.
        source: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { setting, problem } => write!(f, "`{setting}` {problem}"),
            Self::Plaintext => f.write_str(
                "members would talk in the clear beyond loopback, and this release has no \
                 encryption between nodes: listen on 127.0.0.1, or set allowPlaintext=\"true\" \
                 where nobody else is on their network",
            ),
            Self::Network { listen, group, .. } => write!(
                f,
                "the node cannot listen for members at {} or join the group {}:{}; choose a free \
                 tcpListenPort, an address of this machine, and an interface with multicast",
                listen
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
                group.address,
                group.port
            ),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Network { source, .. } => Some(source),
            Self::Setting { .. } | Self::Plaintext => None,
        }
    }
}
