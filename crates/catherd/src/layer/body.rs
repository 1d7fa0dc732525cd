//! The response body: what a stream changes in the session goes out before its last frame.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::future::poll_degraded;
use crate::session::{self, Finished};

pin_project! {
    /// The body of a response whose session is replicated.
    ///
    /// Frames pass as they come. The last one is held back while what the stream has changed in
    /// the session is on its way to the members: a client that has the whole body can rely on it.
    pub struct ReplicatedBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    #[project = KindProject]
    enum Kind<R> {
        Stream {
            #[pin]
            inner: R,
            request: Arc<session::Request>,
            // How many bytes are still to come, if the body has said so.
            left: Option<u64>,
            held: Held,
        },
        Text { text: Option<&'static str> },
    }
}

/// The last frame, held back.
enum Held {
    Nothing,
    /// `None` in it is the end of the stream itself.
    Last {
        frame: Option<Frame<Bytes>>,
        finished: Finished,
    },
    Released,
}

impl<R: Body<Data = Bytes>> ReplicatedBody<R> {
    pub(super) fn new(inner: R, request: Arc<session::Request>) -> Self {
        let left = inner.size_hint().exact();
        Self {
            kind: Kind::Stream {
                inner,
                request,
                left,
                held: Held::Nothing,
            },
        }
    }

    pub(super) fn text(text: &'static str) -> Self {
        Self {
            kind: Kind::Text { text: Some(text) },
        }
    }
}

impl<R> fmt::Debug for ReplicatedBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplicatedBody(..)")
    }
}

impl<R: Body<Data = Bytes>> Body for ReplicatedBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let (mut inner, request, left, held) = match self.project().kind.project() {
            KindProject::Text { text } => {
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text.into()))));
            }
            KindProject::Stream {
                inner,
                request,
                left,
                held,
            } => (inner, request, left, held),
        };
        loop {
            match held {
                Held::Released => return Poll::Ready(None),
                Held::Last { frame, finished } => {
                    // The head has left, so what is missing is counted and no longer said.
                    ready!(poll_degraded(request, finished, cx));
                    let frame = frame.take();
                    let is_end = frame.is_none();
                    *held = if is_end {
                        Held::Released
                    } else {
                        Held::Nothing
                    };
                    return Poll::Ready(frame.map(Ok));
                }
                Held::Nothing => {}
            }
            let frame = match ready!(inner.as_mut().poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => Some(frame),
                None => None,
            };
            if let (Some(data), Some(left)) = (frame.as_ref().and_then(Frame::data_ref), &mut *left)
            {
                *left = left.saturating_sub(data.remaining() as u64);
            }
            let is_last = frame.is_none() || inner.is_end_stream() || *left == Some(0);
            if !is_last || !request.is_dirty() {
                return Poll::Ready(frame.map(Ok));
            }
            *held = Held::Last {
                frame,
                finished: request.finish(),
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Stream {
                inner,
                held,
                request,
                ..
            } => match held {
                Held::Released => true,
                Held::Last { .. } => false,
                Held::Nothing => inner.is_end_stream() && !request.is_dirty(),
            },
            Kind::Text { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Stream {
                inner,
                held: Held::Nothing,
                ..
            } => inner.size_hint(),
            // A frame that is held back has left the inner body and not yet this one.
            Kind::Stream {
                held: Held::Last { frame, .. },
                ..
            } => {
                let data = frame.as_ref().and_then(Frame::data_ref);
                SizeHint::with_exact(data.map_or(0, |data| data.remaining() as u64))
            }
            Kind::Stream { .. } => SizeHint::with_exact(0),
            Kind::Text { text } => SizeHint::with_exact(text.map_or(0, |text| text.len() as u64)),
        }
    }
}
