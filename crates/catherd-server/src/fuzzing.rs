//! Decoders of the server for fuzz targets; no part of the interface.

use http::Request;

use crate::http::refuse;

/// The path and the host of a request, each on a line of its own.
///
/// # Panics
///
/// A head was let in whose path means another one after decoding.
pub fn head(data: &[u8]) {
    let mut lines = data.splitn(2, |&byte| byte == b'\n');
    let (path, host) = (lines.next().unwrap_or_default(), lines.next());
    let mut request = Request::builder().uri(path);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    // What is no head at all is refused before it comes here.
    let Ok(request) = request.body(()) else {
        return;
    };
    if refuse(&request).is_err() {
        return;
    }
    let path = request.uri().path();
    let decoded = decoded(path.as_bytes());
    let slashes = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'/').count();
    assert_eq!(slashes(&decoded), slashes(path.as_bytes()), "{path}");
    assert!(
        !decoded.iter().any(|byte| matches!(byte, b'\\' | 0)),
        "{path}"
    );
    let mut segments = decoded.split(|&byte| byte == b'/');
    assert!(!segments.any(|one| one == b"." || one == b".."), "{path}");
}

/// The bytes that a path stands for; a broken percent sign stands for itself.
fn decoded(path: &[u8]) -> Vec<u8> {
    let (mut rest, mut bytes) = (path, Vec::with_capacity(path.len()));
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.first_chunk::<2>().filter(|_| byte == b'%');
        let number = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(number.unwrap_or(byte));
        rest = if number.is_some() {
            &behind[2..]
        } else {
            behind
        };
    }
    bytes
}
