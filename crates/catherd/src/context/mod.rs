//! The sessions of one web application, and what this node does with them.

mod builder;
mod cells;
mod expiry;
mod filter;
#[cfg(test)]
mod footprint;
mod receipt;
mod replicate;
mod room;
mod serve;
mod table;
mod users;
mod wheel;

use std::sync::Arc;
use std::time::Duration;

use catherd_core::expiry::Patience;
use catherd_core::link::ContextId;
use catherd_core::placement::Placement;
use catherd_core::session::{Rules, State, Tombstone};
use catherd_core::time::Time;
use parking_lot::Mutex;

pub use builder::{Context, ContextBuilder, ContextError, Manager, OnTransferTimeout, Stale};
pub use filter::{Filter, FilterError};
pub(crate) use receipt::Receipt;
pub(crate) use replicate::{Current, to_millis};
pub(crate) use room::Room;
pub(crate) use serve::{Served, Unserved};
pub(crate) use table::SessionTable;
pub use users::SessionsEnded;

use crate::cluster::{Node, TransferStatus};
use crate::layer::SessionCookie;

/// A context, shared by its layer, its requests and the channel.
#[derive(Debug)]
pub(crate) struct ContextInner {
    pub(crate) id: ContextId,
    /// Equal on all nodes; tells contexts of several hosts apart.
    pub(crate) name: String,
    pub(crate) cookie: SessionCookie,
    /// Whether a client that comes from another node gets this node's route.
    pub(crate) rewrites_route: bool,
    /// Requests that are known not to change the session.
    pub(crate) filter: Option<Filter>,
    pub(crate) manager: Manager,
    pub(crate) max_inactive: Option<Duration>,
    pub(crate) table: SessionTable,
    pub(crate) room: Room,
    /// How the state came here at the start.
    pub(crate) transfer: Mutex<TransferStatus>,
    pub(crate) node: Arc<Node>,
}

impl ContextInner {
    pub(crate) fn placement(&self) -> Placement {
        self.manager.placement()
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            session_bytes_max: self.manager.session_bytes_max,
            ..Rules::default()
        }
    }

    /// How long the end of a session is remembered.
    fn tombstone_life(&self, idle_limit: Option<Duration>) -> Duration {
        self.manager
            .tombstone_life
            .unwrap_or_else(|| Tombstone::life_for(idle_limit))
    }

    /// When a session is as old as one may become; `None`: never.
    fn lifetime_end(&self, state: &State) -> Option<Time> {
        Some(state.created() + self.manager.max_lifetime?)
    }

    /// Whether a session is older than one may become: then it is served nowhere.
    fn is_past_lifetime(&self, state: &State, now: Time) -> bool {
        self.lifetime_end(state).is_some_and(|end| end <= now)
    }

    fn patience(&self) -> Patience {
        Patience {
            batch: TOUCH_INTERVAL,
            tolerance: self.manager.expire_tolerance,
        }
    }
}

/// Last accesses travel in batches, this often.
pub(crate) const TOUCH_INTERVAL: Duration = Duration::from_secs(1);
