//! `Valve`: what stands between a request and its application.

use catherd::Filter;
use roxmltree::Node;

use super::diagnostic::{Location, Problems, quoted};
use super::reading::Reading;
use super::section::{Section, class_of};
use super::words::{JVM_ROUTE_BINDER_VALVE, OTHER_VALVES, REPLICATION_VALVE};

/// The `ReplicationValve` of a cluster.
///
/// HOW-TO, "Cluster Configuration": it finds out when a request has been completed. Sessions are
/// replicated without it as well.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReplicationValveConfig {
    /// `filter`: the patterns, split at `;`, empty ones left out. `None` without any.
    pub filter: Option<Filter>,
}

/// The `JvmRouteBinderValve` of the node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JvmRouteBinderConfig {
    /// `enabled`: whether a session that comes from another node gets this node's route into its
    /// cookie. It is on without the element, with and without a cluster: the route says which
    /// node knows the session best.
    pub enabled: bool,
}

impl Default for JvmRouteBinderConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The valves of the node, wherever they were written.
#[derive(Debug, Default)]
pub(crate) struct Valves {
    pub(crate) replication: Option<ReplicationValveConfig>,
    binder: Option<(JvmRouteBinderConfig, Location)>,
}

impl Valves {
    /// The setting of the `JvmRouteBinderValve`.
    pub(crate) fn jvm_route_binder(&self) -> JvmRouteBinderConfig {
        self.binder
            .as_ref()
            .map(|&(config, _)| config)
            .unwrap_or_default()
    }

    /// Reads a `Valve` that is a child of `parent`.
    pub(crate) fn read(&mut self, reading: &mut Reading<'_>, node: Node<'_, '_>, parent: &str) {
        let at = reading.at(node);
        let raws = reading.raws("Valve", node);
        let Some(class) = raws.iter().find(|raw| raw.name == "className") else {
            let remedy = "say which valve is meant";
            reading
                .problems
                .error(&at, "Valve without className", remedy);
            return;
        };
        let known = ["ReplicationValve", "JvmRouteBinderValve"].into_iter();
        match class_of(
            &class.value,
            known.chain(OTHER_VALVES.iter().map(|valve| valve.class)),
        ) {
            Some("ReplicationValve") if parent == "Cluster" => {
                reading.children(&REPLICATION_VALVE, node);
                let section = Section::new(&REPLICATION_VALVE, at, raws, reading.problems);
                self.read_replication_valve(&section, reading.problems);
            }
            Some("ReplicationValve") => {
                let what = format!("a ReplicationValve in {parent} replicates nothing");
                reading
                    .problems
                    .error(&class.at, what, "put it into the Cluster");
            }
            Some("JvmRouteBinderValve") => {
                reading.children(&JVM_ROUTE_BINDER_VALVE, node);
                let section = Section::new(&JVM_ROUTE_BINDER_VALVE, at, raws, reading.problems);
                self.read_binder(&section, reading.problems);
            }
            Some(class) => skip(class, &at, reading.problems),
            None => {
                let what = format!("no part of this server is a Valve {}", quoted(&class.value));
                let remedy = "known are ReplicationValve and JvmRouteBinderValve";
                reading.problems.error(&class.at, what, remedy);
            }
        }
    }

    /// The `ReplicationValve`, from an element or from properties of the `Cluster`.
    pub(crate) fn read_replication_valve(&mut self, section: &Section, problems: &mut Problems) {
        if self.replication.is_some() {
            problems.error(
                section.at(),
                "a second ReplicationValve",
                "remove one of them",
            );
            return;
        }
        let filter = section.text("filter").and_then(|given| {
            let patterns = given.value.split(';').filter(|part| !part.is_empty());
            match Filter::new(patterns) {
                Ok(filter) => Some(filter).filter(|filter| filter.patterns().next().is_some()),
                Err(error) => {
                    let remedy = "write regular expressions without back-references and looking \
                                  around, separated by `;`";
                    problems.error(&given.at, error.to_string().replace('\n', " "), remedy);
                    None
                }
            }
        });
        self.replication = Some(ReplicationValveConfig { filter });
    }

    fn read_binder(&mut self, section: &Section, problems: &mut Problems) {
        if let Some((_, earlier)) = &self.binder {
            let what = "a second JvmRouteBinderValve: there is one for the node";
            problems.error(earlier.max(section.at()), what, "remove one of them");
            return;
        }
        let default = JvmRouteBinderConfig::default();
        let enabled = section
            .boolean("enabled", problems)
            .unwrap_or(default.enabled);
        self.binder = Some((JvmRouteBinderConfig { enabled }, section.at().clone()));
    }
}

fn skip(class: &str, at: &Location, problems: &mut Problems) {
    if OTHER_VALVES
        .iter()
        .any(|valve| valve.class == class && valve.guards)
    {
        let what = format!("{class} is not available here: whom it keeps out would be let in");
        problems.error(
            at,
            what,
            "remove it, and keep them out in front of this server",
        );
    } else {
        problems.warning(at, format!("valve {class} has no part here"), "remove it");
    }
}
