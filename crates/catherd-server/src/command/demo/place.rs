//! The directory of the demo: a base for each node, laid out as for any other.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A directory that is ours alone, and goes when the demo does.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    bases: Vec<Base>,
    is_kept: AtomicBool,
}

/// The base of a node.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// The node's name.
    pub(super) name: String,
    /// Where its configuration is.
    pub(super) path: PathBuf,
    /// Its HTTP port on 127.0.0.1.
    pub(super) port: u16,
}

impl Place {
    /// Makes the directory, with a base for a node on each port.
    pub(super) fn make(ports: &[u16]) -> Result<Self, PlaceError> {
        // Random, so that two demos on one machine do not meet.
        let id = format!(
            "demo-{:016x}",
            RandomState::new().hash_one(std::process::id())
        );
        let path = std::env::temp_dir().join(format!("catherd-{id}"));
        let failed = |source| PlaceError {
            path: path.clone(),
            source,
        };
        // Fails if it is there already: nobody else has prepared it for us.
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        let base = |(number, &port): (usize, &u16)| {
            let name = format!("node{:02}", number + 1);
            Base {
                path: path.join(&name),
                name,
                port,
            }
        };
        let bases = ports.iter().enumerate().map(base).collect();
        let place = Self {
            path: path.clone(),
            bases,
            is_kept: AtomicBool::new(false),
        };
        for base in &place.bases {
            base.write(&id).map_err(failed)?;
        }
        Ok(place)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bases(&self) -> &[Base] {
        &self.bases
    }

    /// The directory stays when the demo goes: somebody has been told to look into it.
    pub(super) fn keep(&self) -> &Path {
        self.is_kept.store(true, Ordering::Relaxed);
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !*self.is_kept.get_mut() {
            // What is left behind in the directory for temporary files does no harm.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

impl Base {
    /// Where the node writes its log.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("logs").join("catherd.log")
    }

    /// The node's address, without a slash at its end.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn write(&self, cluster: &str) -> io::Result<()> {
        for part in ["conf", "webapps", "work", "logs"] {
            std::fs::create_dir_all(self.path.join(part))?;
        }
        std::fs::write(
            self.path.join("conf").join("server.xml"),
            self.server_xml(cluster),
        )
    }

    fn server_xml(&self, cluster: &str) -> String {
        let Self { name, port, .. } = self;
        format!(
            r#"<Server port="-1">
  <Service name="Catalina">
    <Connector address="127.0.0.1" port="{port}" maxKeepAliveRequests="-1"/>
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="{name}">
      <Cluster className="org.apache.catalina.cluster.tcp.SimpleTcpCluster"
               clusterId="{cluster}">
        <Membership className="org.apache.catalina.cluster.mcast.McastService"
                    mcastAddr="228.0.0.4" mcastPort="45564"
                    mcastBindAddress="127.0.0.1"
                    mcastFrequency="500" mcastDropTime="3000"/>
        <Receiver className="org.apache.catalina.cluster.tcp.ReplicationListener"
                  tcpListenAddress="127.0.0.1"/>
        <Sender className="org.apache.catalina.cluster.tcp.ReplicationTransmitter"
                replicationMode="synchronous"/>
        <Valve className="org.apache.catalina.cluster.tcp.ReplicationValve"/>
      </Cluster>
      <Host name="localhost" appBase="webapps">
        <Context path="/examples" distributable="true"/>
        <Context path="/bench" distributable="true"/>
      </Host>
    </Engine>
  </Service>
</Server>
"#
        )
    }
}

/// The directory could not be made.
#[derive(Debug)]
pub(super) struct PlaceError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cannot be made; set TMPDIR to a directory of yours",
            self.path.display()
        )
    }
}

impl std::error::Error for PlaceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_private_and_goes_with_the_demo() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = Place::make(&[8080, 8081]).unwrap();
        let path = place.path().to_owned();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(path.join("node02/conf/server.xml").is_file());
        drop(place);
        assert!(!path.exists());
    }

    #[test]
    fn two_demos_do_not_meet() {
        let (one, other) = (Place::make(&[8080]).unwrap(), Place::make(&[8080]).unwrap());
        assert_ne!(one.path(), other.path());
        let xml = |place: &Place| {
            std::fs::read_to_string(place.bases()[0].path.join("conf/server.xml")).unwrap()
        };
        assert_ne!(xml(&one), xml(&other));
    }
}
