//! P-GONE for users: once the end of all sessions of a user is confirmed without "pending", no node
//! yields one in which that user had logged in before, under whatever key, as long as one node lives
//! that knew of it. What was confirmed as pending has ended everywhere when the cluster is whole.
//! Logins of whoever knew of it live.
//!
//! Ends on two sides of a split that lead to the same number count as one: what logged in after the
//! one survives the other. So where one that is older than a login was not known to whoever ended
//! the sessions of the user again, nothing is promised of that login.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use super::lineage::Lineages;
use super::survival::Survival;
use crate::history::{History, Operation, Process, READER, Step};
use crate::user::{PRINCIPAL, User};

/// The end of all sessions of a user; of one that nobody got an answer of it is not known when it
/// was made, nor whether.
struct End<'a> {
    operation: &'a Operation,
    /// Who knew of it when the answer came, and whether it was confirmed as pending.
    answered: Option<(Vec<Process>, bool)>,
}

/// The ends of each user, in the order in which they were asked for.
struct Ends<'a>(BTreeMap<User, Vec<End<'a>>>);

pub(super) fn check(history: &History, survival: &Survival<'_>, found: &mut Vec<Violation>) {
    let ends = Ends::of(history);
    let mut shows: BTreeMap<User, Vec<Shown<'_>>> = BTreeMap::new();
    for later in &history.operations {
        let Some(shown) = Shown::of(history, later) else {
            continue;
        };
        if later.ran.as_ref().and_then(|ran| ran.user) != Some(shown.user) {
            found.push(Violation {
                promise: "P-NOMIX",
                operation: Some(later.number),
                what: format!("#{} had logged in {:?}", shown.login.number, shown.user),
            });
        }
        shows.entry(shown.user).or_default().push(shown);
    }
    for (user, of_user) in &ends.0 {
        for end in of_user {
            let Some((knew, is_pending)) = &end.answered else {
                continue;
            };
            let Operation {
                number,
                began,
                ended,
                ..
            } = end.operation;
            let is_broken = |shown: &&Shown<'_>| {
                let Shown { later, login, .. } = shown;
                later.began > *ended
                    && (!is_pending || later.client == READER)
                    && login.answer().is_some()
                    && login.ended <= *began
                    && !ends.is_counted_as_one(survival, (*user, end), login)
                    && survival.holds(knew, *ended, later.began)
            };
            if let Some(shown) = shows.get(user).and_then(|all| all.iter().find(is_broken)) {
                let pending = if *is_pending { " as pending" } else { "" };
                found.push(Violation {
                    promise: "P-GONE",
                    operation: Some(shown.later.number),
                    what: format!(
                        "it found {user:?} logged in by #{}, and #{number} had ended all sessions \
                         of that user, confirmed{pending}",
                        shown.login.number
                    ),
                });
            }
        }
    }
}

/// Notes when sessions may have ended because all of a user did: those with a login of somebody who
/// did not know of it.
pub(super) fn note_ends(history: &History, survival: &Survival<'_>, lineages: &mut Lineages) {
    let ends = Ends::of(history);
    for login in &history.operations {
        let Some(user) = login.ran.as_ref().and_then(|_| user_of(login)) else {
            continue;
        };
        let lineage = lineages.subjects.get_mut(&login.subject);
        let lineage = lineage.expect("every operation is in one");
        for end in ends.0.get(&user).into_iter().flatten() {
            if !end.is_known(survival, login.process, login.began) {
                lineage.may_end(end.operation.began);
            }
        }
    }
}

/// Whom an operation was to log in.
fn user_of(operation: &Operation) -> Option<User> {
    operation.steps.iter().find_map(|step| match step {
        Step::LogInAs(user) => Some(*user),
        _ => None,
    })
}

/// A session that an operation found, in which a user was logged in.
struct Shown<'a> {
    later: &'a Operation,
    login: &'a Operation,
    user: User,
}

impl<'a> Shown<'a> {
    fn of(history: &'a History, later: &'a Operation) -> Option<Self> {
        let found = later.ran.as_ref()?.found.get(PRINCIPAL)?;
        let login = history.operation(*found.last()?)?;
        Some(Self {
            later,
            login,
            user: user_of(login)?,
        })
    }
}

impl<'a> Ends<'a> {
    fn of(history: &'a History) -> Self {
        let mut ends: BTreeMap<User, Vec<End<'a>>> = BTreeMap::new();
        for operation in &history.operations {
            let user = operation.steps.iter().find_map(|step| match step {
                Step::EndAllOf(user) => Some(*user),
                _ => None,
            });
            // Who did not come to it ended nothing; who left may have ended all.
            let Some((user, ran)) = user.zip(operation.ran.as_ref()) else {
                continue;
            };
            let answered = operation.answer().map(|(flags, copies)| {
                let knew = if flags.pending {
                    &[operation.process][..]
                } else {
                    copies
                };
                (knew.to_vec(), flags.pending)
            });
            if answered.is_none() || ran.ended_all_of.is_some() {
                ends.entry(user).or_default().push(End {
                    operation,
                    answered,
                });
            }
        }
        Self(ends)
    }

    /// Whether this end may have led to no higher number than a login had already, from another end
    /// that was not known here.
    fn is_counted_as_one(
        &self,
        survival: &Survival<'_>,
        (user, end): (User, &End<'_>),
        login: &Operation,
    ) -> bool {
        let Operation {
            number,
            began,
            process,
            ..
        } = end.operation;
        self.0[&user].iter().any(|other| {
            other.operation.number != *number
                && other.operation.began < login.ended
                && !other.is_known(survival, *process, *began)
        })
    }
}

impl End<'_> {
    /// Whether a process is sure to have known of it by then.
    fn is_known(&self, survival: &Survival<'_>, to: Process, by: Duration) -> bool {
        let since = self.operation.ended;
        self.answered
            .as_ref()
            .is_some_and(|(knew, _)| since <= by && survival.holders(knew, since, by).contains(&to))
    }
}
