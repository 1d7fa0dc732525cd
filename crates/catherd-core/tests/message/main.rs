//! The encoding: round trips, golden files, hostile bytes.

mod golden;
mod hostile;
mod principal;
mod roundtrip;
mod samples;
