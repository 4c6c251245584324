//! A level of any codes, one per line: a look-up finds each with its own row, and no other code.
#![no_main]

use std::collections::BTreeMap;

use coupon_shared::civil_day::Day;
use coupon_shared::code::FoldedCode;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::level::{CodeRecord, Level, LevelBuilder, LevelMeta};
use libfuzzer_sys::fuzz_target;

fn row(code_id: u32) -> CodeRecord {
    let (first_day, last_day) = (Day::FIRST, Day::LAST);
    CodeRecord { code_id, offer_id: 1, partner_id: 1, active: true, first_day, last_day }
}

fuzz_target!(|data: &[u8]| {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let (known, unknown) = lines.split_at(lines.len() / 2);
    let known: BTreeMap<FoldedCode, u32> = known
        .iter()
        .zip(1..)
        .filter_map(|(line, id)| Some((FoldedCode::fold(line).ok()?, id)))
        .collect();
    let meta =
        LevelMeta { network_id: 1, lineage: Lineage([9; 16]), sequence_from: 0, sequence_to: 5 };
    let mut builder = LevelBuilder::new(meta);
    for (code, id) in &known {
        builder.push(code, &[row(*id)]).expect("they ascend");
    }
    let level = Level::open(builder.finish().expect("it is built")).expect("it opens");
    level.check_entries().expect("it is whole");
    let asked = unknown.iter().filter_map(|line| FoldedCode::fold(line).ok());
    for code in asked.chain(known.keys().copied()) {
        let found = level.lookup(&code).map(|rows| rows.iter().next().map(|row| row.code_id));
        assert_eq!(found, known.get(&code).map(|id| Some(*id)), "{code}");
    }
});
