use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;

const STREAM: StreamId = StreamId { node: 3, incarnation: 99, thread: 2 };

fn cap(cap_id: u32, window: CapWindow, starts: i64, ends: i64) -> CapState {
    let bounds = WindowBounds { starts, ends };
    CapState { cap_id, window, bounds, clicks: 5, is_reached: false }
}

fn sample() -> PublishedState {
    PublishedState {
        counted: [(STREAM, 42)].into(),
        caps: vec![
            cap(7, CapWindow::Daily, 0, 86_400),
            CapState { is_reached: true, ..cap(7, CapWindow::Daily, 86_400, 172_800) },
            CapState { bounds: WindowBounds::ALWAYS, ..cap(7, CapWindow::Global, 0, 1) },
        ],
        converted: vec![1, 5, u64::MAX],
        ..PublishedState::empty(1, Lineage([9; 16]), 1_763_000_000_123)
    }
}

#[test]
fn a_state_reads_back_as_written() {
    let state = PublishedState::decode(&sample().encode().unwrap()).unwrap();
    assert_eq!(state, sample());
    assert_eq!(state.last_counted(&STREAM), 42);
    assert_eq!(state.last_counted(&StreamId { thread: 0, ..STREAM }), 0);
    assert_eq!([5, 6].map(|hash| state.has_converted(hash)), [true, false]);
}

#[test]
fn no_flipped_bit_and_no_truncation_is_read() {
    let good = sample().encode().unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(PublishedState::decode(&bad).is_err(), "bit {bit}");
    }
    for len in 0..good.len() {
        assert!(PublishedState::decode(&good[..len]).is_err(), "cut to {len}");
    }
    assert!(PublishedState::decode(&[&good[..], &[0]].concat()).is_err());
}

#[test]
fn lists_out_of_order_are_neither_written_nor_read() {
    for (change, reason) in [
        (
            (|state| state.caps.swap(0, 2)) as fn(&mut PublishedState),
            "the windows of cap 7 are out of order or overlap",
        ),
        (
            |state| state.caps[0].bounds.ends += 1,
            "the windows of cap 7 are out of order or overlap",
        ),
        (|state| state.caps[1] = state.caps[0], "the windows of cap 7 are out of order or overlap"),
        (|state| state.caps[0].bounds.ends = 0, "a window of cap 7 ends before it starts"),
        (|state| state.converted.swap(0, 1), "its converted visitors are out of order"),
        (|state| state.converted[1] = 1, "its converted visitors are out of order"),
    ] {
        let mut state = sample();
        change(&mut state);
        let error = state.encode().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn lists_beyond_their_bounds_are_neither_written_nor_read() {
    let mut state = sample();
    state.converted = (0..=MAX_CONVERTED as u64).collect();
    let error = state.encode().unwrap_err().to_string();
    assert!(error.contains("2000001 converted visitors; 2000000 are possible"), "{error}");
    for (at, list) in [(40, "streams"), (44, "cap windows"), (48, "converted visitors")] {
        let mut bytes = sample().encode().unwrap();
        bytes[at..at + 4].fill(0xFF);
        let error = PublishedState::decode(&with_right_hashes(bytes)).unwrap_err().to_string();
        assert!(error.contains(&format!("4294967295 {list}")), "{error}");
    }
}

#[test]
fn a_newer_version_and_another_file_are_refused_with_their_reason() {
    for (at, byte, reason) in [(8, 2, "has format version 2"), (0, b'X', "this is no visit state")]
    {
        let mut bytes = sample().encode().unwrap();
        bytes[at] = byte;
        let error = PublishedState::decode(&with_right_hashes(bytes)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn fields_that_no_writer_writes_are_refused() {
    let first_cap = HEADER_LEN + STREAM_LEN;
    for (at, byte, reason) in [
        (10, 1, "not zero where they must be"),
        (HEADER_LEN + 3, 1, "not zero where they must be"),
        (first_cap + 4, 9, "9 is no window of a cap"),
        (first_cap + 5, 2, "not zero where they must be"),
    ] {
        let mut bytes = sample().encode().unwrap();
        bytes[at] = byte;
        let error = PublishedState::decode(&with_right_hashes(bytes)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

fn with_right_hashes(mut bytes: Vec<u8>) -> Vec<u8> {
    let lists = blake3::hash(&bytes[HEADER_LEN..]);
    bytes[LISTS_HASH_AT..HEADER_HASH_AT].copy_from_slice(lists.as_bytes());
    let header = blake3::hash(&bytes[..HEADER_HASH_AT]);
    bytes[HEADER_HASH_AT..HEADER_LEN].copy_from_slice(header.as_bytes());
    bytes
}

proptest! {
    #[test]
    fn any_state_reads_back(
        ids in any::<(u32, [u8; 16], u64)>(),
        counted in btree_map(any::<(u16, u32, u8)>(), any::<u64>(), 0..20),
        windows in btree_map(
            (any::<u32>(), prop::sample::select(&CapWindow::ALL[..])),
            (any::<[i64; 2]>(), any::<u64>(), any::<bool>()),
            0..20,
        ),
        converted in btree_set(any::<u64>(), 0..50),
    ) {
        let (network_id, lineage, made_unix_ms) = ids;
        let state = PublishedState {
            network_id,
            lineage: Lineage(lineage),
            made_unix_ms,
            counted: counted
                .into_iter()
                .map(|((node, incarnation, thread), last)| {
                    (StreamId { node, incarnation, thread }, last)
                })
                .collect(),
            caps: windows
                .into_iter()
                .filter(|(_, ([one, other], ..))| one != other)
                .map(|((cap_id, window), ([one, other], clicks, is_reached))| CapState {
                    cap_id,
                    window,
                    bounds: WindowBounds { starts: one.min(other), ends: one.max(other) },
                    clicks,
                    is_reached,
                })
                .collect(),
            converted: converted.into_iter().collect(),
        };
        prop_assert_eq!(PublishedState::decode(&state.encode().unwrap()), Ok(state));
    }

    #[test]
    fn no_change_under_right_hashes_panics_or_reads_back_changed(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = sample().encode().unwrap();
        for (at, to) in &changes {
            *at.get_mut(&mut bytes) = *to;
        }
        let bytes = with_right_hashes(bytes);
        if let Ok(state) = PublishedState::decode(&bytes) {
            prop_assert_eq!(state.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn decoding_any_bytes_never_panics(lists in vec(any::<u8>(), 0..300)) {
        let header = sample().encode_header(&lists);
        let _ = PublishedState::decode(&[&header[..], &lists].concat());
        let _ = PublishedState::decode(&lists);
    }
}
