//! Valves.

use super::{ALWAYS_COUNTED, DEBUG};
use crate::config::word::{Element, idle, used};

pub(crate) static REPLICATION_VALVE: Element = Element {
    name: "Valve",
    classes: &["ReplicationValve"],
    attributes: &[
        used(
            "filter",
            "none",
            "regular expressions, separated by `;`, that match entire paths whose requests never \
             change the session: nothing is sent after them. Without it nothing more is sent, for a \
             request that changed nothing sends nothing",
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
