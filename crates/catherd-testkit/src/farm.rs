//! The place where the nodes of one test live.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::balancer::Balancer;
use crate::client::Site as _;
use crate::network::Host;
use crate::node::{Finished, Node, Plan};
use crate::ports::Reservation;
use crate::server_xml::{ClusterXml, ContextXml, GROUP, ServerXml};
use crate::wait::PATIENCE;

/// A directory, a cluster id and a multicast group of its own, for the nodes of one test.
#[derive(Debug)]
pub struct Farm {
    binary: PathBuf,
    directory: Arc<TempDir>,
    group: Arc<Reservation>,
}

impl Farm {
    /// A farm whose nodes run `binary`, the `catherd` command: `env!("CARGO_BIN_EXE_catherd")` in
    /// a test of its package.
    ///
    /// # Panics
    ///
    /// There is no directory for temporary files, or no free port.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            directory: Arc::new(TempDir::new().expect("temporary files can be made")),
            group: Arc::new(Reservation::of_udp()),
        }
    }

    /// The id of the farm's cluster.
    pub fn cluster_id(&self) -> String {
        format!("test-{}", self.group.port())
    }

    /// The port of the farm's multicast group, 228.0.0.4 on loopback.
    pub fn group_port(&self) -> u16 {
        self.group.port()
    }

    /// The farm's directory, gone with the farm and the last of its nodes.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Describes a node; nothing runs yet.
    ///
    /// It is configured for a cluster of everybody in this farm, mode `synchronous`, with the
    /// distributable contexts `/examples` and `/bench`.
    pub fn node(&self, route: &str) -> NodeBuilder {
        let (http, tcp) = (Reservation::of_tcp(), Reservation::of_tcp());
        let context = |path: &str| ContextXml {
            path: path.to_owned(),
            distributable: Some(true),
            attributes: String::new(),
            manager_attributes: String::new(),
        };
        let xml = ServerXml {
            route: route.to_owned(),
            address: Ipv4Addr::LOCALHOST,
            http_port: http.port(),
            connector_attributes: String::new(),
            cluster: Some(ClusterXml {
                id: self.cluster_id(),
                group_port: self.group.port(),
                tcp_port: tcp.port(),
                frequency: Duration::from_millis(100),
                drop_time: Duration::from_millis(1500),
                mode: "synchronous".to_owned(),
                has_valve: true,
                attributes: String::new(),
                receiver_attributes: String::new(),
                sender_attributes: String::new(),
                elements: String::new(),
            }),
            contexts: vec![context("/examples"), context("/bench")],
            host_elements: String::new(),
        };
        NodeBuilder {
            binary: self.binary.clone(),
            base: self.directory.path().join(route),
            xml,
            raw: None,
            namespace: None,
            held: Held {
                _directory: Arc::clone(&self.directory),
                _group: Arc::clone(&self.group),
            },
            ports: [http, tcp],
        }
    }

    /// Starts the nodes A and B, and waits until both have met.
    ///
    /// # Panics
    ///
    /// They do not start, or do not meet.
    pub fn pair(&self) -> (Node, Node) {
        let (a, b) = (self.node("A").start(), self.node("B").start());
        meet(&a, &b);
        (a, b)
    }

    /// A socket in the farm's multicast group: it gets what the nodes say there, and what it sends
    /// to [`group`](Self::group) comes to them. Reading times out after
    /// [`PATIENCE`].
    ///
    /// # Panics
    ///
    /// The operating system does not let it join the group.
    pub fn join_group(&self) -> UdpSocket {
        let loopback = Ipv4Addr::LOCALHOST;
        let join = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.group_port()).into())?;
            socket.join_multicast_v4(self.group().ip(), &loopback)?;
            socket.set_multicast_if_v4(&loopback)?;
            socket.set_multicast_loop_v4(true)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok::<_, io::Error>(UdpSocket::from(socket))
        };
        join().expect("a multicast group can be joined on loopback")
    }

    /// The address and port of the farm's multicast group.
    pub fn group(&self) -> SocketAddrV4 {
        let address = GROUP.parse().expect("a constant address");
        SocketAddrV4::new(address, self.group_port())
    }

    /// Starts a balancer in front of nodes.
    ///
    /// `program` is run with `arguments`, in which `CONFIG` stands for a file with the text that
    /// `config` makes of the port that it shall listen at; it stays in the foreground.
    ///
    /// # Panics
    ///
    /// The file cannot be written, or the program cannot be run.
    pub fn balancer(
        &self,
        program: &str,
        arguments: &[&str],
        config: impl FnOnce(u16) -> String,
    ) -> Balancer {
        Balancer::spawn(program, arguments, self.directory(), config)
    }

    /// Runs the `catherd` command with these arguments to its end.
    ///
    /// # Panics
    ///
    /// It cannot be run, or does not end within [`PATIENCE`].
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(&self.binary, arguments, self.directory.path())
    }
}

/// Waits until two nodes have each other, and nobody else, in their views.
fn meet(a: &Node, b: &Node) {
    a.wait_for_members(&[b.name()]);
    b.wait_for_members(&[a.name()]);
}

/// What of a farm must outlive its nodes.
#[derive(Debug)]
pub(crate) struct Held {
    _directory: Arc<TempDir>,
    _group: Arc<Reservation>,
}

/// A node that does not run yet: the options of its `server.xml`.
#[derive(Debug)]
pub struct NodeBuilder {
    binary: PathBuf,
    base: PathBuf,
    xml: ServerXml,
    raw: Option<String>,
    /// Where it runs, if not where the test does.
    namespace: Option<String>,
    held: Held,
    ports: [Reservation; 2],
}

impl NodeBuilder {
    /// The port of its HTTP connector, on 127.0.0.1.
    pub fn http_port(&self) -> u16 {
        self.xml.http_port
    }

    /// The port of its receiver (`tcpListenPort`), on 127.0.0.1.
    pub fn tcp_port(&self) -> u16 {
        self.ports[1].port()
    }

    /// The directory that `catherd run --base` gets.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// It runs on a machine of a network of its own.
    #[must_use]
    pub fn on(mut self, host: &Host) -> Self {
        self.xml.address = host.address();
        self.namespace = Some(host.namespace().to_owned());
        self
    }

    /// How often it says that it is there (`mcastFrequency`); 100 ms if not said.
    #[must_use]
    pub fn frequency(mut self, frequency: Duration) -> Self {
        self.cluster().frequency = frequency;
        self
    }

    /// After which silence others probe it (`mcastDropTime`); 1.5 s if not said.
    #[must_use]
    pub fn drop_time(mut self, drop_time: Duration) -> Self {
        self.cluster().drop_time = drop_time;
        self
    }

    /// `replicationMode`; `synchronous` if not said.
    #[must_use]
    pub fn replication_mode(mut self, mode: &str) -> Self {
        mode.clone_into(&mut self.cluster().mode);
        self
    }

    /// Another `clusterId` than that of the farm.
    #[must_use]
    pub fn cluster_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.cluster().id);
        self
    }

    /// Another port for its group (`mcastPort`) than that of the farm.
    #[must_use]
    pub fn group_port(mut self, port: u16) -> Self {
        self.cluster().group_port = port;
        self
    }

    /// Another port for its receiver (`tcpListenPort`) than the one reserved for it.
    #[must_use]
    pub fn receiver_port(mut self, port: u16) -> Self {
        self.cluster().tcp_port = port;
        self
    }

    /// Another port for its HTTP connector than the one reserved for it.
    #[must_use]
    pub fn connector_port(mut self, port: u16) -> Self {
        self.xml.http_port = port;
        self
    }

    /// No `Cluster` element: its sessions are its own.
    #[must_use]
    pub fn without_cluster(mut self) -> Self {
        self.xml.cluster = None;
        for context in &mut self.xml.contexts {
            context.distributable = Some(false);
        }
        self
    }

    /// No `ReplicationValve` in the cluster.
    #[must_use]
    pub fn without_valve(mut self) -> Self {
        self.cluster().has_valve = false;
        self
    }

    /// The context at `path` is not distributable.
    #[must_use]
    pub fn local(mut self, path: &str) -> Self {
        self.context(path).distributable = Some(false);
        self
    }

    /// The `Context` at `path` does not say whether it is distributable.
    #[must_use]
    pub fn undecided(mut self, path: &str) -> Self {
        self.context(path).distributable = None;
        self
    }

    /// No `Context` element for `path`.
    #[must_use]
    pub fn without_context(mut self, path: &str) -> Self {
        self.xml.contexts.retain(|context| context.path != path);
        self
    }

    /// Further attributes of `Connector`, as they stand in the file.
    #[must_use]
    pub fn connector_attributes(mut self, attributes: &str) -> Self {
        attributes.clone_into(&mut self.xml.connector_attributes);
        self
    }

    /// Further attributes of the `Context` at `path`, as they stand in the file.
    #[must_use]
    pub fn context_attributes(mut self, path: &str, attributes: &str) -> Self {
        attributes.clone_into(&mut self.context(path).attributes);
        self
    }

    /// Attributes of a `Manager` within the `Context` at `path`, as they stand in the file.
    #[must_use]
    pub fn manager_attributes(mut self, path: &str, attributes: &str) -> Self {
        attributes.clone_into(&mut self.context(path).manager_attributes);
        self
    }

    /// Further attributes of `Cluster`, as they stand in the file.
    #[must_use]
    pub fn cluster_attributes(mut self, attributes: &str) -> Self {
        attributes.clone_into(&mut self.cluster().attributes);
        self
    }

    /// Further attributes of `Receiver`, as they stand in the file.
    #[must_use]
    pub fn receiver_attributes(mut self, attributes: &str) -> Self {
        attributes.clone_into(&mut self.cluster().receiver_attributes);
        self
    }

    /// Further attributes of `Sender`, as they stand in the file.
    #[must_use]
    pub fn sender_attributes(mut self, attributes: &str) -> Self {
        attributes.clone_into(&mut self.cluster().sender_attributes);
        self
    }

    /// Further elements within `Cluster`, as they stand in the file.
    #[must_use]
    pub fn cluster_elements(mut self, elements: &str) -> Self {
        elements.clone_into(&mut self.cluster().elements);
        self
    }

    /// Further elements within `Host`, as they stand in the file.
    #[must_use]
    pub fn host_elements(mut self, elements: &str) -> Self {
        elements.clone_into(&mut self.xml.host_elements);
        self
    }

    /// This text instead of a `server.xml` made of the options.
    #[must_use]
    pub fn server_xml(mut self, text: &str) -> Self {
        self.raw = Some(text.to_owned());
        self
    }

    /// Puts a file into its base, at a relative path such as `webapps/examples/WEB-INF/web.xml`.
    ///
    /// # Panics
    ///
    /// The file cannot be written.
    #[must_use]
    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.base.join(path);
        let parent = path.parent().expect("a path within the base has a parent");
        fs::create_dir_all(parent).expect("directories can be made in the farm");
        fs::write(&path, text).expect("files can be written in the farm");
        self
    }

    /// Starts it, and waits until `/catherd/health/ready` says 200.
    ///
    /// # Panics
    ///
    /// It ends, or is not ready, within [`PATIENCE`].
    pub fn start(self) -> Node {
        let node = self.spawn();
        node.wait_until_ready();
        node
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Panics
    ///
    /// Its files cannot be written, or the command cannot be run.
    pub fn spawn(self) -> Node {
        self.write();
        let Self {
            binary,
            base,
            xml,
            namespace,
            held,
            ports,
            ..
        } = self;
        let [_, tcp] = &ports;
        let plan = Plan {
            binary,
            base,
            name: xml.route.clone(),
            namespace,
            address: xml.address,
            http_port: xml.http_port,
            tcp_port: xml
                .cluster
                .map_or_else(|| tcp.port(), |cluster| cluster.tcp_port),
        };
        Node::spawn(plan, held, ports)
    }

    /// Runs `catherd check` over its base.
    ///
    /// # Panics
    ///
    /// As [`run_to_end`](Self::run_to_end).
    pub fn check(&self) -> Finished {
        self.run_to_end("check")
    }

    /// Runs `catherd SUBCOMMAND --base BASE` to its end: for nodes that do not start.
    ///
    /// # Panics
    ///
    /// Its files cannot be written, the command cannot be run, or it does not end within
    /// [`PATIENCE`].
    pub fn run_to_end(&self, subcommand: &str) -> Finished {
        self.write();
        let base = self.base.to_str().expect("temporary paths are UTF-8");
        Finished::of(&self.binary, &[subcommand, "--base", base], &self.base)
    }

    fn write(&self) {
        let conf = self.base.join("conf");
        fs::create_dir_all(self.base.join("webapps")).expect("directories can be made in the farm");
        fs::create_dir_all(&conf).expect("directories can be made in the farm");
        let text = self.raw.clone().unwrap_or_else(|| self.xml.write());
        fs::write(conf.join("server.xml"), text).expect("files can be written in the farm");
    }

    fn cluster(&mut self) -> &mut ClusterXml {
        self.xml.cluster.as_mut().expect("the node has a cluster")
    }

    fn context(&mut self, path: &str) -> &mut ContextXml {
        let found = self
            .xml
            .contexts
            .iter_mut()
            .find(|context| context.path == path);
        found.expect("the node has a context at this path")
    }
}
