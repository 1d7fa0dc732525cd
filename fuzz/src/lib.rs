//! Fuzz targets: what any bytes may do to a decoder and to the copies behind it.
//!
//! A target takes bytes and panics if something is wrong. The same functions run under
//! `cargo fuzz` and, over a corpus and its mutations, on the stable compiler: see `README.md`.
//!
//! | module | what it holds |
//! |---|---|
//! | `messages` | datagrams, streams of frames, messages, principals |
//! | `fragments` | fragments that are decoded and merged |
//! | `operations` | bytes as a history of several nodes |
//! | `node` | requests, attributes, files of a node |
//! | `corpus` | the inputs to begin with |
//! | `mutation` | inputs made from others, one from each number |
//! | `run` | a target over the corpus and its mutations |
#![forbid(unsafe_code)]

mod corpus;
mod fragments;
mod messages;
mod mutation;
mod node;
mod operations;
mod run;

pub use corpus::seeds;
pub use fragments::fragments_then_merge;
pub use messages::{frame_stream, heartbeat, message, principal};
pub use mutation::Mutator;
pub use node::{attribute, cookies, path_filter, request_head, server_xml, web_xml};
pub use operations::session_operations;
pub use run::{Bound, Failure, Report, run};

/// A target: takes any bytes, and panics if something is wrong.
pub type Target = fn(&[u8]);

/// All targets with their names, which are those of the directories of the corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("heartbeat", heartbeat),
    ("frame_stream", frame_stream),
    ("message", message),
    ("principal", principal),
    ("fragments_then_merge", fragments_then_merge),
    ("session_operations", session_operations),
    ("cookies", cookies),
    ("request_head", request_head),
    ("attribute", attribute),
    ("path_filter", path_filter),
    ("server_xml", server_xml),
    ("web_xml", web_xml),
];
