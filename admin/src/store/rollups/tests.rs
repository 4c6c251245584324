//! Compares packs with plain counting.

use std::collections::BTreeMap;

use super::pack::{Key, Kind, Numbers, Pack, PackBuilder, merge};
use super::*;
use crate::store::{ReadTx, Store};

/// 2026-06-15 00:00:00 UTC, a Monday.
const MONDAY: u64 = 1_781_481_600_000 / SLOT_MS;

type Row = (u32, Kind, u8, Numbers);

fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn pack_of(rows: &[Row], texts: &[&str]) -> Vec<u8> {
    let mut builder = PackBuilder::new(true);
    for (code, kind, quarter, numbers) in rows {
        let value = builder.text(texts[kind.value as usize]);
        let kind = builder.kind(Kind { value, ..*kind });
        builder.row(Key { code: *code, kind, quarter: *quarter }, numbers);
    }
    builder.finish().unwrap()
}

fn read_back(bytes: &[u8]) -> BTreeMap<(u32, u32, String, u8), Numbers> {
    let pack = Pack::parse(bytes).unwrap();
    let mut rows = pack.rows();
    let mut read = BTreeMap::new();
    while let Some(key) = rows.next_key().unwrap() {
        let mut numbers = Numbers::default();
        rows.add_to(&mut numbers, 1).unwrap();
        let kind = pack.kinds[key.kind as usize];
        let place = (key.code, kind.offer, pack.text(kind.value).to_owned(), key.quarter);
        assert_eq!(read.insert(place, numbers), None, "a row stands twice");
    }
    read
}

fn numbers(gross: i64, sale: i128) -> Numbers {
    Measures { gross, sale, ..Measures::default() }.to_numbers()
}

fn kind(offer: u32, value: u32) -> Kind {
    Kind { offer, affiliate: 7, advertiser: 300_000, value, currency: 0 }
}

#[test]
fn a_pack_reads_back_as_written() {
    let rows = [
        (0, kind(1, 0), 3, numbers(i64::MIN, i128::MIN)),
        (5, kind(2, 1), 0, numbers(i64::MAX, i128::MAX)),
        (5, kind(1, 0), 0, numbers(300, 0)),
        (u32::MAX, kind(1, 0), 1, numbers(0, 1)),
    ];
    let read = read_back(&pack_of(&rows, &["", "newsletter"]));
    let expected = [
        ((0, 1, "".into(), 3), rows[0].3),
        ((5, 2, "newsletter".into(), 0), rows[1].3),
        ((5, 1, "".into(), 0), rows[2].3),
        ((u32::MAX, 1, "".into(), 1), rows[3].3),
    ];
    assert_eq!(read, BTreeMap::from(expected));
}

/// Bytes of a pack from hex digits, with the checksum.
fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|digit| *digit != ' ').collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    let mut bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn packs_of_version_1_are_read_for_ever() {
    let rows = "4350414b0101000001000000010000000100000002616202 07e0a712010005038280020203";
    let expected = [((5, 2, "ab".to_owned(), 3), numbers(1, -2))];
    assert_eq!(read_back(&bytes_of(rows)), BTreeMap::from(expected));
    let largest =
        "4350414b010100000000000001000000010000000207e0a71200000500808002feffffffffffffffff01";
    let expected = [((5, 2, String::new(), 0), numbers(0, i64::MAX.into()))];
    assert_eq!(read_back(&bytes_of(largest)), BTreeMap::from(expected));
}

#[test]
fn packs_of_version_2_are_read_for_ever() {
    let rows = [
        "4350414b02010000010000000100000003000000026162",
        "0207e0a7120100",
        "05038280020203",
        "0100808002808080eabbf1d6c9ebd801",
        "000182800c02e80701",
    ];
    let clicks = Measures { gross: 1, click_payout: 500, click_revenue: -1, ..Measures::default() };
    let expected = [
        ((5, 2, "ab".to_owned(), 3), numbers(1, -2)),
        ((6, 2, "ab".to_owned(), 0), numbers(0, 10_i128.pow(21))),
        ((6, 2, "ab".to_owned(), 1), clicks.to_numbers()),
    ];
    assert_eq!(read_back(&bytes_of(&rows.concat())), BTreeMap::from(expected));
}

#[test]
fn the_bytes_of_version_3_never_change() {
    let clicks = Measures {
        gross: 1,
        failed_over: 1,
        click_payout: 500,
        click_revenue: -1,
        ..Measures::default()
    };
    let rows = [
        (5, kind(2, 1), 3, numbers(1, -2)),
        (6, kind(2, 1), 0, numbers(0, 10_i128.pow(21))),
        (6, kind(2, 1), 1, clicks.to_numbers()),
    ];
    let expected = [
        "4350414b03010000010000000100000003000000026162",
        "0207e0a7120100",
        "05038280040203",
        "0100808004808080eabbf1d6c9ebd801",
        "00018290180202e80701",
    ];
    let written = pack_of(&rows, &["", "ab"]);
    let hex: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, bytes_of(&expected.concat()), "{hex}");
}

#[tokio::test]
async fn sums_of_more_than_64_bits_are_exact_and_take_back_all_of_it() {
    const LARGEST: i128 = 999_999_999_999_999;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let sold = |sign: i128| {
        let measures = Measures { cv: sign as i64, sale: sign * LARGEST, ..Measures::default() };
        let one = ConversionCount { measures, ..count(MONDAY, 1, 1, "", 0) };
        vec![one; 5_000]
    };
    let question = Question {
        slots: MONDAY..MONDAY + 96,
        by: vec![],
        spans: vec![],
        value_dimension: ValueDimension::Base,
        filters: vec![],
    };
    for batches in 1..=3 {
        store.write(move |tx| count_conversions(tx, &sold(1))).await.unwrap();
        let sum = asked(&store, &question).await.into_values().next().unwrap();
        assert_eq!((sum.cv, sum.sale), (5_000 * batches, 5_000 * LARGEST * i128::from(batches)));
    }
    for _ in 0..3 {
        store.write(move |tx| count_conversions(tx, &sold(-1))).await.unwrap();
    }
    assert_eq!(asked(&store, &question).await, Answered::new());
}

#[test]
fn joined_packs_hold_the_sums_and_nothing_that_cancelled_out() {
    let texts = ["", "a", "b"];
    let one =
        pack_of(&[(1, kind(1, 1), 0, numbers(2, 5)), (9, kind(1, 2), 1, numbers(1, 0))], &texts);
    let two =
        pack_of(&[(1, kind(1, 2), 0, numbers(4, 0)), (1, kind(1, 1), 0, numbers(-2, -5))], &texts);
    let packs = [Pack::parse(&one).unwrap(), Pack::parse(&two).unwrap()];
    let expected = [((1, 1, "b".into(), 0), numbers(4, 0)), ((9, 1, "b".into(), 1), numbers(1, 0))];
    assert_eq!(read_back(&merge(&packs).unwrap().unwrap()), BTreeMap::from(expected));
    let less = pack_of(&[(9, kind(1, 2), 1, numbers(-1, 0))], &texts);
    let more = pack_of(&[(9, kind(1, 2), 1, numbers(1, 0))], &texts);
    let packs = [Pack::parse(&less).unwrap(), Pack::parse(&more).unwrap()];
    assert_eq!(merge(&packs).unwrap(), None);
}

#[test]
fn a_pack_with_any_bit_flipped_or_any_end_cut_off_is_refused() {
    let bytes = pack_of(&[(5, kind(2, 1), 3, numbers(1, -2))], &["", "ab"]);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Pack::parse(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Pack::parse(&bytes[..len]).is_err(), "{len} bytes");
    }
}

fn count(slot: u64, code_id: u32, offer_id: u32, sub1: &str, cv: i64) -> ConversionCount {
    let values = vec![(ValueDimension::Sub(1), sub1.to_owned())];
    ConversionCount {
        unix_ms: slot * SLOT_MS + 17,
        code_id,
        offer_id,
        affiliate_id: 1 + code_id % 3,
        advertiser_id: 1,
        currency: ["EUR", "USD"][offer_id as usize % 2].into(),
        values: if sub1.is_empty() { Vec::new() } else { values },
        measures: Measures { cv, sale: i128::from(cv) * 1_000_000, ..Measures::default() },
    }
}

type Answered = BTreeMap<(u64, Vec<u32>, String, String), Measures>;

async fn asked(store: &Store, question: &Question) -> Answered {
    let question = question.clone();
    let ask = move |connection: &ReadTx<'_>| {
        let mut answered = Answered::new();
        query(connection, &question, |slot, ids, value, currency, measures| {
            let key = (slot, ids.to_vec(), value.to_owned(), currency.to_owned());
            *answered.entry(key).or_default() += *measures;
        })?;
        answered.retain(|_, measures| *measures != Measures::default());
        Ok::<_, StoreError>(answered)
    };
    store.read(ask).await.unwrap()
}

fn by_hand(counts: &[ConversionCount], question: &Question) -> Answered {
    let mut answered = Answered::new();
    for count in counts {
        let slot = count.unix_ms / SLOT_MS;
        let ids = Ids {
            code: count.code_id,
            offer: count.offer_id,
            affiliate: count.affiliate_id,
            advertiser: count.advertiser_id,
        };
        let mut filters = question.filters.iter();
        if question.slots.contains(&slot)
            && filters.all(|one_of| one_of.ids.contains(&ids.id_of(one_of.dimension)))
        {
            let span = question.spans.iter().rev().find(|start| **start <= slot);
            let span = span.or(question.spans.first()).copied().unwrap_or(0);
            let value = count.values.iter().find(|(family, _)| *family == question.value_dimension);
            let value = value.map_or_else(String::new, |(_, value)| value.clone());
            let by = question.by.iter().map(|dimension| ids.id_of(*dimension)).collect();
            let key = (span, by, value, count.currency.clone());
            *answered.entry(key).or_default() += count.measures;
        }
    }
    answered.retain(|_, measures| *measures != Measures::default());
    answered
}

#[tokio::test]
async fn every_question_is_answered_as_counting_by_hand_does() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut random = 7;
    let mut all = Vec::new();
    // Many batches, so packs are merged in several tiers, and some days come late.
    for batch in 0..150 {
        let day = batch / 40;
        let some = |_| {
            let late = if draw(&mut random, 20) == 0 { 96 } else { 0 };
            let slot = MONDAY + day * 96 + draw(&mut random, 96) - late;
            let (code, offer) = (draw(&mut random, 30) as u32, 1 + draw(&mut random, 12) as u32);
            let sub1 = ["", "a", "b"][draw(&mut random, 3) as usize];
            count(slot, code, offer, sub1, draw(&mut random, 5) as i64 - 1)
        };
        let counts: Vec<_> = (0..20).map(some).collect();
        all.extend(counts.clone());
        store.write(move |tx| count_conversions(tx, &counts)).await.unwrap();
    }
    let dimensions =
        [Dimension::Code, Dimension::Offer, Dimension::Affiliate, Dimension::Advertiser];
    for _ in 0..300 {
        let from = MONDAY - 100 + draw(&mut random, 300);
        let to = from + draw(&mut random, 400);
        let step = [0, 1, 4, 96][draw(&mut random, 4) as usize];
        let spans = if step == 0 { vec![] } else { (from..to).step_by(step).collect() };
        let one_of = OneOf {
            dimension: dimensions[draw(&mut random, 3) as usize],
            ids: vec![1, 2, draw(&mut random, 30) as u32],
        };
        let question = Question {
            slots: from..to,
            by: dimensions.into_iter().filter(|_| draw(&mut random, 2) == 0).collect(),
            spans,
            value_dimension: [ValueDimension::Base, ValueDimension::Sub(1)]
                [draw(&mut random, 2) as usize],
            filters: if draw(&mut random, 2) == 0 { vec![one_of] } else { vec![] },
        };
        assert_eq!(asked(&store, &question).await, by_hand(&all, &question), "{question:?}");
    }
}

#[tokio::test]
async fn packs_of_a_place_stay_few() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for at in 0..300 {
        let counts = vec![count(MONDAY + at % 4, 1 + at as u32 % 50, 1, "a", 1)];
        store.write(move |tx| count_conversions(tx, &counts)).await.unwrap();
    }
    let packs = "SELECT max(n) FROM (SELECT count(*) AS n FROM rollup_pack
         GROUP BY resolution, source, family, period)";
    let most = store.read(move |c| Ok::<u64, StoreError>(c.query_row(packs, [], |r| r.get(0))?));
    assert!(most.await.unwrap() <= 3 * 7, "eight of a tier are joined");
    let next_day = vec![count(MONDAY + 96, 1, 1, "a", 1)];
    store.write(move |tx| count_conversions(tx, &next_day)).await.unwrap();
    let most = store.read(move |c| Ok::<u64, StoreError>(c.query_row(packs, [], |r| r.get(0))?));
    assert_eq!(most.await.unwrap(), 1, "what is past is joined into one");
}

#[tokio::test]
async fn one_partners_values_take_no_room_of_anothers() {
    use coupon_rules::agent::{Agent, ClientHints};
    use coupon_shared::click::block::Block;

    use crate::classification::{Classification, VisitPlace};
    use crate::daemon_client::fake_daemon::{STREAM, Sample, block};

    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    // Partner 1 has as many values as a day holds; then partner 2 comes.
    let full =
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 10000)
         INSERT INTO rollup_value SELECT 1, ?1, 1, 1, 'v' || n FROM number";
    let day = MONDAY / SLOTS_PER_DAY;
    let filled: Result<(), StoreError> =
        store.write(move |tx| Ok(tx.execute(full, [day]).map(drop)?)).await;
    filled.unwrap();
    let visit = |partner_id, sub1| Sample { partner_id, sub1, ..Sample::at(MONDAY * SLOT_MS) };
    let visits = [visit(1, "new"), visit(1, "v7"), visit(2, "new"), visit(2, "newer")];
    let bytes = block(STREAM, 1, &visits);
    let write = move |tx: &WriteTx<'_>| {
        let mut rollups = Rollups::default();
        for click in Block::parse(&bytes).unwrap().decode().unwrap().clicks() {
            let agent = Agent::identify(b"", &ClientHints::default());
            let classification = Classification { class: VisitClass::Unique, agent, pay: None };
            rollups.count(&click, &classification, &VisitPlace::default());
        }
        rollups.apply(tx)
    };
    store.write(write).await.unwrap();
    let question = Question {
        slots: MONDAY..MONDAY + 96,
        by: vec![Dimension::Affiliate],
        spans: vec![],
        value_dimension: ValueDimension::Sub(1),
        filters: vec![],
    };
    let found = asked(&store, &question).await;
    let values: Vec<_> = found.keys().map(|(_, ids, value, _)| (ids[0], value.as_str())).collect();
    assert_eq!(values, [(1, OTHER), (1, "v7"), (2, "new"), (2, "newer")]);
}
