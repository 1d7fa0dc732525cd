//! Nodes with one copy each, and short words for what tests do to them.

use std::time::Duration;

use catherd_core::key::Key;
use catherd_core::session::{
    Birth, Content, Entry, Extent, Fragment, Merged, Name, Register, Rules, Slot, State, Tombstone,
    Value, Write, Writer,
};
use catherd_core::time::Time;
use catherd_core::version::{Dot, Incarnation, Vector, Version};

pub(crate) const A: u64 = 0xa;
pub(crate) const B: u64 = 0xb;
pub(crate) const C: u64 = 0xc;

pub(crate) const KEY: Key = Key::from_bits(0x5e55_1011);
pub(crate) const NEW_KEY: Key = Key::from_bits(0x4e77);

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// What holds where nothing is ever forgotten.
pub(crate) const NO_FORGETTING: Rules = Rules {
    removals_kept: usize::MAX,
    session_bytes_max: 1 << 20,
};

/// The instant at which most tests happen.
pub(crate) fn now() -> Time {
    Time::since_start(Duration::from_secs(1000))
}

pub(crate) fn incarnation(bits: u64) -> Incarnation {
    Incarnation::from_bits(bits)
}

pub(crate) fn dot(writer: u64, revision: u64) -> Dot {
    Dot {
        writer: incarnation(writer),
        revision,
    }
}

pub(crate) fn vector<const N: usize>(dots: [(u64, u64); N]) -> Vector {
    dots.into_iter().map(|(w, n)| dot(w, n)).collect()
}

pub(crate) fn version(fence: u32, revision: u64, writer: u64) -> Version {
    Version {
        fence,
        revision,
        writer: incarnation(writer),
    }
}

pub(crate) fn birth() -> Birth {
    Birth {
        incarnation: incarnation(A),
        serial: 1,
    }
}

pub(crate) fn other_birth() -> Birth {
    Birth {
        incarnation: incarnation(B),
        serial: 1,
    }
}

pub(crate) fn attribute(name: &str) -> Slot {
    Slot::Attribute(Name::new(name).expect("tests use short names"))
}

pub(crate) fn value(text: &str) -> Value {
    Value::new(text.as_bytes())
}

pub(crate) fn register(version: Version, text: Option<&str>) -> Register {
    Register {
        version,
        value: text.map(value),
    }
}

/// A hand-made fragment of [`KEY`].
pub(crate) fn fragment(
    seen: Vector,
    since: Option<Dot>,
    registers: &[(&str, Version, Option<&str>)],
) -> Fragment {
    let registers = registers
        .iter()
        .map(|(name, version, text)| (attribute(name), register(*version, *text)));
    let write = Write {
        birth: birth(),
        seen,
        since,
        registers: registers.collect(),
        age: Duration::ZERO,
        lived: Duration::ZERO,
    };
    Fragment {
        key: KEY,
        content: Content::Write(write),
    }
}

pub(crate) fn tombstone(age: Duration, life: Duration) -> Fragment {
    Fragment {
        key: KEY,
        content: Content::Tombstone(Tombstone {
            age,
            life,
            generation: 0,
        }),
    }
}

pub(crate) fn write_of(fragment: &Fragment) -> &Write {
    match &fragment.content {
        Content::Write(write) => write,
        Content::Tombstone(_) => panic!("a write was expected, not an end"),
    }
}

/// A node and its copy of [`KEY`].
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) by: Writer,
    pub(crate) entry: Option<Entry>,
    pub(crate) rules: Rules,
}

impl Node {
    /// A node without a copy.
    pub(crate) fn empty(incarnation_bits: u64) -> Self {
        Self {
            by: Writer {
                incarnation: incarnation(incarnation_bits),
                gone: 0,
                floor: 0,
            },
            entry: None,
            rules: Rules::default(),
        }
    }

    /// A node with a session that nobody else knows of.
    pub(crate) fn with_new_session(incarnation_bits: u64) -> Self {
        let mut node = Self::empty(incarnation_bits);
        node.entry = Some(Entry::Live(State::new(birth(), now())));
        node
    }

    pub(crate) fn state(&self) -> &State {
        self.entry
            .as_ref()
            .and_then(Entry::live)
            .expect("the copy is live")
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        self.entry
            .as_mut()
            .and_then(Entry::live_mut)
            .expect("the copy is live")
    }

    pub(crate) fn set(&mut self, name: &str, text: &str) {
        let rules = self.rules;
        self.state_mut()
            .set(attribute(name), Some(value(text)), &rules)
            .expect("tests set small values");
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let rules = self.rules;
        self.state_mut()
            .set(attribute(name), None, &rules)
            .expect("a removal needs no room");
    }

    pub(crate) fn commit_as(&mut self, extent: Extent) -> Option<Fragment> {
        let (by, rules) = (self.by, self.rules);
        let write = self.state_mut().commit(now(), &by, extent, &rules)?;
        Some(Fragment {
            key: KEY,
            content: Content::Write(write),
        })
    }

    pub(crate) fn commit(&mut self) -> Fragment {
        self.commit_as(Extent::Changes)
            .expect("something was set before the commit")
    }

    pub(crate) fn write(&mut self, name: &str, text: &str) -> Fragment {
        self.set(name, text);
        self.commit()
    }

    pub(crate) fn write_removal(&mut self, name: &str) -> Fragment {
        self.remove(name);
        self.commit()
    }

    pub(crate) fn merge(&mut self, fragment: &Fragment) -> Merged {
        Entry::merge(&mut self.entry, now(), fragment, &self.rules)
    }

    pub(crate) fn end(&mut self, life: Duration) -> Option<Fragment> {
        Entry::end(&mut self.entry, KEY, now(), life)
    }

    /// The copy as a whole fragment.
    pub(crate) fn whole(&self) -> Fragment {
        Fragment {
            key: KEY,
            content: Content::Write(self.state().whole(now())),
        }
    }

    /// What the application reads under `name`.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        let value = self.state().value(&attribute(name))?;
        Some(String::from_utf8(value.as_bytes().to_vec()).expect("tests write text"))
    }

    pub(crate) fn version_of(&self, name: &str) -> Option<Version> {
        Some(self.state().register(&attribute(name))?.version)
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.entry, Some(Entry::Ended { .. }))
    }
}

/// Two nodes with the same session, in which `x` is `one`.
pub(crate) fn two_nodes() -> (Node, Node) {
    let (mut a, mut b) = (Node::with_new_session(A), Node::empty(B));
    b.merge(&a.write("x", "one"));
    (a, b)
}
