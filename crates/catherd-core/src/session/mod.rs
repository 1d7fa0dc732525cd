//! A copy of a session: a map of registers, and a vector that says which writes it holds.
//!
//! | file | what it holds |
//! |---|---|
//! | `value` | names and values, as the table keeps them |
//! | `registers` | the committed registers of a copy, packed |
//! | `state` | the copy: reading, setting, what it knows of itself |
//! | `commit` | a write: one version for all that is dirty, and the fragment of it |
//! | `fragment` | what travels: a piece of a session that can be merged, or its end |
//! | `merge` | the one operation that changes a copy from outside |
//! | `entry` | what the table holds under a key: a session or its tombstone |
//! | `digest` | one number for a session, one for a bucket of sessions |
//!
//! The rules, with the reason of each, are in `docs/merge.md`.

mod commit;
mod digest;
mod entry;
mod fragment;
mod merge;
mod principal;
mod registers;
mod state;
mod value;

pub use commit::{Extent, Writer};
pub use digest::{Bucket, DigestKey, Digests};
pub(crate) use entry::Sought;
pub use entry::{Changed, Entry, Fetched};
pub(crate) use fragment::Said;
pub use fragment::{Birth, Content, Fragment, Tombstone, Write};
pub use merge::{Merged, Outcome};
pub use principal::{Principal, PrincipalError};
pub use registers::Registers;
pub(crate) use registers::{Few, Seen, SlotRef, ValueRef};
pub use state::{Gap, Limit, Property, Rules, State};
pub use value::{Name, Register, Slot, Value};
