//! A process that serves, and that is not one of Catherd's.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process with a port. It is killed when this value is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    port: u16,
    log: std::path::PathBuf,
}

/// How a server says that it is there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sign {
    /// It takes a connection.
    Port,
    /// `/bench/plain` answers 200: a port may open long before.
    Plain,
}

impl Server {
    /// Starts it, with what it writes going to `log`.
    pub(super) fn spawn(command: &mut Command, log: &Path, port: u16) -> Result<Self, String> {
        let file = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let copy = file.try_clone().map_err(|error| error.to_string())?;
        let command = command.stdin(Stdio::null()).stdout(copy).stderr(file);
        let child = command.spawn();
        let child = child.map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self {
            child,
            port,
            log: log.to_owned(),
        })
    }

    /// Waits until it is there.
    pub(super) fn wait_for(&mut self, sign: Sign) -> Result<(), String> {
        const PATIENCE: Duration = Duration::from_secs(120);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.shows(sign).unwrap_or(false) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("a server ended with {status}:\n{}", self.text()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("a server does not answer:\n{}", self.text()))
    }

    fn shows(&self, sign: Sign) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        if matches!(sign, Sign::Port) {
            return Ok(true);
        }
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(b"GET /bench/plain HTTP/1.1\r\nHost: localhost\r\n")?;
        stream.write_all(b"Connection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    }

    /// What it has written.
    pub(super) fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A TCP port on loopback that nobody has at the moment.
pub(super) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address
        .map_err(|error| format!("no free port: {error}"))?
        .port())
}

/// The first of `count` such ports in a row, below those that outgoing connections get.
pub(super) fn free_row(count: u16) -> Result<u16, String> {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let mut rows = (20_000..30_000).step_by(usize::from(count));
    let found = rows.find(|first| (*first..first + count).all(is_free));
    found.ok_or_else(|| format!("no {count} free ports in a row"))
}
