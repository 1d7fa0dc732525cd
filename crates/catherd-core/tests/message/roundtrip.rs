//! What is encoded decodes to the same.

use catherd_core::message::{FrameKind, Heartbeat, Message, encode_fragments};
use proptest::prelude::*;

use crate::samples::*;

/// A case that fails is printed in full and becomes a test with a name.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_message_comes_back_as_it_was(message in any_message(), has_key in any::<bool>()) {
        let key = has_key.then(cluster_key);
        let frame = to_frame(&message, key.as_ref());
        let (head, payload) = cut(&frame);
        prop_assert_eq!(head.number, u64::from(head.kind == FrameKind::Fragments));
        let decoded = decode(head.kind, &payload, key.as_ref()).unwrap();
        prop_assert_eq!(decoded.as_ref(), Some(&message));
        prop_assert_eq!(to_frame(&message, key.as_ref()), frame);
    }

    #[test]
    fn every_heartbeat_comes_back_as_it_was(
        heartbeat in any_heartbeat(),
        has_key in any::<bool>(),
    ) {
        let key = has_key.then(cluster_key);
        let datagram = heartbeat.to_datagram(key.as_ref());
        prop_assert!(datagram.len() <= 1200);
        let decoded = Heartbeat::from_datagram(&datagram, &heartbeat.cluster, key.as_ref());
        prop_assert_eq!(decoded, Ok(heartbeat));
    }

    #[test]
    fn what_bytes_decode_to_comes_back_as_it_was(
        message in any_message(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let frame = to_frame(&message, None);
        let (head, payload) = cut(&frame);
        let mut payload = payload.to_vec();
        if !payload.is_empty() {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Ok(Some(decoded)) = decode(head.kind, &payload.into(), None) {
            let (head, payload) = cut(&to_frame(&decoded, None));
            prop_assert_eq!(decode(head.kind, &payload, None), Ok(Some(decoded)));
        }
    }
}

#[test]
fn a_heartbeat_of_the_longest_names_and_sixty_four_heard_fits_its_datagram() {
    let long = Heartbeat {
        cluster: "c".repeat(64),
        name: "n".repeat(64),
        domain: "d".repeat(64),
        counter: u64::MAX,
        address: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
            .parse()
            .unwrap(),
        heard: (1..=100).map(incarnation).collect(),
        wall_ms: Some(i64::MIN),
        ..heartbeat()
    };
    let key = cluster_key();
    let datagram = long.to_datagram(Some(&key));
    assert!(datagram.len() <= 1200);
    let heard = Heartbeat::from_datagram(&datagram, &long.cluster, Some(&key)).unwrap();
    assert_eq!(heard.heard, long.heard[..64], "those beyond are left out");
}

#[test]
fn registers_of_the_commit_itself_do_not_repeat_its_version() {
    let one = encode_fragments("/shop", &[whole()]).len();
    let mut more = whole();
    if let catherd_core::session::Content::Write(write) = &mut more.content {
        let register = register(0, 1, 0x0a0a, Some(b"x"));
        write.registers.extend([(attribute("a"), register)]);
    }
    let more = encode_fragments("/shop", &[more]).len();
    assert_eq!(more - one, 2 + 3 + 3, "the field, the name, the value");
}

#[test]
fn a_session_as_large_as_may_be_fits_its_frame() {
    let mut large = whole();
    if let catherd_core::session::Content::Write(write) = &mut large.content {
        let bytes = vec![7; SESSION_BYTES_MAX];
        write.registers.extend([(
            attribute(&"n".repeat(1024)),
            register(0, 1, 0x0a0a, Some(&bytes)),
        )]);
    }
    let payload = encode_fragments(&"c".repeat(1024), std::slice::from_ref(&large));
    let Ok(Some(Message::Fragments { fragments, .. })) =
        decode(FrameKind::Fragments, &payload, None)
    else {
        panic!("it decodes");
    };
    assert_eq!(fragments, [large]);
}

#[test]
fn a_copy_that_has_seen_nothing_travels_whole() {
    let mut behind = whole();
    if let catherd_core::session::Content::Write(write) = &mut behind.content {
        write.seen = catherd_core::version::Vector::new();
    }
    let payload = encode_fragments("/shop", std::slice::from_ref(&behind));
    let Ok(Some(Message::Fragments { fragments, .. })) =
        decode(FrameKind::Fragments, &payload, None)
    else {
        panic!("it decodes");
    };
    assert_eq!(fragments, [behind]);
}
