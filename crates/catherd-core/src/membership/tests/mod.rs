//! Memberships wired back to back in one thread, and single ones fed by hand.

mod caps;
mod clocks;
mod cluster;
mod heal;
mod joins;
mod leaves;
mod names;
mod pauses;
mod probes;
mod random;
mod single;
