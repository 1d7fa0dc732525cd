//! The applications that are built in.
//!
//! They are served where the configuration asks for them, and nowhere else: a fresh installation
//! has none.

pub(crate) mod bench;
pub(crate) mod examples;
