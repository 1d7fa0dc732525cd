//! Addresses that are held before they are opened.
//!
//! A port that is taken must be reported before the node starts, and a port must be open only when
//! the node is ready (HOW-TO, "How it Works", 2). So an address is bound first, which keeps others
//! from it, and listened at later; until then connections are refused.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// An address that is ours and not open yet.
#[derive(Debug)]
pub(crate) struct Held {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Held {
    /// Takes the address; port 0 takes any.
    pub(crate) fn hold(address: SocketAddr) -> Result<Self, HoldError> {
        let hold = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // A node that is started again must not wait for the connections of its last life.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        hold().map_err(|source| HoldError { address, source })
    }

    /// Opens it: from now on clients can connect. At most `backlog` of them wait to be accepted.
    pub(crate) fn open(self, backlog: u32) -> Result<TcpListener, HoldError> {
        let address = self.address;
        self.socket
            .listen(backlog)
            .map_err(|source| HoldError { address, source })
    }
}

/// An address that cannot be had.
#[derive(Debug)]
pub(crate) struct HoldError {
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Display for HoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, source } = self;
        match source.kind() {
            io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "{address} is in use; stop what listens there, or choose another port"
                )
            }
            io::ErrorKind::AddrNotAvailable => write!(
                f,
                "{address} is no address of this machine; choose one that is, or 127.0.0.1"
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "{address} needs a right that this process lacks; choose a port from 1024 up"
            ),
            _ => write!(f, "{address} cannot be listened at"),
        }
    }
}

impl std::error::Error for HoldError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_that_is_held_refuses_connections_until_it_is_opened() {
        let held = Held::hold(any()).unwrap();
        let address = held.address;
        assert!(TcpStream::connect(address).is_err());
        let _listener = held.open(8).unwrap();
        assert!(TcpStream::connect(address).is_ok());
    }

    #[tokio::test]
    async fn an_address_in_use_is_reported_with_a_remedy() {
        let taken = Held::hold(any()).unwrap().open(8).unwrap();
        let error = Held::hold(taken.local_addr().unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("in use; stop what listens there"), "{error}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_reported_with_a_remedy() {
        let error = Held::hold("192.0.2.1:0".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("no address of this machine"), "{error}");
    }
}
