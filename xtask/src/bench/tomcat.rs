//! Debian's Tomcat 10.1: alone, or two that replicate to all and wait for the acknowledgement
//! (`DeltaManager`, `channelSendOptions="6"`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use catherd_testkit::debian;

use super::server::{Server, Sign, free_port};
use super::setup::{root, succeed};

/// Tomcats that run.
#[derive(Debug)]
pub(super) struct Tomcat {
    nodes: Vec<Server>,
}

const HOME: &str = "/usr/share/tomcat10";

impl Tomcat {
    /// Installs what is missing, starts so many, and waits until they have met.
    pub(super) fn start(work: &Path, count: usize) -> Result<Self, String> {
        // The package of that name would start a server of its own.
        debian::install(&["tomcat10-common"]);
        if Command::new("javac").arg("-version").output().is_err() {
            debian::install(&["default-jdk-headless"]);
        }
        let classes = compile(work)?;
        let group_port = free_port()?;
        let mut nodes = Vec::new();
        for number in 1..=count {
            let base = work.join(format!("tomcat-{count}-{number}"));
            let ports = Ports {
                http: free_port()?,
                receiver: free_port()?,
                group: (count > 1).then_some(group_port),
            };
            write_base(&base, number, &ports, &classes)?;
            let mut server = Server::spawn(&mut command(&base), &base.join("log"), ports.http)?;
            server.wait_for(Sign::Plain)?;
            nodes.push(server);
        }
        let tomcat = Self { nodes };
        tomcat.wait_until_met()?;
        Ok(tomcat)
    }

    pub(super) fn port(&self) -> u16 {
        self.nodes[0].port()
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        self.nodes.iter().map(Server::id).collect()
    }

    fn wait_until_met(&self) -> Result<(), String> {
        let start = Instant::now();
        let has_met = |node: &Server| {
            let text = node.text();
            text.contains("memberAdded") || text.contains("member added")
        };
        while self.nodes.len() > 1 && !self.nodes.iter().all(has_met) {
            if start.elapsed() > Duration::from_secs(30) {
                let said: String = self.nodes.iter().map(Server::text).collect();
                return Err(format!("the Tomcats do not find each other:\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

struct Ports {
    http: u16,
    receiver: u16,
    /// Of the multicast group; `None` without a cluster.
    group: Option<u16>,
}

fn templates() -> PathBuf {
    root().join("bench/tomcat")
}

fn compile(work: &Path) -> Result<PathBuf, String> {
    let classes = work.join("classes");
    make(&classes)?;
    let library = format!("{HOME}/lib/servlet-api.jar");
    let mut javac = Command::new("javac");
    javac.arg("-d").arg(&classes).args(["-cp", &library]);
    succeed(javac.arg(templates().join("src/bench/BenchServlet.java")))?;
    Ok(classes)
}

fn write_base(base: &Path, number: usize, ports: &Ports, classes: &Path) -> Result<(), String> {
    let inf = base.join("webapps/bench/WEB-INF");
    for directory in ["conf", "temp", "logs", "work", "lib"] {
        make(&base.join(directory))?;
    }
    make(&inf.join("classes/bench"))?;
    let class = "bench/BenchServlet.class";
    copy(&classes.join(class), &inf.join("classes").join(class))?;
    let logging = "logging.properties";
    copy(&templates().join(logging), &base.join("conf").join(logging))?;
    let cluster = match ports.group {
        Some(group) => template("cluster.xml")?
            .replace("@GROUP_PORT@", &group.to_string())
            .replace("@RECEIVER_PORT@", &ports.receiver.to_string()),
        None => String::new(),
    };
    let server = template("server.xml")?
        .replace("@CLUSTER@", &cluster)
        .replace("@NUMBER@", &number.to_string())
        .replace("@HTTP_PORT@", &ports.http.to_string());
    put(&base.join("conf/server.xml"), &server)?;
    let distributable = ports.group.map_or("", |_| "<distributable/>");
    let web = template("web.xml")?.replace("@DISTRIBUTABLE@", distributable);
    put(&inf.join("web.xml"), &web)
}

fn command(base: &Path) -> Command {
    let base = base.display();
    let mut java = Command::new("java");
    java.args(["-Xms1g", "-Xmx1g", "-Djava.net.preferIPv4Stack=true"])
        .arg(format!(
            "-Djava.util.logging.config.file={base}/conf/logging.properties"
        ))
        .arg("-Djava.util.logging.manager=org.apache.juli.ClassLoaderLogManager")
        .arg("-classpath")
        .arg(format!(
            "{HOME}/bin/bootstrap.jar:{HOME}/bin/tomcat-juli.jar"
        ))
        .arg(format!("-Dcatalina.base={base}"))
        .arg(format!("-Dcatalina.home={HOME}"))
        .arg(format!("-Djava.io.tmpdir={base}/temp"))
        .args(["org.apache.catalina.startup.Bootstrap", "start"]);
    java
}

fn make(directory: &Path) -> Result<(), String> {
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let copied = fs::copy(from, to).map(drop);
    copied.map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

fn template(name: &str) -> Result<String, String> {
    let path = templates().join(name);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn put(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
