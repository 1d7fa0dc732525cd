//! Who is logged in, and the end of all sessions of a user, as the shell does it. Each process ends
//! the sessions of a lower generation than their user's itself, wherever it meets one.

use catherd::core::key::Key;
use catherd::core::link::FrameClass;
use catherd::core::session::{Entry, Fragment, Principal, Slot, State, Value};

use super::node::{Receipt, tombstone_life};
use super::sessions::Current;
use super::world::World;
use crate::history::{Number, Process};
use crate::user::User;

/// Where all sessions of a user were ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Raised {
    Here,
    There,
}

/// Which value of a session says who is logged in.
type Login = for<'a> fn(&'a State) -> Option<&'a [u8]>;

const COMMITTED: Login = |state| state.committed(&Slot::Principal);
const SET: Login = |state| state.read(&Slot::Principal);

impl World {
    /// Says who is logged in, uncommitted; gives the login before.
    pub(super) fn log_in(
        &mut self,
        process: Process,
        current: Current,
        (user, number): (User, Number),
    ) -> Option<Number> {
        let before = self.live(process, current.key, login_of).flatten();
        let generation = self.generation(process, self.with.user(&user.name()));
        let principal = user.logs_in(number).of_generation(generation);
        let value = principal.to_value().expect("names are short");
        self.set_principal(process, current, value);
        before.map(|(_, number)| number)
    }

    fn set_principal(&mut self, process: Process, current: Current, value: Value) {
        let rules = self.node(process).rules;
        self.set(process, current, |state| {
            let set = state.set(Slot::Principal, Some(value), &rules);
            set.expect("it is small enough");
        });
    }

    /// Raises the generation of a user, tells every member, and ends what is here.
    pub(super) fn end_sessions_of(&mut self, process: Process, user: User) -> Receipt {
        let (time, user) = (self.time(process), self.with.user(&user.name()));
        let (mut highest, mut life) = (0, tombstone_life(Some(self.plan.settings.idle_limit)));
        for key in self.sessions_of(process, user) {
            let of =
                |state: &State| Some((self.filed_under(state, COMMITTED)?, state.idle_limit()));
            if let Some(((_, generation), limit)) = self.live(process, key, of).flatten() {
                highest = highest.max(generation);
                life = life.max(tombstone_life(limit));
            }
        }
        let raised = self.change(process, user, |entry| {
            Entry::raise(entry, user, time, life, highest)
        });
        let receipt = self.queue_fragments(process, &[raised], None, FrameClass::Tombstone);
        self.end_all_of(process, user, Raised::Here);
        receipt
    }

    /// Ends the sessions of a user whose generation has risen.
    pub(super) fn end_all_of(&mut self, process: Process, user: Key, raised: Raised) {
        for key in self.sessions_of(process, user) {
            self.end_if_over(process, key, raised);
        }
    }

    /// Ends a session of a lower generation than its user. Nobody is told: every process does it for
    /// itself.
    pub(super) fn end_if_over(&mut self, process: Process, key: Key, raised: Raised) -> bool {
        let is_over = self.is_over(process, key, COMMITTED);
        if is_over {
            self.end_over(process, key, raised);
        }
        is_over
    }

    /// Ends a session that is about to be written with a login of a lower generation. Others may
    /// have it without that login: its tombstone goes to every member, and nobody waits.
    pub(super) fn end_if_login_is_over(&mut self, process: Process, key: Key) -> bool {
        let is_over = self.is_over(process, key, SET);
        if is_over && let Some(tombstone) = self.end_over(process, key, Raised::Here) {
            self.queue_fragments(process, &[tombstone], None, FrameClass::Tombstone);
        }
        is_over
    }

    fn end_over(&mut self, process: Process, key: Key, raised: Raised) -> Option<Fragment> {
        let time = self.time(process);
        let owner = self.live(process, key, State::highest)?;
        let node = self.node(process);
        let is_ours = owner.is_none_or(|version| {
            let is_gone = || node.view().member(version.writer).is_none();
            version.writer == node.incarnation || (raised == Raised::Here && is_gone())
        });
        if is_ours && !node.besides(key).is_kept {
            self.destroyed(process, key, "logged out");
        }
        self.change(process, key, |entry| {
            let state = entry.as_ref().and_then(Entry::live)?;
            let life = tombstone_life(state.idle_limit());
            Entry::end(entry, key, time, life)
        })
    }

    /// What a process knows to be the generation of the user with this key.
    fn generation(&self, process: Process, user: Key) -> u64 {
        let node = self.look(process).expect("who asks, runs");
        if !node.is_any_raised {
            return 0;
        }
        node.table.look(user, |it| it.map_or(0, Entry::generation))
    }

    fn is_over(&self, process: Process, key: Key, login: Login) -> bool {
        // Mostly there is no generation, and nothing to look up.
        if self.look(process).is_none_or(|node| !node.is_any_raised) {
            return false;
        }
        let filed = |state: &State| self.filed_under(state, login);
        let filed = self.live(process, key, filed).flatten();
        filed.is_some_and(|(user, generation)| self.generation(process, user) > generation)
    }

    /// The key of the user, and the generation of the login.
    fn filed_under(&self, state: &State, login: Login) -> Option<(Key, u64)> {
        let principal = Principal::from_bytes(login(state)?).ok()?;
        Some((self.with.user(principal.user()), principal.generation()))
    }

    /// Such ends are few: all sessions are looked at, and there is no index.
    fn sessions_of(&self, process: Process, user: Key) -> Vec<Key> {
        let table = &self.look(process).expect("who asks, runs").table;
        let is_of_user = |key: &Key| {
            let filed = |state: &State| self.filed_under(state, COMMITTED);
            let filed = self.live(process, *key, filed).flatten();
            filed.is_some_and(|(it, _)| it == user)
        };
        table.keys().into_iter().filter(is_of_user).collect()
    }

    /// Who knows of the end of all sessions of a user has none of them.
    pub(super) fn check_none_is_over(&mut self, process: Process, of: &[Process]) {
        for &holder in of {
            let Some(node) = self.look(holder) else {
                continue;
            };
            let keys = node.table.keys().into_iter();
            let over: Vec<Key> = keys
                .filter(|key| self.is_over(holder, *key, COMMITTED))
                .collect();
            if !over.is_empty() {
                let what = format!("{process}: {holder} has {over:?} of a lower generation");
                self.broken("5: what is confirmed is held", what);
            }
        }
    }
}

/// Who is logged in, as the application sees it, and since which operation.
pub(super) fn login_of(state: &State) -> Option<(User, Number)> {
    state.principal().as_ref().map(User::logged_in)
}
