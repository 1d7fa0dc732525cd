//! `Cluster`: replication of sessions between nodes.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use catherd::is_cluster_name;
use roxmltree::Node;

use super::connector::Ports;
use super::diagnostic::{Location, Problems, quoted};
use super::manager::{ManagerConfig, ManagerDraft};
use super::membership::MembershipConfig;
use super::reading::Reading;
use super::receiver::ReceiverConfig;
use super::section::{Raw, Section, class_of};
use super::sender::{SendOptions, SenderConfig};
use super::valve::{ReplicationValveConfig, Valves};
use super::word::{Element, Part};
use super::words::{
    CHANNEL, CLUSTER, CLUSTER_LISTENER, INTERCEPTOR, MANAGER, MEMBERSHIP, RECEIVER,
    REPLICATION_VALVE, SENDER, TRANSPORT,
};

/// A cluster and all that it consists of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterConfig {
    /// The `Host` that it is written in; `None`: in the `Engine`, for all hosts.
    pub host: Option<String>,
    /// `clusterName`: a label.
    pub name: Option<String>,
    /// `clusterId`: members of another id are refused. 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub id: String,
    /// `key`: what all members share and nobody else knows.
    pub key: Option<ClusterKey>,
    /// `allowPlaintext`: whether members beyond loopback are allowed although nothing is
    /// encrypted.
    pub allow_plaintext: bool,
    /// `repairInterval`: from one comparison with a member to the next.
    pub repair_interval: Duration,
    /// `missingFor`: how long a member that failed is waited for.
    pub missing_for: Duration,
    /// `managerClassName`, `manager.*`, or `Manager`: what a distributable context without a
    /// manager of its own gets.
    pub manager: ManagerConfig,
    /// `Membership`.
    pub membership: MembershipConfig,
    /// `Receiver`.
    pub receiver: ReceiverConfig,
    /// `Sender`.
    pub sender: SenderConfig,
    /// The `ReplicationValve`, if it is there.
    pub replication_valve: Option<ReplicationValveConfig>,
}

/// The secret of a cluster. Debug output hides it, as it ends in logs.
#[derive(Clone, Eq, PartialEq)]
pub struct ClusterKey(String);

impl ClusterKey {
    /// The bytes, 16 to 256.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(..)")
    }
}

/// A `Cluster` that was read.
#[derive(Debug)]
pub(crate) struct ClusterDraft {
    pub(crate) config: ClusterConfig,
    pub(crate) manager: Option<ManagerDraft>,
    pub(crate) at: Location,
}

impl ClusterDraft {
    /// Reads a `Cluster` in the `Engine`, or in the `Host` of this name.
    pub(crate) fn read(
        reading: &mut Reading<'_>,
        node: Node<'_, '_>,
        host: Option<&str>,
        valves: &mut Valves,
        ports: &mut Ports,
    ) -> Self {
        let at = reading.at(node);
        let mut properties = Properties::default();
        let raws = reading.raws(CLUSTER.name, node);
        let raws = properties.split_off(raws, reading.problems);
        let parts = Parts::read(reading, node, valves);
        let section = Section::new(&CLUSTER, at.clone(), raws, reading.problems);

        let manager = properties.manager(&section, parts.manager, reading);
        let problems = &mut *reading.problems;
        if parts.has_replication_valve {
            properties.valve.reject(&REPLICATION_VALVE, problems);
        } else if !properties.valve.0.is_empty() {
            let raws = properties.valve.take();
            let section = Section::new(&REPLICATION_VALVE, at.clone(), raws, problems);
            valves.read_replication_valve(&section, problems);
        }
        let receiver = properties
            .receiver
            .section(&RECEIVER, parts.receiver, &at, problems);
        let membership = properties
            .service
            .section(&MEMBERSHIP, parts.membership, &at, problems);
        let sender = properties
            .sender
            .section(&SENDER, parts.sender, &at, problems);

        let (receiver, [address_at, port_at]) = ReceiverConfig::read(&receiver, problems);
        let (membership, bind_at) = MembershipConfig::read(&membership, receiver.address, problems);
        let options = section.parsed("channelSendOptions", SEND_OPTIONS, problems, |text| {
            SendOptions::parse(text)
        });
        let sender = SenderConfig::read(&sender, options.as_ref(), problems);
        if receiver.ports.start() == receiver.ports.end() {
            let address = SocketAddr::new(receiver.address, *receiver.ports.start());
            ports.take(address, "Receiver", &port_at, problems);
        }
        let allow_plaintext = section.boolean("allowPlaintext", problems).unwrap_or(false);
        if !allow_plaintext {
            if !receiver.address.is_loopback() {
                refuse_plaintext(&address_at, "tcpListenAddress", problems);
            }
            if let Some(at) = bind_at.filter(|_| !membership.bind_address.is_loopback()) {
                refuse_plaintext(&at, "mcastBindAddress", problems);
            }
        }
        let key = read_key(&section, problems);
        let repair_interval = section.seconds("repairInterval", 1..=86_400, problems);
        let missing_for = section.seconds("missingFor", 1..=30 * 86_400, problems);
        let config = ClusterConfig {
            host: host.map(str::to_owned),
            name: section
                .text("clusterName")
                .map(|given| given.value.to_owned()),
            id: section
                .named("clusterId", "._-", is_cluster_name, problems)
                .unwrap_or_else(|| "catherd".to_owned()),
            key,
            allow_plaintext,
            repair_interval: repair_interval.map_or(Duration::from_secs(30), |given| given.value),
            missing_for: missing_for.map_or(Duration::from_secs(3600), |given| given.value),
            manager: manager
                .as_ref()
                .map(|draft| draft.config.clone())
                .unwrap_or_default(),
            membership,
            receiver,
            sender,
            replication_valve: valves.replication.clone(),
        };
        Self {
            config,
            manager,
            at,
        }
    }
}

/// The attributes of parts that the cluster's element has itself, by part.
#[derive(Debug, Default)]
struct Properties {
    manager: Prefixed,
    sender: Prefixed,
    receiver: Prefixed,
    service: Prefixed,
    valve: Prefixed,
}

impl Properties {
    /// Keeps what belongs to a part; answers what belongs to the cluster.
    fn split_off(&mut self, raws: Vec<Raw>, problems: &mut Problems) -> Vec<Raw> {
        let mut own = Vec::new();
        for mut raw in raws {
            if CLUSTER.word(&raw.name).is_some() || raw.name == "className" {
                own.push(raw);
                continue;
            }
            if let Some(word) = MANAGER.word(&raw.name) {
                // As in the sample file of Tomcat 5.5, whose code lets it have no effect.
                if word.part == Part::Used {
                    let name = word.name;
                    let what = format!("{name} on Cluster counts here, and does not in Tomcat 5.5");
                    problems.warning(&raw.at, what, &format!("write manager.{name}"));
                }
                self.manager.0.push(raw);
                continue;
            }
            let Some((prefix, name)) = raw.name.split_once('.') else {
                own.push(raw);
                continue;
            };
            let name = name.to_owned();
            let part = match prefix {
                "manager" => &mut self.manager,
                "sender" => &mut self.sender,
                "receiver" => &mut self.receiver,
                "service" => &mut self.service,
                "valve" => &mut self.valve,
                "listener" => {
                    let what = format!("{} has no meaning here: {NO_LISTENER}", raw.spelled);
                    problems.warning(&raw.at, what, "remove it");
                    continue;
                }
                _ => {
                    own.push(raw);
                    continue;
                }
            };
            raw.name = name;
            part.0.push(raw);
        }
        own
    }

    /// What distributable contexts get: a `Manager` in the cluster, or `managerClassName` with
    /// `manager.*`.
    fn manager(
        &mut self,
        section: &Section,
        element: Option<(Location, Vec<Raw>)>,
        reading: &mut Reading<'_>,
    ) -> Option<ManagerDraft> {
        let class = section.text("managerClassName");
        let problems = &mut *reading.problems;
        if let Some((at, raws)) = element {
            if let Some(class) = class {
                let what = "managerClassName and Manager both say what a context gets";
                problems.error((&at).max(&class.at), what, "remove one of them");
            }
            self.manager.reject(&MANAGER, problems);
            return ManagerDraft::read(at, raws, problems);
        }
        let mut raws = self.manager.take();
        if let Some(class) = class {
            raws.push(Raw {
                spelled: "managerClassName".to_owned(),
                name: "className".to_owned(),
                value: class.value.to_owned(),
                at: class.at,
                on: MANAGER.name,
            });
        }
        ManagerDraft::read(section.at().clone(), raws, problems)
    }
}

/// Attributes for one part.
#[derive(Debug, Default)]
struct Prefixed(Vec<Raw>);

impl Prefixed {
    fn take(&mut self) -> Vec<Raw> {
        std::mem::take(&mut self.0)
    }

    /// The element's attributes; these ones, if there is no element.
    fn section(
        &mut self,
        element: &'static Element,
        given: Option<(Location, Vec<Raw>)>,
        cluster: &Location,
        problems: &mut Problems,
    ) -> Section {
        match given {
            Some((at, raws)) => {
                self.reject(element, problems);
                Section::new(element, at, raws, problems)
            }
            None => Section::new(element, cluster.clone(), self.take(), problems),
        }
    }

    /// Reports all of them: they are for a part that the cluster makes itself.
    fn reject(&self, element: &'static Element, problems: &mut Problems) {
        for Raw { spelled, at, .. } in &self.0 {
            let name = element.name;
            let what = format!("{spelled} has no effect, as the Cluster has a {name} of its own");
            problems.warning(at, what, &format!("write it on {name}"));
        }
    }
}

/// The elements in a cluster, in either spelling.
#[derive(Debug, Default)]
struct Parts {
    manager: Option<(Location, Vec<Raw>)>,
    membership: Option<(Location, Vec<Raw>)>,
    receiver: Option<(Location, Vec<Raw>)>,
    sender: Option<(Location, Vec<Raw>)>,
    has_replication_valve: bool,
}

impl Parts {
    fn read(reading: &mut Reading<'_>, cluster: Node<'_, '_>, valves: &mut Valves) -> Self {
        let mut parts = Self::default();
        let mut children = reading.children(&CLUSTER, cluster);
        if let Some(channel) = children
            .iter()
            .position(|child| child.has_tag_name("Channel"))
        {
            let channel = children.remove(channel);
            reading.section(&CHANNEL, channel);
            children.extend(reading.children(&CHANNEL, channel));
            children.sort_by_key(|child| child.range().start);
        }
        for child in children {
            match child.tag_name().name() {
                "Manager" => {
                    reading.children(&MANAGER, child);
                    Self::keep(&mut parts.manager, &MANAGER, child, reading);
                }
                "Membership" => {
                    reading.children(&MEMBERSHIP, child);
                    if Self::is_multicast(child, reading) {
                        Self::keep(&mut parts.membership, &MEMBERSHIP, child, reading);
                    }
                }
                "Receiver" => {
                    reading.children(&RECEIVER, child);
                    Self::keep(&mut parts.receiver, &RECEIVER, child, reading);
                }
                "Sender" => {
                    let transport = reading.children(&SENDER, child);
                    Self::keep(&mut parts.sender, &SENDER, child, reading);
                    for transport in transport {
                        parts.keep_transport(transport, reading);
                    }
                }
                "Valve" => {
                    valves.read(reading, child, CLUSTER.name);
                    parts.has_replication_valve |= valves.replication.is_some();
                }
                "ClusterListener" => {
                    reading.children(&CLUSTER_LISTENER, child);
                    reading.section(&CLUSTER_LISTENER, child);
                }
                // The only one left: `children` lets nothing else through.
                _ => read_interceptor(child, reading),
            }
        }
        parts
    }

    fn keep(
        part: &mut Option<(Location, Vec<Raw>)>,
        element: &'static Element,
        node: Node<'_, '_>,
        reading: &mut Reading<'_>,
    ) {
        let at = reading.at(node);
        let raws = reading.raws(element.name, node);
        match part {
            // One in the `Cluster` and one in its `Channel`.
            Some(_) => {
                let what = format!("a second {} in Cluster", element.name);
                reading.problems.error(&at, what, "remove one of them");
            }
            None => *part = Some((at, raws)),
        }
    }

    /// The newer spelling has the sender's attributes on a `Transport` inside.
    fn keep_transport(&mut self, transport: Node<'_, '_>, reading: &mut Reading<'_>) {
        reading.children(&TRANSPORT, transport);
        let at = reading.at(transport);
        let mut raws = reading.raws(TRANSPORT.name, transport);
        let (class, rest): (Vec<_>, Vec<_>) =
            raws.drain(..).partition(|raw| raw.name == "className");
        Section::new(&TRANSPORT, at, class, reading.problems);
        if let Some((_, sender)) = &mut self.sender {
            sender.extend(rest);
        }
    }

    fn is_multicast(node: Node<'_, '_>, reading: &mut Reading<'_>) -> bool {
        let others = ["StaticMembershipService", "CloudMembershipService"];
        let Some(class) = node.attribute("className") else {
            return true;
        };
        let Some(other) = class_of(class, others.into_iter()) else {
            return true;
        };
        let what = format!("{other} is not available in this release");
        let remedy = "use McastService: members are found by multicast";
        let at = reading.at(node);
        reading.problems.error(&at, what, remedy);
        false
    }
}

fn read_interceptor(node: Node<'_, '_>, reading: &mut Reading<'_>) {
    let at = reading.at(node);
    let Some(class) = node.attribute("className") else {
        reading.problems.error(
            &at,
            "Interceptor without className",
            "say which one is meant",
        );
        return;
    };
    match class_of(class, INTERCEPTOR.classes.iter().copied()) {
        Some("EncryptInterceptor") => {
            let what = format!("{NO_ENCRYPTION}: EncryptInterceptor would do nothing");
            reading
                .problems
                .error(&at, what, "remove it, and keep members on loopback");
        }
        Some("StaticMembershipInterceptor") => {
            let what = "StaticMembershipInterceptor is not available in this release";
            let remedy = "use McastService: members are found by multicast";
            reading.problems.error(&at, what, remedy);
        }
        Some(class) => {
            let what = format!("interceptor {class} has no part here: links need none");
            reading.problems.warning(&at, what, "remove it");
        }
        None => {
            let what = format!("no part of this server is an Interceptor {}", quoted(class));
            reading.problems.error(&at, what, "remove it");
        }
    }
}

/// The message never has the value.
fn read_key(section: &Section, problems: &mut Problems) -> Option<ClusterKey> {
    let given = section.text("key")?;
    if (16..=256).contains(&given.value.len()) {
        return Some(ClusterKey(given.value.to_owned()));
    }
    let what = format!("key has {} bytes, and needs 16 to 256", given.value.len());
    problems.error(&given.at, what, "draw one at random: openssl rand -hex 32");
    None
}

fn refuse_plaintext(at: &Location, attribute: &str, problems: &mut Problems) {
    let what = format!("{NO_ENCRYPTION}: members would talk in the clear");
    let remedy = format!(r#"set allowPlaintext="true" on Cluster, or {attribute}="127.0.0.1""#);
    problems.error(at, what, &remedy);
}

const NO_ENCRYPTION: &str = "encryption between nodes is not available in this release";
const NO_LISTENER: &str = "there are no Java listeners to notify";
const SEND_OPTIONS: &str = "a sum or list of 8 asynchronous, 4 synchronized_ack and 2 use_ack";
