//! The key of a session.

use std::fmt;
use std::str::FromStr;

/// The key of a session: 128 random bits, 32 hexadecimal digits in text.
///
/// Kept as bytes, the highest first: a number of 128 bits would ask for a place at a multiple of
/// 16, and make whatever has a key in it larger.
///
/// Whoever draws it uses a cryptographic source; the core cannot. The `jvmRoute` suffix of the
/// cookie is not part of it.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key([u8; 16]);

impl Key {
    /// The lowest key.
    pub const MIN: Self = Self([0; 16]);
    /// The highest key.
    pub const MAX: Self = Self([u8::MAX; 16]);

    /// The key with these bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits.to_be_bytes())
    }

    /// The bits of the key.
    pub const fn bits(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

/// The key in full, as the cookie carries it. Never for logs: see the keyed hash that
/// [`DigestKey::pseudonym`](crate::session::DigestKey::pseudonym) makes.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", self.bits())
    }
}

/// Hides the key: debug output ends in logs.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:02X}..)", self.0[0])
    }
}

/// A text that is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session key is 32 hexadecimal digits")
    }
}

impl std::error::Error for NotAKey {}

impl FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAKey);
        }
        u128::from_str_radix(text, 16)
            .map(Self::from_bits)
            .map_err(|_| NotAKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_key_are_one() {
        let key = Key::from_bits(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(key.to_string(), "0123456789ABCDEF0011223344556677");
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.to_string().to_lowercase().parse(), Ok(key));
    }

    #[test]
    fn debug_output_does_not_tell_the_key() {
        assert_eq!(
            format!("{:?}", Key::from_bits(0xab << 120 | 7)),
            "Key(AB..)"
        );
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        for text in [
            "",
            "0",
            "+123456789ABCDEF0011223344556677",
            "../../etc/passwd",
            "é",
        ] {
            assert_eq!(text.parse::<Key>(), Err(NotAKey), "{text}");
        }
        assert_eq!("0".repeat(33).parse::<Key>(), Err(NotAKey));
    }
}
