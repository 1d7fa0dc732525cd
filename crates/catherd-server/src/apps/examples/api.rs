//! The requests of programs.

use axum::Extension;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use catherd::Session;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::problem::Problem;
use super::view::View;
use super::{Examples, change};
use crate::http::answer;

type Answer = Result<Response, Problem>;

#[derive(Deserialize)]
pub(super) struct Show {
    #[serde(default = "yes")]
    create: bool,
}

fn yes() -> bool {
    true
}

pub(super) async fn show(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
    Query(Show { create }): Query<Show>,
) -> Answer {
    if create {
        session.create()?;
    }
    view(&examples, &session)
}

pub(super) async fn set(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    change::set(&session, name, &json::<Value>(body)?)?;
    view(&examples, &session)
}

pub(super) async fn remove(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
    Path(name): Path<String>,
) -> Answer {
    session.remove(&name);
    view(&examples, &session)
}

pub(super) async fn increment(
    Extension(session): Extension<Session>,
    Path(name): Path<String>,
) -> Answer {
    #[derive(Serialize)]
    struct Sum {
        value: Number,
    }
    let value = change::increment(&session, name)?;
    Ok(answer::json(StatusCode::OK, &Sum { value }))
}

pub(super) async fn set_idle(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    change::set_idle(&session, json::<f64>(body)?)?;
    view(&examples, &session)
}

pub(super) async fn change_id(
    State(examples): State<Examples>,
    Extension(session): Extension<Session>,
) -> Answer {
    if !session.exists() || !session.cycle_id() {
        return Err(Problem::no_session());
    }
    view(&examples, &session)
}

pub(super) async fn invalidate(Extension(session): Extension<Session>) -> Answer {
    if !session.exists() || !session.invalidate() {
        return Err(Problem::no_session());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn view(examples: &Examples, session: &Session) -> Answer {
    let view = View::of(session, examples.cluster.name()).ok_or_else(Problem::no_session)?;
    Ok(answer::json(StatusCode::OK, &view))
}

fn json<T: for<'de> Deserialize<'de>>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = body.map_err(|rejected| Problem::new(rejected.status(), rejected.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| {
        let kind = if error.is_data() {
            "has another type"
        } else {
            "is not JSON"
        };
        Problem::bad(format!("the body {kind}: {error}"))
    })
}
