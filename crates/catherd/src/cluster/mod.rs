//! A node of a cluster: its configuration, its handle, what it says of itself.

mod builder;
mod counters;
mod events;
mod handle;
mod join;
mod name;
mod node;
mod pull;
mod repair;
mod repeats;
mod status;

pub use builder::{ClusterBuilder, Mode, StartError};
pub use counters::CountersStatus;
pub use events::{Event, Events, SessionEnd};
pub use handle::Cluster;
pub use name::{is_cluster_name, is_node_name};
pub(crate) use node::Node;
pub use status::{ContextStatus, LinkStatus, MemberStatus, Status, TransferStatus};
