//! The view: the members with a hello in both directions.

use std::net::SocketAddr;

use crate::message::MemberState;
use crate::version::Incarnation;

/// A member as the view shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// The process.
    pub incarnation: Incarnation,
    /// Its name: the `jvmRoute`.
    pub name: String,
    /// Where its listener is.
    pub address: SocketAddr,
    /// Its domain.
    pub domain: String,
    /// How far it has come; writers wait for those that are ready.
    pub state: MemberState,
    /// A probe is under way that decides whether it is gone.
    pub is_suspect: bool,
}

impl Member {
    /// Whether it has its state: writers wait for it.
    pub fn is_ready(&self) -> bool {
        self.state == MemberState::Ready
    }
}

/// A snapshot of who is a member; it never changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct View {
    /// This node.
    pub myself: Member,
    /// The others, sorted by incarnation.
    pub members: Vec<Member>,
}

impl View {
    /// All members, this node first.
    pub fn everyone(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.myself).chain(&self.members)
    }

    /// The members of this node's domain, this node first: those that may hold its sessions.
    pub fn domain(&self) -> impl Iterator<Item = &Member> {
        self.everyone()
            .filter(|member| member.domain == self.myself.domain)
    }

    /// The member, or this node, of this incarnation.
    pub fn member(&self, incarnation: Incarnation) -> Option<&Member> {
        if incarnation == self.myself.incarnation {
            return Some(&self.myself);
        }
        let at = self
            .members
            .binary_search_by_key(&incarnation, |member| member.incarnation);
        at.ok().map(|at| &self.members[at])
    }

    /// The member, or this node, of this name.
    pub fn named(&self, name: &str) -> Option<&Member> {
        self.everyone().find(|member| member.name == name)
    }
}
