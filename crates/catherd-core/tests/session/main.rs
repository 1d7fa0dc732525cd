//! The rules of `docs/merge.md`, one by one and for random histories.

mod commits;
mod digests;
mod histories;
mod identities;
mod laws;
mod lifetime;
mod merges;
mod model;
mod removals;
mod sent_in_one;
mod support;
mod users;
