//! Which members hold a copy of a session.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::key::Key;
use crate::version::Incarnation;

/// Who holds a copy of the sessions of a context, besides their owner.
///
/// Where Tomcat's managers differ is only this: one replication path serves all of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placement {
    /// Every member of the domain (`DeltaManager`; HOW-TO, "Overview": all-to-all).
    Everyone,
    /// Nobody (`StandardManager`).
    Nobody,
    /// The first `count` members of the ranking (`BackupManager`; HOW-TO, "Overview": one or maybe
    /// two backup servers).
    Backups {
        /// How many, besides the owner.
        count: u8,
    },
}

/// A member that may hold copies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate<'a> {
    /// The process.
    pub incarnation: Incarnation,
    /// Its name: rankings survive its restart.
    pub name: &'a str,
}

impl Placement {
    /// Appends the members that hold the session `key` besides its owner.
    ///
    /// `candidates` are the members of the owner's domain, with or without the owner.
    pub fn holders(
        self,
        key: Key,
        owner: Incarnation,
        candidates: &[Candidate<'_>],
        out: &mut Vec<Incarnation>,
    ) {
        match self {
            Self::Nobody => {}
            Self::Everyone => {
                let all = candidates.iter().map(|candidate| candidate.incarnation);
                out.extend(all.filter(|&candidate| candidate != owner));
            }
            Self::Backups { count } => {
                let ranked = ranking(key, candidates).into_iter();
                let others = ranked.filter(|&candidate| candidate != owner);
                out.extend(others.take(usize::from(count)));
            }
        }
    }
}

/// The candidates in the order in which they are to hold `key`: rendezvous hashing, so that only
/// the sessions of a member move when it comes or goes.
pub fn ranking(key: Key, candidates: &[Candidate<'_>]) -> Vec<Incarnation> {
    let mut ranked: Vec<_> = candidates
        .iter()
        .map(|candidate| {
            let mut hasher = SipHasher13::new();
            hasher.write(&key.bits().to_le_bytes());
            hasher.write(candidate.name.as_bytes());
            (hasher.finish(), candidate.name, candidate.incarnation)
        })
        .collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked
        .into_iter()
        .map(|(_, _, incarnation)| incarnation)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn candidates(names: &[&'static str]) -> Vec<Candidate<'static>> {
        let of = |&name: &&'static str| Candidate {
            incarnation: Incarnation::from_bits(u64::from(name.as_bytes()[0])),
            name,
        };
        names.iter().map(of).collect()
    }

    fn keys() -> impl Iterator<Item = Key> {
        (1..2000_u128)
            .map(|n| Key::from_bits(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)))
    }

    #[test]
    fn the_order_of_the_view_does_not_matter() {
        let (forth, mut back) = (candidates(&NAMES), candidates(&NAMES));
        back.reverse();
        for key in keys() {
            assert_eq!(ranking(key, &forth), ranking(key, &back));
        }
    }

    #[test]
    fn only_the_sessions_of_a_member_that_leaves_move() {
        let (all, four) = (candidates(&NAMES), candidates(&NAMES[..4]));
        let left = candidates(&["e"])[0].incarnation;
        for key in keys() {
            let mut before = ranking(key, &all);
            before.retain(|&member| member != left);
            assert_eq!(before, ranking(key, &four));
        }
    }

    #[test]
    fn the_load_is_spread_evenly() {
        let all = candidates(&NAMES);
        let mut first = std::collections::BTreeMap::new();
        for key in keys() {
            *first.entry(ranking(key, &all)[0]).or_insert(0) += 1;
        }
        assert!(
            first.values().all(|&count| (300..500).contains(&count)),
            "{first:?}"
        );
    }

    #[test]
    fn each_placement_has_its_holders() {
        let (all, key) = (candidates(&NAMES), Key::from_bits(7));
        let owner = all[0].incarnation;
        let holders = |placement: Placement| {
            let mut out = Vec::new();
            placement.holders(key, owner, &all, &mut out);
            out
        };
        assert_eq!(holders(Placement::Nobody), []);
        assert_eq!(holders(Placement::Everyone).len(), 4);
        let two = holders(Placement::Backups { count: 2 });
        assert!(two.len() == 2 && !two.contains(&owner));
    }
}
