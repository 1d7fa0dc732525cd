//! The layer and its service.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::ReplicatedBody;
use super::future::ResponseFuture;
use crate::context::ContextInner;

/// Gives each request its [`Session`](crate::Session), and replicates it before the response
/// leaves. Made by [`Context::layer`](crate::Context::layer).
#[derive(Clone, Debug)]
pub struct SessionLayer {
    context: Arc<ContextInner>,
}

impl SessionLayer {
    pub(crate) fn new(context: Arc<ContextInner>) -> Self {
        Self { context }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService {
            inner,
            context: Arc::clone(&self.context),
        }
    }
}

/// The service of [`SessionLayer`].
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    context: Arc<ContextInner>,
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
{
    type Response = Response<ReplicatedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S, B> {
        // The service that was polled ready is the one that is called; its clone waits its turn.
        let waiting = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, waiting);
        ResponseFuture::new(Arc::clone(&self.context), inner, request)
    }
}
