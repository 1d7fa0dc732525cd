//! The value that says who is logged in: golden bytes, and bytes that nobody of good will sends.

use catherd_core::message::DecodeError;
use catherd_core::session::{Principal, PrincipalError, Value};

use crate::golden::assert_golden;
use crate::hostile::Raw;

fn anna() -> Principal {
    Principal::new("anna")
        .role("admin")
        .role("customer")
        .auth_type("FORM")
        .of_generation(3)
}

fn decode(raw: &Raw) -> Result<Principal, DecodeError> {
    Principal::from_value(&Value::new(&raw.payload()))
}

fn user() -> Raw {
    Raw::new().bytes(1, b"anna")
}

#[test]
fn a_principal_has_its_golden_bytes() {
    let value = anna().to_value().unwrap();
    assert_golden("principal", value.as_bytes());
    assert_eq!(Principal::from_value(&value), Ok(anna()));
}

#[test]
fn roles_that_come_twice_or_out_of_order_are_put_in_order() {
    let raw = Raw::new()
        .bytes(2, b"customer")
        .bytes(2, b"admin")
        .bytes(2, b"customer");
    let raw = raw.bytes(1, b"anna").bytes(3, b"FORM").number(4, 3);
    assert_eq!(decode(&raw), Ok(anna()));
}

#[test]
fn fields_of_later_releases_are_skipped_in_a_principal() {
    let raw = user().number(1000, 7).bytes(1001, b"new").fixed(1002, 7);
    assert_eq!(decode(&raw), Ok(Principal::new("anna")));
}

#[test]
fn spoiled_principals_are_refused() {
    use DecodeError::{Insane, Malformed, TooLong, TooMany};

    let many = |raw: Raw, count: usize, size: usize| {
        (0..count).fold(raw, |raw, n| raw.bytes(2, format!("{n:0size$}").as_bytes()))
    };
    let table = [
        ("nothing", Raw::new(), Malformed),
        ("no user", Raw::new().bytes(2, b"admin"), Malformed),
        ("a user without a name", Raw::new().bytes(1, b""), Malformed),
        (
            "a name of 1025 bytes",
            Raw::new().bytes(1, &[b'a'; 1025]),
            TooLong,
        ),
        ("no text", Raw::new().bytes(1, &[0xff]), Malformed),
        ("a role without a name", user().bytes(2, b""), Malformed),
        (
            "a role of 257 bytes",
            user().bytes(2, &[b'a'; 257]),
            TooLong,
        ),
        ("257 roles", many(user(), 257, 4), Malformed),
        ("a million roles", many(user(), 1 << 20, 1), TooMany),
        (
            "an authentication of 65 bytes",
            user().bytes(3, &[b'a'; 65]),
            TooLong,
        ),
        (
            "a generation above its bound",
            user().number(4, (1 << 56) + 1),
            Insane,
        ),
        ("a number for a user", Raw::new().number(1, 7), Malformed),
        ("a group", user().varint(9 << 3 | 3), Malformed),
    ];
    for (what, raw, error) in table {
        assert_eq!(decode(&raw), Err(error), "{what}");
    }
    let most = many(user(), Principal::ROLES_MAX, Principal::ROLE_BYTES_MAX);
    assert!(decode(&most).is_ok(), "as many and as long as they may be");
}

#[test]
fn a_truncated_principal_is_not_what_it_was() {
    let value = anna().to_value().unwrap();
    for len in 0..value.len() {
        let decoded = Principal::from_value(&Value::new(&value.as_bytes()[..len]));
        assert_ne!(decoded, Ok(anna()), "{len} bytes of it");
    }
}

#[test]
fn what_no_session_can_keep_is_not_encoded() {
    let longest = Principal::new("a".repeat(1024))
        .role("r".repeat(256))
        .auth_type("t".repeat(64));
    assert_eq!(longest.check(), Ok(()));
    let many = (0..257).fold(Principal::new("anna"), |principal, n| {
        principal.role(n.to_string())
    });
    for (principal, error) in [
        (Principal::new(""), PrincipalError::User { bytes: 0 }),
        (
            Principal::new("a".repeat(1025)),
            PrincipalError::User { bytes: 1025 },
        ),
        (
            Principal::new("anna").role(""),
            PrincipalError::Role { bytes: 0 },
        ),
        (
            Principal::new("anna").role("r".repeat(257)),
            PrincipalError::Role { bytes: 257 },
        ),
        (many, PrincipalError::Roles { count: 257 }),
        (
            Principal::new("anna").auth_type("t".repeat(65)),
            PrincipalError::AuthType { bytes: 65 },
        ),
    ] {
        assert_eq!(principal.to_value(), Err(error));
    }
}
