//! Who wrote what, and what has been seen: incarnations, versions, dots, vectors.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;

/// A process from start to end: 64 random bits, an identity without order in time.
///
/// Never zero: the wire leaves a zero out.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Incarnation(NonZeroU64);

impl Incarnation {
    /// The incarnation with these bits; zero becomes one, since zero means "none" on the wire.
    pub const fn from_bits(bits: u64) -> Self {
        match NonZeroU64::new(bits) {
            Some(bits) => Self(bits),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// The bits, never zero.
    pub const fn bits(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The version of a register. Of two, the higher wins, on every node.
///
/// Compared by fence, then revision, then writer.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version {
    /// Grows when a node that has declared members gone writes the session. At most
    /// [`FENCE_MAX`](Self::FENCE_MAX).
    pub fence: u32,
    /// Counts the writes of the session, from 1; 0 for none. At most
    /// [`REVISION_MAX`](Self::REVISION_MAX).
    pub revision: u64,
    /// Who wrote.
    pub writer: Incarnation,
}

impl Version {
    /// A fence above this comes from a fault or an attack: the connection is closed.
    pub const FENCE_MAX: u32 = 1 << 24;
    /// A revision above this comes from a fault or an attack: the connection is closed.
    pub const REVISION_MAX: u64 = 1 << 56;

    /// The write that made this version.
    pub fn dot(self) -> Dot {
        Dot {
            writer: self.writer,
            revision: self.revision,
        }
    }

    /// Whether fence and revision are within their bounds.
    pub fn is_sane(self) -> bool {
        self.fence <= Self::FENCE_MAX && self.revision <= Self::REVISION_MAX
    }
}

/// One write of one session: used once, ever.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Dot {
    /// Who wrote.
    pub writer: Incarnation,
    /// Which of the session's writes it was.
    pub revision: u64,
}

/// For each writer, a revision: "every write up to here". A writer that is not in it counts as 0.
///
/// Small in practice: under stickiness one or two entries. So one needs no allocation. Sorted by
/// writer.
#[derive(Clone)]
pub struct Vector(Dots);

#[derive(Clone)]
enum Dots {
    /// Of revision 0 if nothing is known.
    One(Dot),
    /// Two or more.
    #[expect(clippy::box_collection, reason = "as long as one dot, not three words")]
    Many(Box<Vec<Dot>>),
}

impl Vector {
    /// Knows of nothing.
    pub const fn new() -> Self {
        Self::of(Dot {
            writer: Incarnation::from_bits(0),
            revision: 0,
        })
    }

    /// Knows of the write `dot` and of all before it, and of nothing else.
    pub const fn of(dot: Dot) -> Self {
        Self(Dots::One(dot))
    }

    /// Whether it is the vector [`of`](Self::of) this write.
    pub fn is_only(&self, dot: Dot) -> bool {
        match self.as_slice() {
            [] => dot.revision == 0,
            [only] => *only == dot,
            [_, _, ..] => false,
        }
    }

    /// The revision up to which the writes of `writer` are known.
    pub fn revision(&self, writer: Incarnation) -> u64 {
        self.position(writer)
            .map_or(0, |at| self.as_slice()[at].revision)
    }

    /// Whether the write `dot` is known.
    pub fn covers(&self, dot: Dot) -> bool {
        dot.revision <= self.revision(dot.writer)
    }

    /// Whether everything known in `self` is known in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.iter().all(|dot| other.covers(dot))
    }

    /// Learns of the write `dot` and, as the name of a vector promises, of all before it.
    pub fn raise(&mut self, dot: Dot) {
        if dot.revision > self.revision(dot.writer) {
            self.set(dot);
        }
    }

    /// Entry by entry the greater of both.
    pub fn merge(&mut self, other: &Self) {
        for dot in other.iter() {
            self.raise(dot);
        }
    }

    /// The same with the entry of `dot.writer` replaced.
    #[must_use]
    pub fn with(&self, dot: Dot) -> Self {
        let mut with = self.clone();
        with.set(dot);
        with
    }

    /// The highest revision of all entries; 0 if there is none.
    pub fn highest(&self) -> u64 {
        self.iter().map(|dot| dot.revision).max().unwrap_or(0)
    }

    /// The entries, sorted by writer.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Dot> + '_ {
        self.as_slice().iter().copied()
    }

    /// How many writers are in it.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    fn as_slice(&self) -> &[Dot] {
        match &self.0 {
            Dots::One(dot) if dot.revision == 0 => &[],
            Dots::One(dot) => std::slice::from_ref(dot),
            Dots::Many(dots) => dots,
        }
    }

    fn position(&self, writer: Incarnation) -> Result<usize, usize> {
        self.as_slice()
            .binary_search_by_key(&writer, |dot| dot.writer)
    }

    /// The entry of `dot.writer` becomes this one; with revision 0, none.
    fn set(&mut self, dot: Dot) {
        let place = self.position(dot.writer);
        match (&mut self.0, place) {
            (Dots::One(one), Ok(_)) => *one = dot,
            (Dots::One(one), Err(_)) if one.revision == 0 => *one = dot,
            (Dots::Many(many), Ok(at)) if dot.revision > 0 => many[at] = dot,
            (Dots::Many(many), Ok(at)) => {
                many.remove(at);
                if let [one] = many[..] {
                    self.0 = Dots::One(one);
                }
            }
            (_, Err(_)) if dot.revision == 0 => {}
            (Dots::Many(many), Err(at)) => many.insert(at, dot),
            (&mut Dots::One(one), Err(at)) => {
                let mut many = vec![one];
                many.insert(at, dot);
                self.0 = Dots::Many(Box::new(many));
            }
        }
    }
}

impl Default for Vector {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Vector {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Vector {}

impl Hash for Vector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|dot| (dot.writer, dot.revision)))
            .finish()
    }
}

impl FromIterator<Dot> for Vector {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Self {
        let mut vector = Self::new();
        for dot in dots {
            vector.raise(dot);
        }
        vector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(writer: u64, revision: u64) -> Dot {
        Dot {
            writer: Incarnation::from_bits(writer),
            revision,
        }
    }

    #[test]
    fn a_missing_entry_counts_as_zero() {
        let vector: Vector = [dot(2, 7)].into_iter().collect();
        assert!(Vector::new().is_within(&vector));
        assert!(!vector.is_within(&Vector::new()));
        assert!(vector.covers(dot(2, 7)) && !vector.covers(dot(2, 8)) && !vector.covers(dot(1, 1)));
    }

    #[test]
    fn merge_takes_the_greater_of_each_entry() {
        let mut one: Vector = [dot(1, 5), dot(2, 1)].into_iter().collect();
        one.merge(&[dot(2, 3), dot(3, 1)].into_iter().collect());
        assert_eq!(one, [dot(1, 5), dot(2, 3), dot(3, 1)].into_iter().collect());
    }

    #[test]
    fn with_zero_removes_the_entry() {
        let one: Vector = [dot(1, 5), dot(2, 1)].into_iter().collect();
        assert_eq!(one.with(dot(1, 0)), [dot(2, 1)].into_iter().collect());
    }

    #[test]
    fn versions_go_by_fence_then_revision_then_writer() {
        let version = |fence, revision, writer| Version {
            fence,
            revision,
            writer: Incarnation::from_bits(writer),
        };
        assert!(version(1, 1, 1) > version(0, 9, 9));
        assert!(version(1, 2, 1) > version(1, 1, 9));
        assert!(version(1, 1, 2) > version(1, 1, 1));
    }
}
