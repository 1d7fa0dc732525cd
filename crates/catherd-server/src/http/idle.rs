//! Whether a connection is idle: no request runs on it, and no answer is on its way.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Body;

/// Knows whether a connection is idle; asked only where its idleness has a limit of its own.
#[derive(Clone, Debug)]
pub(super) struct Idleness {
    is_busy: watch::Sender<bool>,
}

impl Idleness {
    /// A connection that has not been asked anything yet: that is no idleness, but a late head.
    pub(super) fn new() -> Self {
        Self {
            is_busy: watch::Sender::new(true),
        }
    }

    /// A request has come.
    pub(super) fn begin(&self) {
        self.is_busy.send_replace(true);
    }

    /// Waits until the connection has been idle for so long.
    pub(super) async fn lasts(&self, patience: Duration) {
        let mut is_busy = self.is_busy.subscribe();
        loop {
            // The sender is `self`: it is there as long as this runs.
            let _ = is_busy.wait_for(|&busy| !busy).await;
            if timeout(patience, is_busy.wait_for(|&busy| busy))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

/// The body of an answer; its connection is idle when it is through.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    idleness: Option<Idleness>,
}

impl Answer {
    pub(super) fn new(body: Body, idleness: Option<Idleness>) -> Self {
        Self { body, idleness }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(idleness) = &self.idleness {
            idleness.is_busy.send_replace(false);
        }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
