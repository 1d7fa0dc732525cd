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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::message::MemberState;

    fn member(number: u16, domain: &str) -> Member {
        Member {
            incarnation: Incarnation::from_bits(u64::from(number) + 1000),
            name: format!("node{number}"),
            address: ([127, 0, 0, 1], 4000 + number).into(),
            domain: domain.to_owned(),
            state: MemberState::Ready,
            is_suspect: false,
        }
    }

    /// What `myself` sees of nodes `0..count`.
    fn view(myself: u16, count: u16) -> View {
        let members = (0..count).filter(|&number| number != myself);
        let members = members.map(|number| member(number, "d")).collect();
        View {
            myself: member(myself, "d"),
            members,
        }
    }

    fn number(number: u16) -> Incarnation {
        member(number, "d").incarnation
    }

    fn holders(placement: Placement, key: u128, owner: u16, view: &View) -> Vec<Incarnation> {
        let mut out = vec![Incarnation::from_bits(5)];
        placement.holders(&Key::from_bits(key), number(owner), view, &mut out);
        out
    }

    #[test]
    fn everyone_of_the_domain_holds_a_copy() {
        let mut view = view(0, 4);
        view.members[1].domain = "elsewhere".to_owned();
        let all = holders(Placement::Everyone, 7, 3, &view);
        assert_eq!(all, [number(3), number(0), number(1)]);
    }

    #[test]
    fn the_owner_alone_holds_a_session_that_is_not_replicated() {
        assert_eq!(holders(Placement::Nobody, 7, 0, &view(0, 4)), [number(0)]);
    }

    #[test]
    fn backups_are_only_in_the_domain_of_the_node() {
        let mut view = view(0, 6);
        for member in &mut view.members[..4] {
            member.domain = "elsewhere".to_owned();
        }
        for key in 0..50 {
            let held = holders(Placement::Backups { count: 2 }, key, 0, &view);
            assert_eq!(held, [number(0), number(5)]);
        }
    }

    #[test]
    fn an_owner_that_is_not_in_the_view_holds_nothing() {
        let held = holders(Placement::Backups { count: 1 }, 7, 9, &view(0, 4));
        assert_eq!(held.len(), 1);
        assert_ne!(held[0], number(9));
    }

    #[test]
    fn a_node_alone_holds_its_sessions() {
        assert_eq!(
            holders(Placement::Backups { count: 1 }, 7, 0, &view(0, 1)),
            [number(0)]
        );
    }

    /// All releases must agree on the ranking: these figures never change.
    #[test]
    fn the_ranking_is_the_same_in_every_release() {
        let mut out = Vec::new();
        let ranked: Vec<Vec<u64>> = [0, 1, u128::MAX]
            .into_iter()
            .map(|key| {
                ranking(&Key::from_bits(key), &view(0, 5), &mut out);
                out.iter()
                    .map(|incarnation| incarnation.bits() - 1000)
                    .collect()
            })
            .collect();
        assert_eq!(ranked, [[0, 4, 1, 2, 3], [4, 3, 1, 2, 0], [3, 1, 0, 2, 4]]);
    }

    #[test]
    fn a_member_that_was_started_again_has_its_keys_again() {
        let before = view(0, 4);
        let mut after = before.clone();
        after.members[2].incarnation = Incarnation::from_bits(77);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for key in 0..200 {
            ranking(&Key::from_bits(key), &before, &mut one);
            ranking(&Key::from_bits(key), &after, &mut other);
            let old = before.members[2].incarnation;
            let position = one.iter().position(|&member| member == old);
            assert_eq!(
                position,
                other.iter().position(|member| member.bits() == 77)
            );
        }
    }

    #[test]
    fn keys_are_spread_roughly_evenly() {
        let view = view(0, 5);
        let mut held = BTreeMap::<Incarnation, u32>::new();
        let mut key = 1_u128;
        for _ in 0..10_000 {
            key = key
                .wrapping_mul(0xda94_2042_e4dd_58b5_2549_a1ce_3fa2_97b5)
                .wrapping_add(1);
            for holder in &holders(Placement::Backups { count: 1 }, key, 0, &view)[1..] {
                *held.entry(*holder).or_default() += 1;
            }
        }
        assert_eq!(held.len(), 4, "never the owner");
        for (member, count) in held {
            assert!(
                (2300..=2700).contains(&count),
                "{member} holds {count} of 10000"
            );
        }
    }

    proptest! {
        #[test]
        fn every_node_finds_the_same_holders(
            key in any::<u128>(), count in 1..8_u16, backups in 0..5_u8, owner in 0..8_u16,
        ) {
            let placement = Placement::Backups { count: backups };
            let owner = owner % count;
            let expected = holders(placement, key, owner, &view(0, count));
            prop_assert_eq!(expected.len(), usize::from(backups).min(usize::from(count) - 1) + 1);
            for myself in 1..count {
                let mut view = view(myself, count);
                view.members.reverse();
                prop_assert_eq!(&holders(placement, key, owner, &view), &expected);
            }
        }

        #[test]
        fn only_the_keys_of_a_member_that_left_move(
            key in any::<u128>(), backups in 1..4_u8, leaves in 1..8_u16,
        ) {
            let placement = Placement::Backups { count: backups };
            let all = view(0, 8);
            let mut fewer = all.clone();
            fewer.members.retain(|member| member.incarnation != number(leaves));
            let before = holders(placement, key, 0, &all);
            let after = holders(placement, key, 0, &fewer);
            let stay: Vec<_> =
                before.iter().copied().filter(|&holder| holder != number(leaves)).collect();
            prop_assert_eq!(&after[..stay.len()], &stay[..]);
            prop_assert_eq!(after.len(), before.len());
        }
    }
}
