//! The application that every node serves: it does what the request says, and notes what it saw.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use catherd::{Attribute, Context as Sessions, Session};
use futures_util::future::{BoxFuture, FutureExt as _};
use http::{Request, Response};
use http_body_util::Full;
use parking_lot::Mutex;
use tower_service::Service;

use crate::history::{Number, Ran, Step, Subject, Wrote};
use crate::user::{PRINCIPAL, User};

/// What a request carries instead of a body.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) number: Number,
    pub(super) steps: Vec<Step>,
    /// What was done so far: it is known even if no answer arrives.
    pub(super) ran: Arc<Mutex<Option<Ran>>>,
}

/// The application, with the context whose sessions it ends.
#[derive(Clone, Debug)]
pub(super) struct Application(pub(super) Sessions);

/// An answer with this in it: not everybody is known to have heard of the end of a user's sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unconfirmed;

impl Service<Request<Work>> for Application {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Work>) -> Self::Future {
        let session = request
            .extensions_mut()
            .remove::<Session>()
            .expect("the layer put it there");
        let sessions = self.0.clone();
        async move {
            let mut response = Response::new(Full::default());
            if !run(&session, &sessions, request.into_body()).await {
                response.extensions_mut().insert(Unconfirmed);
            }
            Ok(response)
        }
        .boxed()
    }
}

/// The name under which a session says whose it is.
pub(crate) const OWNER: &str = "owner";

/// Whether everybody has heard of the end of a user's sessions, if there was one.
async fn run(session: &Session, sessions: &Sessions, work: Work) -> bool {
    let mut is_confirmed = true;
    let Work { number, steps, ran } = work;
    let mut key = session.id().filter(|_| session.exists());
    *ran.lock() = Some(Ran {
        found: contents(session),
        key: key.clone(),
        user: login(session).map(|(user, _)| user),
        ..Ran::default()
    });
    for step in steps {
        match step {
            Step::Wait(duration) => {
                tokio::time::sleep(duration).await;
                continue;
            }
            Step::Create(subject) if key.is_none() => create(session, subject, None),
            Step::CreateIdle(subject, limit) if key.is_none() => {
                create(session, subject, Some(limit));
            }
            _ if key.is_none() || !session.exists() => return is_confirmed,
            Step::Create(_) | Step::CreateIdle(..) => {}
            Step::Write(name) => write(session, &name, Some(vec![number]), &ran),
            Step::Append(name) => {
                let mut list = value(session, &name).unwrap_or_default();
                list.push(number);
                write(session, &name, Some(list), &ran);
            }
            Step::Remove(name) => write(session, &name, None, &ran),
            Step::Login => {
                if session.cycle_id()
                    && let Some(ran) = &mut *ran.lock()
                {
                    ran.moved_to = session.id();
                }
            }
            Step::Logout => {
                if session.invalidate()
                    && let Some(ran) = &mut *ran.lock()
                {
                    ran.ended = true;
                }
                return is_confirmed;
            }
            Step::LogInAs(user) => log_in(session, (user, number), &ran),
            Step::EndAllOf(user) => {
                if let Some(ran) = &mut *ran.lock() {
                    ran.ended_all_of = Some(user);
                }
                is_confirmed &= sessions.end_sessions_of(&user.name()).await.is_confirmed();
                if !session.exists()
                    && let Some(ran) = &mut *ran.lock()
                {
                    ran.ended = true;
                }
            }
        }
        if key.is_none() {
            key = session.id();
            if let Some(ran) = &mut *ran.lock() {
                ran.key = key.clone();
            }
        }
    }
    is_confirmed
}

/// Who is logged in, and since which operation.
fn login(session: &Session) -> Option<(User, Number)> {
    session.principal().as_ref().map(User::logged_in)
}

fn log_in(session: &Session, (user, number): (User, Number), ran: &Mutex<Option<Ran>>) {
    let parent = login(session).map(|(_, number)| number);
    let set = session.log_in(&user.logs_in(number));
    set.expect("it is small, and there is a session");
    if let Some(ran) = &mut *ran.lock() {
        ran.wrote.push(Wrote {
            name: PRINCIPAL.to_owned(),
            parent,
            removed: false,
        });
    }
}

fn create(session: &Session, subject: Subject, limit: Option<Duration>) {
    let set = session.insert(Attribute::new(OWNER), &vec![subject.0]);
    set.expect("it is small, and the table has no limit");
    if let Some(limit) = limit {
        let set = session.set_max_inactive_interval(Some(limit));
        set.expect("there is a session");
    }
}

fn write(session: &Session, name: &str, new: Option<Vec<Number>>, ran: &Mutex<Option<Ran>>) {
    let parent = value(session, name).and_then(|value| value.last().copied());
    let removed = new.is_none();
    match new {
        Some(new) => session
            .insert(Attribute::from(name.to_owned()), &new)
            .expect("it is small"),
        None if parent.is_none() => return,
        None => drop(session.remove(name)),
    }
    if let Some(ran) = &mut *ran.lock() {
        ran.wrote.push(Wrote {
            name: name.to_owned(),
            parent,
            removed,
        });
    }
}

fn value(session: &Session, name: &str) -> Option<Vec<Number>> {
    session
        .get(Attribute::from(name.to_owned()))
        .expect("all values are lists of numbers")
}

fn contents(session: &Session) -> BTreeMap<String, Vec<Number>> {
    let names = session.attribute_names().into_iter();
    names
        .filter_map(|name| Some((name.clone(), value(session, &name)?)))
        .chain(login(session).map(|(_, number)| (PRINCIPAL.to_owned(), vec![number])))
        .collect()
}
