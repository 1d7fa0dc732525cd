//! Errors that say what was being done.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// What was being done, and with whom, when the operating system or the
/// simulated network said no.
#[derive(Debug)]
pub(crate) struct Failed {
    operation: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl Failed {
    /// The error with its context; the kind stays.
    pub(crate) fn because(
        operation: &'static str,
        address: SocketAddr,
        source: io::Error,
    ) -> io::Error {
        io::Error::new(
            source.kind(),
            Self {
                operation,
                address,
                source,
            },
        )
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.operation, self.address)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
