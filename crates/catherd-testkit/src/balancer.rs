//! A load balancer in front of nodes, as an operator runs one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Site;
use crate::ports::Reservation;

/// A running balancer. It is stopped when this value is dropped.
#[derive(Debug)]
pub struct Balancer {
    child: Child,
    name: String,
    log: PathBuf,
    port: Reservation,
}

impl Balancer {
    pub(crate) fn spawn(
        program: &str,
        arguments: &[&str],
        directory: &Path,
        config: impl FnOnce(u16) -> String,
    ) -> Self {
        let port = Reservation::of_tcp();
        let name = program.rsplit('/').next().unwrap_or(program).to_owned();
        let file = |end| directory.join(format!("{name}-{}.{end}", port.port()));
        let (config_file, log) = (file("conf"), file("stderr"));
        fs::write(&config_file, config(port.port())).expect("files can be written in the farm");
        let config_file = config_file.to_str().expect("temporary paths are UTF-8");
        let arguments = arguments
            .iter()
            .map(|argument| argument.replace("CONFIG", config_file));
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("files can be made in the farm"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
        Self {
            child,
            name,
            log,
            port,
        }
    }
}

impl Site for Balancer {
    fn name(&self) -> &str {
        &self.name
    }

    fn http_port(&self) -> u16 {
        self.port.port()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Nobody looks at errors of a process that is thrown away.
impl Drop for Balancer {
    fn drop(&mut self) {
        // Not killed at once: nginx would leave its workers behind.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        drop(self.child.wait());
    }
}
