//! Users, and how a session says by which request one has logged in: the same for every engine.

use catherd::Principal;

use crate::history::Number;

/// A user, who may be logged in in any number of sessions.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct User(pub u8);

/// The name under which the login of a session stands among what was found in it and written to it:
/// like any other it holds the number of the operation that wrote it.
pub const PRINCIPAL: &str = "principal";

impl User {
    /// The name of the user.
    pub(crate) fn name(self) -> String {
        format!("user{}", self.0)
    }

    /// Who is logged in, when operation `number` has said so.
    pub(crate) fn logs_in(self, number: Number) -> Principal {
        Principal::new(self.name()).auth_type(number.to_string())
    }

    /// Who is logged in, and by which operation.
    ///
    /// # Panics
    ///
    /// If it is no principal of [`logs_in`](Self::logs_in).
    pub(crate) fn logged_in(principal: &Principal) -> (Self, Number) {
        let user = principal.user().strip_prefix("user");
        let user = user.and_then(|number| number.parse().ok());
        let number = principal.authenticated_by().parse().ok();
        let (user, number) = user.zip(number).expect("all principals are made here");
        (Self(user), number)
    }
}
