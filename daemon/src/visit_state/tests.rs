use std::path::Path;

use super::*;

const STREAM: StreamId = StreamId { node: 0, incarnation: 7, thread: 1 };
const NOW: i64 = 1_781_524_800;

fn live(folder: &Path) -> LiveVisitState {
    let (data_dir, runtime_dir) = (folder.join("data"), folder.join("run"));
    std::fs::create_dir_all(&data_dir).unwrap();
    std::fs::create_dir_all(&runtime_dir).unwrap();
    LiveVisitState::open(&Config { data_dir, runtime_dir, ..Config::default() })
}

fn state(made_unix_ms: u64) -> PublishedState {
    PublishedState::empty(1, Lineage([9; 16]), made_unix_ms)
}

fn accepted(visitor: u64, refuses_repeats: bool) -> AcceptedClick<std::iter::Empty<&'static Cap>> {
    AcceptedClick {
        stream: STREAM,
        sequence: 1,
        unix_seconds: NOW,
        visitor: Some(visitor),
        session: Session { seconds: 60, ..Session::DEFAULT },
        refuses_repeats,
        caps: std::iter::empty(),
    }
}

#[test]
fn the_last_message_is_there_after_a_restart_and_a_damaged_one_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let live_state = live(folder.path());
    assert_eq!((live_state.status().made_unix_ms, live_state.problems()), (None, vec![]));
    live_state.receive(&state(5).encode().unwrap()).unwrap();
    let damaged = live_state.receive(b"damaged").unwrap_err().to_string();
    assert!(damaged.contains("visit state has 7 bytes"), "{damaged}");
    assert_eq!(live(folder.path()).status().made_unix_ms, Some(5));
    std::fs::write(folder.path().join("data/visit-state"), "damaged").unwrap();
    let restarted = live(folder.path());
    assert_eq!(restarted.status().made_unix_ms, None);
    assert!(restarted.problems()[0].contains("visit-state"), "{:?}", restarted.problems());
    restarted.receive(&state(6).encode().unwrap()).unwrap();
    assert_eq!(restarted.problems(), [""; 0]);
}

#[test]
fn one_of_two_visits_of_a_visitor_is_accepted_where_repeats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let live_state = live(folder.path());
    live_state.open_seen_table();
    for visitor in 1..=200 {
        let accepted: usize = std::thread::scope(|scope| {
            let visits: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| live_state.commit(accepted(visitor, true))))
                .collect();
            visits.into_iter().map(|visit| visit.join().unwrap().is_ok() as usize).sum()
        });
        assert_eq!(accepted, 1);
    }
    assert!(live_state.commit(accepted(1, false)).is_ok(), "repeats are not refused everywhere");
    assert_eq!(live_state.status().seen_visitors, 200);
}

/// A refused click does not extend the session.
#[test]
fn a_session_of_a_day_ends_24_hours_after_the_last_accepted_click() {
    let folder = tempfile::tempdir().unwrap();
    let live_state = live(folder.path());
    live_state.open_seen_table();
    let session = Session { seconds: 86_400, ..Session::DEFAULT };
    let come_after = |seconds| {
        let unix_seconds = NOW + seconds;
        live_state.commit(AcceptedClick { unix_seconds, session, ..accepted(1, true) }).is_ok()
    };
    let accepted = [0, 1, 86_399, 86_400, 86_401, 2 * 86_400 - 1, 2 * 86_400].map(come_after);
    assert_eq!(accepted, [true, false, false, true, false, false, true]);
    assert!(live_state.is_repeat(1, &session, NOW + 3 * 86_400 - 1));
    assert!(!live_state.is_repeat(1, &session, NOW + 3 * 86_400));
}

#[test]
fn without_a_table_every_visitor_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let live_state = live(folder.path());
    std::fs::create_dir(folder.path().join("run/seen-visitors")).unwrap();
    live_state.open_seen_table();
    assert!(live_state.problems()[0].contains("seen-visitors"), "{:?}", live_state.problems());
    for _ in 0..2 {
        assert!(live_state.commit(accepted(1, true)).is_ok());
    }
}

#[test]
fn a_record_holds_the_first_caps_of_a_click() {
    let mut counted = CountedCaps::default();
    assert_eq!(counted.as_bytes(), b"");
    (1..=20).for_each(|id| counted.add(id));
    let expected: Vec<u8> = (1..=8_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(counted.as_bytes(), expected);
}
