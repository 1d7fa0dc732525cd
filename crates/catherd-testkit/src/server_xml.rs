//! The `server.xml` of a node, from options.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What a test can choose about a node; [`ServerXml::write`] makes the file of it.
#[derive(Clone, Debug)]
pub(crate) struct ServerXml {
    pub(crate) route: String,
    /// Where members talk: loopback, or an address of a [`Network`](crate::Network).
    pub(crate) address: Ipv4Addr,
    pub(crate) http_port: u16,
    pub(crate) connector_attributes: String,
    pub(crate) cluster: Option<ClusterXml>,
    pub(crate) contexts: Vec<ContextXml>,
    pub(crate) host_elements: String,
}

#[derive(Clone, Debug)]
pub(crate) struct ClusterXml {
    pub(crate) id: String,
    pub(crate) group_port: u16,
    pub(crate) tcp_port: u16,
    pub(crate) frequency: Duration,
    pub(crate) drop_time: Duration,
    pub(crate) mode: String,
    pub(crate) has_valve: bool,
    pub(crate) attributes: String,
    pub(crate) receiver_attributes: String,
    pub(crate) sender_attributes: String,
    pub(crate) elements: String,
}

#[derive(Clone, Debug)]
pub(crate) struct ContextXml {
    pub(crate) path: String,
    /// `None`: the attribute is not there.
    pub(crate) distributable: Option<bool>,
    pub(crate) attributes: String,
    pub(crate) manager_attributes: String,
}

/// The address of every test's group; the port tells them apart.
pub(crate) const GROUP: &str = "228.0.0.4";

impl ServerXml {
    /// The file's text.
    pub(crate) fn write(&self) -> String {
        let mut xml = String::new();
        self.put(&mut xml).expect("a string takes everything");
        xml
    }

    fn put(&self, out: &mut String) -> std::fmt::Result {
        let Self {
            route,
            address,
            http_port,
            connector_attributes,
            ..
        } = self;
        // Off loopback the test asks at the address, and the status is asked for at loopback.
        let http_address = if address.is_loopback() {
            *address
        } else {
            Ipv4Addr::UNSPECIFIED
        };
        writeln!(
            out,
            r#"<Server port="-1" shutdown="SHUTDOWN">
  <Service name="Catalina">
    <Connector port="{http_port}" address="{http_address}" protocol="HTTP/1.1"
               {connector_attributes}/>
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="{route}">
      <Host name="localhost" appBase="webapps">"#
        )?;
        if let Some(cluster) = &self.cluster {
            cluster.put(*address, out)?;
        }
        for context in &self.contexts {
            context.put(out)?;
        }
        writeln!(
            out,
            "{}\n      </Host>\n    </Engine>\n  </Service>\n</Server>",
            self.host_elements
        )
    }
}

impl ClusterXml {
    fn put(&self, address: Ipv4Addr, out: &mut String) -> std::fmt::Result {
        let Self {
            id,
            group_port,
            tcp_port,
            mode,
            attributes,
            receiver_attributes,
            sender_attributes,
            ..
        } = self;
        let plaintext = if address.is_loopback() {
            ""
        } else {
            r#"allowPlaintext="true""#
        };
        let (frequency, drop_time) = (self.frequency.as_millis(), self.drop_time.as_millis());
        writeln!(
            out,
            r#"        <Cluster className="org.apache.catalina.cluster.tcp.SimpleTcpCluster"
                 managerClassName="org.apache.catalina.cluster.session.DeltaManager"
                 clusterId="{id}" {plaintext} {attributes}>
          <Membership className="org.apache.catalina.cluster.mcast.McastService"
                      mcastAddr="{GROUP}" mcastPort="{group_port}" mcastBindAddress="{address}"
                      mcastFrequency="{frequency}" mcastDropTime="{drop_time}"/>
          <Receiver className="org.apache.catalina.cluster.tcp.ReplicationListener"
                    tcpListenAddress="{address}" tcpListenPort="{tcp_port}"
                    {receiver_attributes}/>
          <Sender className="org.apache.catalina.cluster.tcp.ReplicationTransmitter"
                  replicationMode="{mode}" {sender_attributes}/>"#
        )?;
        if self.has_valve {
            writeln!(
                out,
                r#"          <Valve className="org.apache.catalina.cluster.tcp.ReplicationValve"/>"#
            )?;
        }
        writeln!(out, "{}\n        </Cluster>", self.elements)
    }
}

impl ContextXml {
    fn put(&self, out: &mut String) -> std::fmt::Result {
        let Self {
            path,
            distributable,
            attributes,
            manager_attributes,
        } = self;
        let distributable = distributable
            .map(|distributable| format!(r#" distributable="{distributable}""#))
            .unwrap_or_default();
        write!(
            out,
            r#"        <Context path="{path}"{distributable} {attributes}"#
        )?;
        if manager_attributes.is_empty() {
            return writeln!(out, "/>");
        }
        let class = if self.distributable == Some(true) {
            "org.apache.catalina.cluster.session.DeltaManager"
        } else {
            "org.apache.catalina.session.StandardManager"
        };
        writeln!(
            out,
            r#">
          <Manager className="{class}" {manager_attributes}/>
        </Context>"#
        )
    }
}
