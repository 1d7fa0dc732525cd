//! The words of `server.xml`: one table for each element.
//!
//! The names are those of Tomcat 5.5 and of its later releases; ours are marked so. To make an
//! attribute count that is read already, turn its `not_yet` into `used`.

use super::word::{Child, Element, Word, idle, many, not_yet, one, refused, same, skipped, used};

/// Every table, in the order of the reference page.
#[cfg(test)]
pub(crate) const ALL: &[&Element] = &[
    &SERVER,
    &SERVICE,
    &CONNECTOR,
    &ENGINE,
    &HOST,
    &CONTEXT,
    &MANAGER,
    &CLUSTER,
    &CHANNEL,
    &MEMBERSHIP,
    &RECEIVER,
    &SENDER,
    &REPLICATION_VALVE,
    &JVM_ROUTE_BINDER_VALVE,
    &CLUSTER_LISTENER,
];

pub(crate) static SERVER: Element = Element {
    name: "Server",
    title: "Server",
    classes: &["StandardServer"],
    attributes: &[
        used(
            "port",
            "-1",
            "port of the shutdown command, on 127.0.0.1 only; -1: none",
        ),
        used(
            "shutdown",
            "SHUTDOWN",
            "the line that ends the node when it arrives at `port`",
        ),
        DEBUG,
    ],
    children: &[
        one("Service"),
        skipped("Listener", "there is no Java machine to listen to"),
        skipped("GlobalNamingResources", NAMING),
    ],
};

pub(crate) static SERVICE: Element = Element {
    name: "Service",
    title: "Service",
    classes: &["StandardService"],
    attributes: &[used("name", "Catalina", "a label"), DEBUG],
    children: &[
        many("Connector"),
        one("Engine"),
        skipped("Executor", NO_THREADS),
        skipped("Listener", "there is no Java machine to listen to"),
    ],
};

pub(crate) static CONNECTOR: Element = Element {
    name: "Connector",
    title: "Connector",
    classes: &["Connector"],
    attributes: &[
        used("port", "8080", "TCP port, 0 to 65535; 0: any free one"),
        used(
            "address",
            "127.0.0.1",
            "address to listen on; `0.0.0.0` or `::`: all",
        ),
        used(
            "protocol",
            "HTTP/1.1",
            "`HTTP/1.1` or one of Tomcat's class names for it. `AJP/1.3`: a warning, and the port \
             is not opened",
        ),
        used(
            "maxKeepAliveRequests",
            "100",
            "requests on one connection; -1: no limit, 1: one",
        ),
        used(
            "connectionTimeout",
            "20000",
            "ms to wait for a request's head; -1: no limit",
        ),
        used(
            "keepAliveTimeout",
            "as `connectionTimeout`",
            "ms to wait for the next request on a connection; -1: no limit",
        ),
        idle("maxThreads", NO_THREADS),
        idle("minSpareThreads", NO_THREADS),
        idle("maxSpareThreads", NO_THREADS),
        idle("minProcessors", NO_THREADS),
        idle("maxProcessors", NO_THREADS),
        idle("threadPriority", NO_THREADS),
        idle("strategy", NO_THREADS),
        idle("executor", NO_THREADS),
        idle(
            "acceptCount",
            "the operating system bounds what waits to be accepted",
        ),
        idle("acceptorThreadCount", NO_THREADS),
        idle("redirectPort", "there is no encrypted port to redirect to"),
        idle("enableLookups", "names of clients are never looked up"),
        idle(
            "disableUploadTimeout",
            "a body that is being sent has no limit of time",
        ),
        idle(
            "connectionUploadTimeout",
            "a body that is being sent has no limit of time",
        ),
        idle("connectionLinger", "closing never waits"),
        idle(
            "maxHttpHeaderSize",
            "the bounds of a request's head are fixed",
        ),
        idle(
            "maxPostSize",
            "bodies are bounded by the application that reads them",
        ),
        idle("maxSavePostSize", "no body is kept for a login"),
        idle("bufferSize", "buffers grow with what is in them"),
        idle("socketBuffer", "buffers grow with what is in them"),
        idle("tcpNoDelay", "it is always on"),
        idle(
            "compression",
            "answers are sent as the application made them",
        ),
        idle(
            "compressableMimeType",
            "answers are sent as the application made them",
        ),
        idle(
            "compressionMinSize",
            "answers are sent as the application made them",
        ),
        idle(
            "noCompressionUserAgents",
            "answers are sent as the application made them",
        ),
        idle(
            "restrictedUserAgents",
            "every client may keep its connection",
        ),
        idle("URIEncoding", "paths are UTF-8"),
        idle("useBodyEncodingForURI", "paths are UTF-8"),
        idle("useIPVHosts", "the host is the one that the request names"),
        idle(
            "emptySessionPath",
            "the `Context` says where its cookie counts",
        ),
        idle("allowTrace", "TRACE is the application's matter"),
        idle("xpoweredBy", "no such header is sent"),
        idle("server", "no such header is sent"),
        idle("proxyName", "the application sees the request as it came"),
        idle("proxyPort", "the application sees the request as it came"),
        idle("tomcatAuthentication", "it is for AJP"),
        idle("handler.list", JAVA_MANAGEMENT),
        idle("mx.enabled", JAVA_MANAGEMENT),
        idle("mx.httpHost", JAVA_MANAGEMENT),
        idle("mx.httpPort", JAVA_MANAGEMENT),
        idle("mx.authMode", JAVA_MANAGEMENT),
        idle("mx.authUser", JAVA_MANAGEMENT),
        idle("mx.authPassword", JAVA_MANAGEMENT),
        refused("scheme", "http", NO_TLS),
        refused("secure", "false", NO_TLS),
        refused("SSLEnabled", "false", NO_TLS),
        refused("sslProtocol", "", NO_TLS),
        refused("clientAuth", "false", NO_TLS),
        refused("algorithm", "", NO_TLS),
        refused("ciphers", "", NO_TLS),
        refused("keystoreFile", "", NO_TLS),
        refused("keystorePass", "", NO_TLS),
        refused("keystoreType", "", NO_TLS),
        refused("keyAlias", "", NO_TLS),
        refused("truststoreFile", "", NO_TLS),
        refused("truststorePass", "", NO_TLS),
        refused("truststoreType", "", NO_TLS),
        DEBUG,
    ],
    children: &[],
};

pub(crate) static ENGINE: Element = Element {
    name: "Engine",
    title: "Engine",
    classes: &["StandardEngine"],
    attributes: &[
        used(
            "name",
            "Catalina",
            "names the directory of context files below `conf`",
        ),
        used(
            "defaultHost",
            "the first `Host`",
            "the `Host` for requests that name no other",
        ),
        used(
            "jvmRoute",
            "none; required with a `Cluster`",
            "the name of this node and the suffix of its session cookies: 1 to 64 of `A-Z a-z 0-9 \
             _ -`, different on every node",
        ),
        idle("backgroundProcessorDelay", NO_BACKGROUND),
        DEBUG,
    ],
    children: &[
        many("Host"),
        one("Cluster"),
        many("Valve"),
        skipped("Realm", NO_REALM),
        skipped("Listener", "there is no Java machine to listen to"),
        skipped("Logger", "logs go to standard error"),
        skipped(
            "DefaultContext",
            "what holds for every context is in `conf/context.xml`",
        ),
    ],
};

pub(crate) static HOST: Element = Element {
    name: "Host",
    title: "Host",
    classes: &["StandardHost"],
    attributes: &[
        used(
            "name",
            "required",
            "the name that requests give in their `Host` header",
        ),
        used(
            "appBase",
            "webapps",
            "the directory of applications, below the base directory",
        ),
        idle("autoDeploy", AT_START),
        idle("liveDeploy", AT_START),
        idle("deployOnStartup", AT_START),
        idle("deployIgnore", AT_START),
        idle("deployXML", "context files are always read"),
        idle("unpackWARs", "archives are not deployed in this release"),
        idle(
            "workDir",
            "the work directory is `work` in the base directory",
        ),
        idle("xmlBase", "context files are in `conf/ENGINE/HOST`"),
        idle(
            "xmlValidation",
            "files are checked against what is known here",
        ),
        idle(
            "xmlNamespaceAware",
            "files are checked against what is known here",
        ),
        idle("errorReportValveClass", "there are no Java classes here"),
        idle("configClass", "there are no Java classes here"),
        idle("contextClass", "there are no Java classes here"),
        idle("backgroundProcessorDelay", NO_BACKGROUND),
        DEBUG,
    ],
    children: &[
        many("Context"),
        many("Alias"),
        one("Cluster"),
        many("Valve"),
        skipped("Realm", NO_REALM),
        skipped("Listener", "there is no Java machine to listen to"),
        skipped("Logger", "logs go to standard error"),
        skipped(
            "DefaultContext",
            "what holds for every context is in `conf/context.xml`",
        ),
    ],
};

pub(crate) static ALIAS: Element = Element {
    name: "Alias",
    title: "Alias",
    classes: &[],
    attributes: &[],
    children: &[],
};

pub(crate) static CONTEXT: Element = Element {
    name: "Context",
    title: "Context",
    classes: &["StandardContext", "ReplicatedContext"],
    attributes: &[
        used(
            "path",
            "required in `server.xml`",
            "where the application is: empty, or with a slash before and none behind",
        ),
        used(
            "docBase",
            "none",
            "the application's directory, below `appBase`",
        ),
        used(
            "distributable",
            "false",
            "whether its sessions are replicated",
        ),
        used(
            "sessionTimeout",
            "30",
            "minutes without a request that end a session; 0: never",
        ),
        used(
            "useHttpOnly",
            "true",
            "keeps the session cookie from scripts",
        ),
        used(
            "sessionCookieName",
            "JSESSIONID",
            "the name of the session cookie",
        ),
        used(
            "sessionCookiePath",
            "the context's path",
            "where the session cookie is sent",
        ),
        used(
            "sessionCookieDomain",
            "none",
            "to which domain the session cookie is sent",
        ),
        refused(
            "cookies",
            "true",
            "a session is tracked by its cookie, and ids are never put into URLs",
        ),
        not_yet(
            "crossContext",
            "false",
            "lets other contexts dispatch to this one",
        ),
        idle(
            "reloadable",
            "applications do not change while the node runs",
        ),
        idle("override", "what is said nearest to the application counts"),
        idle("privileged", "there are no Java classes here"),
        idle("wrapperClass", "there are no Java classes here"),
        idle("unloadDelay", "there are no Java classes here"),
        idle("swallowOutput", "logs go to standard error"),
        idle("useNaming", NAMING),
        idle("allowLinking", "no files are served"),
        idle("cachingAllowed", "no files are served"),
        idle("cacheMaxSize", "no files are served"),
        idle("cacheTTL", "no files are served"),
        idle("caseSensitive", "no files are served"),
        idle("antiJARLocking", "no archives are opened"),
        idle("antiResourceLocking", "no archives are opened"),
        idle("unpackWAR", "archives are not deployed in this release"),
        idle("processTlds", "there are no Java pages here"),
        idle("tldNamespaceAware", "there are no Java pages here"),
        idle("tldValidation", "there are no Java pages here"),
        idle(
            "workDir",
            "the work directory is `work` in the base directory",
        ),
        idle("managerChecksFrequency", NO_BACKGROUND),
        idle("backgroundProcessorDelay", NO_BACKGROUND),
        idle(
            "mapSendOptions",
            "attributes of a context are not replicated",
        ),
        DEBUG,
    ],
    children: &[
        one("Manager"),
        many("Valve"),
        skipped("Loader", "there are no Java classes here"),
        skipped("Realm", NO_REALM),
        skipped("Listener", "there is no Java machine to listen to"),
        skipped("Logger", "logs go to standard error"),
        skipped("Resources", "no files are served"),
        skipped(
            "WatchedResource",
            "applications do not change while the node runs",
        ),
        skipped("Environment", NAMING),
        skipped("Resource", NAMING),
        skipped("ResourceLink", NAMING),
        skipped("ResourceParams", NAMING),
        skipped("ResourceEnvRef", NAMING),
        skipped("Ejb", NAMING),
        skipped("Transaction", NAMING),
        skipped("Parameter", "the applications here have no parameters"),
        skipped("InstanceListener", "there are no Java classes here"),
        skipped("WrapperListener", "there are no Java classes here"),
        skipped("WrapperLifecycle", "there are no Java classes here"),
        skipped("JarScanner", "there are no Java classes here"),
        skipped("CookieProcessor", "cookies are written as RFC 6265 says"),
    ],
};

pub(crate) static MANAGER: Element = Element {
    name: "Manager",
    title: "Manager",
    // The last two are known so that their absence can be explained.
    classes: &[
        "DeltaManager",
        "StandardManager",
        "SimpleTcpReplicationManager",
        "BackupManager",
        "PersistentManager",
    ],
    attributes: &[
        used(
            "maxActiveSessions",
            "-1",
            "sessions on this node beyond which none is begun; -1: no limit",
        ),
        used(
            "maxInactiveInterval",
            "1800",
            "seconds without a request that end a session; -1: never. `sessionTimeout` of the \
             `Context` and `session-timeout` of `web.xml` come first",
        ),
        used(
            "useDirtyFlag",
            "true; false with `SimpleTcpReplicationManager`",
            "whether only what changed is sent; `false` sends the entire session after each \
             request",
        ),
        used(
            "sessionIdLength",
            "16",
            "only 16: a session key is 128 bits",
        ),
        used(
            "accessTimeout",
            "1000",
            "ours. ms that a request asks other members for a newer copy",
        ),
        used(
            "stale",
            "degraded",
            "ours. `degraded` or `refuse`: when nobody answered in that time",
        ),
        used(
            "expireTolerance",
            "10",
            "seconds after which another holder ends an idle session whose owner is gone",
        ),
        used(
            "tombstoneLife",
            "twice the session's limit, at least 86400",
            "ours. seconds for which the end of a session is remembered",
        ),
        used(
            "maxTombstones",
            "1000000",
            "ours. ends of sessions that are remembered at most",
        ),
        used(
            "maxSessionBytes",
            "1048576",
            "ours. bytes of all attributes of one session at most",
        ),
        not_yet(
            "stateTransferTimeout",
            "60",
            "seconds that a start waits for sessions; -1: for ever",
        ),
        not_yet(
            "onStateTransferTimeout",
            "start",
            "ours. `start` or `stay-closed`, after that time",
        ),
        not_yet(
            "expireSessionsOnShutdown",
            "false",
            "whether a clean stop ends the sessions for all",
        ),
        not_yet(
            "pathname",
            "none",
            "file that keeps the sessions of a `StandardManager`",
        ),
        not_yet(
            "sendClusterDomainOnly",
            "true",
            "whether sessions stay in the own domain",
        ),
        idle("name", "a manager has the name of its context"),
        idle("distributable", "the `Context` or `web.xml` says so"),
        idle(
            "defaultMode",
            "the properties of the `Cluster` hold for managers without their own",
        ),
        idle("notifyListenersOnReplication", NO_LISTENERS),
        idle("notifySessionListenersOnReplication", NO_LISTENERS),
        idle("notifyContainerListenersOnReplication", NO_LISTENERS),
        idle("notifyAttributeListenerOnUnchangedValue", NO_LISTENERS),
        idle("notifyBindingListenerOnUnchangedValue", NO_LISTENERS),
        idle("sendAllSessions", BY_BUCKETS),
        idle("sendAllSessionsSize", BY_BUCKETS),
        idle("sendAllSessionsWaitTime", BY_BUCKETS),
        idle(
            "stateTimestampDrop",
            "what arrives in any order merges, so nothing is dropped",
        ),
        idle("updateActiveInterval", "accesses are told once a second"),
        idle("processExpiresFrequency", NO_BACKGROUND),
        idle("checkInterval", NO_BACKGROUND),
        idle("algorithm", FROM_THE_SYSTEM),
        idle("entropy", FROM_THE_SYSTEM),
        idle("randomClass", FROM_THE_SYSTEM),
        idle("randomFile", FROM_THE_SYSTEM),
        idle("secureRandomClass", FROM_THE_SYSTEM),
        idle("secureRandomProvider", FROM_THE_SYSTEM),
        idle("secureRandomAlgorithm", FROM_THE_SYSTEM),
        idle("synchronousReplication", "the `Sender` says so"),
        idle("printToScreen", "logs go to standard error"),
        idle("enableStatistics", ALWAYS_COUNTED),
        idle(
            "recordAllActions",
            "a session merges by value, not by action",
        ),
        idle(
            "sessionActivityCheck",
            "a request that is being served keeps its session",
        ),
        idle(
            "sessionLastAccessAtStart",
            "both ends of a request count as an access",
        ),
        idle(
            "warnOnSessionAttributeFilterFailure",
            "there is no filter of attributes",
        ),
        refused(
            "sessionAttributeNameFilter",
            "",
            "there is no filter of attributes: all are replicated",
        ),
        refused(
            "sessionAttributeValueClassNameFilter",
            "",
            "there is no filter of attributes: all are replicated",
        ),
        DEBUG,
    ],
    children: &[
        skipped("SessionIdGenerator", FROM_THE_SYSTEM),
        skipped("Store", "this release keeps no sessions on disk"),
    ],
};

pub(crate) static CLUSTER: Element = Element {
    name: "Cluster",
    title: "Cluster",
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
        not_yet(
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
    title: "Channel",
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
    title: "Membership",
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
            "ms of silence after which a member is suspect and is probed, 20 to 3600000; more than \
             `mcastFrequency`",
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

pub(crate) static RECEIVER: Element = Element {
    name: "Receiver",
    title: "Receiver",
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
    title: "Sender (and Transport)",
    classes: &["ReplicationTransmitter"],
    attributes: &[
        used(
            "replicationMode",
            "synchronous",
            "`synchronous`. `pooled`, `asynchronous` and `fastasyncqueue` are known, and an error: \
             this release does not run them",
        ),
        used(
            "waitForAck",
            "true in the synchronous modes",
            "whether a request waits until every holder has applied the change; `false`: until it \
             is handed to the operating system",
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
            "ours. bytes that wait for one member at most, from 65536",
        ),
        used(
            "maxQueueLength",
            "-1",
            "entries that wait for one member at most; -1: no limit",
        ),
        not_yet(
            "maxPoolSocketLimit",
            "25",
            "sockets to one member in `pooled` mode, 1 to 1024",
        ),
        same("poolSize", "maxPoolSocketLimit"),
        idle(
            "autoConnect",
            "a member is connected to when it is first seen",
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
        idle(
            "keepAliveTimeout",
            "a connection stays as long as the member",
        ),
        idle("keepAliveTime", "a connection stays as long as the member"),
        idle(
            "keepAliveMaxRequestCount",
            "a connection stays as long as the member",
        ),
        idle("keepAliveCount", "a connection stays as long as the member"),
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
    title: "Transport",
    classes: &["PooledParallelSender", "PooledMultiSender"],
    attributes: SENDER.attributes,
    children: &[],
};

/// Only for its class.
pub(crate) static INTERCEPTOR: Element = Element {
    name: "Interceptor",
    title: "Interceptor",
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

pub(crate) static REPLICATION_VALVE: Element = Element {
    name: "Valve",
    title: "Valve: ReplicationValve",
    classes: &["ReplicationValve"],
    attributes: &[
        not_yet(
            "filter",
            "none",
            "patterns of paths, separated by `;`, whose requests never change the session. Without \
             it nothing more is sent: a request that changed nothing sends nothing",
        ),
        idle("primaryIndicator", "a session has no primary node"),
        idle("primaryIndicatorName", "a session has no primary node"),
        idle("doProcessingStats", ALWAYS_COUNTED),
        idle("statistics", ALWAYS_COUNTED),
        DEBUG,
    ],
    children: &[],
};

pub(crate) static JVM_ROUTE_BINDER_VALVE: Element = Element {
    name: "Valve",
    title: "Valve: JvmRouteBinderValve",
    classes: &["JvmRouteBinderValve"],
    attributes: &[
        used(
            "enabled",
            "true",
            "whether the cookie of a session that comes from another node gets this node's route",
        ),
        idle(
            "sessionIdAttribute",
            "the key of a session does not change when the route does",
        ),
        DEBUG,
    ],
    children: &[],
};

pub(crate) static CLUSTER_LISTENER: Element = Element {
    name: "ClusterListener",
    title: "ClusterListener",
    classes: &[
        "ClusterSessionListener",
        "JvmRouteSessionIDBinderListener",
        "JvmRouteSessionIDBinderLifecycleListener",
        "ClusterSingleSignOnListener",
    ],
    attributes: &[idle("enabled", "it is part of the cluster in any case")],
    children: &[],
};

/// A valve that is neither of the two.
#[derive(Debug)]
pub(crate) struct OtherValve {
    pub(crate) class: &'static str,
    /// Whether going on without it would let in whom it keeps out.
    pub(crate) guards: bool,
}

/// Valves of Tomcat that have no part here.
pub(crate) const OTHER_VALVES: &[OtherValve] = &[
    harmless("AccessLogValve"),
    harmless("FastCommonAccessLogValve"),
    harmless("ExtendedAccessLogValve"),
    harmless("JDBCAccessLogValve"),
    harmless("ErrorReportValve"),
    harmless("RequestDumperValve"),
    harmless("SingleSignOn"),
    harmless("ClusterSingleSignOn"),
    harmless("PersistentValve"),
    harmless("CrawlerSessionManagerValve"),
    harmless("LoadBalancerDrainingValve"),
    harmless("StuckThreadDetectionValve"),
    harmless("RemoteIpValve"),
    guarding("RemoteAddrValve"),
    guarding("RemoteHostValve"),
    guarding("SemaphoreValve"),
    guarding("BasicAuthenticator"),
    guarding("DigestAuthenticator"),
    guarding("FormAuthenticator"),
    guarding("SSLAuthenticator"),
];

const fn harmless(class: &'static str) -> OtherValve {
    OtherValve {
        class,
        guards: false,
    }
}

const fn guarding(class: &'static str) -> OtherValve {
    OtherValve {
        class,
        guards: true,
    }
}

/// Elements that are looked at for themselves, wherever they are, to tell "unknown" from "not
/// here".
pub(crate) fn is_element(name: &str) -> bool {
    const TABLES: &[&Element] = &[
        &SERVER, &SERVICE, &ENGINE, &HOST, &CONTEXT, &MANAGER, &CLUSTER, &CHANNEL, &SENDER,
    ];
    let children = TABLES.iter().flat_map(|element| element.children);
    name == "Server" || children.into_iter().any(|child: &Child| child.name == name)
}

/// Older files set it on every element.
const DEBUG: Word = idle("debug", "the log level decides what is logged");

const NO_THREADS: &str = "requests and connections are tasks, not threads";
const NO_BACKGROUND: &str = "nothing waits for a background thread";
const NO_REALM: &str = "no application here asks who a user is";
const NO_LISTENERS: &str = "there are no Java listeners to notify";
const NO_TLS: &str = "encrypted connectors are not available in this release";
const NAMING: &str = "there is no naming service";
const AT_START: &str = "applications are looked for once, at start";
const JAVA_MANAGEMENT: &str = "there is no Java machine to manage";
const BY_BUCKETS: &str = "sessions are compared by digests, and only what differs is sent";
const FROM_THE_SYSTEM: &str = "session keys are 128 random bits from the operating system";
const ALWAYS_COUNTED: &str = "everything is always counted";
const SYSTEM_BUFFERS: &str = "the operating system sizes the buffers of sockets";
