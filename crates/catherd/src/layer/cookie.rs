//! The session cookie: `NAME=KEY.ROUTE`, and the name is `JSESSIONID` by default.
//!
//! The route is a hint, and nothing more: which member of the view to ask first. It gives no
//! access, and selects no file and no host.

use catherd_core::key::Key;
use http::{HeaderMap, HeaderValue, header};

/// A client sends at most so many session cookies that are looked at.
const COOKIES_MAX: usize = 8;

/// What the session cookie of a context looks like. Its parts were checked when the context was
/// made: nothing in them ends a cookie or a header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SessionCookie {
    /// A token.
    pub(crate) name: String,
    /// Where clients send it: begins with a slash.
    pub(crate) path: String,
    /// `None`: to the host that gave it, and to no other.
    pub(crate) domain: Option<String>,
    /// Whether clients are told to send it over TLS only.
    pub(crate) secure: bool,
    /// Whether clients are told to keep it from scripts.
    pub(crate) http_only: bool,
}

/// What a client's cookie names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Presented {
    pub(crate) key: Key,
    pub(crate) route: Option<String>,
}

impl SessionCookie {
    /// The session cookies of a request, in the order in which they came. What is no key is none,
    /// and a key that comes again is not looked at again: each may cost a question to the members.
    pub(crate) fn presented(&self, headers: &HeaderMap) -> Vec<Presented> {
        let pairs = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let presented = pairs
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name)
            .filter_map(|(_, value)| parse(value.trim_matches('"')));
        let mut distinct: Vec<Presented> = Vec::new();
        for one in presented {
            if distinct.len() == COOKIES_MAX {
                break;
            }
            if distinct.iter().all(|other| other.key != one.key) {
                distinct.push(one);
            }
        }
        distinct
    }

    /// The `Set-Cookie` that gives a client the session `key` under the route `route`.
    pub(crate) fn give(&self, key: Key, route: &str) -> HeaderValue {
        let route = if route.is_empty() {
            String::new()
        } else {
            format!(".{route}")
        };
        self.to_header(&format!("{key}{route}"), "")
    }

    /// The `Set-Cookie` that takes a client's session cookie away.
    pub(crate) fn take_away(&self) -> HeaderValue {
        self.to_header("", "; Max-Age=0")
    }

    fn to_header(&self, value: &str, tail: &str) -> HeaderValue {
        let Self {
            name,
            path,
            domain,
            secure,
            http_only,
        } = self;
        let domain = match domain {
            Some(domain) => format!("; Domain={domain}"),
            None => String::new(),
        };
        let http_only = if *http_only { "; HttpOnly" } else { "" };
        let secure = if *secure { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path={path}{domain}{http_only}; SameSite=Lax{secure}{tail}");
        HeaderValue::from_str(&text).expect("every part was checked when the context was made")
    }
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

    fn cookie() -> SessionCookie {
        SessionCookie {
            name: "JSESSIONID".to_owned(),
            path: "/shop".to_owned(),
            domain: None,
            secure: false,
            http_only: true,
        }
    }

    fn parsed(cookies: &[&str]) -> Vec<Presented> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
        }
        cookie().presented(&headers)
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
    fn a_key_counts_once_and_no_more_than_eight_count() {
        let again = format!("JSESSIONID={KEY}.a; ").repeat(1000);
        let found = parsed(&[&again]);
        assert_eq!(found.len(), 1);
        let one = |n: u32| format!("JSESSIONID={n:032X}; ");
        let many: String = (1..1000).map(one).collect();
        assert_eq!(parsed(&[&many]).len(), COOKIES_MAX);
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
        let secure = SessionCookie {
            secure: true,
            ..cookie()
        };
        assert_eq!(
            secure.give(key, "node01"),
            &format!("JSESSIONID={KEY}.node01; Path=/shop; HttpOnly; SameSite=Lax; Secure")
        );
        assert_eq!(
            cookie().take_away(),
            "JSESSIONID=; Path=/shop; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn name_domain_and_what_scripts_may_see_are_the_contexts_choice() {
        let other = SessionCookie {
            name: "sid".to_owned(),
            domain: Some("shop.example".to_owned()),
            http_only: false,
            ..cookie()
        };
        assert_eq!(
            other.give(KEY.parse().unwrap(), ""),
            &format!("sid={KEY}; Path=/shop; Domain=shop.example; SameSite=Lax")
        );
        assert_eq!(
            other.take_away(),
            "sid=; Path=/shop; Domain=shop.example; SameSite=Lax; Max-Age=0"
        );
        let both = format!("JSESSIONID={KEY}; sid={}", KEY.replace('0', "F"));
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_str(&both).unwrap());
        let found = other.presented(&headers);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key.to_string(), KEY.replace('0', "F"));
    }
}
