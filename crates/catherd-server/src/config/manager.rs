//! `Manager`: who holds the sessions of a context.

use std::time::Duration;

use super::diagnostic::{Location, Problems};
use super::section::{Given, Raw, Section, class_of};
use super::words::MANAGER;

/// The settings of a context's sessions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ManagerConfig {
    /// The class.
    pub kind: ManagerKind,
    /// `maxActiveSessions`: sessions on this node, copies included. For one more another ends that
    /// was used once and has no user; if there is none, it is refused. `None`: no limit.
    pub max_active_sessions: Option<u64>,
    /// `maxLifetime`: how old a session may become, however much it is used. `None`: no limit.
    pub max_lifetime: Option<Duration>,
    /// `useDirtyFlag`: whether only what changed is sent. `false` sends the entire session after
    /// each request; a value whose bytes did not change keeps its version even so. Tomcat's
    /// default is `false`, as changes in place go unnoticed there.
    pub use_dirty_flag: bool,
    /// `accessTimeout`: how long a request asks other members for a newer copy.
    pub access_timeout: Duration,
    /// `stale`: what a request does when nobody answered in that time.
    pub stale: Stale,
    /// `expireTolerance`: how long after its limit a session whose owner is gone is ended by
    /// another holder. Tomcat's 300 s suit an access message a minute; here ages travel once a
    /// second.
    pub expire_tolerance: Duration,
    /// `tombstoneLife`: how long the end of a session is remembered. `None`: twice the session's
    /// limit, at least a day; thirty days for a session without limit.
    pub tombstone_life: Option<Duration>,
    /// `maxTombstones`: ends of sessions that are remembered at most.
    pub max_tombstones: u64,
    /// `maxSessionBytes`: the attributes of one session at most, in bytes.
    pub max_session_bytes: u64,
    /// `stateTransferTimeout`: how long a start waits for sessions. `None`: for ever.
    pub state_transfer_timeout: Option<Duration>,
    /// `onStateTransferTimeout`: what it does then.
    pub on_state_transfer_timeout: OnTimeout,
    /// `expireSessionsOnShutdown`: whether a clean stop ends the sessions for all.
    pub expire_sessions_on_shutdown: bool,
    /// `sendClusterDomainOnly`: whether sessions stay in the own domain.
    pub send_cluster_domain_only: bool,
}

impl Default for ManagerConfig {
    fn default() -> Self {
        Self {
            kind: ManagerKind::Standard,
            max_active_sessions: None,
            max_lifetime: None,
            use_dirty_flag: true,
            access_timeout: Duration::from_millis(1000),
            stale: Stale::Degraded,
            expire_tolerance: Duration::from_secs(10),
            tombstone_life: None,
            max_tombstones: 1_000_000,
            max_session_bytes: 1 << 20,
            state_transfer_timeout: Some(Duration::from_secs(60)),
            on_state_transfer_timeout: OnTimeout::Start,
            expire_sessions_on_shutdown: false,
            send_cluster_domain_only: true,
        }
    }
}

/// The placement of sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ManagerKind {
    /// `DeltaManager`, and `SimpleTcpReplicationManager` with `use_dirty_flag` off: every member
    /// of the domain has every session.
    Delta,
    /// `StandardManager`: this node alone.
    Standard,
}

/// What a request does with a copy that may be old.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stale {
    /// `degraded`: it is served, and the response says so.
    Degraded,
    /// `refuse`: the response is 503.
    Refuse,
}

/// What a start does when the sessions did not come in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnTimeout {
    /// `start`: the ports open, and missing sessions are fetched on demand.
    Start,
    /// `stay-closed`: they stay closed.
    StayClosed,
}

/// A `Manager` that was read.
#[derive(Clone, Debug)]
pub(crate) struct ManagerDraft {
    pub(crate) config: ManagerConfig,
    /// `maxInactiveInterval`, which the context may overrule. `None` inside: never.
    pub(crate) max_inactive_interval: Option<Given<Option<Duration>>>,
    pub(crate) at: Location,
}

impl ManagerDraft {
    /// A manager with the class and attributes of `raws`. `None`: one that this release has not,
    /// which was reported.
    pub(crate) fn read(at: Location, raws: Vec<Raw>, problems: &mut Problems) -> Option<Self> {
        if let Some(class) = raws.iter().find(|raw| raw.name == "className") {
            let alternative = match class_of(&class.value, ABSENT.into_iter()) {
                Some("BackupManager") => "use DeltaManager, which keeps a copy on every member",
                Some(_) => "use DeltaManager, whose sessions outlive a node in the others' memory",
                None => "",
            };
            if !alternative.is_empty() {
                let what = format!("this release has no {}", class.value);
                problems.error(&class.at, what, alternative);
                return None;
            }
        }
        let section = Section::new(&MANAGER, at, raws, problems);
        Some(Self::from_section(&section, problems))
    }

    fn from_section(section: &Section, problems: &mut Problems) -> Self {
        let default = ManagerConfig::default();
        let kind = match section.class() {
            "StandardManager" => ManagerKind::Standard,
            _ => ManagerKind::Delta,
        };
        section.parsed(
            "sessionIdLength",
            "16: a session key is 128 bits",
            problems,
            |text| (text == "16").then_some(()),
        );
        let max_active_sessions = section.limit("maxActiveSessions", 1..=u64::MAX, problems);
        let max_lifetime = section.limit("maxLifetime", 1..=SECONDS_MAX, problems);
        let use_dirty_flag = section.boolean("useDirtyFlag", problems);
        let access_timeout = section.millis("accessTimeout", 1..=600_000, problems);
        let stale = section.parsed("stale", "degraded or refuse", problems, |text| match text {
            "degraded" => Some(Stale::Degraded),
            "refuse" => Some(Stale::Refuse),
            _ => None,
        });
        let expire_tolerance = section.seconds("expireTolerance", 0..=86_400, problems);
        let tombstone_life = section.seconds("tombstoneLife", 1..=SECONDS_MAX, problems);
        let max_tombstones = section.number("maxTombstones", 1..=u64::MAX, problems);
        let session_bytes = section.number("maxSessionBytes", 1024..=SESSION_BYTES_MAX, problems);
        let transfer = section.limit("stateTransferTimeout", 0..=SECONDS_MAX, problems);
        let on_timeout = section.parsed(
            "onStateTransferTimeout",
            "start or stay-closed",
            problems,
            |text| match text {
                "start" => Some(OnTimeout::Start),
                "stay-closed" => Some(OnTimeout::StayClosed),
                _ => None,
            },
        );
        let expire_on_shutdown = section.boolean("expireSessionsOnShutdown", problems);
        let domain_only = section.boolean("sendClusterDomainOnly", problems);
        let interval = section.limit("maxInactiveInterval", 1..=SECONDS_MAX, problems);
        Self {
            at: section.at().clone(),
            max_inactive_interval: interval
                .map(|given| given.map(|seconds| seconds.map(Duration::from_secs))),
            config: ManagerConfig {
                kind,
                max_active_sessions: max_active_sessions.and_then(|given| given.value),
                max_lifetime: max_lifetime
                    .and_then(|given| given.value)
                    .map(Duration::from_secs),
                use_dirty_flag: use_dirty_flag
                    .unwrap_or(section.class() != "SimpleTcpReplicationManager"),
                access_timeout: access_timeout.map_or(default.access_timeout, |given| given.value),
                stale: stale.map_or(default.stale, |given| given.value),
                expire_tolerance: expire_tolerance
                    .map_or(default.expire_tolerance, |given| given.value),
                tombstone_life: tombstone_life.map(|given| given.value),
                max_tombstones: max_tombstones.map_or(default.max_tombstones, |given| given.value),
                max_session_bytes: session_bytes
                    .map_or(default.max_session_bytes, |given| given.value),
                state_transfer_timeout: transfer.map_or(default.state_transfer_timeout, |given| {
                    given.value.map(Duration::from_secs)
                }),
                on_state_transfer_timeout: on_timeout
                    .map_or(default.on_state_transfer_timeout, |given| given.value),
                expire_sessions_on_shutdown: expire_on_shutdown
                    .unwrap_or(default.expire_sessions_on_shutdown),
                send_cluster_domain_only: domain_only.unwrap_or(default.send_cluster_domain_only),
            },
        }
    }
}

/// Ten years.
const SECONDS_MAX: u64 = 10 * 365 * 86_400;

/// A gigabyte, which nobody should have in a session.
const SESSION_BYTES_MAX: u64 = 1 << 30;

/// Known, and not in this release.
const ABSENT: [&str; 2] = ["BackupManager", "PersistentManager"];
