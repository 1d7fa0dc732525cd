//! What nodes say of themselves: hellos, their answers, and the parts of heartbeats.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::hello::{HEARD_MAX, Hello, MemberState, Protocols, Purpose, Refusal, Welcome};
use super::super::wire;
use super::DecodeError;
use crate::version::Incarnation;

pub(super) fn state_number(state: MemberState) -> u32 {
    match state {
        MemberState::Joining => 0,
        MemberState::Ready => 1,
    }
}

pub(super) fn state(number: u32) -> MemberState {
    if number == 1 {
        MemberState::Ready
    } else {
        MemberState::Joining
    }
}

pub(super) fn incarnation(bits: u64) -> Result<Incarnation, DecodeError> {
    if bits == 0 {
        Err(DecodeError::Malformed)
    } else {
        Ok(Incarnation::from_bits(bits))
    }
}

/// Those that fit.
pub(super) fn to_heard(heard: &[Incarnation]) -> Vec<u64> {
    heard
        .iter()
        .take(HEARD_MAX)
        .map(|heard| heard.bits())
        .collect()
}

pub(super) fn from_heard(heard: Vec<u64>) -> Result<Vec<Incarnation>, DecodeError> {
    heard.into_iter().map(incarnation).collect()
}

pub(super) fn address(text: &str) -> Result<SocketAddr, DecodeError> {
    text.parse().map_err(|_| DecodeError::Malformed)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn to_hello(hello: &Hello) -> wire::Hello {
    wire::Hello {
        cluster: hello.cluster.clone(),
        name: hello.name.clone(),
        incarnation: hello.incarnation.bits(),
        address: hello.address.to_string(),
        domain: hello.domain.clone(),
        state: state_number(hello.state),
        protocol_min: hello.protocols.min,
        protocol_max: hello.protocols.max,
        probe: hello.purpose == Purpose::Probe,
        to: hello.to.map_or(0, Incarnation::bits),
        counter_heard: hello.counter_heard,
        silence_ms: millis(hello.silence),
        settings: hello.settings,
        pooled: hello.purpose == Purpose::Pooled,
    }
}

pub(super) fn from_hello(hello: wire::Hello) -> Result<Hello, DecodeError> {
    Ok(Hello {
        protocols: Protocols {
            min: hello.protocol_min,
            max: hello.protocol_max,
        },
        cluster: hello.cluster,
        name: hello.name,
        incarnation: incarnation(hello.incarnation)?,
        address: address(&hello.address)?,
        domain: hello.domain,
        state: state(hello.state),
        purpose: match (hello.probe, hello.pooled) {
            (false, false) => Purpose::Link,
            (false, true) => Purpose::Pooled,
            (true, false) => Purpose::Probe,
            (true, true) => return Err(DecodeError::Malformed),
        },
        to: incarnation(hello.to).ok(),
        counter_heard: hello.counter_heard,
        silence: Duration::from_millis(hello.silence_ms),
        settings: hello.settings,
    })
}

pub(super) fn to_welcome(welcome: &Welcome) -> wire::Welcome {
    wire::Welcome {
        protocol: welcome.protocol,
        name: welcome.name.clone(),
        incarnation: welcome.incarnation.bits(),
        state: state_number(welcome.state),
        counter_heard: welcome.counter_heard,
        silence_ms: millis(welcome.silence),
        settings: welcome.settings,
        heard: to_heard(&welcome.heard),
    }
}

pub(super) fn from_welcome(welcome: wire::Welcome) -> Result<Welcome, DecodeError> {
    Ok(Welcome {
        protocol: welcome.protocol,
        name: welcome.name,
        incarnation: incarnation(welcome.incarnation)?,
        state: state(welcome.state),
        counter_heard: welcome.counter_heard,
        silence: Duration::from_millis(welcome.silence_ms),
        settings: welcome.settings,
        heard: from_heard(welcome.heard)?,
    })
}

const REFUSALS: [(u32, Refusal); 8] = [
    (1, Refusal::OtherCluster),
    (2, Refusal::NoCommonProtocol),
    (3, Refusal::NameTaken),
    (4, Refusal::OtherIncarnation),
    (5, Refusal::Myself),
    (6, Refusal::Leaving),
    (7, Refusal::Full),
    (8, Refusal::NotLinked),
];

pub(super) fn to_refused(refusal: Refusal) -> wire::Refused {
    let known = REFUSALS.iter().find(|(_, known)| *known == refusal);
    wire::Refused {
        reason: known.map_or(0, |(reason, _)| *reason),
    }
}

pub(super) fn from_refused(refused: &wire::Refused) -> Refusal {
    let known = REFUSALS
        .iter()
        .find(|(reason, _)| *reason == refused.reason);
    known.map_or(Refusal::Unknown, |(_, refusal)| *refusal)
}
