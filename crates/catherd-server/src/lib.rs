//! The `catherd` server: from a Tomcat-like base directory to a running node of a cluster.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | `conf/server.xml` and `webapps/`, read into typed configuration |
#![forbid(unsafe_code)]

pub mod config;
