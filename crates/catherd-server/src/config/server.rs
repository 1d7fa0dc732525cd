//! `Server` and `Service`: a node as a whole.

use std::path::{Path, PathBuf};

use roxmltree::Node;

use super::connector::{ConnectorConfig, Ports};
use super::diagnostic::{Location, Problems, quoted};
use super::engine::{EngineConfig, EngineDraft};
use super::host::HostConfig;
use super::property::Properties;
use super::reading::Reading;
use super::source::Source;
use super::words::{SERVER, SERVICE};

/// Everything that a node is told.
///
/// The default is what an empty base directory gives: HTTP on 127.0.0.1:8080, no shutdown port,
/// no cluster and no applications.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerConfig {
    /// The base directory, as it was given.
    pub base: PathBuf,
    /// `port` and `shutdown` of `Server`. `None`: there is no such port. Tomcat's default is port
    /// 8005; here nobody can stop a node over the network without having been asked to.
    pub shutdown: Option<ShutdownConfig>,
    /// `Connector`, in the order of the file.
    pub connectors: Vec<ConnectorConfig>,
    /// `Engine`.
    pub engine: EngineConfig,
}

/// How to stop the node over the network: on 127.0.0.1 only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShutdownConfig {
    /// The port.
    pub port: u16,
    /// The line that ends the node.
    pub word: String,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let base = PathBuf::from(".");
        let host = HostConfig {
            name: "localhost".to_owned(),
            aliases: Vec::new(),
            app_base: base.join("webapps"),
            contexts: Vec::new(),
        };
        let engine = EngineConfig {
            name: "Catalina".to_owned(),
            default_host: host.name.clone(),
            jvm_route: None,
            hosts: vec![host],
            cluster: None,
            jvm_route_binder: super::JvmRouteBinderConfig::default(),
        };
        Self {
            base,
            shutdown: None,
            connectors: vec![ConnectorConfig::default()],
            engine,
        }
    }
}

impl ServerConfig {
    /// Reads the base directory. What cannot be read is reported and has its default.
    pub(crate) fn read(base: &Path, properties: &Properties<'_>, problems: &mut Problems) -> Self {
        let file = base.join("conf/server.xml");
        let mut draft = ServerDraft::empty(base, Location::whole(&file));
        if let Some(source) = Source::read(&file, problems)
            && let Some(document) = source.parse(problems)
        {
            let mut reading = Reading {
                source: &source,
                properties,
                problems,
            };
            draft.read(&mut reading, document.root_element(), base);
        }
        Self {
            base: base.to_path_buf(),
            shutdown: draft.shutdown,
            connectors: draft.connectors,
            engine: draft.engine.resolve(base, properties, problems),
        }
    }
}

struct ServerDraft {
    shutdown: Option<ShutdownConfig>,
    connectors: Vec<ConnectorConfig>,
    engine: EngineDraft,
}

impl ServerDraft {
    fn empty(base: &Path, at: Location) -> Self {
        Self {
            shutdown: None,
            connectors: vec![ConnectorConfig::default()],
            engine: EngineDraft::empty(base, at),
        }
    }

    fn read(&mut self, reading: &mut Reading<'_>, node: Node<'_, '_>, base: &Path) {
        if node.tag_name().name() != SERVER.name {
            let at = reading.at(node);
            let what = format!("element {} is not Server", quoted(node.tag_name().name()));
            reading.problems.error(&at, what, "begin with <Server>");
            return;
        }
        let section = reading.section(&SERVER, node);
        let problems = &mut *reading.problems;
        let mut ports = Ports::default();
        let port = section.limit("port", 1..=u16::MAX, problems);
        let word = section.parsed(
            "shutdown",
            "1 to 256 printable characters",
            problems,
            |text| {
                let is_fine = (1..=256).contains(&text.len())
                    && text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
                is_fine.then(|| text.to_owned())
            },
        );
        if let Some(given) = port
            && let Some(port) = given.value
        {
            let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
            ports.take(address, "shutdown port", &given.at, problems);
            let word = word.map_or_else(|| "SHUTDOWN".to_owned(), |given| given.value);
            self.shutdown = Some(ShutdownConfig { port, word });
        }
        for service in reading.children(&SERVER, node) {
            self.read_service(reading, service, base, &mut ports);
        }
    }

    fn read_service(
        &mut self,
        reading: &mut Reading<'_>,
        node: Node<'_, '_>,
        base: &Path,
        ports: &mut Ports,
    ) {
        reading.section(&SERVICE, node);
        let children = reading.children(&SERVICE, node);
        if children.iter().any(|child| child.has_tag_name("Connector")) {
            // One that is switched off or bad was meant to be instead of the default.
            self.connectors.clear();
        }
        let at = reading.at(node);
        for connector in &self.connectors {
            ports.take(connector.address, "Connector", &at, reading.problems);
        }
        for child in children {
            if child.has_tag_name("Connector") {
                self.connectors
                    .extend(ConnectorConfig::read(reading, child, ports));
            } else {
                self.engine = EngineDraft::read(reading, child, base, ports);
            }
        }
    }
}
