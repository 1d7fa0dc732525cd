//! The value of the register that says who is logged in.

use prost::Message as _;

use super::super::wire;
use super::{DecodeError, check};
use crate::session::{Principal, PrincipalError, Value};
use crate::version::Version;

impl Principal {
    /// The principal as a session keeps it and as it travels.
    ///
    /// # Errors
    ///
    /// It is none that a session can keep: see [`check`](Self::check).
    pub fn to_value(&self) -> Result<Value, PrincipalError> {
        self.check()?;
        let message = wire::Principal {
            user: self.user.clone(),
            roles: self.roles.clone(),
            auth_type: self.auth_type.clone(),
            generation: self.generation,
        };
        Ok(Value::new(&message.encode_to_vec()))
    }

    /// The principal in a value.
    ///
    /// # Errors
    ///
    /// The value holds none: its bytes came from a member, and nobody is logged in by them.
    pub fn from_value(value: &Value) -> Result<Self, DecodeError> {
        Self::from_bytes(value.as_bytes())
    }

    /// The principal in the bytes of a value.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        check(bytes, &wire::PRINCIPAL)?;
        let message = wire::Principal::decode(bytes).map_err(|_| DecodeError::Malformed)?;
        if message.generation > Version::REVISION_MAX {
            return Err(DecodeError::Insane);
        }
        let mut roles = message.roles;
        roles.sort_unstable();
        roles.dedup();
        let principal = Self {
            user: message.user,
            roles,
            auth_type: message.auth_type,
            generation: message.generation,
        };
        principal.check().map_err(|_| DecodeError::Malformed)?;
        Ok(principal)
    }
}
