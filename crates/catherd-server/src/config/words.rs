//! The words of `server.xml`: one table for each element.
//!
//! The names are those of Tomcat 5.5 and of its later releases; ours are marked so. To make an
//! attribute count that is read already, turn its `not_yet` into `used`.

mod application;
mod cluster;
mod manager;
mod server;
mod transport;
mod valve;

pub(crate) use self::application::{ALIAS, CONTEXT, ENGINE, HOST};
pub(crate) use self::cluster::{CHANNEL, CLUSTER, CLUSTER_LISTENER, MEMBERSHIP};
pub(crate) use self::manager::MANAGER;
pub(crate) use self::server::{CONNECTOR, SERVER, SERVICE};
pub(crate) use self::transport::{INTERCEPTOR, RECEIVER, SENDER, TRANSPORT};
pub(crate) use self::valve::{JVM_ROUTE_BINDER_VALVE, OTHER_VALVES, REPLICATION_VALVE};

use super::word::{Child, Element, Word, idle};

/// Every table with its heading, in the order of the reference page.
#[cfg(test)]
pub(crate) const ALL: &[(&str, &Element)] = &[
    ("Server", &SERVER),
    ("Service", &SERVICE),
    ("Connector", &CONNECTOR),
    ("Engine", &ENGINE),
    ("Host", &HOST),
    ("Context", &CONTEXT),
    ("Manager", &MANAGER),
    ("Cluster", &CLUSTER),
    ("Channel", &CHANNEL),
    ("Membership", &MEMBERSHIP),
    ("Receiver", &RECEIVER),
    ("Sender (and Transport)", &SENDER),
    ("Valve: ReplicationValve", &REPLICATION_VALVE),
    ("Valve: JvmRouteBinderValve", &JVM_ROUTE_BINDER_VALVE),
    ("ClusterListener", &CLUSTER_LISTENER),
];

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
const NO_LISTENERS: &str = "there are no Java listeners to notify";
const NAMING: &str = "there is no naming service";
const JAVA_MANAGEMENT: &str = "there is no Java machine to manage";
const ALWAYS_COUNTED: &str = "everything is always counted";
