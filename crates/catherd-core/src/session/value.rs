//! Names and values, as the table keeps them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::version::Version;

/// The name of an attribute: 1 to [`BYTES_MAX`](Self::BYTES_MAX) bytes of UTF-8.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Arc<str>);

impl Name {
    /// A name is at most this long, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// The name `text`; `None` if it is empty or too long.
    pub fn new(text: &str) -> Option<Self> {
        Self::is_one(text).then(|| Self(Arc::from(text)))
    }

    /// Whether `text` can be a name.
    pub(crate) fn is_one(text: &str) -> bool {
        (1..=Self::BYTES_MAX).contains(&text.len())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A value of a register: bytes that only the application understands.
///
/// Hashed once, when it is made. The bytes are shared, never changed: of a value that lies in the
/// block of a copy, with that block.
#[derive(Clone)]
pub struct Value {
    shared: Arc<[u8]>,
    from: usize,
    len: usize,
    hash: u64,
}

impl Value {
    /// A copy of `bytes`: what is kept must not pin the buffer that it arrived in.
    pub fn new(bytes: &[u8]) -> Self {
        Self {
            shared: Arc::from(bytes),
            from: 0,
            len: bytes.len(),
            hash: xxh3_64(bytes),
        }
    }

    /// `len` bytes of `block` from `from` on, whose hash is known.
    pub(super) fn within(block: &Arc<[u8]>, from: usize, len: usize, hash: u64) -> Self {
        Self {
            shared: Arc::clone(block),
            from,
            len,
            hash,
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.shared[self.from..self.from + self.len]
    }

    /// XXH3 of the bytes, 64 bits: the same on every node.
    ///
    /// It tells two values of one version apart, which only a bug or failing memory makes; nobody
    /// gains by making values that collide, since what differs by a write has another version.
    /// A hash with a key would cost more than all else in a write of 100 kB.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes. (It is a value all the same.)
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Value {}

/// Tells the length and the hash, never the content: debug output ends in logs.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes#{:016x}", self.len, self.hash)
    }
}

/// What a register is called.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Slot {
    /// A property of the session, by number. Numbers of later releases are kept as they came.
    Property(u32),
    /// User, roles and kind of authentication: one register, so that two logins at once resolve
    /// as a whole.
    Principal,
    /// An attribute of the application.
    Attribute(Name),
}

/// A value and its version; without a value, a removal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Register {
    /// Which write it is of.
    pub version: Version,
    /// What was written; `None` for a removal.
    pub value: Option<Value>,
}
