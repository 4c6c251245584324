//! The codes as an index that coupond serves: one base level, one catalog, and `CURRENT`.

use std::path::Path;

use coupon_shared::civil_day::Day;
use coupon_shared::code::FoldedCode;
use coupon_shared::destination::Destination;
use coupon_shared::snapshot::Lineage;
use coupon_shared::snapshot::catalog::{
    Catalog, CatalogFile, CatalogMeta, Offer, Partner, Visibility, WeightedDestination, ZoneOffset,
};
use coupon_shared::snapshot::level::{CodeRecord, Level, LevelBuilder, LevelMeta};
use coupon_shared::snapshot::manifest::{CURRENT, Manifest, ObjectName};

use crate::codes::CodeList;

/// Codes are spread over so many offers, of as many partners.
const OFFERS: u32 = 1000;
const LINEAGE: Lineage = Lineage([0xC0; 16]);

/// The page that the code at this place in the list leads to.
pub(crate) fn page(at: usize) -> String {
    format!("https://shop{}.example/landing", offer_of(at))
}

fn offer_of(at: usize) -> u32 {
    at as u32 % OFFERS + 1
}

pub(crate) fn publish(codes: &CodeList, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(folder)?;
    let level = level_of(codes)?;
    let catalog = catalog()?;
    let manifest = Manifest {
        network_id: 1,
        lineage: LINEAGE,
        generation: 1,
        sequence: 1,
        catalog: ObjectName(*CatalogFile::open(&catalog)?.name()),
        levels: vec![ObjectName(*Level::open(level.as_slice())?.name())],
    };
    std::fs::write(folder.join(manifest.levels[0].level_file()), &level)?;
    std::fs::write(folder.join(manifest.catalog.catalog_file()), &catalog)?;
    std::fs::write(folder.join(CURRENT), manifest.to_text())?;
    Ok(())
}

fn level_of(codes: &CodeList) -> anyhow::Result<Vec<u8>> {
    let mut folded = Vec::with_capacity(codes.len());
    for at in 0..codes.len() {
        folded.push((FoldedCode::fold(codes.get(at))?, at));
    }
    folded.sort_unstable_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
    let meta = LevelMeta { network_id: 1, lineage: LINEAGE, sequence_from: 0, sequence_to: 1 };
    let mut level = LevelBuilder::new(meta);
    for (code, at) in folded {
        let row = CodeRecord {
            code_id: at as u32 + 1,
            offer_id: offer_of(at),
            partner_id: offer_of(at),
            active: true,
            first_day: Day::FIRST,
            last_day: Day::LAST,
        };
        level.push(&code, &[row])?;
    }
    Ok(level.finish()?)
}

fn catalog() -> anyhow::Result<Vec<u8>> {
    let mut offers = Vec::new();
    for id in 1..=OFFERS {
        let url = page(id as usize - 1) + "?transaction_id={transaction_id}&coupon={coupon_code}";
        let destination = Destination::parse(&url)?.destination;
        offers.push(Offer {
            id,
            advertiser_id: id,
            active: true,
            visibility: Visibility::Public,
            last_day: u16::MAX,
            destinations: vec![WeightedDestination { weight: 1, destination }],
            fallback: None,
            rules: vec![],
        });
    }
    let catalog = Catalog {
        click_id_key: [7; 16],
        zone: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
        fallback: None,
        offers,
        partners: (1..=OFFERS).map(|id| Partner { id, active: true }).collect(),
        approvals: vec![],
        domains: vec![],
        rules: vec![],
    };
    Ok(catalog.to_file(&CatalogMeta { network_id: 1, lineage: LINEAGE, sequence: 1 })?)
}
