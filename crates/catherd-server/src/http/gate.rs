//! Heads and paths that are refused before anything looks at them.
//!
//! Reject, do not repair: whoever sits between the client and this server may have read such a
//! request another way. The path is looked at as it came, and decoded nowhere before an
//! application does it for its own part; so what could mean another path after decoding is not let
//! in. A semicolon has no meaning here: `;jsessionid=` in a path is part of the path, since ids
//! leak through logs and referrers.

use http::{HeaderMap, Method, Request, StatusCode, Version, header};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refused {
    /// What the answer says.
    pub(crate) status: StatusCode,
    /// A line for whoever reads it.
    pub(crate) why: &'static str,
}

/// Looks at the head of a request; the name of the host that it is for, without a port, or an
/// empty one.
pub(crate) fn refuse<B>(request: &Request<B>) -> Result<&str, Refused> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Refused {
            status: StatusCode::METHOD_NOT_ALLOWED,
            why: "This server is no proxy and gives no traces.\n",
        });
    }
    check_coding(request.headers())?;
    check_path(request.uri().path())?;
    host(request)
}

fn bad(why: &'static str) -> Refused {
    Refused {
        status: StatusCode::BAD_REQUEST,
        why,
    }
}

/// RFC 9112 §6.1: a coding that is not understood is answered with 501.
fn check_coding(headers: &HeaderMap) -> Result<(), Refused> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(());
    };
    if coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none() {
        return Ok(());
    }
    Err(Refused {
        status: StatusCode::NOT_IMPLEMENTED,
        why: "The only transfer coding here is `chunked`.\n",
    })
}

fn check_path(path: &str) -> Result<(), Refused> {
    if !path.starts_with('/') {
        return Err(bad("A path begins with a slash.\n"));
    }
    // Almost every path passes here.
    if !path
        .bytes()
        .any(|byte| matches!(byte, b'%' | b'\\' | b'.' | 0))
    {
        return Ok(());
    }
    if path.bytes().any(|byte| matches!(byte, b'\\' | 0)) {
        return Err(bad("A path has no backslash.\n"));
    }
    path[1..].split('/').try_for_each(check_segment)
}

/// Decodes as much of a segment as it takes to see that it means itself.
fn check_segment(segment: &str) -> Result<(), Refused> {
    let mut bytes = segment.bytes();
    let (mut dots, mut others) = (0, 0);
    while let Some(byte) = bytes.next() {
        let decoded = if byte == b'%' {
            let digits = (bytes.next().and_then(hex), bytes.next().and_then(hex));
            let (Some(high), Some(low)) = digits else {
                return Err(bad("After `%` come two hexadecimal digits.\n"));
            };
            let decoded = high << 4 | low;
            if matches!(decoded, b'/' | b'\\' | 0) {
                return Err(bad("A path has no encoded slash, backslash or NUL.\n"));
            }
            decoded
        } else {
            byte
        };
        if decoded == b'.' {
            dots += 1
        } else {
            others += 1
        }
    }
    if others == 0 && matches!(dots, 1 | 2) {
        return Err(bad("A path has no segment `.` or `..`.\n"));
    }
    Ok(())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// RFC 9112 §3.2: one `Host`, or the request is bad; the authority of the target goes before it.
fn host<B>(request: &Request<B>) -> Result<&str, Refused> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("A request has one Host.\n"));
    }
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Err(bad("A request has a Host.\n"));
    }
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.host());
    }
    let Some(host) = host else { return Ok("") };
    let legal = |byte: &u8| byte.is_ascii_graphic() && !b"/\\@?#<>\"".contains(byte);
    match host.to_str() {
        Ok(host) if host.bytes().all(|byte| legal(&byte)) => Ok(without_port(host)),
        _ => Err(bad("A Host is a name and perhaps a port.\n")),
    }
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn ordinary_paths_pass() {
        let paths = [
            "/",
            "/examples",
            "/examples/",
            "/a//b",
            "/a/b.html",
            "/a/...",
            "/.well-known/x",
            "/a%20b/%C3%A4",
            "/shop;jsessionid=1",
            "/a/..b",
        ];
        for path in paths {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_that_could_mean_another_are_refused() {
        let paths = [
            "",
            "*",
            "/..",
            "/../etc/passwd",
            "/examples/../bench",
            "/examples/./session",
            "/examples/%2e%2e/bench",
            "/examples/%2E./bench",
            "/examples/.%2e",
            "/examples%2fsession",
            "/examples%2Fsession",
            "/examples%5c..%5cx",
            "/examples\\session",
            "/examples/%00",
            "/examples/\0",
            "/%",
            "/%4",
            "/%zz",
        ];
        for path in paths {
            assert_eq!(
                check_path(path).unwrap_err().status,
                StatusCode::BAD_REQUEST,
                "{path}"
            );
        }
    }

    #[test]
    fn the_host_is_the_name_without_its_port() {
        for (sent, name) in [
            ("shop.test", "shop.test"),
            ("Shop.Test:8080", "Shop.Test"),
            ("[::1]:8080", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(refuse(&head("/", &[("host", sent)])), Ok(name));
        }
    }

    #[test]
    fn the_authority_of_the_target_goes_before_the_host() {
        let request = head("http://a.test:1/x", &[("host", "b.test")]);
        assert_eq!(refuse(&request), Ok("a.test"));
    }

    #[test]
    fn no_host_two_hosts_and_strange_hosts_are_refused() {
        let two = [("host", "a"), ("host", "a")];
        for headers in [
            &[][..],
            &two,
            &[("host", "a/b")],
            &[("host", "u@a")],
            &[("host", "a b")],
        ] {
            let refused = refuse(&head("/", headers)).unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{headers:?}");
        }
    }

    #[test]
    fn a_coding_other_than_chunked_is_refused() {
        for coding in ["gzip, chunked", "identity", "xchunked", ""] {
            let request = head("/", &[("host", "a"), ("transfer-encoding", coding)]);
            assert_eq!(
                refuse(&request).unwrap_err().status,
                StatusCode::NOT_IMPLEMENTED
            );
        }
        let chunked = head("/", &[("host", "a"), ("transfer-encoding", "Chunked")]);
        assert_eq!(refuse(&chunked), Ok("a"));
    }

    #[test]
    fn traces_and_tunnels_are_refused() {
        for method in [Method::TRACE, Method::CONNECT] {
            let mut request = head("/", &[("host", "a")]);
            *request.method_mut() = method;
            assert_eq!(
                refuse(&request).unwrap_err().status,
                StatusCode::METHOD_NOT_ALLOWED
            );
        }
    }
}
