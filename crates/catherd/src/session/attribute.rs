//! Names with a type, and what can be wrong with a value.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use catherd_core::session::{Limit, Name, PrincipalError, Slot, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The name of an attribute, and the type of its value.
///
/// ```
/// use catherd::Attribute;
///
/// const VISITS: Attribute<u64> = Attribute::new("visits");
/// # let _ = VISITS;
/// ```
pub struct Attribute<T> {
    name: Cow<'static, str>,
    value: PhantomData<fn() -> T>,
}

impl<T> Attribute<T> {
    /// The attribute called `name`.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            value: PhantomData,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn slot(&self) -> Result<Slot, AttributeError> {
        let too_long = || AttributeError::Name {
            bytes: self.name.len(),
        };
        Name::new(&self.name)
            .map(Slot::Attribute)
            .ok_or_else(too_long)
    }
}

impl<T> Clone for Attribute<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            value: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Attribute<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attribute({:?})", self.name)
    }
}

impl<T> From<&'static str> for Attribute<T> {
    fn from(name: &'static str) -> Self {
        Self::new(name)
    }
}

impl<T> From<String> for Attribute<T> {
    fn from(name: String) -> Self {
        Self {
            name: Cow::Owned(name),
            value: PhantomData,
        }
    }
}

/// An attribute could not be read or set. The session is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttributeError {
    /// The value cannot be encoded (HOW-TO, "Quick Start": all attributes must be serializable).
    Encode {
        /// The attribute.
        name: String,
        /// What the encoder says.
        source: rmp_serde::encode::Error,
    },
    /// The bytes under the name are not a value of the type that was asked for, or nest more than
    /// 256 values within each other.
    Decode {
        /// The attribute.
        name: String,
        /// What the decoder says.
        source: rmp_serde::decode::Error,
    },
    /// The session would be larger than its context allows.
    Limit(Limit),
    /// The name is empty, or longer than 1024 bytes.
    Name {
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// The principal has a part that is empty or too long, or too many roles.
    Principal(PrincipalError),
    /// There are as many sessions as the context may have (`maxActiveSessions`), and none that ends
    /// for a new one: each was used again, or has a user.
    TableFull,
    /// There is no session, and the head of the response has left: a new one could not reach its
    /// client.
    TooLate,
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode { name, .. } => write!(
                f,
                "the value of attribute `{name}` cannot be encoded; store a type that serde can \
                 serialize"
            ),
            Self::Decode { name, .. } => write!(
                f,
                "attribute `{name}` holds a value of another type; read it as the type that was \
                 stored, or remove it"
            ),
            Self::Limit(limit) => fmt::Display::fmt(limit, f),
            Self::Principal(error) => fmt::Display::fmt(error, f),
            Self::Name { bytes } => write!(
                f,
                "the name of an attribute has {bytes} bytes; it must have 1 to {}",
                Name::BYTES_MAX
            ),
            Self::TableFull => f.write_str(
                "the context has as many sessions as it may have; raise maxActiveSessions, or let \
                 sessions end sooner",
            ),
            Self::TooLate => f.write_str(
                "there is no session, and the response has begun; set attributes before it does",
            ),
        }
    }
}

impl std::error::Error for AttributeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode { source, .. } => Some(source),
            Self::Decode { source, .. } => Some(source),
            Self::Limit(_)
            | Self::Principal(_)
            | Self::Name { .. }
            | Self::TableFull
            | Self::TooLate => None,
        }
    }
}

/// A decoder that calls itself once for each level has this many: the bytes may be another node's,
/// and must not use up the stack of the thread that serves the request.
const DEPTH_MAX: usize = 256;

pub(super) fn encode<T: Serialize>(
    attribute: &Attribute<T>,
    value: &T,
) -> Result<Value, AttributeError> {
    rmp_serde::to_vec_named(value)
        .map(|bytes| Value::new(&bytes))
        .map_err(|source| AttributeError::Encode {
            name: attribute.name.clone().into_owned(),
            source,
        })
}

pub(crate) fn decode<T: DeserializeOwned>(
    attribute: &Attribute<T>,
    value: &Value,
) -> Result<T, AttributeError> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(value.as_bytes());
    decoder.set_max_depth(DEPTH_MAX);
    T::deserialize(&mut decoder).map_err(|source| AttributeError::Decode {
        name: attribute.name.clone().into_owned(),
        source,
    })
}
