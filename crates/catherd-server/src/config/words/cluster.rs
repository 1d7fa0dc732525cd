//! The cluster and its members.

use super::{DEBUG, JAVA_MANAGEMENT, NO_LISTENERS};
use crate::config::word::{Element, idle, many, one, same, skipped, used};

pub(crate) static CLUSTER: Element = Element {
    name: "Cluster",
    classes: &["SimpleTcpCluster"],
    attributes: &[
        used(
            "managerClassName",
            "DeltaManager",
            "the manager of distributable contexts without one",
        ),
        same("manager.className", "managerClassName"),
        used("clusterName", "the name of its host or engine", "a label"),
        used(
            "clusterId",
            "catherd",
            "ours. members of another id are refused: 1 to 64 of `A-Z a-z 0-9 . _ -`",
        ),
        used(
            "key",
            "none",
            "ours. a secret of 16 to 256 bytes that all members share: who has another is refused. \
             Best as `${PROPERTY}`",
        ),
        used(
            "allowPlaintext",
            "false",
            "ours. allows members beyond this machine, which this release can only reach in the \
             clear",
        ),
        used(
            "channelSendOptions",
            "4 + 2",
            "the newer spelling of `replicationMode` and `waitForAck`: 8 asynchronous, 4 \
             synchronized_ack, 2 use_ack, as a sum or as names",
        ),
        used(
            "missingFor",
            "3600",
            "ours. seconds for which a member that failed is waited for",
        ),
        used(
            "repairInterval",
            "30",
            "ours. seconds between comparisons with each member",
        ),
        idle("defaultMode", "what is missing has a default in any case"),
        idle("notifyLifecycleListenerOnFailure", NO_LISTENERS),
        idle("doClusterLog", "the log level decides what is logged"),
        idle("clusterLogName", "the log level decides what is logged"),
        idle(
            "channelStartOptions",
            "all services of the channel are started",
        ),
        idle(
            "heartbeatBackgroundEnabled",
            "the channel has a heartbeat of its own",
        ),
        DEBUG,
    ],
    children: &[
        one("Manager"),
        one("Channel"),
        one("Membership"),
        one("Receiver"),
        one("Sender"),
        many("Valve"),
        many("ClusterListener"),
        skipped(
            "Deployer",
            "this release deploys nothing across the cluster",
        ),
        skipped("Listener", "there is no Java machine to listen to"),
        skipped("ChannelListener", "there are no Java classes here"),
        skipped("MembershipListener", "there are no Java classes here"),
    ],
};

pub(crate) static CHANNEL: Element = Element {
    name: "Channel",
    classes: &["GroupChannel"],
    attributes: &[
        idle("heartbeat", "the channel always has one"),
        idle(
            "heartbeatSleeptime",
            "`frequency` of `Membership` is the period",
        ),
        idle("optionCheck", "there are no interceptors"),
        idle("jmxEnabled", JAVA_MANAGEMENT),
        idle("jmxDomain", JAVA_MANAGEMENT),
        idle("jmxPrefix", JAVA_MANAGEMENT),
    ],
    children: &[
        one("Membership"),
        one("Receiver"),
        one("Sender"),
        many("Interceptor"),
        skipped("ChannelListener", "there are no Java classes here"),
        skipped("MembershipListener", "there are no Java classes here"),
    ],
};

pub(crate) static MEMBERSHIP: Element = Element {
    name: "Membership",
    classes: &["McastService"],
    attributes: &[
        used(
            "mcastAddr",
            "228.0.0.4",
            "the multicast group, 224.0.0.0 to 239.255.255.255",
        ),
        same("address", "mcastAddr"),
        used("mcastPort", "45564", "the port of the group, 1 to 65535"),
        same("port", "mcastPort"),
        used(
            "mcastFrequency",
            "500",
            "ms between heartbeats, 10 to 60000",
        ),
        same("frequency", "mcastFrequency"),
        used(
            "mcastDropTime",
            "3000",
            "ms of silence after which a member is suspect and is probed, 20 to 3600000; at least \
             twice `mcastFrequency`",
        ),
        same("dropTime", "mcastDropTime"),
        used(
            "mcastBindAddress",
            "`tcpListenAddress`",
            "the address of the interface for heartbeats; `0.0.0.0`: the system chooses",
        ),
        same("bind", "mcastBindAddress"),
        used(
            "mcastClusterDomain",
            "catalina",
            "the domain of this node: 1 to 64 of `A-Z a-z 0-9 . _ -`",
        ),
        same("domain", "mcastClusterDomain"),
        used(
            "mcastTTL",
            "1",
            "routers that a heartbeat passes, 0 to 255; -1: 1",
        ),
        same("ttl", "mcastTTL"),
        idle("mcastSoTimeout", "no thread waits for heartbeats"),
        idle("soTimeout", "no thread waits for heartbeats"),
        idle(
            "recoveryEnabled",
            "a socket that fails is always opened again",
        ),
        idle(
            "recoveryCounter",
            "a socket that fails is always opened again",
        ),
        idle(
            "recoverySleepTime",
            "a socket that fails is always opened again",
        ),
        idle(
            "localLoopbackDisabled",
            "nodes of one machine always hear each other",
        ),
    ],
    children: &[
        skipped("LocalMember", "members are found by multicast"),
        skipped("Member", "members are found by multicast"),
    ],
};

pub(crate) static CLUSTER_LISTENER: Element = Element {
    name: "ClusterListener",
    classes: &[
        "ClusterSessionListener",
        "JvmRouteSessionIDBinderListener",
        "JvmRouteSessionIDBinderLifecycleListener",
        "ClusterSingleSignOnListener",
    ],
    attributes: &[idle("enabled", "it is part of the cluster in any case")],
    children: &[],
};
