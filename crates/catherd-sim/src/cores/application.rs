//! What a request does to its session, step by step.

use std::collections::BTreeMap;
use std::time::Duration;

use catherd::core::key::Key;
use catherd::core::session::{Name, Property, Slot, State, Value};
use catherd::core::time::Time;

use super::requests::{Bound, Work};
use super::sessions::Current;
use super::users::login_of;
use super::world::World;
use crate::history::{Number, Process, Step, Wrote};
use crate::nodes::OWNER;
use crate::user::PRINCIPAL;

impl World {
    pub(super) fn contents(&self, process: Process, key: Key) -> BTreeMap<String, Vec<Number>> {
        let read = |state: &State| {
            let attributes = state.attributes();
            let login = login_of(state).map(|(_, number)| (PRINCIPAL.to_owned(), vec![number]));
            attributes
                .map(|(name, value)| (name.as_str().to_owned(), numbers(&value)))
                .chain(login)
                .collect()
        };
        self.live(process, key, read).unwrap_or_default()
    }

    /// Takes steps until one takes time: until when.
    pub(super) fn run(
        &mut self,
        process: Process,
        work: &Work,
        bound: &mut Bound,
        steps: &mut std::slice::Iter<'_, Step>,
    ) -> Option<Time> {
        for step in steps {
            let has_session = |world: &Self, bound: &Bound| {
                bound
                    .current
                    .is_some_and(|current| world.exists(process, current))
            };
            let is_keyed = work
                .ran
                .borrow()
                .as_ref()
                .is_some_and(|ran| ran.key.is_some());
            match step {
                Step::Wait(time) => return Some(self.time(process) + *time),
                Step::Create(subject) if !is_keyed => {
                    self.begin_session(process, work, bound, subject.0, None);
                }
                Step::CreateIdle(subject, limit) if !is_keyed => {
                    self.begin_session(process, work, bound, subject.0, Some(*limit));
                }
                _ if !is_keyed || !has_session(self, bound) => return None,
                Step::Create(_) | Step::CreateIdle(..) => {}
                Step::Write(name) => {
                    self.write(process, work, bound, name, |_| Some(vec![work.number]));
                }
                Step::Append(name) => self.write(process, work, bound, name, |list| {
                    let mut list = list.unwrap_or_default();
                    list.push(work.number);
                    Some(list)
                }),
                Step::Remove(name) => self.write(process, work, bound, name, |_| None),
                Step::Login => {
                    let node = self.node(process);
                    let (key, birth) = (node.draw_key(), node.next_birth());
                    bound.cycle_to = Some(Current { key, birth });
                    bound.is_dirty = true;
                    if let Some(ran) = &mut *work.ran.borrow_mut() {
                        ran.moved_to = Some(key.to_string());
                    }
                }
                Step::LogInAs(user) => {
                    let current = bound.current.expect("there is a session");
                    let parent = self.log_in(process, current, (*user, work.number));
                    bound.is_dirty = true;
                    if let Some(ran) = &mut *work.ran.borrow_mut() {
                        ran.wrote.push(Wrote {
                            name: PRINCIPAL.to_owned(),
                            parent,
                            removed: false,
                        });
                    }
                }
                Step::EndAllOf(user) => {
                    bound.ends.push(self.end_sessions_of(process, *user));
                    if let Some(ran) = &mut *work.ran.borrow_mut() {
                        ran.ended_all_of = Some(*user);
                        ran.ended = !has_session(self, bound);
                    }
                }
                Step::Logout => {
                    bound.invalidated.extend(bound.current.take());
                    (bound.cycle_to, bound.is_new, bound.is_dirty) = (None, false, true);
                    if let Some(ran) = &mut *work.ran.borrow_mut() {
                        ran.ended = true;
                    }
                    return None;
                }
            }
        }
        None
    }

    fn begin_session(
        &mut self,
        process: Process,
        work: &Work,
        bound: &mut Bound,
        subject: u64,
        limit: Option<Duration>,
    ) {
        let current = self.create(process);
        let rules = self.node(process).rules;
        let owner = value(&[subject]);
        self.set(process, current, |state| {
            let set = state.set(slot(OWNER), Some(owner), &rules);
            set.expect("it is small");
            if let Some(limit) = limit {
                let millis = i64::try_from(limit.as_millis()).expect("a limit is short");
                state.set_property(Property::MaxInactive, millis);
            }
        });
        (bound.current, bound.is_new, bound.is_dirty) = (Some(current), true, true);
        if let Some(ran) = &mut *work.ran.borrow_mut() {
            ran.key = Some(current.key.to_string());
        }
    }

    fn write(
        &mut self,
        process: Process,
        work: &Work,
        bound: &mut Bound,
        name: &str,
        new: impl FnOnce(Option<Vec<Number>>) -> Option<Vec<Number>>,
    ) {
        let current = bound.current.expect("there is a session");
        let old = self
            .live(process, current.key, |state| {
                state.value(&slot(name)).as_ref().map(numbers)
            })
            .flatten();
        let parent = old.as_ref().and_then(|old| old.last().copied());
        let new = new(old);
        let removed = new.is_none();
        if removed && parent.is_none() {
            return;
        }
        let rules = self.node(process).rules;
        let new = new.map(|new| value(&new));
        self.set(process, current, |state| {
            state
                .set(slot(name), new, &rules)
                .expect("it is small enough");
        });
        bound.is_dirty = true;
        if let Some(ran) = &mut *work.ran.borrow_mut() {
            ran.wrote.push(Wrote {
                name: name.to_owned(),
                parent,
                removed,
            });
        }
    }
}

fn slot(name: &str) -> Slot {
    Slot::Attribute(Name::new(name).expect("names are short"))
}

fn value(numbers: &[Number]) -> Value {
    let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
    Value::new(&bytes)
}

fn numbers(value: &Value) -> Vec<Number> {
    let (chunks, _) = value.as_bytes().as_chunks::<8>();
    chunks
        .iter()
        .map(|chunk| u64::from_le_bytes(*chunk))
        .collect()
}
