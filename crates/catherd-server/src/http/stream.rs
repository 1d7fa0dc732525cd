//! A connection whose client must take its answer in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream that fails when nothing of an answer could be written for longer than its patience:
/// a client that reads nothing must not keep an answer in memory for ever.
#[derive(Debug)]
pub(super) struct Taken<T> {
    stream: T,
    patience: Duration,
    /// Runs while the client takes nothing; made when that happens first.
    stalled: Option<Pin<Box<Sleep>>>,
    is_stalled: bool,
}

impl<T> Taken<T> {
    pub(super) fn new(stream: T, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            stalled: None,
            is_stalled: false,
        }
    }

    fn watch<R>(
        &mut self,
        written: Poll<io::Result<R>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.is_stalled = false;
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        if !self.is_stalled {
            self.is_stalled = true;
            stalled.as_mut().reset(Instant::now() + patience);
        }
        let error = || io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing");
        stalled.as_mut().poll(cx).map(|()| Err(error()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Taken<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Taken<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(closed, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_ends_the_connection() {
        let (server, _client) = duplex(16);
        let mut server = Taken::new(server, Duration::from_secs(30));
        let error = server.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_slow_and_takes_something_is_served() {
        let (server, mut client) = duplex(16);
        let mut server = Taken::new(server, Duration::from_secs(30));
        let writing = tokio::spawn(async move { server.write_all(&[0; 160]).await });
        let mut taken = [0; 16];
        for _ in 0..10 {
            sleep(Duration::from_secs(29)).await;
            client.read_exact(&mut taken).await.unwrap();
        }
        writing.await.unwrap().unwrap();
    }
}
