//! `Engine`: the hosts of a node, and its name.

use std::path::Path;

use catherd::is_node_name;
use roxmltree::Node;

use super::cluster::{ClusterConfig, ClusterDraft};
use super::connector::Ports;
use super::context::ContextDraft;
use super::diagnostic::{Location, Problems, quoted};
use super::host::{HostConfig, HostDraft, Surroundings};
use super::property::Properties;
use super::reading::Reading;
use super::section::Given;
use super::valve::{JvmRouteBinderConfig, Valves};
use super::web_xml::WebXml;
use super::words::{ENGINE, HOST};

/// What serves the requests of all connectors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EngineConfig {
    /// `name`: names the directory of context files, `conf/NAME/HOST`.
    pub name: String,
    /// `defaultHost`: the name of one of `hosts`, for requests that name none of them.
    pub default_host: String,
    /// `jvmRoute`: the name of this node, always there with a cluster. 1 to 64 of
    /// `A-Z a-z 0-9 _ -`: no dot, since that is what separates it from the key in a cookie.
    pub jvm_route: Option<String>,
    /// `Host`, in the order of the file; at least one.
    pub hosts: Vec<HostConfig>,
    /// `Cluster`, in the engine or in one of the hosts.
    pub cluster: Option<ClusterConfig>,
    /// `JvmRouteBinderValve`.
    pub jvm_route_binder: JvmRouteBinderConfig,
}

/// An `Engine` that was read, before the applications were looked for.
#[derive(Debug)]
pub(crate) struct EngineDraft {
    name: String,
    default_host: Option<Given<String>>,
    jvm_route: Option<String>,
    hosts: Vec<HostDraft>,
    cluster: Option<ClusterDraft>,
    valves: Valves,
}

impl EngineDraft {
    /// The engine of a server that has none in its file.
    pub(crate) fn empty(base: &Path, at: Location) -> Self {
        Self {
            name: NAME.to_owned(),
            default_host: None,
            jvm_route: None,
            hosts: vec![HostDraft::localhost(base, at)],
            cluster: None,
            valves: Valves::default(),
        }
    }

    pub(crate) fn read(
        reading: &mut Reading<'_>,
        node: Node<'_, '_>,
        base: &Path,
        ports: &mut Ports,
    ) -> Self {
        let section = reading.section(&ENGINE, node);
        let mut valves = Valves::default();
        let mut hosts = Vec::new();
        let mut clusters = Vec::new();
        for child in reading.children(&ENGINE, node) {
            match child.tag_name().name() {
                "Host" => {
                    let host =
                        HostDraft::read(reading, child, base, &mut valves, ports, &mut clusters);
                    hosts.push(host);
                }
                "Cluster" => {
                    let cluster = ClusterDraft::read(reading, child, None, &mut valves, ports);
                    clusters.push(cluster);
                }
                // The only one left: `children` lets nothing else through.
                _ => valves.read(reading, child, ENGINE.name),
            }
        }
        let problems = &mut *reading.problems;
        for cluster in clusters.iter().skip(1) {
            let what = "a second Cluster: this release has one for the node";
            problems.error(
                &cluster.at,
                what,
                "remove one of them, or put one into the Engine",
            );
        }
        let jvm_route = section.named("jvmRoute", "_-", is_node_name, problems);
        if !clusters.is_empty() && section.text("jvmRoute").is_none() {
            let what = "a node of a Cluster needs a name";
            let remedy = r#"set jvmRoute="node1" on Engine, different on every node"#;
            problems.error(section.at(), what, remedy);
        }
        if hosts.is_empty() {
            hosts.push(HostDraft::localhost(base, section.at().clone()));
        }
        check_host_names(&hosts, problems);
        let name = section.name("name", "._-", problems);
        let default_host = section
            .text("defaultHost")
            .map(|given| given.map(str::to_ascii_lowercase));
        Self {
            name: name.unwrap_or_else(|| NAME.to_owned()),
            default_host,
            jvm_route,
            hosts,
            cluster: clusters.into_iter().next(),
            valves,
        }
    }

    /// Looks for the applications of all hosts.
    pub(crate) fn resolve(
        self,
        base: &Path,
        properties: &Properties<'_>,
        problems: &mut Problems,
    ) -> EngineConfig {
        let Self {
            name,
            default_host,
            jvm_route,
            hosts,
            cluster,
            mut valves,
        } = self;
        let conf = base.join("conf");
        let default_host = find_default_host(default_host, &hosts, problems);
        let context_xml = conf.join("context.xml");
        let surroundings = Surroundings {
            base,
            engine: &name,
            properties,
            context: ContextDraft::read_file(&context_xml, properties, &mut valves, problems),
            web_xml: WebXml::read(&conf.join("web.xml"), problems),
            cluster: cluster.as_ref(),
        };
        let resolve = |host: HostDraft| host.resolve(&surroundings, &mut valves, problems);
        let hosts: Vec<HostConfig> = hosts.into_iter().map(resolve).collect();
        let is_replicated = hosts
            .iter()
            .flat_map(|host| &host.contexts)
            .any(|it| it.replicated);
        if let Some(cluster) = &cluster
            && cluster.config.replication_valve.is_none()
            && is_replicated
        {
            let what = "no ReplicationValve in Cluster: sessions are replicated without it as well";
            problems.warning(&cluster.at, what, "add one, as in Tomcat");
        }
        EngineConfig {
            default_host,
            jvm_route,
            hosts,
            cluster: cluster.map(|draft| draft.config),
            jvm_route_binder: valves.jvm_route_binder(),
            name,
        }
    }
}

/// The name of the host that is meant, by its name or an alias.
fn find_default_host(
    given: Option<Given<String>>,
    hosts: &[HostDraft],
    problems: &mut Problems,
) -> String {
    let first = || {
        hosts
            .first()
            .map(|host| host.names[0].value.clone())
            .unwrap_or_default()
    };
    let Some(Given { value, at }) = given else {
        return first();
    };
    match hosts
        .iter()
        .find(|host| host.names.iter().any(|name| name.value == value))
    {
        Some(host) => host.names[0].value.clone(),
        None => {
            let what = format!("defaultHost {} is no Host of this Engine", quoted(&value));
            problems.error(&at, what, "name one, or add it");
            first()
        }
    }
}

fn check_host_names(hosts: &[HostDraft], problems: &mut Problems) {
    let names: Vec<&Given<String>> = hosts.iter().flat_map(|host| &host.names).collect();
    for (index, name) in names.iter().enumerate() {
        // One that is missing or bad is empty, and has been reported.
        let is_same = |earlier: &&Given<String>| earlier.value == name.value;
        if !name.value.is_empty() && names[..index].iter().any(is_same) {
            let what = format!("a second {} or Alias {}", HOST.name, quoted(&name.value));
            problems.error(&name.at, what, "remove one of them");
        }
    }
}

const NAME: &str = "Catalina";
