//! The configuration of a node, read from a base directory that is laid out like Tomcat's.
//!
//! HOW-TO, "Quick Start" and "Cluster Configuration". `conf/server.xml` has the elements and
//! attributes of Tomcat 5.5, and the newer spelling with a `Channel`; both may be mixed. Whatever
//! is missing has a default, so an empty directory is a valid installation. Nothing is passed
//! over in silence: what is unknown is an error, what is known and has no part here a warning,
//! each with file, line, column and remedy, and all of them at once, before any port opens.
//!
//! | file | what is read |
//! |---|---|
//! | `conf/server.xml` | everything |
//! | `conf/context.xml` | a `Context` for all applications |
//! | `conf/ENGINE/HOST/PATH.xml` | a `Context` for one application |
//! | `conf/web.xml` | what concerns sessions, for all applications |
//! | `webapps/PATH/WEB-INF/web.xml` | what concerns sessions, for one application |
//!
//! The reference of all words is docs/configuration.md, which is made from the tables in
//! `words`.

mod cluster;
mod connector;
mod context;
mod diagnostic;
mod engine;
mod host;
mod manager;
mod membership;
mod property;
mod reading;
mod receiver;
mod section;
mod sender;
mod server;
mod source;
mod valve;
mod web_xml;
mod word;
mod words;

#[cfg(test)]
mod reference;

use std::path::Path;

pub use self::cluster::{ClusterConfig, ClusterKey};
pub use self::connector::ConnectorConfig;
pub use self::context::{Application, ContextConfig, CookieConfig};
pub use self::diagnostic::{Diagnostic, Severity};
pub use self::engine::EngineConfig;
pub use self::host::HostConfig;
pub use self::manager::{ManagerConfig, ManagerKind, OnTimeout, Stale};
pub use self::membership::MembershipConfig;
pub use self::receiver::ReceiverConfig;
pub use self::sender::{Mode, SenderConfig};
pub use self::server::{ServerConfig, ShutdownConfig};
pub use self::valve::{JvmRouteBinderConfig, ReplicationValveConfig};

use self::diagnostic::{Location, Problems};
use self::property::Properties;

/// What came of reading a base directory.
#[derive(Clone, Debug)]
pub struct Report {
    /// The configuration; `None` if any diagnostic is an error.
    pub config: Option<ServerConfig>,
    /// Everything that is wrong or without effect, by file and position.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads the configuration of the node in `base`. Properties that are not about `base` are the
/// environment variables of the process.
///
/// Reads files and lists directories, and changes nothing.
pub fn load(base: &Path) -> Report {
    load_with(base, &|name| std::env::var(name).ok())
}

/// As [`load`], with properties from `environment`.
pub fn load_with(base: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Report {
    let mut problems = Problems::default();
    let mut config = None;
    if base.is_dir() {
        let properties = Properties::new(base, environment);
        config = Some(ServerConfig::read(base, &properties, &mut problems));
    } else {
        let remedy = "make it, or name another base directory";
        problems.error(&Location::whole(base), "no such directory", remedy);
    }
    let config = config.filter(|_| !problems.has_errors());
    Report {
        config,
        diagnostics: problems.into_sorted(),
    }
}
