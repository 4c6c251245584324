//! A level's records under valid hashes, behind an index of three codes: refused, or every code can
//! be looked up and the level can be merged.
#![no_main]

use std::sync::LazyLock;

use coupon_shared::code::FoldedCode;
use coupon_shared::snapshot::level::{HEADER_LEN, Level, LevelBuilder, LevelMerge, LevelMeta};
use coupon_shared::snapshot::{Lineage, SnapshotError};
use libfuzzer_sys::fuzz_target;

const CODES: [&[u8]; 3] = [b"insta1", b"thebestdeal2012", b"winter25"];

/// A level of three deleted codes, without its records.
static WITHOUT_RECORDS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let meta =
        LevelMeta { network_id: 1, lineage: Lineage([9; 16]), sequence_from: 0, sequence_to: 5 };
    let mut builder = LevelBuilder::new(meta);
    for code in CODES {
        builder.push(&FoldedCode::fold(code).expect("it is a code"), &[]).expect("they ascend");
    }
    let mut file = builder.finish().expect("it is built");
    file.truncate(file.len() - 16 * CODES.len());
    file
});

fuzz_target!(|records: &[u8]| {
    let mut file = WITHOUT_RECORDS.clone();
    file.extend_from_slice(records);
    file[64..72].copy_from_slice(&(records.len() as u64 / 16).to_le_bytes());
    file[160..192].copy_from_slice(blake3::hash(records).as_bytes());
    let hash = blake3::hash(&file[..224]);
    file[224..HEADER_LEN].copy_from_slice(hash.as_bytes());
    let Ok(level) = Level::open(file) else { return };
    let is_whole = level.check_entries().is_ok();
    for code in CODES {
        let rows = level.lookup(&FoldedCode::fold(code).expect("it is a code"));
        let rows = rows.expect("it stands in the index").iter().count();
        assert!(!is_whole || rows <= records.len() / 16);
    }
    let levels = [level];
    let merge = LevelMerge::new(&levels).expect("one level has no neighbours");
    let mut codes = 0;
    let visited = merge.visit(|_, rows| {
        codes += usize::from(!rows.is_empty());
        Ok::<_, SnapshotError>(())
    });
    assert!(visited.is_ok() && codes <= CODES.len());
});
