use coupon_shared::snapshot::catalog::{Catalog, CatalogMeta, Rule, ZoneOffset};

use super::*;

const LINEAGE: Lineage = Lineage([9; 16]);
const STREAM: StreamId = StreamId { node: 0, incarnation: 7, thread: 1 };
/// 2026-06-15 12:00:00 UTC, a Monday.
const NOON: i64 = 1_781_524_800;
const MIDNIGHT: i64 = NOON + 12 * 3600;
const DAILY_3: [u64; 4] = [3, 0, 0, 0];

fn cap(id: u32, click_limits: [u64; 4]) -> Cap {
    Cap {
        id,
        offer_id: 0,
        partner_id: 1,
        code_id: 0,
        is_group: false,
        is_soft: false,
        click_limits,
        has_conversion_limits: false,
    }
}

fn catalog(caps: &[Cap]) -> Arc<CatalogFile> {
    let catalog = Catalog {
        click_id_key: [7; 16],
        zone: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
        fallback: None,
        offers: vec![],
        partners: vec![],
        approvals: vec![],
        domains: vec![],
        rules: caps.iter().map(Rule::cap).collect(),
    };
    let meta = CatalogMeta { network_id: 1, lineage: LINEAGE, sequence: 5 };
    Arc::new(CatalogFile::open(&catalog.to_file(&meta).unwrap()).unwrap())
}

fn counters(caps: &[Cap]) -> CapCounters {
    let counters = CapCounters::default();
    counters.adopt_catalog(&catalog(caps), NOON);
    counters
}

fn click(sequence: u64, unix_seconds: i64) -> CountedClick {
    CountedClick { stream: STREAM, sequence, unix_seconds }
}

fn count(counters: &CapCounters, caps: &[Cap], sequence: u64, now: i64) -> Result<(), CapFull> {
    counters.lock().count(click(sequence, now), caps.iter())
}

fn window(cap_id: u32, window: CapWindow, clicks: u64) -> CapState {
    let bounds = window.bounds_at(NOON, |_| 0);
    CapState { cap_id, window, bounds, clicks, is_reached: false }
}

fn state(counted: u64, caps: Vec<CapState>) -> Arc<PublishedState> {
    let mut state = PublishedState { caps, ..PublishedState::empty(1, LINEAGE, 0) };
    state.counted.insert(STREAM, counted);
    Arc::new(state)
}

#[test]
fn a_cap_takes_as_many_clicks_as_its_limit_and_the_next_window_as_many_again() {
    let cap = cap(7, DAILY_3);
    let counters = counters(&[cap]);
    for sequence in 1..=3 {
        assert_eq!(counters.is_reached(&cap, NOON), Some(false));
        assert_eq!(count(&counters, &[cap], sequence, NOON), Ok(()));
    }
    assert_eq!(counters.is_reached(&cap, NOON), Some(true));
    assert_eq!(count(&counters, &[cap], 4, NOON), Err(CapFull));
    assert_eq!(counters.totals(NOON), (1, 1));
    assert_eq!(counters.is_reached(&cap, MIDNIGHT - 1), Some(true));
    assert_eq!(counters.is_reached(&cap, MIDNIGHT), Some(false));
    assert_eq!(count(&counters, &[cap], 4, MIDNIGHT), Ok(()));
    // A clock that goes back does not begin the day before again.
    assert_eq!(count(&counters, &[cap], 5, MIDNIGHT - 1), Ok(()));
    assert_eq!(count(&counters, &[cap], 6, MIDNIGHT), Ok(()));
    assert_eq!(counters.is_reached(&cap, MIDNIGHT), Some(true));
}

#[test]
fn of_several_caps_a_full_one_keeps_all_from_counting() {
    let caps = [cap(7, DAILY_3), cap(8, [0, 0, 0, 1])];
    let counters = counters(&caps);
    assert_eq!(count(&counters, &caps, 1, NOON), Ok(()));
    for sequence in 2..10 {
        assert_eq!(count(&counters, &caps, sequence, NOON), Err(CapFull));
    }
    assert_eq!(count(&counters, &caps[..1], 2, NOON), Ok(()));
    assert_eq!(count(&counters, &caps[..1], 3, NOON), Ok(()));
    assert_eq!(counters.is_reached(&caps[0], NOON), Some(true));
    assert_eq!(counters.is_reached(&caps[1], MIDNIGHT + 1_000_000_000), Some(true), "for ever");
}

#[test]
fn a_state_counts_the_clicks_of_others_and_none_twice() {
    let cap = cap(7, [10, 0, 0, 0]);
    let counters = counters(&[cap]);
    (1..=5).for_each(|sequence| count(&counters, &[cap], sequence, NOON).unwrap());
    // Three of ours and two of other nodes; ours from the fourth on are not in it yet.
    counters.adopt_state(&state(3, vec![window(7, CapWindow::Daily, 5)]), NOON);
    (6..=8).for_each(|sequence| count(&counters, &[cap], sequence, NOON).unwrap());
    assert_eq!(count(&counters, &[cap], 9, NOON), Err(CapFull), "5 and 4..=8 make 10");
    counters.adopt_state(&state(8, vec![window(7, CapWindow::Daily, 9)]), NOON);
    assert_eq!(count(&counters, &[cap], 9, NOON), Ok(()), "one was a bot");
    assert_eq!(count(&counters, &[cap], 10, NOON), Err(CapFull));
    assert_eq!(counters.journal_lens(), (1, 0));
}

#[test]
fn a_state_announces_the_next_window_and_reached_conversion_caps() {
    let cap = Cap { has_conversion_limits: true, ..cap(7, DAILY_3) };
    let counters = counters(&[cap]);
    let tomorrow = CapWindow::Daily.bounds_at(MIDNIGHT, |_| 0);
    let next = CapState { bounds: tomorrow, clicks: 2, ..window(7, CapWindow::Daily, 0) };
    let is_reached = CapState { is_reached: true, ..window(7, CapWindow::Daily, 0) };
    counters.adopt_state(&state(0, vec![is_reached, next]), NOON);
    assert_eq!(counters.is_reached(&cap, NOON), Some(true));
    assert_eq!(counters.is_reached(&cap, MIDNIGHT), Some(false));
    assert_eq!(count(&counters, &[cap], 1, MIDNIGHT), Ok(()));
    assert_eq!(count(&counters, &[cap], 2, MIDNIGHT), Err(CapFull), "two were announced");
    let without = Cap { has_conversion_limits: false, ..cap };
    counters.adopt_state(&state(0, vec![is_reached]), NOON);
    assert_eq!(counters.is_reached(&without, NOON), Some(false));
}

#[test]
fn a_changed_limit_counts_at_once_and_a_new_catalog_keeps_the_counts() {
    let low = cap(7, DAILY_3);
    let counters = counters(&[low]);
    (1..=3).for_each(|sequence| count(&counters, &[low], sequence, NOON).unwrap());
    let high = cap(7, [5, 0, 0, 0]);
    assert_eq!(counters.is_reached(&high, NOON), Some(false));
    counters.adopt_catalog(&catalog(&[high]), NOON);
    (4..=5).for_each(|sequence| count(&counters, &[high], sequence, NOON).unwrap());
    assert_eq!(count(&counters, &[high], 6, NOON), Err(CapFull));
    let lower = cap(7, [1, 0, 0, 0]);
    assert_eq!(counters.is_reached(&lower, NOON), Some(true));
    assert_eq!(counters.is_reached(&cap(99, DAILY_3), NOON), None);
}

#[test]
fn clicks_of_earlier_runs_count_unless_the_state_has_them() {
    let cap = cap(7, [5, 0, 0, 0]);
    let counters = counters(&[cap]);
    counters.adopt_state(&state(2, vec![window(7, CapWindow::Daily, 2)]), NOON);
    let line =
        |sequence, unix_seconds| JournalLine { stream: STREAM, sequence, unix_seconds, cap_id: 7 };
    let yesterday = NOON - 86_400;
    let lines = [line(1, NOON), line(2, NOON), line(3, NOON), line(4, NOON), line(5, yesterday)];
    counters.add_earlier(&lines, NOON);
    assert_eq!(count(&counters, &[cap], 6, NOON), Ok(()), "2 and 3, 4 make 4");
    assert_eq!(count(&counters, &[cap], 7, NOON), Err(CapFull));
}

#[test]
fn threads_never_take_more_than_the_limit() {
    const THREADS: usize = 8;
    for limit in 1..=50 {
        let cap = cap(7, [limit, 0, 0, 0]);
        let counters = counters(&[cap]);
        let taken: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS as u8)
                .map(|thread| {
                    let counters = &counters;
                    scope.spawn(move || {
                        let stream = StreamId { thread, ..STREAM };
                        let mut taken = 0;
                        while counters.is_reached(&cap, NOON) == Some(false) {
                            let click = CountedClick { stream, ..click(taken + 1, NOON) };
                            taken +=
                                u64::from(counters.lock().count(click, [&cap].into_iter()).is_ok());
                        }
                        taken
                    })
                })
                .collect();
            // States arrive meanwhile.
            for _ in 0..20 {
                counters.adopt_state(&state(0, vec![window(7, CapWindow::Daily, 0)]), NOON);
            }
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, limit);
    }
}

#[test]
fn each_cap_finds_its_own_window_among_many() {
    let caps: Vec<Cap> = (1..=50).map(|id| cap(id, [100, 100, 0, 100])).collect();
    let counters = counters(&caps);
    let tomorrow = CapWindow::Daily.bounds_at(MIDNIGHT, |_| 0);
    let windows = (1..=50).step_by(2).flat_map(|id| {
        let next = CapState { bounds: tomorrow, ..window(id, CapWindow::Daily, 2 * u64::from(id)) };
        let global = CapState { bounds: WindowBounds::ALWAYS, ..window(id, CapWindow::Global, 99) };
        [window(id, CapWindow::Daily, id.into()), next, global]
    });
    counters.adopt_state(&state(0, windows.collect()), NOON);
    let clicks = |counters: &CapCounters| -> Vec<[u64; 4]> {
        let table = counters.table.load();
        let counts = (1..=50).map(|id| table[&id].each_ref());
        counts.map(|counts| counts.map(|count| count.clicks.load(Ordering::Acquire))).collect()
    };
    let expected = |daily: u64| -> Vec<[u64; 4]> {
        (1..=50).map(|id| if id % 2 == 1 { [daily * id, 0, 0, 99] } else { [0; 4] }).collect()
    };
    assert_eq!(clicks(&counters), expected(1));
    for cap in &caps {
        assert_eq!(counters.is_reached(cap, MIDNIGHT), Some(cap.id >= 50 && cap.id % 2 == 1));
    }
    assert_eq!(clicks(&counters), expected(2));
}
