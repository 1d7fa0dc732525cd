//! Requests that change something come from the page itself, or from no page at all.
//!
//! The session cookie is `SameSite=Lax`, so pages of other sites cannot send it with a form. What
//! is left are pages of the same site and another origin: another port of this machine. Browsers
//! say where a request comes from; programs do not, and need not.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::problem::Problem;

/// Lets a request pass that is safe, or comes from here.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    if request.method().is_safe() || is_from_here(request.headers()) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::FORBIDDEN,
        "the request comes from a page of another origin",
    )
    .into_response()
}

fn is_from_here(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, authority)| Some(authority) == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_let_in(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                header::HeaderValue::from_static(value),
            )
        });
        is_from_here(&headers.collect())
    }

    #[test]
    fn programs_and_the_page_itself_are_let_in() {
        assert!(is_let_in(&[("host", "localhost:8080")]));
        assert!(is_let_in(&[
            ("host", "a:1"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(is_let_in(&[("host", "a:1"), ("sec-fetch-site", "none")]));
        assert!(is_let_in(&[("host", "a:1"), ("origin", "http://a:1")]));
    }

    #[test]
    fn pages_of_another_origin_are_not() {
        let host = ("host", "127.0.0.1:8080");
        assert!(!is_let_in(&[host, ("sec-fetch-site", "same-site")]));
        assert!(!is_let_in(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!is_let_in(&[host, ("origin", "http://127.0.0.1:9090")]));
        assert!(!is_let_in(&[host, ("origin", "http://evil.test")]));
        assert!(!is_let_in(&[host, ("origin", "null")]));
        let contradiction = [
            host,
            ("origin", "http://127.0.0.1:8080"),
            ("sec-fetch-site", "x"),
        ];
        assert!(!is_let_in(&contradiction));
    }
}
