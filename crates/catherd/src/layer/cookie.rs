//! The session cookie: `JSESSIONID=KEY.ROUTE`.
//!
//! The route is a hint, and nothing more: which member of the view to ask first. It gives no
//! access, and selects no file and no host.

use catherd_core::key::Key;
use http::{HeaderMap, HeaderValue, header};

const NAME: &str = "JSESSIONID";

/// A client sends at most so many session cookies that are looked at.
const COOKIES_MAX: usize = 8;

/// What a client's cookie names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Presented {
    pub(crate) key: Key,
    pub(crate) route: Option<String>,
}

/// The session cookies of a request, in the order in which they came. What is no key is none.
pub(crate) fn presented(headers: &HeaderMap) -> Vec<Presented> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == NAME)
        .filter_map(|(_, value)| parse(value.trim_matches('"')))
        .take(COOKIES_MAX)
        .collect()
}

/// The `Set-Cookie` that gives a client the session `key` under the route `route`.
pub(crate) fn give(key: Key, route: &str, path: &str, secure: bool) -> HeaderValue {
    let route = if route.is_empty() {
        String::new()
    } else {
        format!(".{route}")
    };
    header(&format!("{key}{route}"), path, secure, "")
}

/// The `Set-Cookie` that takes a client's session cookie away.
pub(crate) fn take_away(path: &str, secure: bool) -> HeaderValue {
    header("", path, secure, "; Max-Age=0")
}

fn header(value: &str, path: &str, secure: bool, tail: &str) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{NAME}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}{tail}");
    HeaderValue::from_str(&text).expect("keys, routes and paths were checked when configured")
}

fn parse(value: &str) -> Option<Presented> {
    let (key, route) = match value.split_once('.') {
        Some((key, route)) => (key, Some(route)),
        None => (value, None),
    };
    let route = route.filter(|route| !route.is_empty() && route.len() <= 64);
    Some(Presented {
        key: key.parse().ok()?,
        route: route.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(cookies: &[&str]) -> Vec<Presented> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        presented(&headers)
    }

    const KEY: &str = "0123456789ABCDEF0011223344556677";

    #[test]
    fn key_and_route_are_found_among_other_cookies() {
        let found = parsed(&[&format!("a=b; JSESSIONID={KEY}.node01; JSESSIONIDX=1")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key.to_string(), KEY);
        assert_eq!(found[0].route.as_deref(), Some("node01"));
    }

    #[test]
    fn all_session_cookies_count_in_their_order() {
        let other = KEY.replace('0', "F");
        let found = parsed(&[
            &format!("JSESSIONID={KEY}"),
            &format!("JSESSIONID={other}.b"),
        ]);
        assert_eq!(
            found.iter().map(|p| p.key.to_string()).collect::<Vec<_>>(),
            [KEY, &other]
        );
    }

    #[test]
    fn what_is_no_key_is_no_session() {
        for value in [
            "",
            "x",
            "../../etc/passwd",
            &"A".repeat(10_000),
            "0123.node01",
        ] {
            assert_eq!(parsed(&[&format!("JSESSIONID={value}")]), [], "{value}");
        }
    }

    #[test]
    fn a_route_of_ten_kilobytes_is_none() {
        let found = parsed(&[&format!("JSESSIONID={KEY}.{}", "r".repeat(10_000))]);
        assert_eq!(found[0].route, None);
    }

    #[test]
    fn the_cookie_is_for_the_path_and_for_no_script() {
        let key = KEY.parse().unwrap();
        assert_eq!(
            give(key, "node01", "/shop", true),
            &format!("JSESSIONID={KEY}.node01; Path=/shop; HttpOnly; SameSite=Lax; Secure")
        );
        assert_eq!(
            take_away("/", false),
            "JSESSIONID=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }
}
