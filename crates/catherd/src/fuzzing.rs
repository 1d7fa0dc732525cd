//! Decoders of the library for fuzz targets; no part of the interface.

use catherd_core::session::Value;
use http::{HeaderMap, HeaderValue, header};
use serde::de::DeserializeOwned;

use crate::layer::SessionCookie;
use crate::session::{Attribute, decode};

/// A `Cookie` header.
///
/// # Panics
///
/// A key was found twice, or more were found than are looked at, or what was found does not come
/// back from the cookie that gives it.
pub fn cookies(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let cookie = SessionCookie {
        name: "JSESSIONID".to_owned(),
        path: "/".to_owned(),
        domain: None,
        secure: false,
        http_only: true,
    };
    let presented =
        |value: HeaderValue| cookie.presented(&HeaderMap::from_iter([(header::COOKIE, value)]));
    let found = presented(value);
    assert!(found.len() <= 8, "{} session cookies", found.len());
    for (at, one) in found.iter().enumerate() {
        assert!(found[..at].iter().all(|other| other.key != one.key));
        let is_name = |route: &&str| crate::is_node_name(route);
        let route = one.route.as_deref().filter(is_name).unwrap_or_default();
        let again = presented(cookie.give(one.key, route));
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].key, one.key);
        assert_eq!(again[0].route.as_deref().unwrap_or_default(), route);
    }
}

/// The bytes of an attribute, as an application reads them.
pub fn attribute<T: DeserializeOwned>(data: &[u8]) -> Option<T> {
    decode(&Attribute::<T>::new("fuzz"), &Value::new(data)).ok()
}
