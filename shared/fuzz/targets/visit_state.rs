//! A visit state under right hashes: refused, or written again in the same way.
#![no_main]

use coupon_shared::visit_state::PublishedState;
use libfuzzer_sys::fuzz_target;

/// Lengths of the header, and the places of its hashes: of the lists, and of the header before it.
const HEADER_LEN: usize = 128;
const LISTS_HASH_AT: usize = 64;
const HEADER_HASH_AT: usize = 96;

fuzz_target!(|data: &[u8]| {
    let _ = PublishedState::decode(data);
    let Some((header, lists)) = data.split_at_checked(HEADER_LEN) else { return };
    let mut header = header.to_vec();
    header[..10].copy_from_slice(b"CPNSTATE\x01\x00");
    header[LISTS_HASH_AT..HEADER_HASH_AT].copy_from_slice(blake3::hash(lists).as_bytes());
    let hash = blake3::hash(&header[..HEADER_HASH_AT]);
    header[HEADER_HASH_AT..].copy_from_slice(hash.as_bytes());
    let message = [&header[..], lists].concat();
    if let Ok(state) = PublishedState::decode(&message) {
        assert_eq!(state.encode().unwrap(), message);
    }
});
