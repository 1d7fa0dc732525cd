//! The rules of `docs/sync.md`, for random tables and random courses of events.

mod bulk;
mod compare;
mod join;
mod look;
mod schedule;
mod tables;
