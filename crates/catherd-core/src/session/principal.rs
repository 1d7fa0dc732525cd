//! Who is logged in.

use std::fmt;

use super::state::State;
use super::value::Slot;
use crate::planted::{Bug, is_planted};

/// The user of a session, the roles, and how they proved who they are.
///
/// One register of the session holds all of it, so that two logins at once resolve as a whole.
/// Equal principals have equal bytes: roles are sorted, each is there once.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Principal {
    pub(crate) user: String,
    pub(crate) roles: Vec<String>,
    pub(crate) auth_type: String,
    pub(crate) generation: u64,
}

impl Principal {
    /// The name of a user has 1 to so many bytes.
    pub const USER_BYTES_MAX: usize = 1024;
    /// A user has at most so many roles.
    pub const ROLES_MAX: usize = 256;
    /// The name of a role has 1 to so many bytes.
    pub const ROLE_BYTES_MAX: usize = 256;
    /// The kind of authentication has at most so many bytes.
    pub const AUTH_TYPE_BYTES_MAX: usize = 64;

    /// The user called `user`, without roles.
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            roles: Vec::new(),
            auth_type: String::new(),
            generation: 0,
        }
    }

    /// Adds a role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        let role = role.into();
        if let Err(at) = self.roles.binary_search(&role) {
            self.roles.insert(at, role);
        }
        self
    }

    /// Says how the user proved who they are: `FORM`, `BASIC`, or a word of the application.
    #[must_use]
    pub fn auth_type(mut self, auth_type: impl Into<String>) -> Self {
        self.auth_type = auth_type.into();
        self
    }

    /// Says which generation of the user the login is of: the one that its node knew.
    #[must_use]
    pub fn of_generation(mut self, generation: u64) -> Self {
        if !is_planted(Bug::LogsInAsOfOld) {
            self.generation = generation;
        }
        self
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The roles, sorted.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(String::as_str)
    }

    /// Whether the user has this role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|other| other == role)
    }

    /// How the user proved who they are; empty if nobody said.
    pub fn authenticated_by(&self) -> &str {
        &self.auth_type
    }

    /// How often all sessions of the user had been ended when they logged in, as far as the node
    /// of the login remembered: a session of a lower generation than its user's is over.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a session can keep it.
    ///
    /// # Errors
    ///
    /// One of its parts is empty or too long, or there are too many roles.
    pub fn check(&self) -> Result<(), PrincipalError> {
        let len = self.user.len();
        if !(1..=Self::USER_BYTES_MAX).contains(&len) {
            return Err(PrincipalError::User { bytes: len });
        }
        if self.roles.len() > Self::ROLES_MAX {
            let count = self.roles.len();
            return Err(PrincipalError::Roles { count });
        }
        let is_wrong = |len: &usize| !(1..=Self::ROLE_BYTES_MAX).contains(len);
        if let Some(bytes) = self.roles.iter().map(String::len).find(is_wrong) {
            return Err(PrincipalError::Role { bytes });
        }
        let len = self.auth_type.len();
        if len > Self::AUTH_TYPE_BYTES_MAX {
            return Err(PrincipalError::AuthType { bytes: len });
        }
        Ok(())
    }
}

/// Tells neither user nor roles: debug output ends in logs.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("roles", &self.roles.len())
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Who is logged in, as the application sees it: what it set, else what is committed. `None`
    /// also for a value that does not decode: whoever cannot be read is nobody.
    pub fn principal(&self) -> Option<Principal> {
        Principal::from_bytes(self.read(&Slot::Principal)?).ok()
    }
}

/// A principal that no session can keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PrincipalError {
    /// The user's name is empty or too long.
    User {
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// There are too many roles.
    Roles {
        /// How many there are.
        count: usize,
    },
    /// A role's name is empty or too long.
    Role {
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// The kind of authentication is too long.
    AuthType {
        /// How long it is, in bytes.
        bytes: usize,
    },
}

impl fmt::Display for PrincipalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { bytes } => write!(
                f,
                "the name of the user has {bytes} bytes; it must have 1 to {}",
                Principal::USER_BYTES_MAX
            ),
            Self::Roles { count } => write!(
                f,
                "the user has {count} roles and may have {}",
                Principal::ROLES_MAX
            ),
            Self::Role { bytes } => write!(
                f,
                "the name of a role has {bytes} bytes; it must have 1 to {}",
                Principal::ROLE_BYTES_MAX
            ),
            Self::AuthType { bytes } => write!(
                f,
                "the kind of authentication has {bytes} bytes and may have {}",
                Principal::AUTH_TYPE_BYTES_MAX
            ),
        }
    }
}

impl std::error::Error for PrincipalError {}
