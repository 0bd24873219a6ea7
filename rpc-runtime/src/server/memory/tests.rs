use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::refusal::FullShare;
use super::*;
use crate::error::Code;
use crate::server::limits::Limits;

const MIB: usize = 1 << 20;

fn memory(buffered_bytes: usize, message_bytes: usize) -> Arc<MessageMemory> {
    MessageMemory::new(&Limits {
        buffered_bytes,
        message_bytes,
        ..Limits::default()
    })
}

fn message(bytes: usize) -> Bytes {
    Bytes::from(vec![0; bytes])
}

/// Counts messages of 1 MiB until one is refused.
fn fill(memory: CallMemory<'_>) -> (Vec<Bytes>, FullShare) {
    let mut counted = Vec::new();
    for _ in 0..100 {
        match memory.count(message(MIB)) {
            Ok(message) => counted.push(message),
            Err(refused) => return (counted, refused.full),
        }
    }
    panic!("no message is refused");
}

#[test]
fn a_peer_has_an_eighth_and_strangers_a_half() {
    let memory = memory(64 * MIB, MIB);
    let peers: Vec<_> = (0..10).map(|_| memory.peer()).collect();
    let mut held = Vec::new();
    for peer in &peers[..4] {
        let (counted, full) = fill(CallMemory::new(peer, false));
        assert_eq!((counted.len(), full), (8, FullShare::Peer));
        held.push(counted);
    }
    let (counted, full) = fill(CallMemory::new(&peers[4], false));
    assert_eq!((counted.len(), full), (0, FullShare::Untrusted));
    for peer in &peers[5..9] {
        let (counted, full) = fill(CallMemory::new(peer, true));
        assert_eq!((counted.len(), full), (8, FullShare::Peer));
        held.push(counted);
    }
    let (counted, full) = fill(CallMemory::new(&peers[9], true));
    assert_eq!((counted.len(), full), (0, FullShare::All));
    assert_eq!(memory.used(), 64 * MIB);
    drop(held);
    assert_eq!(memory.used(), 0);
    assert!(peers.iter().all(|peer| peer.is_unused()));
    assert_eq!(memory.untrusted.used.load(Ordering::Relaxed), 0);
}

#[test]
fn a_message_counts_until_its_last_part_is_dropped() {
    let memory = memory(64 * MIB, MIB);
    let peer = memory.peer();
    let mut whole = CallMemory::new(&peer, true).count(message(MIB)).unwrap();
    let part = whole.split_to(10);
    drop(whole);
    assert_eq!(memory.used(), MIB);
    drop(part);
    assert_eq!(memory.used(), 0);
}

#[test]
fn a_reservation_grows_shrinks_and_is_released() {
    let memory = memory(64 * MIB, MIB);
    let peer = memory.peer();
    let mut reservation = CallMemory::new(&peer, false).reserve();
    assert!(reservation.grow_to(UNCOUNTED_BYTES));
    assert_eq!(memory.used(), 0, "small messages are not counted");
    assert!(reservation.grow_to(2 * MIB) && reservation.grow_to(MIB));
    assert_eq!(memory.used(), 2 * MIB);
    assert!(!reservation.grow_to(9 * MIB));
    assert_eq!(memory.used(), 2 * MIB, "as before");
    reservation.shrink_to(MIB);
    assert_eq!(memory.used(), MIB);
    drop(reservation);
    assert_eq!(memory.used(), 0);
}

#[test]
fn one_message_fits_into_each_share() {
    for (buffered, largest, fits) in [
        (64 * MIB, 30 * MIB, 60 * MIB),
        (64 * MIB, usize::MAX, 64 * MIB),
        (usize::MAX, usize::MAX, usize::MAX / 2),
    ] {
        let memory = memory(buffered, largest);
        let peer = memory.peer();
        let mut reservation = CallMemory::new(&peer, false).reserve();
        assert!(reservation.grow_to(fits), "{buffered} {largest}");
    }
}

#[test]
fn some_responses_count_above_the_limit() {
    let memory = memory(8 * MIB, MIB);
    let peer = memory.peer();
    let call = CallMemory::new(&peer, false);
    let counted = call.count_always(message(100 * MIB));
    assert_eq!(memory.used(), 100 * MIB);
    assert!(call.count(message(MIB)).is_err());
    drop(counted);
    assert!(call.count(message(MIB)).is_ok());
}

#[test]
fn a_refusal_says_which_limit_and_whether_it_ran() {
    let memory = memory(64 * MIB, MIB);
    let peer = memory.peer();
    let refused = CallMemory::new(&peer, false).count(message(9 * MIB));
    let refused = refused.unwrap_err();
    let (request, response) = (refused.of_request(), refused.of_response());
    for error in [&request, &response] {
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.retry_after().is_some());
        let text = "of this peer take up to 8388608 bytes (`buffered_bytes`)";
        assert!(error.message().contains(text), "{error}");
    }
    assert!(request.is_not_executed() && !response.is_not_executed());
}

fn head(headers: &[(&'static str, &'static str)]) -> request::Parts {
    let mut request = http::Request::new(());
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request.into_parts().0
}

#[test]
fn an_incomplete_request_counts_with_its_head() {
    let memory = memory(64 * MIB, MIB);
    let peer = memory.peer();
    let call = CallMemory::new(&peer, false);
    for (headers, bytes) in [
        (&[][..], 8192 + 1),
        (&[("a", "bc")], 8192 + 1 + 3 + 128),
        (&[("a", "bc"), ("a", "")], 8192 + 1 + 4 + 256),
    ] {
        let counted = call.incomplete(&head(headers)).unwrap();
        assert_eq!(memory.used(), bytes, "{headers:?}");
        let counted = counted.into_count();
        assert_eq!(memory.used(), bytes);
        drop(counted);
        assert_eq!(memory.used(), 0);
    }
}

#[test]
fn each_piece_of_a_body_counts() {
    let memory = memory(64 * MIB, MIB);
    let peer = memory.peer();
    let owned = CallMemory::new(&peer, true).to_owned();
    for size in [0, 1, 4096, 16 << 10, MIB] {
        let piece = owned.count_piece(message(size)).unwrap();
        assert_eq!(memory.used(), size + 256);
        drop(piece);
        assert_eq!(memory.used(), 0);
    }
    let pieces: Vec<_> = (0..)
        .map_while(|_| owned.count_piece(message(1)).ok())
        .collect();
    assert_eq!(pieces.len(), 8 * MIB / 257);
}

#[test]
fn a_small_piece_does_not_keep_its_buffer() {
    let memory = memory(64 * MIB, MIB);
    let owned = CallMemory::new(&memory.peer(), true).to_owned();
    for (size, is_copied) in [(1, true), ((16 << 10) - 1, true), (16 << 10, false)] {
        let piece = message(MIB).split_to(size);
        let at = piece.as_ptr();
        let counted = owned.count_piece(piece).unwrap();
        assert_eq!(counted.as_ptr() != at, is_copied, "{size}");
    }
}
