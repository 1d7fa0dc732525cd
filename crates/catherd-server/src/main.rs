//! The `catherd` command.
fn main() {}
