//! Codes as an index for coupond: levels, one catalog, and `CURRENT`.
//!
//! The sequence of an index equals its generation. Files are durable before a manifest names them,
//! so no write is pending while a server is measured.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
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
use crate::generations;

/// Number of offers, and of partners, over which codes are spread.
const OFFERS: u32 = 1000;
const NETWORK: u32 = 1;
const LINEAGE: Lineage = Lineage([0xC0; 16]);

/// Page of the code at this position in the list.
pub(crate) fn page(at: usize) -> String {
    format!("https://shop{}.example/landing", offer_of(at))
}

fn offer_of(at: usize) -> u32 {
    at as u32 % OFFERS + 1
}

/// Offer whose page names the generation.
pub(crate) fn offer_naming(generation: u64) -> u32 {
    OFFERS + generation as u32
}

/// A code of the list and its offer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) code: FoldedCode,
    /// Position in the list.
    pub(crate) at: usize,
    pub(crate) offer: u32,
}

/// All codes with the offers of their pages, in the order of a level.
pub(crate) fn placed(codes: &CodeList) -> anyhow::Result<Vec<Placed>> {
    let placed = |at| {
        let code = FoldedCode::fold(codes.get(at))?;
        anyhow::Ok(Placed { code, at, offer: offer_of(at) })
    };
    let mut placed = (0..codes.len()).map(placed).collect::<anyhow::Result<Vec<_>>>()?;
    placed.sort_unstable_by(|one, other| one.code.as_bytes().cmp(other.code.as_bytes()));
    Ok(placed)
}

/// The index folder of a server.
pub(crate) struct IndexFolder {
    path: PathBuf,
    catalog: ObjectName,
}

impl IndexFolder {
    /// Creates a folder with a catalog whose offers name generations up to `last_generation`.
    pub(crate) fn create(path: &Path, last_generation: u64) -> anyhow::Result<IndexFolder> {
        std::fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))?;
        let bytes = catalog(last_generation)?;
        let catalog = ObjectName(*CatalogFile::open(&bytes)?.name());
        let folder = IndexFolder { path: path.to_owned(), catalog };
        folder.write(&catalog.catalog_file(), &bytes)?;
        Ok(folder)
    }

    /// Writes a level of the changes after `sequences.start` up to `sequences.end`; the codes
    /// ascend.
    pub(crate) fn level(
        &self,
        sequences: Range<u64>,
        codes: impl Iterator<Item = Placed>,
    ) -> anyhow::Result<ObjectName> {
        let mut level = LevelBuilder::new(LevelMeta {
            network_id: NETWORK,
            lineage: LINEAGE,
            sequence_from: sequences.start,
            sequence_to: sequences.end,
        });
        for Placed { code, at, offer } in codes {
            level.push(&code, &[row(at, offer)])?;
        }
        let bytes = level.finish()?;
        let name = ObjectName(*Level::open(bytes.as_slice())?.name());
        self.write(&name.level_file(), &bytes)?;
        Ok(name)
    }

    /// Manifest of these levels, newest first.
    pub(crate) fn manifest(&self, generation: u64, levels: Vec<ObjectName>) -> Manifest {
        Manifest {
            network_id: NETWORK,
            lineage: LINEAGE,
            generation,
            sequence: generation,
            catalog: self.catalog,
            levels,
        }
    }

    /// Makes the index visible to the server.
    pub(crate) fn publish(&self, manifest: &Manifest) -> std::io::Result<()> {
        let new = self.path.join("CURRENT.new");
        std::fs::write(&new, manifest.to_text())?;
        std::fs::rename(new, self.path.join(CURRENT))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path.join(name);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Publishes all codes in one base.
pub(crate) fn publish(codes: &CodeList, path: &Path) -> anyhow::Result<()> {
    let folder = IndexFolder::create(path, 0)?;
    let base = folder.level(0..1, placed(codes)?.into_iter())?;
    Ok(folder.publish(&folder.manifest(1, vec![base]))?)
}

fn row(at: usize, offer: u32) -> CodeRecord {
    CodeRecord {
        code_id: at as u32 + 1,
        offer_id: offer,
        partner_id: offer_of(at),
        active: true,
        first_day: Day::FIRST,
        last_day: Day::LAST,
    }
}

fn catalog(last_generation: u64) -> anyhow::Result<Vec<u8>> {
    let pages = (0..OFFERS).map(|at| page(at as usize));
    let pages = pages.chain((1..=last_generation).map(generations::page));
    let catalog = Catalog {
        click_id_key: [7; 16],
        zone: vec![ZoneOffset { from: i64::MIN, utc_offset: 0 }],
        fallback: None,
        offers: pages.zip(1..).map(|(page, id)| offer(id, &page)).collect::<anyhow::Result<_>>()?,
        partners: (1..=OFFERS).map(|id| Partner { id, active: true }).collect(),
        approvals: vec![],
        domains: vec![],
        rules: vec![],
    };
    Ok(catalog.to_file(&CatalogMeta { network_id: NETWORK, lineage: LINEAGE, sequence: 1 })?)
}

fn offer(id: u32, page: &str) -> anyhow::Result<Offer> {
    let url = format!("{page}?transaction_id={{transaction_id}}&coupon={{coupon_code}}");
    let destination = Destination::parse(&url)?.destination;
    Ok(Offer {
        id,
        advertiser_id: id,
        active: true,
        visibility: Visibility::Public,
        last_day: u16::MAX,
        destinations: vec![WeightedDestination { weight: 1, destination }],
        fallback: None,
        rules: vec![],
    })
}
