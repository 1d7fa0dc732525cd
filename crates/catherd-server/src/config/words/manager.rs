//! Sessions.

use super::{ALWAYS_COUNTED, DEBUG, NO_BACKGROUND, NO_LISTENERS};
use crate::config::word::{Element, idle, not_yet, refused, skipped, used};

pub(crate) static MANAGER: Element = Element {
    name: "Manager",
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
            "sessions on this node, copies included; for one more another ends that was used once \
             and has no user, or it is refused; -1: no limit",
        ),
        used(
            "maxLifetime",
            "-1",
            "ours. seconds after which a session ends however much it is used; -1: never",
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
            "ours. `degraded` or `refuse` (503): when a member in view did not answer in that time \
             ([access.md](access.md))",
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
        used(
            "stateTransferTimeout",
            "60",
            "seconds that a start waits for sessions; -1: for ever",
        ),
        used(
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

const BY_BUCKETS: &str = "sessions are compared by digests, and only what differs is sent";
const FROM_THE_SYSTEM: &str = "session keys are 128 random bits from the operating system";
