//! `Sender`: how changes go to other members.

use std::time::Duration;

use super::diagnostic::Problems;
use super::section::{Given, Section};

/// The replication mode and its bounds.
///
/// HOW-TO, "Cluster Configuration". Without `replicationMode` it is `synchronous`: Tomcat's
/// reference says `pooled`, which gives the same promise. Here one socket carries more small
/// sessions a second than several do, since many of them share a write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SenderConfig {
    /// `replicationMode`.
    pub mode: Mode,
    /// `waitForAck`: whether a request waits until every holder has applied the change, or only
    /// until it is handed to the operating system.
    pub wait_for_ack: bool,
    /// `ackTimeout`: how long it waits, 1 ms to an hour.
    pub ack_timeout: Duration,
    /// `maxQueueBytes`: what may wait for one member, in bytes, from 64 KiB to 1 TiB.
    pub max_queue_bytes: u64,
    /// `maxQueueLength`: what may wait for one member, in entries. `None`: no limit but the bytes.
    pub max_queue_length: Option<u64>,
    /// `maxPoolSocketLimit`: sockets to one member in mode `pooled`, 1 to 1024.
    pub max_pool_socket_limit: u16,
    /// `keepAliveTimeout`: how long a socket of the pool stays open without being used. `None`:
    /// as long as the member.
    pub keep_alive_timeout: Option<Duration>,
    /// `keepAliveMaxRequestCount`: after how many changes a socket of the pool is opened anew.
    pub keep_alive_max_request_count: Option<u64>,
    /// `autoConnect`: whether all sockets of the pool are opened when a member is met.
    pub auto_connect: bool,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Synchronous,
            wait_for_ack: true,
            ack_timeout: Duration::from_secs(15),
            max_queue_bytes: 64 << 20,
            max_queue_length: None,
            max_pool_socket_limit: 25,
            keep_alive_timeout: Some(Duration::from_secs(60)),
            keep_alive_max_request_count: None,
            auto_connect: false,
        }
    }
}

/// The four replication modes.
///
/// HOW-TO, "Cluster Configuration": "The parameter "replicationMode" has four different
/// settings".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// One socket a member; the request waits.
    Synchronous,
    /// Several sockets a member; the request waits.
    Pooled,
    /// One socket a member; the request does not wait, changes to one session join in the queue.
    Asynchronous,
    /// One socket a member; the request does not wait, the queue is sent whole.
    FastAsyncQueue,
}

impl Mode {
    /// Whether a request waits for its changes to be sent.
    pub const fn is_synchronous(self) -> bool {
        matches!(self, Self::Synchronous | Self::Pooled)
    }

    /// As `replicationMode` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Synchronous => "synchronous",
            Self::Pooled => "pooled",
            Self::Asynchronous => "asynchronous",
            Self::FastAsyncQueue => "fastasyncqueue",
        }
    }

    const ALL: [Self; 4] = [
        Self::Synchronous,
        Self::Pooled,
        Self::Asynchronous,
        Self::FastAsyncQueue,
    ];
}

/// What `channelSendOptions` of the `Cluster` says: the newer spelling of mode and waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendOptions {
    mode: Mode,
    wait_for_ack: bool,
}

impl SendOptions {
    /// The sum of numbers, or names separated by commas. `None`: something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bits = text.split(',').try_fold(0, |bits, option| {
            let bit = match option.trim() {
                "use_ack" => USE_ACK,
                "synchronized_ack" | "sync" => SYNCHRONIZED_ACK,
                "asynchronous" | "async" => ASYNCHRONOUS,
                number => number
                    .parse()
                    .ok()
                    .filter(|&bits: &u8| bits & !KNOWN_OPTIONS == 0)?,
            };
            Some(bits | bit)
        })?;
        let is_asynchronous = bits & ASYNCHRONOUS != 0;
        let mode = if is_asynchronous {
            Mode::Asynchronous
        } else {
            Mode::Synchronous
        };
        Some(Self {
            mode,
            wait_for_ack: !is_asynchronous && bits & USE_ACK != 0,
        })
    }
}

impl SenderConfig {
    pub(crate) fn read(
        section: &Section,
        options: Option<&Given<SendOptions>>,
        problems: &mut Problems,
    ) -> Self {
        let default = Self::default();
        let names = Mode::ALL.map(Mode::name).join(", ");
        let mode = section.parsed(
            "replicationMode",
            &format!("one of {names}"),
            problems,
            |text| {
                Mode::ALL
                    .into_iter()
                    .find(|mode| mode.name().eq_ignore_ascii_case(text))
            },
        );
        let wait_for_ack = section.boolean("waitForAck", problems);
        if let Some(options) = options {
            for name in ["replicationMode", "waitForAck"] {
                if let Some(given) = section.text(name) {
                    let what = format!("{name} and channelSendOptions say the same thing twice");
                    problems.error((&options.at).max(&given.at), what, "remove one of them");
                }
            }
        }
        let mode = mode
            .map(|given| given.value)
            .or(options.map(|given| given.value.mode));
        let mode = mode.unwrap_or(default.mode);
        let ack_timeout = section.millis("ackTimeout", 1..=3_600_000, problems);
        let queue_bytes = section.number("maxQueueBytes", 65_536..=1 << 40, problems);
        let queue_length = section.limit("maxQueueLength", 1..=u64::MAX, problems);
        let sockets = section.number("maxPoolSocketLimit", 1..=1024, problems);
        let idle = section.limit("keepAliveTimeout", 1..=u64::MAX / 2, problems);
        let requests = section.limit("keepAliveMaxRequestCount", 1..=u64::MAX, problems);
        Self {
            mode,
            wait_for_ack: wait_for_ack
                .or(options.map(|options| options.value.wait_for_ack))
                .unwrap_or(mode.is_synchronous()),
            ack_timeout: ack_timeout.map_or(default.ack_timeout, |given| given.value),
            max_queue_bytes: queue_bytes.map_or(default.max_queue_bytes, |given| given.value),
            max_queue_length: queue_length.map_or(default.max_queue_length, |given| given.value),
            max_pool_socket_limit: sockets
                .map_or(default.max_pool_socket_limit, |given| given.value),
            keep_alive_timeout: idle.map_or(default.keep_alive_timeout, |given| {
                given.value.map(Duration::from_millis)
            }),
            keep_alive_max_request_count: requests
                .map_or(default.keep_alive_max_request_count, |given| given.value),
            auto_connect: section
                .boolean("autoConnect", problems)
                .unwrap_or(default.auto_connect),
        }
    }
}

const USE_ACK: u8 = 2;
const SYNCHRONIZED_ACK: u8 = 4;
const ASYNCHRONOUS: u8 = 8;
const KNOWN_OPTIONS: u8 = USE_ACK | SYNCHRONIZED_ACK | ASYNCHRONOUS;
