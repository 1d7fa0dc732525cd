//! Which members hold a copy of a session.
//!
//! The managers of HOW-TO, "Manager", differ only in this: everyone of the domain (all to all),
//! the owner and a few others, or the local node alone. The others are found by rendezvous
//! hashing: every node ranks the members by a hash of the key and the member's name, and takes
//! the first ones. Nobody has to be asked or told, and when a member leaves, only the keys that it
//! held move. The name and not the incarnation is hashed, so that a member which was started
//! again gets back the keys it had.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::key::Key;
use crate::membership::{Member, View};
use crate::version::Incarnation;

/// Who holds copies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placement {
    /// Every member of the domain (`DeltaManager`).
    Everyone,
    /// The owner alone (`StandardManager`).
    Nobody,
    /// The owner and others (`BackupManager`).
    Backups {
        /// How many others; fewer, if the domain has not as many.
        count: u8,
    },
}

impl Placement {
    /// Replaces `out` by the holders of the key: the owner first, if it is in the view and of
    /// this node's domain, then the others by rank ([`Everyone`](Self::Everyone): this node
    /// first, then by incarnation).
    ///
    /// This node is a member of its view like any other, so every member of a domain with the
    /// same view finds the same holders.
    pub fn holders(self, key: &Key, owner: Incarnation, view: &View, out: &mut Vec<Incarnation>) {
        out.clear();
        let others = || view.domain().filter(|member| member.incarnation != owner);
        if view.domain().any(|member| member.incarnation == owner) {
            out.push(owner);
        }
        match self {
            Self::Everyone => out.extend(others().map(|member| member.incarnation)),
            Self::Nobody => {}
            Self::Backups { count } => {
                out.extend(ranked(key, others()).into_iter().take(usize::from(count)));
            }
        }
    }
}

/// Replaces `out` by the members of this node's domain, this node included, by their rank for the
/// key, the first holder first.
pub fn ranking(key: &Key, view: &View, out: &mut Vec<Incarnation>) {
    out.clear();
    out.extend(ranked(key, view.domain()));
}

fn ranked<'a>(key: &Key, members: impl Iterator<Item = &'a Member>) -> Vec<Incarnation> {
    let weighed = members.map(|member| (weight(key, &member.name), member.incarnation));
    let mut ranked: Vec<_> = weighed.collect();
    ranked.sort_unstable_by(|one, other| other.cmp(one));
    ranked
        .into_iter()
        .map(|(_, incarnation)| incarnation)
        .collect()
}

/// SipHash-1-3 under [`HASH_KEYS`] of the key's bits, little endian, and the name's bytes. All
/// releases must agree on it.
fn weight(key: &Key, name: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(HASH_KEYS.0, HASH_KEYS.1);
    hasher.write(&key.bits().to_le_bytes());
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// No secret, since keys are random and cannot be chosen by clients: "catherd " and "rendezvs".
const HASH_KEYS: (u64, u64) = (
    u64::from_le_bytes(*b"catherd "),
    u64::from_le_bytes(*b"rendezvs"),
);
