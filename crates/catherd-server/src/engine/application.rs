//! An application behind one call, whatever it is made of.

use std::convert::Infallible;
use std::fmt;

use axum::BoxError;
use axum::body::HttpBody;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tower::{Service, ServiceExt as _};

use crate::http::Body;

/// Answers the requests to a context.
pub(crate) trait Application: fmt::Debug + Send + Sync + 'static {
    /// Begins to answer; nothing of the application runs before the future is polled.
    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>>;
}

/// Makes an application of a service, such as a router behind the layer of a context.
///
/// The type is put away once, here; a request costs one box for its future and one for its body.
pub(crate) fn mount<S, R>(service: S) -> Box<dyn Application>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    Box::new(Mounted(service))
}

struct Mounted<S>(S);

impl<S> fmt::Debug for Mounted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Application(..)")
    }
}

impl<S, R> Application for Mounted<S>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        let service = self.0.clone();
        Box::pin(async move {
            let Ok(response) = service.oneshot(request).await;
            response.map(Body::new)
        })
    }
}
