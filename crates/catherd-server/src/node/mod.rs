//! A node from its start to its end.
mod shutdown_port;
mod stop;

pub(crate) use stop::Signals;
