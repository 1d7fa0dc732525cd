//! How a context is configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use catherd_core::placement::Placement;
use parking_lot::Mutex;

use super::room::Room;
use super::table::SessionTable;
use super::{ContextInner, Filter};
use crate::cluster::Node;
use crate::layer::{SessionCookie, SessionLayer};

/// A web application's sessions in a cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) inner: Arc<ContextInner>,
}

impl Context {
    /// The layer that gives each request its [`Session`](crate::Session) and replicates it before
    /// the response leaves (HOW-TO, "Cluster Configuration": the replication valve).
    pub fn layer(&self) -> SessionLayer {
        SessionLayer::new(Arc::clone(&self.inner))
    }

    /// The context's name: equal on all nodes.
    pub fn name(&self) -> &str {
        &self.inner.name
    }
}

/// Who holds a copy of a context's sessions, and how they are kept.
///
/// HOW-TO, "How it Works": a distributable context gets a `DeltaManager`, others a
/// `StandardManager`.
#[derive(Clone, Debug)]
pub struct Manager {
    placement: Placement,
    pub(crate) use_dirty_flag: bool,
    pub(crate) session_bytes_max: usize,
    pub(crate) max_active_sessions: Option<usize>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) access_timeout: Duration,
    pub(crate) stale: Stale,
    pub(crate) tombstone_life: Option<Duration>,
    pub(crate) max_tombstones: usize,
    pub(crate) expire_tolerance: Duration,
    pub(crate) state_transfer_timeout: Option<Duration>,
    pub(crate) on_state_transfer_timeout: OnTransferTimeout,
}

/// What a node does that has not got its state in time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnTransferTimeout {
    /// It starts, and fetches what is missing when it is asked for (HOW-TO, "How it Works", 2).
    #[default]
    Start,
    /// It stays closed until it has its state.
    StayClosed,
}

/// What a request does whose member did not answer within the access time-out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Stale {
    /// It serves what is here; the answer says `Catherd-Degraded: stale`.
    #[default]
    Degraded,
    /// It answers 503.
    Refuse,
}

impl Manager {
    /// Every member of the domain holds every session (HOW-TO, "Overview": all-to-all).
    pub fn delta() -> Self {
        Self {
            placement: Placement::Everyone,
            use_dirty_flag: true,
            session_bytes_max: 1 << 20,
            max_active_sessions: None,
            max_lifetime: None,
            access_timeout: Duration::from_millis(1000),
            stale: Stale::Degraded,
            tombstone_life: None,
            max_tombstones: 1_000_000,
            expire_tolerance: Duration::from_secs(10),
            state_transfer_timeout: Some(Duration::from_secs(60)),
            on_state_transfer_timeout: OnTransferTimeout::Start,
        }
    }

    /// This node alone holds its sessions; nothing of them is sent.
    pub fn standard() -> Self {
        Self {
            placement: Placement::Nobody,
            ..Self::delta()
        }
    }

    /// `false`: the entire session goes out after every request, changed or not (HOW-TO, "How it
    /// Works", 3). The default is `true`, other than in the HOW-TO: values are kept as bytes, so
    /// every change is known, and sending everything finds nothing more.
    #[must_use]
    pub fn use_dirty_flag(mut self, use_dirty_flag: bool) -> Self {
        self.use_dirty_flag = use_dirty_flag;
        self
    }

    /// What names and values of one session may have together, in bytes; 1 MiB by default. A
    /// value that would take a session past it is an error to whoever sets it.
    #[must_use]
    pub fn max_session_bytes(mut self, bytes: usize) -> Self {
        self.session_bytes_max = bytes;
        self
    }

    /// How many sessions may be live here, copies included. For one beyond it another ends that
    /// was made here and used once only, and in which nobody is logged in; if there is none, the
    /// new one is refused. No limit by default. Requests that come at once may go beyond it by a
    /// session each.
    #[must_use]
    pub fn max_active_sessions(mut self, sessions: usize) -> Self {
        self.max_active_sessions = Some(sessions);
        self
    }

    /// How old a session may become, however much it is used; no limit by default. Then it ends on
    /// all nodes. A change of id makes it no younger. Should be equal on all nodes.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// How long a request asks others for a newer copy; one second by default.
    #[must_use]
    pub fn access_timeout(mut self, access_timeout: Duration) -> Self {
        self.access_timeout = access_timeout;
        self
    }

    /// What a request does whose member did not answer in that time.
    #[must_use]
    pub fn stale(mut self, stale: Stale) -> Self {
        self.stale = stale;
        self
    }

    /// How long the end of a session is remembered. By default twice its idle limit, at least a
    /// day; thirty days for sessions without limit.
    #[must_use]
    pub fn tombstone_life(mut self, life: Duration) -> Self {
        self.tombstone_life = Some(life);
        self
    }

    /// How many ends are remembered at most; a million by default, some 40 MB.
    #[must_use]
    pub fn max_tombstones(mut self, tombstones: usize) -> Self {
        self.max_tombstones = tombstones;
        self
    }

    /// How much longer than its limit a copy is kept that this node does not own; ten seconds by
    /// default.
    #[must_use]
    pub fn expire_tolerance(mut self, tolerance: Duration) -> Self {
        self.expire_tolerance = tolerance;
        self
    }

    /// How long a starting node waits for its state; a minute by default, `None` for ever.
    #[must_use]
    pub fn state_transfer_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.state_transfer_timeout = timeout;
        self
    }

    /// What it does then.
    #[must_use]
    pub fn on_state_transfer_timeout(mut self, policy: OnTransferTimeout) -> Self {
        self.on_state_transfer_timeout = policy;
        self
    }

    pub(crate) fn placement(&self) -> Placement {
        self.placement
    }

    /// Whether other members hold copies.
    pub(crate) fn is_replicated(&self) -> bool {
        self.placement != Placement::Nobody
    }
}

/// Configures a context; made by [`Cluster::context`](crate::Cluster::context).
#[derive(Debug)]
pub struct ContextBuilder {
    node: Arc<Node>,
    path: String,
    name: Option<String>,
    manager: Manager,
    max_inactive: Option<Duration>,
    cookie_name: String,
    cookie_path: Option<String>,
    cookie_domain: Option<String>,
    cookie_secure: bool,
    cookie_http_only: bool,
    rewrite_route: bool,
    filter: Option<Filter>,
}

/// A context that cannot be.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ContextError {
    /// The cluster has a context of this name already.
    Taken(String),
    /// The path is not empty and does not begin with a slash, or has what no cookie may have.
    Path(String),
    /// The name of the session cookie is no token.
    CookieName(String),
    /// The domain of the session cookie is none.
    CookieDomain(String),
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(name) => write!(
                f,
                "the cluster has a context `{name}` already; give this one another path, or a \
                 name of its own"
            ),
            Self::Path(path) => write!(
                f,
                "`{path}` is no context path: it must be empty or begin with `/`, without spaces, \
                 `;` and control characters"
            ),
            Self::CookieName(name) => write!(
                f,
                "`{name}` is no name of a cookie: it must have 1 to 64 letters, digits and signs \
                 of a token, such as `-` and `_`"
            ),
            Self::CookieDomain(domain) => write!(
                f,
                "`{domain}` is no domain of a cookie: it must have 1 to 253 letters, digits, `-` \
                 and `.`"
            ),
        }
    }
}

impl std::error::Error for ContextError {}

impl ContextBuilder {
    pub(crate) fn new(node: Arc<Node>, path: &str) -> Self {
        Self {
            node,
            path: path.to_owned(),
            name: None,
            manager: Manager::delta(),
            max_inactive: Some(Duration::from_secs(1800)),
            cookie_name: "JSESSIONID".to_owned(),
            cookie_path: None,
            cookie_domain: None,
            cookie_secure: false,
            cookie_http_only: true,
            rewrite_route: true,
            filter: None,
        }
    }

    /// Who holds a copy; [`Manager::delta`] by default.
    #[must_use]
    pub fn manager(mut self, manager: Manager) -> Self {
        self.manager = manager;
        self
    }

    /// A name that tells this context from another of the same path (on another host). Must be
    /// equal on all nodes; the path by default.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// How long a new session may be idle; 30 minutes by default.
    #[must_use]
    pub fn max_inactive(mut self, max_inactive: Duration) -> Self {
        self.max_inactive = Some(max_inactive);
        self
    }

    /// New sessions never end by being idle.
    #[must_use]
    pub fn never_inactive(mut self) -> Self {
        self.max_inactive = None;
        self
    }

    /// The name of the session cookie; `JSESSIONID` by default. Equal on all nodes. Applications
    /// below each other's paths whose cookies have one name see each other's, and pass over them.
    #[must_use]
    pub fn cookie_name(mut self, name: &str) -> Self {
        self.cookie_name = name.to_owned();
        self
    }

    /// The path of the session cookie, if the application looks different from outside (HOW-TO,
    /// "Quick Start": the URL must look the same, otherwise a new session begins).
    #[must_use]
    pub fn cookie_path(mut self, path: &str) -> Self {
        self.cookie_path = Some(path.to_owned());
        self
    }

    /// The domain of the session cookie: browsers send it to all hosts below it. Without, they
    /// send it to the host that gave it and to no other.
    #[must_use]
    pub fn cookie_domain(mut self, domain: &str) -> Self {
        self.cookie_domain = Some(domain.to_owned());
        self
    }

    /// Whether browsers are told to send the cookie over TLS only: say so if the application is
    /// reached over TLS, be it through a proxy.
    #[must_use]
    pub fn cookie_secure(mut self, secure: bool) -> Self {
        self.cookie_secure = secure;
        self
    }

    /// Whether browsers are told to keep the cookie from scripts; `true` by default: a script
    /// that can read it can give it away.
    #[must_use]
    pub fn cookie_http_only(mut self, http_only: bool) -> Self {
        self.cookie_http_only = http_only;
        self
    }

    /// Whether a client that comes from another node gets this node's route in its cookie (the
    /// `JvmRouteBinderValve`); `true` by default. With `false` the route is that of the node that
    /// gave the session: a balancer goes on trying it, and a request elsewhere always asks it
    /// first. The route does not name then who showed the session last, so that a session is as
    /// new as replication has made it and not as new as this client has seen it.
    #[must_use]
    pub fn rewrite_route(mut self, rewrite: bool) -> Self {
        self.rewrite_route = rewrite;
        self
    }

    /// Requests that never change the session (`filter` of the `ReplicationValve`); none by
    /// default.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Makes the context; from now on this node holds its part of the sessions.
    ///
    /// # Errors
    ///
    /// A path, or the name or domain of the cookie, is none; or the context's name is taken.
    pub fn build(self) -> Result<Context, ContextError> {
        let cookie_path = self.cookie_path.unwrap_or_else(|| self.path.clone());
        for path in [&self.path, &cookie_path] {
            let legal = |byte: u8| byte.is_ascii_graphic() && byte != b';';
            if !(path.is_empty() || path.starts_with('/')) || !path.bytes().all(legal) {
                return Err(ContextError::Path(path.clone()));
            }
        }
        if !is_token(&self.cookie_name) {
            return Err(ContextError::CookieName(self.cookie_name));
        }
        if let Some(domain) = self.cookie_domain.as_ref().filter(|it| !is_domain(it)) {
            return Err(ContextError::CookieDomain(domain.clone()));
        }
        let name = self.name.unwrap_or(self.path);
        let inner = self.node.register(|node, id| ContextInner {
            id,
            name,
            cookie: SessionCookie {
                name: self.cookie_name,
                path: if cookie_path.is_empty() {
                    "/".to_owned()
                } else {
                    cookie_path
                },
                domain: self.cookie_domain,
                secure: self.cookie_secure,
                http_only: self.cookie_http_only,
            },
            rewrites_route: self.rewrite_route,
            filter: self.filter,
            table: SessionTable::new(node.digest_key, self.manager.max_lifetime),
            room: Room::default(),
            manager: self.manager,
            max_inactive: self.max_inactive,
            transfer: Mutex::default(),
            node: Arc::clone(node),
        })?;
        Ok(Context { inner })
    }
}

/// Whether a text may name a cookie (RFC 6265, 4.1.1: a token of RFC 2616).
fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

/// Whether a text may be the domain of a cookie (RFC 6265, 4.1.1: letters, digits and hyphens
/// between dots).
fn is_domain(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(legal)
}
