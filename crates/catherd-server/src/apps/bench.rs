//! `/bench`: what the benchmarks measure, the same contract as every peer.
//!
//! | request | answer, as text |
//! |---|---|
//! | `GET /bench/session?size=N` | makes the session if there is none, adds 1 to `counter`, sets `payload` to N characters that differ from the last ones: `counter=C size=N` |
//! | `GET /bench/read` | the same without writing, or `none` without a session |
//! | `GET /bench/plain` | `hello`; touches no session |
//!
//! A service of its own and no router: nothing here waits, and what is measured is the session.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use catherd::{Attribute, AttributeError, Session};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use tower::Service;

/// The application; goes behind the layer of its context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bench;

impl<B> Service<Request<B>> for Bench {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (status, text) = answer(&request);
        let mut response = Response::new(Full::new(text));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/plain");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        ready(Ok(response))
    }
}

fn answer<B>(request: &Request<B>) -> (StatusCode, Bytes) {
    if request.method() != Method::GET {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            "405 Method Not Allowed\n".into(),
        );
    }
    let session = || {
        request
            .extensions()
            .get()
            .expect("the layer of the context gives one")
    };
    let answered = match request.uri().path() {
        "/bench/session" => match size(request.uri().query()) {
            Some(size) => write(session(), size),
            None => {
                let why = format!("size is a number of bytes, at most {SIZE_MAX}\n");
                return (StatusCode::BAD_REQUEST, why.into());
            }
        },
        "/bench/read" => read(session()),
        "/bench/plain" => Ok("hello\n".into()),
        _ => return (StatusCode::NOT_FOUND, "404 Not Found\n".into()),
    };
    match answered {
        Ok(text) => (StatusCode::OK, text),
        Err(error @ AttributeError::Limit(_)) => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("{error}\n").into())
        }
        Err(error @ AttributeError::TableFull) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n").into())
        }
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{error}\n").into(),
        ),
    }
}

const COUNTER: Attribute<u64> = Attribute::new("counter");
const PAYLOAD: Attribute<String> = Attribute::new("payload");
const PAYLOAD_SIZE: Attribute<Size> = Attribute::new("payload");

/// What one request may ask for; what a session may have is the context's to say.
const SIZE_MAX: usize = 64 << 20;

/// What peers use without a size.
const SIZE: usize = 1024;

fn size(query: Option<&str>) -> Option<usize> {
    let pairs = query.unwrap_or_default().split('&');
    let size = pairs.filter_map(|pair| pair.strip_prefix("size=")).next();
    let size = size.map_or(Some(SIZE), |size| size.parse().ok())?;
    (size <= SIZE_MAX).then_some(size)
}

fn write(session: &Session, size: usize) -> Result<Bytes, AttributeError> {
    let add = |counter: &mut Option<u64>| *counter.insert(counter.unwrap_or(0).wrapping_add(1));
    let counter = session.update(COUNTER, add)?;
    let letter = b'a' + u8::try_from(counter % 26).expect("a remainder of 26");
    let payload = String::from_utf8(vec![letter; size]).expect("letters are characters");
    session.insert(PAYLOAD, &payload)?;
    Ok(format!("counter={counter} size={size}\n").into())
}

fn read(session: &Session) -> Result<Bytes, AttributeError> {
    let Some(counter) = session.get(COUNTER)? else {
        return Ok("none\n".into());
    };
    let size = session.get(PAYLOAD_SIZE)?.map_or(0, |Size(size)| size);
    Ok(format!("counter={counter} size={size}\n").into())
}

/// The size of a string, without a copy of it.
struct Size(usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Measure;
        impl Visitor<'_> for Measure {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                Ok(Size(text.len()))
            }
        }
        deserializer.deserialize_str(Measure)
    }
}

#[cfg(test)]
mod tests {
    use catherd::{Cluster, Manager};
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::engine::{Application, mount};
    use crate::http::Body;

    fn bench(bytes_max: usize) -> Box<dyn Application> {
        let cluster = Cluster::builder()
            .node_name("node01")
            .start_local()
            .unwrap();
        let manager = Manager::delta().max_session_bytes(bytes_max);
        let context = cluster.context("/bench").manager(manager).build().unwrap();
        mount(tower::Layer::layer(&context.layer(), Bench))
    }

    async fn ask(
        bench: &dyn Application,
        path: &str,
        cookie: Option<&str>,
    ) -> (u16, String, Option<String>) {
        let mut request = Request::get(path);
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response = bench.answer(request.body(Body::empty()).unwrap()).await;
        let status = response.status().as_u16();
        let cookie = response.headers().get(header::SET_COOKIE).map(|cookie| {
            cookie
                .to_str()
                .unwrap()
                .split(';')
                .next()
                .unwrap()
                .to_owned()
        });
        let kind = response.headers()[header::CONTENT_TYPE].clone();
        assert_eq!(kind, "text/plain");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap(), cookie)
    }

    #[tokio::test]
    async fn the_session_counts_and_is_read() {
        let bench = bench(1 << 20);
        let (status, text, cookie) = ask(&*bench, "/bench/session?size=10", None).await;
        assert_eq!((status, text.as_str()), (200, "counter=1 size=10\n"));
        let cookie = cookie.as_deref();
        let again = ask(&*bench, "/bench/session?size=1000", cookie).await;
        assert_eq!(again, (200, "counter=2 size=1000\n".to_owned(), None));
        let read = ask(&*bench, "/bench/read", cookie).await;
        assert_eq!(read, (200, "counter=2 size=1000\n".to_owned(), None));
    }

    #[tokio::test]
    async fn what_only_reads_makes_no_session() {
        let bench = bench(1 << 20);
        assert_eq!(
            ask(&*bench, "/bench/read", None).await,
            (200, "none\n".to_owned(), None)
        );
        assert_eq!(
            ask(&*bench, "/bench/plain", None).await,
            (200, "hello\n".to_owned(), None)
        );
    }

    #[tokio::test]
    async fn a_size_that_is_none_is_refused() {
        let bench = bench(1 << 20);
        for size in ["x", "-1", "", "1e3", "99999999999999999999", "1073741824"] {
            let (status, _, cookie) =
                ask(&*bench, &format!("/bench/session?size={size}"), None).await;
            assert_eq!((status, cookie), (400, None), "{size}");
        }
    }

    #[tokio::test]
    async fn a_payload_beyond_the_limit_of_the_context_is_413() {
        let bench = bench(1000);
        let (status, text, _) = ask(&*bench, "/bench/session?size=2000", None).await;
        assert_eq!(status, 413);
        assert!(text.contains("maxSessionBytes"), "{text}");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_none() {
        let bench = bench(1 << 20);
        assert_eq!(ask(&*bench, "/bench", None).await.0, 404);
        let post = Request::post("/bench/plain").body(Body::empty()).unwrap();
        assert_eq!(
            bench.answer(post).await.status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}
