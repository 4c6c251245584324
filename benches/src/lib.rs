//! Snapshots of any size for the benchmarks, built in memory as a publication would.

pub mod inputs;
pub mod ruled;

use coupon_shared::civil_day::Day;
use coupon_shared::code::FoldedCode;
use coupon_shared::destination::Destination;
use coupon_shared::index::Index;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::catalog::{
    Catalog, CatalogFile, CatalogMeta, Offer, Partner, Rule, Visibility, WeightedDestination,
    ZoneOffset,
};
use coupon_shared::snapshot::level::{CodeRecord, Level, LevelBuilder, LevelMeta};
use coupon_shared::snapshot::manifest::{Manifest, ObjectName};
use std::sync::Arc;

/// Offers and partners of every snapshot.
pub const OFFERS: u32 = 1000;
const LINEAGE: Lineage = Lineage([1; 16]);

/// The `number`-th code, as a visitor types it. Distinct for distinct numbers.
pub fn code(number: u32) -> String {
    const WORDS: [&str; 8] = ["Save", "WINTER", "deal", "Best", "Insta", "summer", "VIP", "promo"];
    // An odd multiplier permutes the numbers, so neighbours in time are strangers in the index.
    let mixed = number.wrapping_mul(2_654_435_769);
    format!("{}{:x}", WORDS[(mixed >> 29) as usize], mixed)
}

/// The bytes of a base level of `count` codes.
pub fn level_file(count: u32) -> Vec<u8> {
    let mut codes: Vec<(FoldedCode, u32)> = (0..count)
        .filter_map(|number| Some((FoldedCode::fold(code(number).as_bytes()).ok()?, number)))
        .collect();
    codes.sort_unstable();
    let meta = LevelMeta { network_id: 1, lineage: LINEAGE, sequence_from: 0, sequence_to: 1 };
    let mut builder = LevelBuilder::new(meta);
    for (code, number) in codes {
        let row = CodeRecord {
            code_id: number + 1,
            offer_id: number % OFFERS + 1,
            partner_id: number % OFFERS + 1,
            active: true,
            first_day: Day::FIRST,
            last_day: Day::LAST,
        };
        builder.push(&code, &[row]).expect("codes ascend");
    }
    builder.finish().expect("a level in memory")
}

/// The bytes of a catalog.
pub fn catalog_file() -> Vec<u8> {
    catalog_with(Vec::new())
}

/// The bytes of a catalog whose first offers have these rules, one each.
fn catalog_with(rules: Vec<Rule>) -> Vec<u8> {
    let offer = |id: u32| {
        let url = format!(
            "https://shop{id}.example/landing?t={{transaction_id}}&c={{coupon_code}}&s={{sub1}}"
        );
        let destination = Destination::parse(&url).expect("a valid URL").destination;
        Offer {
            id,
            advertiser_id: id,
            active: true,
            visibility: Visibility::Public,
            last_day: u16::MAX,
            destinations: vec![WeightedDestination { weight: 1, destination }],
            fallback: None,
            rules: if id as usize <= rules.len() { vec![id] } else { vec![] },
        }
    };
    let catalog = Catalog {
        click_id_key: [7; 16],
        zone: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
        fallback: None,
        offers: (1..=OFFERS).map(offer).collect(),
        partners: (1..=OFFERS).map(|id| Partner { id, active: true }).collect(),
        approvals: vec![],
        domains: vec![],
        rules,
    };
    let meta = CatalogMeta { network_id: 1, lineage: LINEAGE, sequence: 1 };
    catalog.to_file(&meta).expect("a valid catalog")
}

/// An index of one base level of `count` codes.
pub fn index(count: u32) -> Index<Arc<[u8]>> {
    index_of(Arc::from(level_file(count)))
}

/// An index of as many codes as there are offers, of which the first have [`ruled::Rules::ALL`].
pub fn ruled_index() -> Index<Arc<[u8]>> {
    let rules = ruled::Rules::ALL.map(ruled::Rules::rule);
    index_with(Arc::from(level_file(OFFERS)), &catalog_with(rules.to_vec()))
}

/// An index of this base level.
pub fn index_of<D: AsRef<[u8]> + Clone>(level: D) -> Index<D> {
    index_with(level, &catalog_file())
}

fn index_with<D: AsRef<[u8]> + Clone>(level: D, catalog: &[u8]) -> Index<D> {
    let level = Level::open(level).expect("a valid level");
    let catalog = Arc::new(CatalogFile::open(catalog).expect("a valid catalog"));
    let manifest = Manifest {
        network_id: 1,
        lineage: LINEAGE,
        generation: 1,
        sequence: 1,
        catalog: ObjectName(*catalog.name()),
        levels: vec![ObjectName(*level.name())],
    };
    Index::assemble(manifest, catalog, vec![level]).expect("parts that fit")
}
