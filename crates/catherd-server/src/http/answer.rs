//! The answers that the server itself gives: short, and without a word about its inside.
//!
//! An error page carries no path, version, trace or id: what a client sent is not said back, and
//! what went wrong inside is in the log.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::Body;

/// `404 Not Found` and the like, as text.
pub(crate) fn status(status: StatusCode) -> Response<Body> {
    text(status, format!("{status}\n"))
}

/// An error after which nothing on the connection can be trusted: it closes.
pub(crate) fn closing(code: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = text(code, why);
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Plain text.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let body = http_body_util::Full::new(text.into());
    whole(status, "text/plain; charset=utf-8", Body::new(body))
}

/// A value as JSON, in one line.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let mut text = serde_json::to_vec(value).expect("all keys are strings, all numbers finite");
    text.push(b'\n');
    let mut response = whole(status, "application/json", Body::from(text));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn whole(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
