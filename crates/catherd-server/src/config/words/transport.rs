//! What connects members.

use super::{ALWAYS_COUNTED, NO_BACKGROUND, NO_THREADS};
use crate::config::word::{Element, idle, one, refused, same, used};

pub(crate) static RECEIVER: Element = Element {
    name: "Receiver",
    classes: &[
        "ReplicationListener",
        "SocketReplicationListener",
        "NioReceiver",
        "BioReceiver",
    ],
    attributes: &[
        used(
            "tcpListenAddress",
            "127.0.0.1",
            "the address to listen on, which members are told; `auto` and `localhost`: 127.0.0.1",
        ),
        same("address", "tcpListenAddress"),
        used(
            "tcpListenPort",
            "4000, and the 99 behind it",
            "the port to listen on; 0: any free one",
        ),
        same("port", "tcpListenPort"),
        used(
            "tcpListenMaxPort",
            "`tcpListenPort`",
            "the last port to try when those before are taken",
        ),
        used("autoBind", "1", "the newer spelling: how many ports to try"),
        used(
            "tcpThreadCount",
            "6",
            "connections whose frames are applied side by side, 1 to 1024",
        ),
        same("maxThreads", "tcpThreadCount"),
        idle("tcpSelectorTimeout", "there is no selector"),
        idle("selectorTimeout", "there is no selector"),
        idle(
            "tcpListenTimeout",
            "a port is open or the node does not start",
        ),
        idle("minThreads", NO_THREADS),
        idle("maxIdleTime", NO_THREADS),
        idle("maxTasks", NO_THREADS),
        idle("useBufferPool", SYSTEM_BUFFERS),
        idle("direct", SYSTEM_BUFFERS),
        idle("rxBufSize", SYSTEM_BUFFERS),
        idle("txBufSize", SYSTEM_BUFFERS),
        idle("udpPort", "members talk over TCP"),
        idle("udpRxBufSize", "members talk over TCP"),
        idle("udpTxBufSize", "members talk over TCP"),
        refused(
            "securePort",
            "-1",
            "encryption between nodes is not available in this release",
        ),
        idle("tcpNoDelay", "it is always on"),
        idle("soKeepAlive", "heartbeats tell who is gone"),
        idle("ooBInline", "no urgent data are sent"),
        idle("soReuseAddress", "it is always on"),
        idle("soLingerOn", "closing never waits"),
        idle("soLingerTime", "closing never waits"),
        idle("soTrafficClass", "the network's default is used"),
        idle("timeout", "heartbeats tell who is gone"),
        idle(
            "sendAck",
            "whoever sends says whether it waits for an acknowledgement",
        ),
        idle(
            "waitForAck",
            "whoever sends says whether it waits for an acknowledgement",
        ),
        idle("compress", "fragments are sent as they are"),
        idle("doReceivedProcessingStats", ALWAYS_COUNTED),
    ],
    children: &[],
};

/// Includes the attributes of `Transport`, which the newer spelling puts inside.
pub(crate) static SENDER: Element = Element {
    name: "Sender",
    classes: &["ReplicationTransmitter"],
    attributes: &[
        used(
            "replicationMode",
            "synchronous",
            "`synchronous`, `pooled`, `asynchronous` or `fastasyncqueue`; docs/modes.md says which \
             for what",
        ),
        used(
            "waitForAck",
            "true in the synchronous modes",
            "whether a request waits until every holder has applied the change; `false`: until it \
             is handed to the operating system. Without effect in the asynchronous modes",
        ),
        used(
            "ackTimeout",
            "15000",
            "ms to wait for an acknowledgement, 1 to 3600000",
        ),
        same("timeout", "ackTimeout"),
        used(
            "maxQueueBytes",
            "67108864",
            "ours. bytes that wait for one member at most, from 65536. The sockets of a pool \
             share them",
        ),
        used(
            "maxQueueLength",
            "-1",
            "entries that wait for one member at most; -1: no limit. The sockets of a pool share \
             them",
        ),
        used(
            "maxPoolSocketLimit",
            "25",
            "sockets to one member in `pooled` mode, 1 to 1024; as many are open as are of use, \
             and a session always uses the same one",
        ),
        same("poolSize", "maxPoolSocketLimit"),
        used(
            "autoConnect",
            "false",
            "`true`: all sockets of the pool are opened when a member is met, and not when \
             one is not enough. The first socket always is",
        ),
        idle(
            "resend",
            "what was not acknowledged is always sent again on a new connection",
        ),
        idle(
            "maxRetryAttempts",
            "what was not acknowledged is always sent again",
        ),
        idle(
            "recoverTimeout",
            "what was not acknowledged is always sent again",
        ),
        idle(
            "recoverCounter",
            "what was not acknowledged is always sent again",
        ),
        idle(
            "throwOnFailedAck",
            "the response says when it is not safe everywhere",
        ),
        idle("maxWait", "no request waits for a free socket"),
        idle("compress", "fragments are sent as they are"),
        used(
            "keepAliveTimeout",
            "60000",
            "ms that a socket of the pool stays open without being used, or where one was enough; \
             -1: as long as the member. The first socket to a member always stays",
        ),
        same("keepAliveTime", "keepAliveTimeout"),
        used(
            "keepAliveMaxRequestCount",
            "-1",
            "changes after which a socket of the pool is closed, and opened anew when it is \
             needed; -1: no limit",
        ),
        same("keepAliveCount", "keepAliveMaxRequestCount"),
        idle("queueAddWaitTimeout", "nobody waits for the queue"),
        idle("queueRemoveWaitTimeout", "nobody waits for the queue"),
        idle("removeWaitTimeout", "nobody waits for the queue"),
        idle("queueTimeWait", "nobody waits for the queue"),
        idle("queueCheckLock", "nobody waits for the queue"),
        idle("queueDoStats", ALWAYS_COUNTED),
        idle("threadPriority", NO_THREADS),
        idle("processSenderFrequency", NO_BACKGROUND),
        idle("doTransmitterProcessingStats", ALWAYS_COUNTED),
        idle("doProcessingStats", ALWAYS_COUNTED),
        idle("doWaitAckStats", ALWAYS_COUNTED),
        idle("directBuffer", SYSTEM_BUFFERS),
        idle("rxBufSize", SYSTEM_BUFFERS),
        idle("txBufSize", SYSTEM_BUFFERS),
        idle("udpRxBufSize", "members talk over TCP"),
        idle("udpTxBufSize", "members talk over TCP"),
        idle("tcpNoDelay", "it is always on"),
        idle("soKeepAlive", "heartbeats tell who is gone"),
        idle("ooBInline", "no urgent data are sent"),
        idle("soReuseAddress", "it is always on"),
        idle("soLingerOn", "closing never waits"),
        idle("soLingerTime", "closing never waits"),
        idle("soTrafficClass", "the network's default is used"),
    ],
    children: &[one("Transport")],
};

/// Only for its class: the attributes are those of [`SENDER`].
pub(crate) static TRANSPORT: Element = Element {
    name: "Transport",
    classes: &["PooledParallelSender", "PooledMultiSender"],
    attributes: SENDER.attributes,
    children: &[],
};

/// Only for its class.
pub(crate) static INTERCEPTOR: Element = Element {
    name: "Interceptor",
    classes: &[
        "TcpFailureDetector",
        "MessageDispatchInterceptor",
        "MessageDispatch15Interceptor",
        "ThroughputInterceptor",
        "GzipInterceptor",
        "OrderInterceptor",
        "FragmentationInterceptor",
        "TwoPhaseCommitInterceptor",
        "DomainFilterInterceptor",
        "TcpPingInterceptor",
        "NonBlockingCoordinator",
        "SimpleCoordinator",
        "StaticMembershipInterceptor",
        "EncryptInterceptor",
    ],
    attributes: &[],
    children: &[],
};

const SYSTEM_BUFFERS: &str = "the operating system sizes the buffers of sockets";
