//! Golden files: the bytes of each message in the first version of the protocol.
//!
//! A file is hexadecimal text; a line that begins with `#` is a comment. A file of a released
//! version never changes (P-MIXED): what these bytes mean they mean for ever.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use catherd_core::message::Heartbeat;

use crate::samples::*;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v1/{name}.hex"))
}

fn read(name: &str) -> Vec<u8> {
    let text = fs::read_to_string(path(name)).expect("each sample has its golden file");
    let digits: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::chars)
        .filter(|digit| !digit.is_whitespace())
        .collect();
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    assert!(rest.is_empty(), "{name}: an odd number of digits");
    let byte = |pair: &[u8; 2]| {
        let pair = std::str::from_utf8(pair).expect("digits are ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    };
    pairs.iter().map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").expect("text grows");
        }
        text.push('\n');
    }
    text
}

/// Bytes that differ are shown as a whole file, for a message that is new.
pub(crate) fn assert_golden(name: &str, bytes: &[u8]) {
    assert!(
        path(name).exists() && read(name) == bytes,
        "{name}.hex should be\n{}",
        hex(bytes)
    );
}

#[test]
fn every_message_without_a_signature_has_its_golden_bytes() {
    for (name, message) in plain_messages() {
        assert_golden(name, &to_frame(&message, None));
    }
}

#[test]
fn every_signed_message_has_its_golden_bytes() {
    for (name, message) in signed_messages() {
        assert_golden(name, &message.to_frame(Some(&cluster_key())));
    }
    assert_golden("heartbeat", &heartbeat().to_datagram(Some(&cluster_key())));
    assert_golden("heartbeat-without-key", &heartbeat().to_datagram(None));
    assert_golden(
        "heartbeat-with-wall-clock",
        &heartbeat_with_wall_clock().to_datagram(None),
    );
}

#[test]
fn golden_bytes_mean_what_they_meant() {
    let key = cluster_key();
    let plain = plain_messages().into_iter().map(|(n, m)| (n, m, None));
    let signed = signed_messages()
        .into_iter()
        .map(|(n, m)| (n, m, Some(&key)));
    for (name, message, key) in plain.chain(signed) {
        let bytes = read(name);
        let (head, payload) = cut(&bytes);
        assert_eq!(
            decode(head.kind, &payload, key),
            Ok(Some(message.clone())),
            "{name}"
        );
        assert_eq!(to_frame(&message, key), bytes, "{name}");
    }
    for (name, key, heartbeat) in [
        ("heartbeat", Some(&key), heartbeat()),
        ("heartbeat-without-key", None, heartbeat()),
        (
            "heartbeat-with-wall-clock",
            None,
            heartbeat_with_wall_clock(),
        ),
    ] {
        let decoded = Heartbeat::from_datagram(&read(name), "catherd", key);
        assert_eq!(decoded, Ok(heartbeat), "{name}");
    }
}

#[test]
fn every_golden_file_is_of_a_sample_and_says_what_it_is() {
    let mut names: Vec<_> = plain_messages()
        .into_iter()
        .chain(signed_messages())
        .map(|(name, _)| format!("{name}.hex"))
        .collect();
    let others = [
        "heartbeat.hex",
        "heartbeat-without-key.hex",
        "heartbeat-with-wall-clock.hex",
        "principal.hex",
    ];
    names.extend(others.map(str::to_owned));
    names.sort();
    let directory = path("any")
        .parent()
        .expect("a file is somewhere")
        .to_owned();
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("the golden files are there")
        .map(|file| file.expect("readable").file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, names);
    for file in files {
        let text = fs::read_to_string(path(file.trim_end_matches(".hex"))).unwrap();
        assert!(text.starts_with("# "), "{file} begins with a comment");
    }
}
