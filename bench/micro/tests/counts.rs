//! What an operation may allocate, and what a link may write: counts, on any machine the same.
#![forbid(unsafe_code)]

use catherd_micro::{Link, allocated, frame, operations};

const PAYLOAD: usize = 1000;

/// What the operation of this name allocates once everything is warm.
fn of(name: &str) -> catherd_micro::Allocated {
    let mut all = operations(PAYLOAD).into_iter();
    let operation = all.find(|operation| operation.name == name);
    allocated_by(operation.expect("there is such an operation"))
}

fn allocated_by(mut operation: catherd_micro::Operation) -> catherd_micro::Allocated {
    (operation.prepare)()();
    allocated((operation.prepare)())
}

#[test]
fn what_is_counted_is_counted() {
    let one = allocated(|| drop(std::hint::black_box(vec![0_u8; 77])));
    assert_eq!((one.count, one.bytes), (1, 77));
    assert_eq!(allocated(|| {}).count, 0);
}

/// The block of the fragment, and that of the copy anew.
#[test]
fn a_commit_allocates_the_block_of_the_fragment_and_that_of_the_copy() {
    let allocated = of("commit of two attributes");
    assert!(allocated.count <= 2, "{allocated:?}");
    assert!(allocated.bytes <= 2 * PAYLOAD as u64 + 200, "{allocated:?}");
}

/// The frame, and nothing on the way into it.
#[test]
fn encoding_a_write_allocates_its_frame() {
    let allocated = of("encode");
    assert_eq!(allocated.count, 1, "{allocated:?}");
    assert!(allocated.bytes <= PAYLOAD as u64 + 90, "{allocated:?}");
}

#[test]
fn a_write_is_copied_into_the_copy_and_into_the_frame() {
    let allocated = of("commit and encode");
    assert!(allocated.count <= 3, "{allocated:?}");
    assert!(allocated.bytes <= 3 * PAYLOAD as u64 + 280, "{allocated:?}");
}

/// The block of the fragment, the list that it is in, and the name of its context.
#[test]
fn decoding_allocates_the_block_and_the_message() {
    let allocated = of("decode");
    assert!(allocated.count <= 3, "{allocated:?}");
    assert!(allocated.bytes <= PAYLOAD as u64 + 400, "{allocated:?}");
}

/// A value that lies in the block is copied into it; a large one is shared.
#[test]
fn a_merge_makes_the_block_anew_and_nothing_else() {
    let allocated = of("merge of a write into a copy");
    assert_eq!(allocated.count, 1, "{allocated:?}");
    assert!(allocated.bytes <= PAYLOAD as u64 + 100, "{allocated:?}");
    let large = operations(100_000)
        .into_iter()
        .find(|operation| operation.name == "merge of a write into a copy");
    let allocated = allocated_by(large.expect("there is such an operation"));
    assert!(allocated.bytes <= 200, "{allocated:?}");
}

#[test]
fn a_digest_allocates_nothing() {
    assert_eq!(of("digest of a session").count, 0);
}

#[test]
fn one_user_gets_a_write_for_each_frame() {
    let mut link = Link::default();
    for number in 1..=10 {
        link.send(frame(0, PAYLOAD));
        assert_eq!(link.writes, usize::try_from(number).unwrap());
        link.acknowledge(number);
    }
    assert_eq!(link.writes, 10);
}

#[test]
fn many_users_share_one_write_for_each_acknowledgement() {
    let mut link = Link::default();
    for session in 0..64 {
        link.send(frame(session, PAYLOAD));
    }
    assert_eq!(link.writes, 1, "the first, and the others wait");
    link.acknowledge(1);
    assert_eq!(link.writes, 2, "63 frames in one write");
    link.acknowledge(64);
    assert_eq!(link.writes, 2);
}

#[test]
fn a_frame_has_few_bytes_beside_the_payload() {
    let mut link = Link::default();
    link.send(frame(0, PAYLOAD));
    assert!(link.bytes <= PAYLOAD + BESIDE, "{} bytes", link.bytes);
}

/// Head, context, key, birth, names, lengths, the counter.
const BESIDE: usize = 84;
