//! The rules of `docs/sync.md`, for random tables and random courses of events.

mod compare;
mod join;
mod look;
mod schedule;
mod tables;
