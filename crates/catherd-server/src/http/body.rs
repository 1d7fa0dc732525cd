//! A request body that must come in time.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::Body;

/// Turns the body of a request into one that ends with an error if its client is silent for
/// longer than `patience`.
pub(super) fn in_time(body: Incoming, patience: Duration) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    Body::new(InTime {
        body,
        patience,
        silence: None,
    })
}

struct InTime {
    body: Incoming,
    patience: Duration,
    /// Runs while something is waited for.
    silence: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for InTime {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some(silence) = &mut this.silence {
                silence.as_mut().reset(Instant::now() + this.patience);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Connection)));
        }
        let patience = this.patience;
        let silence = this
            .silence
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        silence
            .as_mut()
            .poll(cx)
            .map(|()| Some(Err(BodyError::Silence)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request body that did not come to its end.
#[derive(Debug)]
enum BodyError {
    /// The connection failed, or the client broke the rules of its coding.
    Connection(hyper::Error),
    /// The client was silent for too long.
    Silence,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection(_) => "the connection of the request failed",
            Self::Silence => "the rest of the request did not come in time",
        })
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(source) => Some(source),
            Self::Silence => None,
        }
    }
}
