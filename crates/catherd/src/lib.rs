//! Session clustering for Rust web applications: replicated sessions in your own processes.
#![forbid(unsafe_code)]

pub mod env;
pub mod testing;
