//! A request on its way: asking for a newer copy, running, waiting for acknowledgements.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::ReplicatedBody;
use super::cookie::Presented;
use super::degraded::Degraded;
use crate::context::{ContextInner, Served, Unserved};
use crate::env::Place;
use crate::session::{self, Finished, Session};

type Asking = BoxFuture<'static, (Result<Served, Refused>, Option<Presented>)>;

/// Why a request is answered 503 instead of by the application.
#[derive(Clone, Copy)]
enum Refused {
    /// `stale="refuse"`: a member did not answer, and what is here may be old.
    Stale,
    /// The node was stopped, and has not joined again in time.
    Stopped,
}

pin_project! {
    /// The response, when it may leave.
    ///
    /// Nothing here asks the inner service for `Send`: the future is `Send` if that of the inner
    /// service is.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        context: Arc<ContextInner>,
        #[pin]
        stage: Stage<S, S::Future, S::Response, B>,
    }
}

pin_project! {
    #[project = StageProject]
    enum Stage<S, F, R, B> {
        /// Members are asked for a newer copy.
        Asking { asking: Asking, call: Option<(S, Request<B>)> },
        /// The application runs.
        Running { #[pin] running: F, request: Arc<session::Request>, presented: Option<Presented> },
        /// The response is held until the acknowledgements are here.
        Waiting {
            response: Option<R>,
            finished: Finished,
            unwritten: Option<Unwritten>,
            request: Arc<session::Request>,
            presented: Option<Presented>,
        },
        Done,
    }
}

/// What was queued by a request, and perhaps by others at the same time. Who drops it writes it.
struct Unwritten {
    context: Arc<ContextInner>,
    has_waited: bool,
}

impl Unwritten {
    /// Lets other requests go first that can go on at once, if there have been any of late: so one
    /// write takes the commits of all of them.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_waited || !self.context.node.channel().gathers() {
            return Poll::Ready(());
        }
        self.has_waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.context.node.flush_links();
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("context", &self.context.name)
            .finish_non_exhaustive()
    }
}

impl<S, B, R> ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    pub(super) fn new(context: Arc<ContextInner>, inner: S, request: Request<B>) -> Self {
        let presented = context.cookie.presented(request.headers());
        let at_once = context.node.channel().is_current();
        let at_once = at_once.then(|| served_at_once(&context, &presented));
        let stage = match at_once.flatten() {
            Some((served, presented)) => run(&context, inner, request, served, presented),
            None => {
                let asking = Box::pin(ask(Arc::clone(&context), presented));
                Stage::Asking {
                    asking,
                    call: Some((inner, request)),
                }
            }
        };
        Self { context, stage }
    }
}

/// The usual case: no cookie, or a session that this node showed last. Nobody is asked.
fn served_at_once(
    context: &Arc<ContextInner>,
    presented: &[Presented],
) -> Option<(Served, Option<Presented>)> {
    let mut degraded = Degraded::default();
    for one in presented {
        let served = context.serve_at_once(one.key, one.route.as_deref())?;
        if served.current.is_some() {
            return Some((served, Some(one.clone())));
        }
        degraded = served.degraded;
    }
    let none = Served {
        current: None,
        degraded,
    };
    Some((none, None))
}

/// Of several session cookies the first live one counts.
async fn ask(
    context: Arc<ContextInner>,
    presented: Vec<Presented>,
) -> (Result<Served, Refused>, Option<Presented>) {
    if !is_current_in_time(&context).await {
        return (Err(Refused::Stopped), None);
    }
    let mut degraded = Degraded::default();
    for one in presented {
        match Arc::clone(&context).serve(one.key, one.route.clone()).await {
            Ok(served) if served.current.is_some() => return (Ok(served), Some(one)),
            Ok(served) => degraded = served.degraded,
            Err(Unserved) => return (Err(Refused::Stale), Some(one)),
        }
    }
    (
        Ok(Served {
            current: None,
            degraded,
        }),
        None,
    )
}

/// After a pause the node looks what the others did meanwhile, and requests wait for that, though
/// no longer than for a member that is asked.
async fn is_current_in_time(context: &ContextInner) -> bool {
    let (channel, surroundings) = (context.node.channel(), &context.node.surroundings);
    if channel.is_current() {
        return true;
    }
    let deadline = surroundings.now() + context.manager.access_timeout;
    tokio::select! {
        biased;
        () = channel.current() => true,
        () = surroundings.sleep_until(deadline) => false,
    }
}

fn run<S, B, R>(
    context: &Arc<ContextInner>,
    mut inner: S,
    mut request: Request<B>,
    served: Served,
    presented: Option<Presented>,
) -> Stage<S, S::Future, Response<R>, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    let Served { current, degraded } = served;
    let filter = context.filter.as_ref();
    let is_filtered = filter.is_some_and(|filter| filter.matches(request.uri().path()));
    let scope = Arc::new(session::Request::new(
        Arc::clone(context),
        current,
        degraded,
        is_filtered,
    ));
    request
        .extensions_mut()
        .insert(Session::new(Arc::clone(&scope)));
    request.extensions_mut().insert(degraded);
    Stage::Running {
        running: inner.call(request),
        request: scope,
        presented,
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ReplicatedBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.stage.as_mut().project() {
                StageProject::Asking { asking, call } => {
                    let (served, presented) = ready!(asking.as_mut().poll(cx));
                    let (inner, request) = call.take().expect("polled once to its end");
                    match served {
                        Ok(served) => run(this.context, inner, request, served, presented),
                        Err(why) => {
                            this.stage.set(Stage::Done);
                            return Poll::Ready(Ok(refused(why)));
                        }
                    }
                }
                StageProject::Running {
                    running,
                    request,
                    presented,
                } => {
                    let response = ready!(running.poll(cx))?;
                    let _ = this
                        .context
                        .node
                        .surroundings
                        .faults()
                        .hit(Place::ResponseHeld);
                    Stage::Waiting {
                        response: Some(response),
                        finished: request.finish_unwritten(),
                        unwritten: Some(Unwritten {
                            context: Arc::clone(this.context),
                            has_waited: false,
                        }),
                        request: Arc::clone(request),
                        presented: presented.take(),
                    }
                }
                StageProject::Waiting {
                    response,
                    finished,
                    unwritten,
                    request,
                    presented,
                } => {
                    if let Some(gathering) = unwritten {
                        ready!(gathering.poll_gathered(cx));
                        *unwritten = None;
                    }
                    let degraded = ready!(poll_degraded(request, finished, cx));
                    let mut response = response.take().expect("polled once to its end");
                    set_headers(
                        &mut response,
                        request,
                        finished,
                        presented.as_ref(),
                        degraded,
                    );
                    request.head_left();
                    let request = Arc::clone(request);
                    this.stage.set(Stage::Done);
                    return Poll::Ready(
                        Ok(response.map(|body| ReplicatedBody::new(body, request))),
                    );
                }
                StageProject::Done => panic!("polled after its end"),
            };
            this.stage.set(next);
        }
    }
}

/// Waits for all who have to acknowledge; says what is weaker than promised.
pub(super) fn poll_degraded(
    request: &session::Request,
    finished: &Finished,
    cx: &mut Context<'_>,
) -> Poll<Degraded> {
    let node = &request.context.node;
    let channel = &**node.channel();
    let mut degraded = request.degraded();
    let mut open = false;
    if let Some(write) = &finished.write {
        match write.poll(channel, cx) {
            Poll::Ready(true) => request.confirmed(write),
            Poll::Ready(false) => degraded.durability = true,
            Poll::Pending => open = true,
        }
    }
    for end in &finished.ends {
        match end.poll(channel, cx) {
            Poll::Ready(confirmed) => {
                degraded.pending |= !confirmed || end.is_pending(&channel.view());
            }
            Poll::Pending => open = true,
        }
    }
    if open {
        return Poll::Pending;
    }
    node.counters.degraded(degraded);
    Poll::Ready(degraded)
}

fn set_headers<R>(
    response: &mut Response<R>,
    request: &session::Request,
    finished: &Finished,
    presented: Option<&Presented>,
    degraded: Degraded,
) {
    let context = &request.context;
    let headers = response.headers_mut();
    let route = &context.node.name;
    match finished.key {
        Some(key) => {
            let has_it = presented.is_some_and(|presented| {
                let has_route = presented.route.as_deref().unwrap_or("") == route;
                presented.key == key && (has_route || !context.rewrites_route)
            });
            if !has_it {
                headers.append(header::SET_COOKIE, context.cookie.give(key, route));
            }
        }
        None if finished.client_has.is_some() => {
            headers.append(header::SET_COOKIE, context.cookie.take_away());
        }
        None => {}
    }
    if let Some(value) = degraded.to_header() {
        headers.insert(Degraded::HEADER, value);
    }
}

fn refused<R: Body<Data = Bytes>>(why: Refused) -> Response<ReplicatedBody<R>> {
    let mut response = Response::new(ReplicatedBody::text(match why {
        Refused::Stale => "The session may be newer on a member that does not answer. Try again.\n",
        Refused::Stopped => "This node was stopped and is joining its cluster again. Try again.\n",
    }));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    if matches!(why, Refused::Stale) {
        headers.insert(Degraded::HEADER, HeaderValue::from_static("stale"));
    }
    response
}
