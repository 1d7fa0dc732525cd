//! The page for people: the session, the node that answered, and the members.
//!
//! A form is answered with 303 to the page, so that reloading repeats nothing; what is wrong with a
//! form is shown on the page at once. There is no script.

use std::iter;
use std::time::SystemTime;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use catherd::core::membership;
use catherd::{Degraded, Session};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::problem::Problem;
use super::view;
use super::{Examples, change};
use crate::http::answer;

pub(super) async fn show(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
    degraded: Option<Extension<Degraded>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if !wants_page(&headers) {
        return answer::json(
            StatusCode::OK,
            &serde_json::json!({ "session": "/examples/session" }),
        );
    }
    let problem = session.create().err().map(Problem::from);
    let degraded = degraded
        .map(|Extension(degraded)| degraded)
        .unwrap_or_default();
    let is_unconfirmed = query.as_deref() == Some(UNCONFIRMED);
    render(
        &examples,
        &session,
        notes(degraded, is_unconfirmed),
        problem,
    )
}

#[derive(Deserialize)]
pub(super) struct Named {
    name: String,
}

#[derive(Deserialize)]
pub(super) struct Assigned {
    name: String,
    value: String,
}

#[derive(Deserialize)]
pub(super) struct Idle {
    seconds: String,
}

pub(super) async fn set(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
    form: Result<Form<Assigned>, FormRejection>,
) -> Response {
    let done = filled(form).and_then(|Assigned { name, value }| {
        // What reads as JSON is meant so: `42` is a number, and `"42"` a string.
        let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
        change::set(&session, name, &value)
    });
    back(&examples, &session, done).await
}

pub(super) async fn remove(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
    form: Result<Form<Named>, FormRejection>,
) -> Response {
    let done = filled(form).map(|Named { name }| {
        session.remove(&name);
    });
    back(&examples, &session, done).await
}

pub(super) async fn increment(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
    form: Result<Form<Named>, FormRejection>,
) -> Response {
    let done = filled(form).and_then(|Named { name }| change::increment(&session, name));
    back(&examples, &session, done.map(|_| ())).await
}

pub(super) async fn idle(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
    form: Result<Form<Idle>, FormRejection>,
) -> Response {
    let done = filled(form).and_then(|Idle { seconds }| {
        let seconds = seconds
            .trim()
            .parse()
            .ok()
            .filter(|seconds: &f64| seconds.is_finite());
        let seconds = seconds.ok_or_else(|| Problem::bad("the limit is a number of seconds"))?;
        change::set_idle(&session, seconds)
    });
    back(&examples, &session, done).await
}

pub(super) async fn change_id(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
) -> Response {
    session.cycle_id();
    back(&examples, &session, Ok(())).await
}

pub(super) async fn invalidate(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
) -> Response {
    session.invalidate();
    back(&examples, &session, Ok(())).await
}

/// Back to the page. A change that not every member has confirmed is noted there, for the header
/// that says so is on an answer that nobody sees.
async fn back(examples: &Examples, session: &Session, done: Result<(), Problem>) -> Response {
    if let Err(problem) = done {
        return render(examples, session, Vec::new(), Some(problem));
    }
    match session.flush().await {
        Ok(_) => Redirect::to("/examples").into_response(),
        Err(_) => Redirect::to("/examples?unconfirmed").into_response(),
    }
}

const UNCONFIRMED: &str = "unconfirmed";

fn filled<T>(form: Result<Form<T>, FormRejection>) -> Result<T, Problem> {
    let rejected = |form: FormRejection| Problem::new(form.status(), form.body_text());
    form.map(|Form(form)| form).map_err(rejected)
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("text/html")
    })
}

fn notes(degraded: Degraded, is_unconfirmed: bool) -> Vec<&'static str> {
    let Degraded {
        durability,
        pending,
        takeover,
        stale,
        ..
    } = degraded;
    let notes = [
        (
            durability || is_unconfirmed,
            "Fewer members than promised hold the last change yet; it is repaired when they answer.",
        ),
        (
            pending,
            "The end of a session is not known to every member yet.",
        ),
        (
            takeover,
            "This session was taken over from a node that is gone; its last changes may be missing.",
        ),
        (
            stale,
            "A member did not say in time whether it has newer data.",
        ),
    ];
    notes
        .into_iter()
        .filter_map(|(is_so, note)| is_so.then_some(note))
        .collect()
}

fn render(
    examples: &Examples,
    session: &Session,
    notes: Vec<&'static str>,
    problem: Option<Problem>,
) -> Response {
    let status = problem
        .as_ref()
        .map_or(StatusCode::OK, |problem| problem.status);
    let page = Page::of(
        examples,
        session,
        notes,
        problem.map(|problem| problem.text),
    );
    let html = page.render().expect("the template writes to memory");
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page that runs nothing, loads nothing, is in no frame, and posts to its own server alone.
const HEADERS: [(header::HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-store"),
    (header::VARY, "Accept"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors \
         'none'; base-uri 'none'",
    ),
];

#[derive(Template)]
#[template(path = "examples.html")]
struct Page {
    node: String,
    problem: Option<String>,
    notes: Vec<&'static str>,
    session: Option<Shown>,
    members: Vec<Member>,
    missing: Vec<String>,
    copies: Vec<String>,
    is_replicated: bool,
}

/// The session, as people read it.
struct Shown {
    short_id: String,
    is_new: bool,
    created: String,
    last_accessed: String,
    idle_limit: String,
    idle_seconds: String,
    attributes: Vec<ShownAttribute>,
}

struct ShownAttribute {
    name: String,
    value: String,
    is_number: bool,
}

struct Member {
    name: String,
    state: &'static str,
    is_ready: bool,
    /// Whether it is one of those who hold a copy of the session.
    has_copy: bool,
}

impl Page {
    fn of(
        examples: &Examples,
        session: &Session,
        notes: Vec<&'static str>,
        problem: Option<String>,
    ) -> Self {
        let node = examples.cluster.name().to_owned();
        let view = examples.cluster.members();
        let is_holder = |member: &membership::Member| {
            examples.is_replicated && member.is_ready() && member.domain == view.myself.domain
        };
        let mut members: Vec<_> = view
            .members
            .iter()
            .map(|member| {
                let state = match (member.is_suspect, member.is_ready()) {
                    (true, _) => "suspect",
                    (false, true) => "ready",
                    (false, false) => "joining",
                };
                Member {
                    name: member.name.clone(),
                    state,
                    is_ready: state == "ready",
                    has_copy: is_holder(member),
                }
            })
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let holders = members.iter().filter(|member| member.has_copy);
        let copies = iter::once(&node).chain(holders.map(|member| &member.name));
        let copies = copies.cloned().collect();
        Self {
            problem,
            notes,
            session: Shown::of(session),
            members,
            missing: view.missing.clone(),
            copies,
            is_replicated: examples.is_replicated,
            node,
        }
    }
}

impl Shown {
    fn of(session: &Session) -> Option<Self> {
        let id = session.id()?;
        let attributes = view::attributes(session).map(|(name, value)| ShownAttribute {
            name,
            is_number: value.is_number(),
            value: value.to_string(),
        });
        let idle_seconds = view::idle_seconds(session).to_string();
        Some(Self {
            // Enough to see that it is the same one; the whole of it is a key.
            short_id: id.chars().take(8).collect(),
            is_new: session.is_new(),
            created: ago(session.created()),
            last_accessed: ago(session.last_accessed()),
            idle_limit: match session.max_inactive_interval() {
                Some(limit) => for_people(limit.as_secs()),
                None => "for ever".to_owned(),
            },
            idle_seconds,
            attributes: attributes.collect(),
        })
    }
}

fn ago(time: Option<SystemTime>) -> String {
    let Some(time) = time else {
        return "unknown".to_owned();
    };
    // A clock that was ahead where the time was written shows as now.
    match time.elapsed().unwrap_or_default().as_secs() {
        0 => "just now".to_owned(),
        seconds => format!("{} ago", for_people(seconds)),
    }
}

fn for_people(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_want_the_page_and_programs_do_not() {
        let accept = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            wants_page(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        assert!(accept("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(accept("application/json, Text/HTML;q=0.5"));
        assert!(!accept("*/*"));
        assert!(!accept("application/json"));
        assert!(!wants_page(&HeaderMap::new()));
    }

    #[test]
    fn times_are_written_for_people() {
        for (seconds, text) in [
            (1, "1 second"),
            (119, "119 seconds"),
            (1800, "30 minutes"),
            (7200, "2 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(for_people(seconds), text);
        }
    }
}
