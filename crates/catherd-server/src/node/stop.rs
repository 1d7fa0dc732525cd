//! What ends a node.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// The signals that ask a process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one; its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Waits until standard input ends: the process at its other end is gone.
///
/// A thread of its own reads, for a read that waits cannot be taken back, and the end of the node
/// must not wait for it.
pub(super) async fn stdin_closed() {
    let (gone, is_gone) = oneshot::channel();
    std::thread::spawn(move || {
        // A read that fails is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = gone.send(());
    });
    // An error says the same: the thread is through.
    let _ = is_gone.await;
}
